//! The file syntax of oslo.config.
//!
//! - `key = value` or `key: value`: the first of `=` and `:` separates. Blanks around both are dropped, then
//!   one pair of the same quotes (`"` or `'`) around the value.
//! - A line that begins with a blank or a tab continues the value above, joined with a newline. A blank line
//!   or a comment ends the value. Quotes are stripped from the first line only.
//! - `#` and `;` start a comment only in column 1.
//! - `[name]` is alone on its line and starts a section; a repeated section continues.
//! - A key may occur several times; all values are kept.
//! - Lines end with LF, CRLF or CR. A byte order mark is refused.
//!
//! No crate reads this dialect: rust-ini and configparser join, quote, and comment differently, and do not
//! keep a value's line, which each message names.
//!
//! No message repeats a line of the file, since any may hold a password.

use super::error::{ConfigError, Finding};

/// A configuration file as it is written, before any option has a meaning.
#[derive(Clone, Debug, Default)]
pub struct Ini {
    pub file: String,
    pub sections: Vec<IniSection>,
}

/// A section of a file as it is written.
#[derive(Clone, Debug)]
pub struct IniSection {
    pub name: String,
    pub line: u32,
    pub entries: Vec<IniEntry>,
}

/// One `key = value`. The Debug form hides the value, which may be a secret.
#[derive(Clone)]
pub struct IniEntry {
    pub key: String,
    pub value: String,
    pub line: u32,
    /// The columns at which the lines of the value begin, in characters counted from 1.
    pub columns: Vec<u32>,
}

impl std::fmt::Debug for IniEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IniEntry").field("key", &self.key).field("line", &self.line).finish_non_exhaustive()
    }
}

/// The most syntax errors of a file; one with more is no configuration.
const MOST_ERRORS: usize = 100;

impl Ini {
    /// Reads `text`; `file` is only a name for messages.
    ///
    /// Returns the readable part and the syntax errors, in the order of lines; after 100 the rest is not read.
    /// With an error the file must not be used; the readable part is for further checks of its values.
    pub fn parse(file: &str, text: &str) -> (Self, Vec<ConfigError>) {
        let mut parser =
            IniParser { ini: Self { file: file.to_owned(), ..Self::default() }, ..IniParser::default() };
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => {
                parser.line = 1;
                parser.refuse("the file begins with a byte order mark", "save it as UTF-8 without one");
                parser.line = 0;
                rest
            }
            None => text,
        };
        for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
            parser.line = parser.line.saturating_add(1);
            if parser.errors.len() == MOST_ERRORS {
                parser.refuse("it is not read from here on, as 100 errors are above", "correct these first");
                break;
            }
            parser.take(line.trim_end_matches(is_space));
        }
        (parser.ini, parser.errors)
    }
}

/// Reads a file line by line, and collects its errors.
#[derive(Default)]
struct IniParser {
    ini: Ini,
    errors: Vec<ConfigError>,
    line: u32,
    place: AssignmentTarget,
    open: ContinuationOwner,
}

/// The section that an assignment belongs to.
#[derive(Default)]
enum AssignmentTarget {
    #[default]
    Before,
    /// The last heading was refused: its lines are read for errors and dropped.
    Refused,
    Section,
}

/// The assignment that an indented line continues.
#[derive(Default)]
enum ContinuationOwner {
    #[default]
    Nothing,
    Entry,
    Dropped,
}

impl IniParser {
    fn take(&mut self, line: &str) {
        if line.is_empty() {
            self.open = ContinuationOwner::Nothing;
        } else if line.starts_with([' ', '\t']) {
            self.continuation(line.trim_start_matches(is_space), line);
        } else if line.starts_with('[') {
            self.open = ContinuationOwner::Nothing;
            self.heading(line);
        } else if line.starts_with(['#', ';']) {
            self.open = ContinuationOwner::Nothing;
        } else {
            self.assignment(line);
        }
    }

    fn continuation(&mut self, line: &str, whole: &str) {
        match self.open {
            ContinuationOwner::Dropped => {}
            ContinuationOwner::Nothing => self.refuse(
                "the line begins with a space, but there is no value above it to continue",
                "start it in column 1 (a blank line or a comment ends a value)",
            ),
            ContinuationOwner::Entry => {
                let section = self.ini.sections.last_mut();
                if let Some(entry) = section.and_then(|section| section.entries.last_mut()) {
                    entry.value.push('\n');
                    entry.value.push_str(line);
                    entry.columns.push(column(whole, whole.len() - line.len()));
                }
            }
        }
    }

