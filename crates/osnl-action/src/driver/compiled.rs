use osnl_config::sections::{RawEntry, SectionReader};
use osnl_config::template::{Expression, TemplateError};
use osnl_config::written_secrets::reads_secret;
use osnl_config::{ConfigError, ValueOrigin, nearest};

use super::sections::{ACTION, RULE, all_enrichments, enrichments};

const LONGEST_EXCERPT: usize = 160;

pub(super) fn compiled<T>(
    reader: &mut SectionReader<'_>,
    option: &str,
    compile: impl FnOnce(&str) -> Result<T, TemplateError>,
) -> Result<Option<T>, ()> {
    let section = reader.section;
    let Some(entry) = section.entry(option) else { return Ok(None) };
    let text = reader.text(option).ok_or(())?;
    let error = match compile(&text) {
        Ok(compiled) => return Ok(Some(compiled)),
        Err(error) => explain_enrichment(reader, error),
    };
    let (row, column) = place(entry, &text, error.at);
    let mut finding = reader.finding(option, &error.problem);
    if option == "when" {
        finding.excerpt = excerpt(option, &text, error.at);
        // The reader of the file has removed the quotes, as oslo.config does.
        let whole =
            |quote: char| text.contains(quote) && Expression::new(&format!("{quote}{text}{quote}")).is_ok();
        if whole('"') || whole('\'') {
            finding.problem.push_str("; the quotes at both ends were taken for those of the whole value");
            finding.allowed = Some("put the whole into ( )".to_owned());
        }
    }
    finding.allowed = finding.allowed.or(error.allowed);
    finding.suggestion = error.suggestion;
    match (&entry.origin, finding.line) {
        (ValueOrigin::File { .. }, Some(line)) => {
            finding.line = Some(line + row);
            finding.column = Some(column);
        }
        (
            ValueOrigin::File { .. }
            | ValueOrigin::Default
            | ValueOrigin::Environment { .. }
            | ValueOrigin::CommandLine { .. },
            _,
        ) => {
            finding.problem = format!("column {column}: {}", finding.problem);
        }
    }
    reader.findings.errors.push(ConfigError(finding));
    Err(())
}

/// Returns the line and a marker below the place; `None` if that might show a secret, or is too
/// long.
fn excerpt(option: &str, text: &str, at: usize) -> Option<String> {
    // A quote may be missing, so that a path is in a constant.
    let secret = reads_secret(text) || reads_secret(&text.replace(['"', '\''], " "));
    let row = text[..at].matches('\n').count();
    let line: String =
        text.split('\n').nth(row)?.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let before = text[..at].rsplit('\n').next()?.chars().count();
    if secret || line.chars().count() > LONGEST_EXCERPT {
        return None;
    }
    let begin = if row == 0 { format!("{option} = ") } else { " ".repeat(4) };
    let point = " ".repeat(begin.len() + before);
    Some(format!("    {begin}{line}\n    {point}^"))
}

fn explain_enrichment(reader: &SectionReader<'_>, error: TemplateError) -> TemplateError {
    let Some(name) = error.unknown.as_deref() else { return error };
    let known = all_enrichments(reader);
    if !known.contains(&name) {
        let suggestion = error.suggestion.or_else(|| nearest(name, known).map(str::to_owned));
        return TemplateError { suggestion, ..error };
    }
    let (problem, allowed) = match reader.section.def.kind {
        ACTION => {
            let asked = enrichments(reader);
            let list = asked.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(", ");
            (format!("[enrich:{name}] is not asked by this action"), format!("write enrich = {list}"))
        }
        RULE => {
            let problem = format!("[enrich:{name}] is asked at the delivery, after rules are decided");
            (problem, "write the condition as when of the action".to_owned())
        }
        _ => return error,
    };
    TemplateError { problem, allowed: Some(allowed), suggestion: None, ..error }
}

fn place(entry: &RawEntry, text: &str, at: usize) -> (u32, u32) {
    let before = &text[..at];
    let row = before.matches('\n').count();
    let within = before.rsplit('\n').next().unwrap_or_default();
    let start = entry.columns.get(row).copied().unwrap_or(1);
    let written = entry.text.split('\n').nth(row).unwrap_or_default();
    let column = start + length_as_written(written, within);
    (u32::try_from(row).unwrap_or(u32::MAX), column)
}

fn length_as_written(written: &str, read: &str) -> u32 {
    let mut written = written.chars().peekable();
    let mut length = 0;
    for c in read.chars() {
        let escaped = matches!(written.next(), Some('$' | '\\')) && c == '$' && written.peek() == Some(&'$');
        if escaped {
            written.next();
        }
        length += if escaped { 2 } else { 1 };
    }
    length
}
