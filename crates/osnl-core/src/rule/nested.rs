use std::collections::BTreeMap;

use osnl_model::{
    JsonKind, Mismatch, Notification, NotificationFilter, Observed, Pattern, Predicate, StepLimit,
    is_secret_path, mask_text, walk, walk_object,
};
use serde_json::Value;

/// A pattern for the value at a path of payload or context, read as `when` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    pub predicate: Predicate,
    pub pattern: Pattern,
}

impl PathPattern {
    /// Moves keys that are paths out of a filter, because oslo.messaging's filter reads only keys of the top level.
    #[must_use]
    pub fn from_filter(filter: &mut NotificationFilter) -> Vec<Self> {
        let take = |patterns: &mut BTreeMap<String, Pattern>, predicate: fn(String) -> Predicate| {
            let is_path = |key: &str| key.contains('.') || key.bytes().all(|byte| byte.is_ascii_digit());
            let paths = patterns.extract_if(.., |key, _| is_path(key));
            paths.map(|(key, pattern)| Self { predicate: predicate(key), pattern }).collect::<Vec<_>>()
        };
        let mut nested = take(&mut filter.context, Predicate::Context);
        nested.extend(take(&mut filter.payload, Predicate::Payload));
        nested
    }

    pub fn matches(&self, n: &Notification) -> Result<(), Mismatch> {
        let (path, value) = match &self.predicate {
            Predicate::Context(path) => (path.as_str(), walk_object(&n.context, path)),
            Predicate::Payload(path) => (path.as_str(), walk(&n.payload, path)),
            Predicate::PublisherId | Predicate::EventType | Predicate::Metadata(_) => ("", None),
        };
        let observed = match value {
            None => Observed::Absent,
            Some(Value::String(text)) => match self.pattern.matches(text) {
                Ok(true) => return Ok(()),
                Ok(false) if is_secret_path(path) => Observed::Text("***".to_owned()),
                Ok(false) => Observed::Text(mask_text(text).into_owned()),
                Err(StepLimit { .. }) => Observed::StepLimit { length: text.len() },
            },
            Some(other) => Observed::NotText(JsonKind::from_value(other)),
        };
        let pattern = self.pattern.as_str().to_owned();
        Err(Mismatch { predicate: self.predicate.clone(), pattern, observed })
    }
}
