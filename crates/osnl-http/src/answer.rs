//! What a target answers.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, StatusCode};

use crate::failure::{Failure, FailureClass};

/// Longer wishes than this are cut: the target is tried once an hour at least.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Of a reply in a sentence.
const EXCERPT_CHARACTERS: usize = 120;

/// An answer with any status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most as much as the request's limit.
    pub body: Bytes,
    /// Whether that is all of it. What is beyond the limit is not read, and the connection is closed.
    pub whole: bool,
}

impl Answer {
    /// The start of its body, on one line; `None` if it has none.
    #[must_use]
    pub fn excerpt(&self) -> Option<String> {
        // Four bytes are the most that a character has.
        let start = &self.body[..self.body.len().min(EXCERPT_CHARACTERS * 4)];
        let text: String = String::from_utf8_lossy(start)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(EXCERPT_CHARACTERS)
            .collect();
        let text = text.trim();
        (!text.is_empty()).then(|| format!("reply: {text}"))
    }

    /// `Retry-After` in seconds, an hour at most. The form with a date is not read: it needs the target's clock to be
    /// right.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
    }

    /// The failure that an answer with this status is, for who did not want it: the status's own words, and the start
    /// of the reply.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let words = self.status.canonical_reason().unwrap_or("no reason");
        let reason = match self.excerpt() {
            Some(excerpt) => format!("{words}, {excerpt}"),
            None => words.to_owned(),
        };
        Failure { class: FailureClass::Status(self.status.as_u16()), reason, retry_after: self.retry_after() }
    }
}
