use std::sync::Arc;

use osnl_config::template::Names;
use serde_json::Value;

use super::Kind;

/// A question that an attempt would ask, as `osnl explain` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub name: Arc<str>,
    pub kind: Kind,
    pub id: Result<String, String>,
    /// The source that would be asked, for the operator.
    pub cloud: String,
    pub value: AnswerForecast,
}

/// The answer that an enrichment would have, as far as it is known without a request.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerForecast {
    Unknown,
    Default(Value),
    Kept(Value),
}

impl Ask {
    pub fn named(&self, names: Names, shown: impl Fn(&Value) -> Value) -> Names {
        match &self.value {
            AnswerForecast::Unknown => names.with_unknown(&self.name),
            AnswerForecast::Default(value) | AnswerForecast::Kept(value) => {
                names.with_found(&self.name, shown(value))
            }
        }
    }
}
