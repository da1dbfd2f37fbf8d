//! Findings about a configuration: one line each, with its place.

use std::fmt;

use osnl_model::did_you_mean;

use super::option::ValueOrigin;

/// An error or warning about a configuration.
///
/// The displayed form is `FILE:LINE:COLUMN: [group] option: problem; allowed; did you mean suggestion`. A
/// variable has `environment NAME` in place of file and line, and unknown parts are left out. No part repeats
/// a secret: the creator passes values through [`shown`] and leaves out values of secret options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, or the variable or flag that has the value.
    pub file: String,
    /// The line, counted from 1; `None` if no line is at fault, such as for a missing option.
    pub line: Option<u32>,
    /// The column, counted from 1; `None` if the line alone is known.
    pub column: Option<u32>,
    /// The section; `None` for the file as a whole.
    pub group: Option<String>,
    /// The option; `None` for the section as a whole.
    pub option: Option<String>,
    /// The fault, in words.
    pub problem: String,
    /// The allowed values, or the step that mends the fault.
    pub allowed: Option<String>,
    /// The known name that is nearest to the written one.
    pub suggestion: Option<String>,
    /// The lines at fault, with a mark below.
    pub excerpt: Option<String>,
}

impl Finding {
    pub fn at(file: &str, line: u32, problem: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: Some(line),
            column: None,
            group: None,
            option: None,
            problem: in_words(&problem.into()),
            allowed: None,
            suggestion: None,
            excerpt: None,
        }
    }

    pub fn new(source: &str, problem: impl Into<String>) -> Self {
        Self { line: None, ..Self::at(source, 0, problem) }
    }

    #[must_use]
    pub fn from_origin(mut self, origin: &ValueOrigin) -> Self {
        match origin {
            ValueOrigin::Default => {}
            ValueOrigin::File { path, line } => {
                self.file.clone_from(path);
                self.line = Some(*line);
            }
            ValueOrigin::Environment { .. } | ValueOrigin::CommandLine { .. } => {
                self.file = origin.to_string();
                self.line = None;
            }
        }
        self
    }

    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.group = Some(one_line(group));
        self
    }

    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.option = Some(one_line(option));
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        f.write_str(": ")?;
        match (&self.group, &self.option) {
            (Some(group), Some(option)) => write!(f, "[{group}] {option}: ")?,
            (Some(group), None) => write!(f, "[{group}]: ")?,
            (None, Some(option)) => write!(f, "{option}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.problem)?;
        if let Some(allowed) = &self.allowed {
            write!(f, "; {allowed}")?;
        }
        f.write_str(&did_you_mean(self.suggestion.as_deref()))
    }
}

/// A finding for which a configuration is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub Finding);

/// A finding with which a configuration is used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub Finding);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All errors of a configuration, in the order of lines. Each is displayed on one line, some with an indented
/// excerpt of two lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
            if let Some(excerpt) = &error.0.excerpt {
                write!(f, "\n{excerpt}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Returns a value for a message: quoted, control characters escaped, cut after 60 characters.
///
/// A value that looks like a URL with a login is never repeated, as a URL behind the wrong name still has a
/// password.
pub fn shown(value: &str) -> String {
    if value.contains("://") || value.contains('@') {
        return "the value (not shown, it looks like a URL)".to_owned();
    }
    let mut chars = value.chars();
    let head: String = chars.by_ref().take(60).collect();
    let rest = if chars.next().is_some() { "…" } else { "" };
    format!("\"{}{rest}\"", osnl_model::one_line(&head.escape_debug().to_string()))
}

#[must_use]
pub(crate) fn unknown_value(shown: &str) -> String {
    format!("unknown value {}", shown.strip_prefix("the value ").unwrap_or(shown))
}

/// Removes the system's error number: `Not a directory (os error 20)` becomes `Not a directory`.
#[must_use]
pub fn in_words(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        words.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    words
}

/// Sorts findings by file and line. Findings without a line follow those of their file; findings without a
/// file are last.
pub fn in_order<T>(found: &mut [T], of: impl Fn(&T) -> &Finding, files: &[String]) {
    found.sort_by_key(|one| {
        let finding = of(one);
        let file = files.iter().position(|name| *name == finding.file);
        (file.unwrap_or(usize::MAX), finding.line.unwrap_or(u32::MAX))
    });
}

/// Returns a name for one line of a log; a name that looks like part of a URL is not repeated.
fn one_line(name: &str) -> String {
    if name.contains("://") || name.contains('@') {
        return "…".to_owned();
    }
    let head: String = name.chars().take(60).collect();
    osnl_model::one_line(&head.escape_debug().to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_the_parts_that_are_known() {
        let bare = Finding::at("a.conf", 3, "no `=` in this line");
        assert_eq!(bare.to_string(), "a.conf:3: no `=` in this line");
        let group = bare.clone().group("k2hr3").allowed("write one");
        assert_eq!(group.to_string(), "a.conf:3: [k2hr3]: no `=` in this line; write one");
        let mut full = group.option("api\nurl");
        full.suggestion = Some("api_url".to_owned());
        full.line = None;
        assert_eq!(
            full.to_string(),
            "a.conf: [k2hr3] api\\nurl: no `=` in this line; write one; did you mean api_url?"
        );
    }

    #[test]
    fn the_number_of_an_error_of_the_operating_system_is_left_out() {
        let check = |text: &str, expected: &str| assert_eq!(in_words(text), expected);
        check("x: Not a directory (os error 20); name another", "x: Not a directory; name another");
        check("a (os error 1): b (os error 2)", "a: b");
        check("none", "none");
    }

    #[test]
    fn shown_values_are_escaped_cut_and_never_urls() {
        let check = |value: &str, expected: &str| assert_eq!(shown(value), expected);
        check("soon", "\"soon\"");
        check("a\n\"b\"\u{1b}", "\"a\\n\\\"b\\\"\\u{1b}\"");
        check("d\u{435}lete", "\"d\\u{435}lete\"");
        check(&"x".repeat(61), &format!("\"{}…\"", "x".repeat(60)));
        check("rabbit://u:secret@h", "the value (not shown, it looks like a URL)");
        check("u:secret@h", "the value (not shown, it looks like a URL)");
    }
}
