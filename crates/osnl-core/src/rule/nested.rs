use osnl_config::template::{walk, walk_object};
use osnl_model::{
    JsonKind, Mismatch, Notification, Observed, Pattern, Predicate, StepLimit, is_secret_key, mask_text,
};
use serde_json::Value;

/// A key that equals the whole path, dots included, has precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    pub predicate: Predicate,
    pub pattern: Pattern,
}

impl PathPattern {
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
                Ok(false) if path.split('.').any(is_secret_key) => Observed::Text("***".to_owned()),
                Ok(false) => Observed::Text(mask_text(text).into_owned()),
                Err(StepLimit { .. }) => Observed::StepLimit { length: text.len() },
            },
            Some(other) => Observed::NotText(JsonKind::of(other)),
        };
        let pattern = self.pattern.as_str().to_owned();
        Err(Mismatch { predicate: self.predicate.clone(), pattern, observed })
    }
}
