//! A message never repeats the body, because a notification may hold tokens and passwords anywhere. Only a
//! version, a compression or an encoding is shown, each shortened.

use std::fmt;

use serde_json::Value;
use thiserror::Error;

use crate::Excess;

/// The reasons for which a body is not a notification, and goes to the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("the body is empty")]
    Empty,
    /// The body begins with the byte order mark of UTF-8, which JSON does not allow.
    #[error("the body begins with a byte order mark")]
    ByteOrderMark,
    #[error("the body is not UTF-8: invalid byte at offset {offset}")]
    NotUtf8 { offset: usize },
    #[error("{part} is not readable JSON: {reason}")]
    NotJson { part: Part, reason: String },
    #[error("{part} is {found}, not an object")]
    NotAnObject { part: Part, found: JsonKind },
    #[error("unsupported oslo.version {version:?}: only \"2.0\" is known")]
    UnsupportedVersion { version: String },
    #[error("oslo.version is {found}, not a text")]
    VersionNotText { found: JsonKind },
    #[error("oslo.message is {found}, not a text")]
    MessageNotText { found: JsonKind },
    #[error("there is an oslo.message but no oslo.version")]
    NoVersion,
    #[error("there is an oslo.version but no oslo.message")]
    NoMessage,
    /// The priority is neither text nor null. oslo redelivers such a message without end.
    #[error("priority is {found}, not a text")]
    PriorityNotText { found: JsonKind },
    #[error("unsupported compression {name:?}; osnl reads gzip, zlib, and bz2")]
    UnsupportedCompression { name: String },
    /// The data do not have the format in the header `compression`, or the body is cut off.
    #[error("the compressed body is damaged or cut off")]
    DamagedCompression,
    #[error(transparent)]
    TooMuch(#[from] Excess),
    #[error("unsupported content encoding {name:?}")]
    UnsupportedEncoding { name: String },
    #[error("the body is not in its content encoding {name:?}")]
    OtherEncoding { name: String },
}

/// The JSON text in which an error is: an envelope has a second one inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Body,
    Message,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body => "the body",
            Self::Message => "the text of oslo.message",
        })
    }
}

/// The kind of a JSON value, to name in an error instead of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonKind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

impl JsonKind {
    pub fn from_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

impl fmt::Display for JsonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

/// Returns the beginning of a name, short enough for a log line and too short for most secrets.
pub fn excerpt(text: &str) -> String {
    const LONGEST: usize = 24;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}
