//! Options that are Jinja: compiled, and what is wrong with one at its line and column of the file.

use super::layers::RawEntry;
use super::schema::{ACTION, RULE};
use super::section::Reader;
use crate::config::{ConfigError, Origin, nearest};
use crate::template::{Expression, TemplateError};

/// `when` of a rule or an action, which may name these besides. `Ok(None)` if nothing sets it.
pub(super) fn read(reader: &mut Reader<'_>, more: &[&str]) -> Result<Option<Expression>, ()> {
    reader.compiled("when", |text| Expression::compile(text, more))
}

impl Reader<'_> {
    /// An option that is compiled: `reader.compiled("url", |text| Template::compile(text, &["rule"]))`. `Ok(None)` if
    /// nothing sets it; `Err` has been said, as `file:line:column`.
    pub(crate) fn compiled<T>(
        &mut self,
        option: &str,
        compile: impl FnOnce(&str) -> Result<T, TemplateError>,
    ) -> Result<Option<T>, ()> {
        let section = self.section;
        let Some(entry) = section.entry(option) else { return Ok(None) };
        let text = self.text(option).ok_or(())?;
        let error = match compile(&text) {
            Ok(compiled) => return Ok(Some(compiled)),
            Err(error) => self.of_enrichment(error),
        };
        let (row, column) = place(entry, &text, error.at);
        let mut finding = self.finding(option, &error.problem);
        finding.allowed = error.allowed;
        finding.suggestion = error.suggestion;
        match (&entry.origin, finding.line) {
            (Origin::File { .. }, Some(line)) => {
                finding.line = Some(line + row);
                finding.column = Some(column);
            }
            // A variable has no lines of its own.
            (
                Origin::File { .. }
                | Origin::Default
                | Origin::Environment { .. }
                | Origin::CommandLine { .. },
                _,
            ) => {
                finding.problem = format!("column {column}: {}", finding.problem);
            }
        }
        self.findings.errors.push(ConfigError(finding));
        Err(())
    }
}

impl Reader<'_> {
    /// What is wrong with a name, where it is one of an enrichment that cannot be named here, or nearly.
    fn of_enrichment(&self, error: TemplateError) -> TemplateError {
        let Some(name) = error.unknown.as_deref() else { return error };
        let known = self.all_enrichments();
        if !known.contains(&name) {
            let suggestion = error.suggestion.or_else(|| nearest(name, known).map(str::to_owned));
            return TemplateError { suggestion, ..error };
        }
        let (problem, allowed) = match self.section.def.kind {
            ACTION => {
                let asked = self.enrichments();
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
}

/// How many lines below the key, and the column there, counted from 1.
fn place(entry: &RawEntry, text: &str, at: usize) -> (u32, u32) {
    let before = &text[..at];
    let row = before.matches('\n').count();
    let within = before.rsplit('\n').next().unwrap_or_default();
    let start = entry.columns.get(row).copied().unwrap_or(1);
    let written = entry.text.split('\n').nth(row).unwrap_or_default();
    let column = start + length_as_written(written, within);
    (u32::try_from(row).unwrap_or(u32::MAX), column)
}

/// How many characters of `written` stand for `read`: `$$` is one dollar sign.
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