    fn heading(&mut self, line: &str) {
        let name = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match name {
            None => {
                self.place = AssignmentTarget::Refused;
                self.refuse(
                    "the section has no `]` at the end of its line",
                    "write `[name]` and nothing after it",
                );
            }
            Some("") => {
                self.place = AssignmentTarget::Refused;
                self.refuse("the section has no name", "write `[name]`");
            }
            Some(name) => {
                self.place = AssignmentTarget::Section;
                let section = IniSection { name: name.to_owned(), line: self.line, entries: Vec::new() };
                self.ini.sections.push(section);
            }
        }
    }

    fn assignment(&mut self, line: &str) {
        self.open = ContinuationOwner::Dropped;
        let Some((key, value)) = line.split_once(['=', ':']) else {
            self.refuse(
                "the line has neither `=` nor `:`",
                "write `name = value`; a comment starts with # in column 1, a continued value with a space",
            );
            return;
        };
        let key = key.trim_matches(is_space);
        if key.is_empty() {
            self.refuse("there is no name before the `=` or `:`", "write `name = value`");
            return;
        }
        match self.place {
            AssignmentTarget::Refused => {}
            AssignmentTarget::Before => self.refuse(
                "the option is before the first section",
                "write the line `[name]` of its section above it",
            ),
            AssignmentTarget::Section => {
                let value = value.trim_start_matches(is_space);
                let start = line.len() - value.len();
                let trimmed = value.trim_end_matches(is_space);
                let value = unquoted(trimmed).to_owned();
                let quote = usize::from(value.len() < trimmed.len());
                if let Some(section) = self.ini.sections.last_mut() {
                    let columns = vec![column(line, start + quote)];
                    section.entries.push(IniEntry { key: key.to_owned(), value, line: self.line, columns });
                    self.open = ContinuationOwner::Entry;
                }
            }
        }
    }

    fn refuse(&mut self, problem: &str, allowed: &str) {
        self.errors.push(ConfigError(Finding::at(&self.ini.file, self.line, problem).allowed(allowed)));
    }
}

fn column(line: &str, at: usize) -> u32 {
    let before = line.get(..at).map_or(0, |before| before.chars().count());
    u32::try_from(before + 1).unwrap_or(u32::MAX)
}

/// Strips one pair of matching quotes. A lone quote counts as such a pair, as in oslo.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return if rest.is_empty() { "" } else { rest.strip_suffix(quote).unwrap_or(value) };
        }
    }
    value
}

/// White space as Python's `str.strip` defines it: Unicode's, and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_the_line_of_their_key() {
        let (ini, errors) = Ini::parse("f", "[a]\n\nk = 1\n  2\n\r\nk: 3\r[A]\nl=\n");
        assert_eq!(errors, []);
        let seen: Vec<(&str, u32, &str, &str, u32)> = ini
            .sections
            .iter()
            .flat_map(|s| {
                s.entries.iter().map(|e| (s.name.as_str(), s.line, e.key.as_str(), e.value.as_str(), e.line))
            })
            .collect();
        assert_eq!(seen, [("a", 1, "k", "1\n2", 3), ("a", 1, "k", "3", 6), ("A", 7, "l", "", 8)]);
    }

    #[test]
    fn of_a_file_with_many_errors_the_rest_is_not_read() {
        let text = format!("{}[a]\nk = 1\n", "a\n".repeat(100));
        let (ini, errors) = Ini::parse("f", &text);
        assert_eq!((ini.sections.len(), errors.len()), (0, 101));
        let last = errors[100].to_string();
        assert!(last.starts_with("f:101: ") && last.contains("not read from here on"), "{last}");
        let (ini, errors) = Ini::parse("f", &text[2..]);
        assert_eq!((ini.sections.len(), errors.len()), (1, 99));
    }

    #[test]
    fn debug_hides_values() {
        let (ini, _) = Ini::parse("f", "[a]\ntransport_url = rabbit://u:secret@h/\n");
        assert!(!format!("{ini:?}").contains("secret"));
    }
}
