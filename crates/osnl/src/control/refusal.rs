use serde::{Deserialize, Serialize};

/// The kind of a refusal, which decides the status of HTTP and the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    BadRequest,
    Unsupported,
    NotFound,
    Unavailable,
    OtherJournal,
    Forbidden,
}

/// The refusal of a request, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RequestRefusal {
    pub code: Code,
    pub message: String,
}

impl RequestRefusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
