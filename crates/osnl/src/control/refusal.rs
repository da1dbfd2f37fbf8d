//! A request that was not done, and why.

use serde::{Deserialize, Serialize};

/// The kinds of refused requests, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    BadRequest,
    /// It is understood, and not to be had here.
    Unsupported,
    /// It names what is not there.
    NotFound,
    /// The journal cannot be read or written now.
    Unavailable,
    /// The daemon has another journal than the one that was meant.
    OtherJournal,
    /// The caller is not allowed to ask.
    Forbidden,
}

/// A request that was not done.
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
