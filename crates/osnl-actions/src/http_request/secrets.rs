//! For people the template is rendered again with `***` as their values, and replies and errors are
//! searched for them.

use std::fmt;

use serde_json::{Map, Value};

/// A shorter secret would match parts of innocent words.
const SHORTEST_SEARCHED: usize = 4;
pub(super) const MASK: &str = "***";

#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<(String, String)>);

impl Secrets {
    pub(super) fn new(secrets: Vec<(String, String)>) -> Self {
        Self(secrets)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn values(&self) -> Value {
        let pair = |(key, value): &(String, String)| (key.clone(), Value::from(value.as_str()));
        Value::Object(self.0.iter().map(pair).collect::<Map<_, _>>())
    }

    pub(super) fn masked(&self) -> Value {
        let pair = |(key, _): &(String, String)| (key.clone(), Value::from(MASK));
        Value::Object(self.0.iter().map(pair).collect::<Map<_, _>>())
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, value)| value.as_str())
    }
}

pub fn scrub<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = text.to_owned();
    for secret in secrets.into_iter().filter(|secret| secret.len() >= SHORTEST_SEARCHED) {
        if text.contains(secret) {
            text = text.replace(secret, MASK);
        }
    }
    text
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_no_form_for_people() {
        let secrets = Secrets::new(vec![("hook".to_owned(), "T0/B0/xyz".to_owned())]);
        assert_eq!(secrets.values()["hook"], "T0/B0/xyz");
        assert_eq!(secrets.masked()["hook"], "***");
        assert_eq!(format!("{secrets:?}"), r#"["hook"]"#);
        assert_eq!(scrub("no T0/B0/xyz here, T0/B0/xyz", secrets.texts()), "no *** here, ***");
        assert_eq!(scrub("a b c", ["a", "b"]), "a b c");
    }
}
