//! The variables `OS_<GROUP>__<OPTION>`, which take precedence over every file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

/// A process's environment, sorted by name. The Debug form shows only names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let text = |part: OsString| part.into_string().ok();
        Self(variables.into_iter().filter_map(|(n, v)| Some((text(n.into())?, text(v.into())?))).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

pub const PREFIX: &str = "OS_";

/// Returns `OS_<GROUP>__<OPTION>` in capitals; characters that are invalid in a variable's name become `_`.
pub fn variable_name(group: &str, option: &str) -> String {
    let spelt = |name: &str| -> String {
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    format!("{PREFIX}{}__{}", spelt(group), spelt(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_capitals_digits_and_underscores() {
        let check = |group: &str, option: &str, expected: &str| {
            assert_eq!(variable_name(group, option), expected);
        };
        check("DEFAULT", "debug_level", "OS_DEFAULT__DEBUG_LEVEL");
        check("k2hr3", "api_url", "OS_K2HR3__API_URL");
        check("rule:forget-ports", "event_type", "OS_RULE_FORGET_PORTS__EVENT_TYPE");
    }

    #[test]
    fn debug_shows_names_only() {
        let environment: Environment = [("OS_X__URL", "rabbit://u:secret@h")].into_iter().collect();
        assert_eq!(format!("{environment:?}"), "{\"OS_X__URL\"}");
        assert_eq!(environment.get("OS_X__URL"), Some("rabbit://u:secret@h"));
    }
}
