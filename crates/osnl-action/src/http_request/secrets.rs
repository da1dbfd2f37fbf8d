//! For people the template is rendered again with `***` as their values; replies and errors pass a
//! [`Scrubber`](osnl_model::Scrubber).

use std::fmt;

use serde_json::{Map, Value};

pub(super) const MASK: &str = "***";

/// The options `secret.KEY`, whose values templates name.
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
    }
}
