//! Why a body cannot be read.
//!
//! The messages say what is wrong and where, and never repeat the body: a notification may hold tokens and
//! passwords anywhere. Only names that are ours to judge are shown (a version, a compression, an encoding),
//! and of those at most a short beginning.

use std::fmt;

use serde_json::Value;
use thiserror::Error;

use crate::Excess;

/// A body that cannot be read as a notification. Trying again never helps.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// There are no bytes at all.
    #[error("the body is empty")]
    Empty,
    /// The body begins with the byte order mark of UTF-8, which JSON does not allow.
    #[error("the body begins with a byte order mark")]
    ByteOrderMark,
    /// The body is not UTF-8.
    #[error("the body is not UTF-8: invalid byte at offset {offset}")]
    NotUtf8 {
        /// The number of valid bytes before it.
        offset: usize,
    },
    /// A part is not JSON, or is nested too deeply to be read.
    #[error("{part} is not readable JSON: {reason}")]
    NotJson {
        /// The JSON text that the error is about.
        part: Part,
        /// The parser's reason, with line and column within that part.
        reason: String,
    },
    /// A part is JSON, but no object.
    #[error("{part} is {found}, not an object")]
    NotAnObject {
        /// The JSON text that the error is about.
        part: Part,
        /// The kind that was found.
        found: JsonKind,
    },
    /// The envelope has a version other than `2.0`.
    #[error("unsupported oslo.version {version:?}: only \"2.0\" is known")]
    UnsupportedVersion {
        /// The version, or its beginning.
        version: String,
    },
    /// The envelope's version is not text.
    #[error("oslo.version is {found}, not a text")]
    VersionNotText {
        /// The kind that was found.
        found: JsonKind,
    },
    /// The enveloped message is not text that holds JSON.
    #[error("oslo.message is {found}, not a text")]
    MessageNotText {
        /// The kind that was found.
        found: JsonKind,
    },
    /// There is an `oslo.message` without an `oslo.version`.
    #[error("there is an oslo.message but no oslo.version")]
    NoVersion,
    /// There is an `oslo.version` without an `oslo.message`.
    #[error("there is an oslo.version but no oslo.message")]
    NoMessage,
    /// The priority is neither text nor null. oslo redelivers such a message without end.
    #[error("priority is {found}, not a text")]
    PriorityNotText {
        /// The kind that was found.
        found: JsonKind,
    },
    /// The header `compression` names what this crate cannot undo.
    #[error("unsupported compression {name:?}; osnl reads gzip, zlib, and bz2")]
    UnsupportedCompression {
        /// The name, or its beginning.
        name: String,
    },
    /// The header `compression` does not tell the truth, or the body is cut off.
    #[error("the compressed body is damaged or cut off")]
    DamagedCompression,
    /// The message costs more than its [`Budget`](crate::Budget).
    #[error(transparent)]
    TooMuch(#[from] Excess),
    /// The property `content_encoding` names an encoding this crate does not read.
    #[error("unsupported content encoding {name:?}")]
    UnsupportedEncoding {
        /// The name, or its beginning.
        name: String,
    },
}

/// The JSON text of a message that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The body itself.
    Body,
    /// The text under `oslo.message`.
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

/// The kind of a JSON value, for saying what was found without showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonKind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl JsonKind {
    /// The kind of a value.
    pub fn of(value: &Value) -> Self {
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

/// The beginning of a name, short enough for a log line and too short for most secrets.
pub fn excerpt(text: &str) -> String {
    const LONGEST: usize = 24;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}
