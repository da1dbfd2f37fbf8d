//! `deny.toml`: what is allowed, each with its reason. A part of TOML small enough to read by hand:
//! comment lines, `[section]`, `name = "reason"` with the name in quotes when it holds a dot or a blank.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// Names and reasons.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// Licences that may be relied on, by their SPDX identifiers.
    pub(super) licences: BTreeMap<String, String>,
    /// Crates that may be there in more than one version.
    pub(super) duplicates: BTreeMap<String, String>,
}

impl List {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut list = Self::default();
        let mut section = None;
        for (at, line) in text.lines().enumerate() {
            let (number, line) = (at + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line {
                "[licences]" => section = Some(&mut list.licences),
                "[duplicates]" => section = Some(&mut list.duplicates),
                _ => {
                    let entry = line.split_once('=').and_then(|(name, reason)| {
                        let name = name.trim();
                        let name = quoted(name).unwrap_or(name);
                        Some((name.to_owned(), quoted(reason.trim())?.to_owned()))
                    });
                    match (entry, section.as_deref_mut()) {
                        (Some((name, reason)), Some(section)) => section.insert(name, reason),
                        (None, _) | (_, None) => {
                            bail!(
                                "line {number}: expected [licences], [duplicates] or name = \"reason\" below one"
                            )
                        }
                    };
                }
            }
        }
        Ok(list)
    }
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sections_names_and_reasons() {
        let list =
            List::parse("# why\n[licences]\n\"Apache-2.0\" = \"ours\"\n\n[duplicates]\nsyn = \"a = b\"\n")
                .unwrap();
        assert_eq!(list.licences["Apache-2.0"], "ours");
        assert_eq!(list.duplicates["syn"], "a = b");
    }

    #[test]
    fn errors_name_the_line() {
        let check = |text: &str, expected: &str| {
            assert!(List::parse(text).unwrap_err().to_string().starts_with(expected), "{text}");
        };
        check("syn = \"x\"\n", "line 1:");
        check("[licences]\nMIT\n", "line 2:");
        check("[licences]\nMIT = ours\n", "line 2:");
        check("[licenses]\n", "line 1:");
    }
}
