use osnl_model::{Head, Notification, cut};

use super::LiveEvent;
use crate::received::ReceivedMessage;

const LONGEST: usize = 1024;

/// Conditions that must all hold; an empty condition does. A text must occur, with `*` for any characters. The search
/// takes linear time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveFilter {
    pub event_type: String,
    pub publisher_id: String,
    pub resource: String,
    pub listener: String,
    pub is_matched: Option<bool>,
}

pub(super) struct SeenHead<'a> {
    event_type: Option<&'a str>,
    publisher_id: Option<&'a str>,
    listener: &'a str,
    is_matched: bool,
}

impl<'a> SeenHead<'a> {
    pub(super) fn from_head(head: &'a Head<'_>, listener: &'a str) -> Self {
        Self {
            event_type: head.event_type.as_deref(),
            publisher_id: head.publisher_id.as_deref(),
            listener,
            is_matched: false,
        }
    }

    pub(super) fn from_event(
        notification: &'a Notification,
        received: &'a ReceivedMessage,
        is_matched: bool,
    ) -> Self {
        Self {
            event_type: notification.event_type.as_deref(),
            publisher_id: notification.publisher_id.as_deref(),
            listener: &received.origin.listener,
            is_matched,
        }
    }
}

impl LiveFilter {
    pub(super) fn wants(&self, event: &LiveEvent) -> bool {
        let seen = SeenHead {
            event_type: event.event_type.as_deref(),
            publisher_id: event.publisher_id.as_deref(),
            listener: &event.listener,
            is_matched: event.is_matched(),
        };
        self.wants_head(&seen) && occurs(&self.resource, event.resource.as_deref())
    }

    pub(super) fn wants_head(&self, seen: &SeenHead<'_>) -> bool {
        self.is_matched.is_none_or(|is_matched| is_matched == seen.is_matched)
            && (self.listener.is_empty() || self.listener == seen.listener)
            && occurs(&self.event_type, seen.event_type)
            && occurs(&self.publisher_id, seen.publisher_id)
    }
}

fn occurs(pattern: &str, text: Option<&str>) -> bool {
    if pattern.is_empty() {
        return true;
    }
    let Some(text) = text else { return false };
    let mut rest = cut(text, LONGEST);
    for part in pattern.split('*') {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_pattern_occur_in_their_order() {
        let check = |pattern: &str, text: Option<&str>, expected: bool| {
            assert_eq!(occurs(pattern, text), expected, "{pattern:?} {text:?}");
        };
        check("", None, true);
        check("*", None, false);
        check("*", Some(""), true);
        check("port", Some("port.create.end"), true);
        check("create", Some("port.create.end"), true);
        check("port.*.end", Some("port.create.end"), true);
        check("end*port", Some("port.create.end"), false);
        check("a*a", Some("a"), false);
        check("ä*é", Some("xäyéz"), true);
        // A regular expression might take exponential time here.
        check(&"a*".repeat(100), Some(&"a".repeat(1 << 20)), true);
        check(&format!("{}b", "a*".repeat(100)), Some(&"a".repeat(1 << 20)), false);
    }
}
