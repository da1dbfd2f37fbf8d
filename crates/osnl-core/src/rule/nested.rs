//! Patterns on what lies inside of context and payload: `payload.port.name = ^web-`.

use osnl_model::{
    JsonKind, Mismatch, Notification, Pattern, Predicate, Saw, StepLimit, is_secret_key, mask_text,
};
use osnl_template::{walk, walk_object};
use serde_json::Value;

/// A pattern at the end of a path. A key of the whole path, dots included, comes before everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// The path, in the context or the payload.
    pub predicate: Predicate,
    /// The pattern of the text there.
    pub pattern: Pattern,
}

impl PathPattern {
    /// Whether it matches. What is absent or no text does not.
    ///
    /// # Errors
    /// The value there.
    pub fn matches(&self, n: &Notification) -> Result<(), Mismatch> {
        let (path, value) = match &self.predicate {
            Predicate::Context(path) => (path.as_str(), walk_object(&n.context, path)),
            Predicate::Payload(path) => (path.as_str(), walk(&n.payload, path)),
            Predicate::PublisherId | Predicate::EventType | Predicate::Metadata(_) => ("", None),
        };
        let saw = match value {
            None => Saw::Absent,
            Some(Value::String(text)) => match self.pattern.matches(text) {
                Ok(true) => return Ok(()),
                Ok(false) if path.split('.').any(is_secret_key) => Saw::Text("***".to_owned()),
                Ok(false) => Saw::Text(mask_text(text).into_owned()),
                Err(StepLimit { .. }) => Saw::StepLimit { length: text.len() },
            },
            Some(other) => Saw::NotText(JsonKind::of(other)),
        };
        let pattern = self.pattern.as_str().to_owned();
        Err(Mismatch { predicate: self.predicate.clone(), pattern, saw })
    }
}
