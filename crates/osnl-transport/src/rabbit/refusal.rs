//! `inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'`
//! `inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received the value '5' of type 'signedint' but current is none`
//!
//! RabbitMQ names the first difference: `durable`, then `auto_delete`, then arguments.

use std::fmt;

use crate::topology::{CONSUMER_DISCONNECTED, QueueKind, QueueType, TYPE};

/// The difference that a refusal of the broker names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Difference<'a> {
    Named { argument: &'a str, asked: &'a str, found: &'a str },
    Other(&'a str),
}

impl<'a> Difference<'a> {
    pub(super) fn read(refusal: &'a str) -> Self {
        let named = || {
            let (_, rest) = refusal.split_once("arg '")?;
            let (argument, rest) = rest.split_once('\'')?;
            let (before, found) = rest.rsplit_once(" but current is ")?;
            let (_, asked) = before.rsplit_once("received ")?;
            Some(Self::Named { argument, asked: value(asked), found: value(found) })
        };
        named().unwrap_or(Self::Other(refusal))
    }

    /// Returns whether the queue is durable, if `ours` was declared. A difference that the broker compares after
    /// durability shows that `ours` was equal.
    pub(super) fn durable(&self, ours: bool) -> Option<bool> {
        match self {
            Self::Named { argument: "durable", found, .. } => Some(*found == "true"),
            Self::Named { argument, .. } if argument.starts_with("x-") => Some(ours),
            Self::Named { .. } | Self::Other(_) => None,
        }
    }

    pub(super) fn is_late_take_over(&self) -> bool {
        matches!(self, Self::Named { argument: CONSUMER_DISCONNECTED, .. })
    }

    /// Returns the consequence for a dead letter queue that loses letters or has no bound, and whether a policy mends it.
    pub(super) fn risk_to_letters(&self) -> Option<(&'static str, bool)> {
        let (consequence, is_for_policy) = match self {
            Self::Named { argument: "x-max-length-bytes", found: "none", .. } => {
                ("unless a policy bounds it, it grows until the broker's disk is full", true)
            }
            Self::Named { argument: "x-overflow", found: "none", .. } => (
                "unless a policy says reject-publish, the broker drops the oldest letters beyond its bound",
                true,
            ),
            Self::Named { argument: "x-overflow", found: "drop-head", .. } => {
                ("the broker drops the oldest letters beyond its bound", false)
            }
            Self::Named { argument: "x-max-length", asked: "none", .. } => (
                "unless its overflow is reject-publish, the broker drops the oldest letters beyond its bound",
                true,
            ),
            Self::Named { argument: "x-single-active-consumer", found: "none" | "false", .. } => {
                ("two programs that read it at once miss what the other one has", false)
            }
            Self::Named { .. } | Self::Other(_) => (self.loss()?, false),
        };
        Some((consequence, is_for_policy))
    }

    pub(super) fn with_type(&self, ours: &QueueKind) -> QueueKind {
        let queue_type = match self {
            Self::Named { argument: TYPE, found, .. } => QueueType::named(found),
            Self::Named { .. } | Self::Other(_) => ours.queue_type,
        };
        QueueKind { queue_type, ..ours.clone() }
    }

    /// Returns the way in which a queue with this difference can lose messages that osnl's would keep. A bound with
    /// another configured value is the operator's choice.
    pub(super) fn loss(&self) -> Option<&'static str> {
        match self {
            Self::Named { argument: "durable", found: "false", .. } => {
                Some("a restart of the broker deletes it with its messages")
            }
            Self::Named { argument: "auto_delete", found: "true", .. } => {
                Some("the broker deletes it, with its messages, when its last consumer disconnects")
            }
            Self::Named { argument, asked: "none", found } if *found != "none" => match *argument {
                "x-message-ttl" => Some("the broker drops messages that wait too long"),
                "x-expires" => {
                    Some("the broker deletes it with its messages when it has no consumer for a while")
                }
                "x-max-length" | "x-max-length-bytes" => Some("the broker drops messages beyond its bound"),
                _ => None,
            },
            Self::Named { .. } | Self::Other(_) => None,
        }
    }
}

fn value(text: &str) -> &str {
    let text = text.strip_prefix("the value ").unwrap_or(text);
    let text = text.split_once("' of type").map_or(text, |(value, _)| value);
    text.trim_matches('\'')
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { argument, asked, found } => {
                write!(f, "{argument}: configured {asked}, found {found}")
            }
            Self::Other(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Difference;

    #[test]
    fn a_difference_that_can_lose_messages_says_how() {
        for (argument, asked, found, is_lossy) in [
            ("durable", "true", "false", true),
            ("durable", "false", "true", false),
            ("auto_delete", "false", "true", true),
            ("auto_delete", "true", "false", false),
            ("x-single-active-consumer", "true", "none", false),
            ("x-message-ttl", "none", "60000", true),
            ("x-expires", "none", "60000", true),
            ("x-max-length", "none", "5", true),
            ("x-max-length-bytes", "none", "5", true),
            ("x-max-length", "9", "5", false),
            ("x-max-length", "5", "none", false),
            ("x-max-priority", "none", "5", false),
        ] {
            let difference = Difference::Named { argument, asked, found };
            assert_eq!(difference.loss().is_some(), is_lossy, "{difference}");
        }
        assert_eq!(Difference::Other("405 RESOURCE_LOCKED").loss(), None);
    }

    #[test]
    fn a_dead_letter_queue_that_loses_letters_or_has_no_bound_is_a_risk() {
        for (argument, asked, found, is_for_policy) in [
            ("x-max-length-bytes", "1073741824", "none", Some(true)),
            ("x-overflow", "reject-publish", "none", Some(true)),
            ("x-overflow", "reject-publish", "drop-head", Some(false)),
            ("x-max-length", "none", "100", Some(true)),
            ("x-message-ttl", "none", "60000", Some(false)),
            ("durable", "true", "false", Some(false)),
            ("x-max-length-bytes", "1073741824", "5", None),
            ("x-overflow", "reject-publish", "reject-publish-dlx", None),
            ("x-single-active-consumer", "true", "none", Some(false)),
        ] {
            let difference = Difference::Named { argument, asked, found };
            let risk = difference.risk_to_letters();
            assert_eq!(risk.map(|(_, is_for_policy)| is_for_policy), is_for_policy, "{difference}");
        }
    }

    #[test]
    fn the_argument_that_differs_is_named_and_durability_read_from_it() {
        let begin = "406 PRECONDITION_FAILED - inequivalent arg";
        let check = |text: &str, said: &str, durable: Option<bool>| {
            let difference = Difference::read(text);
            assert_eq!(
                (difference.to_string().as_str(), difference.durable(true)),
                (said, durable),
                "{text}"
            );
        };
        check(
            &format!("{begin} 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"),
            "durable: configured false, found true",
            Some(true),
        );
        check(
            &format!("{begin} 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"),
            "durable: configured true, found false",
            Some(false),
        );
        check(
            &format!(
                "{begin} 'auto_delete' for queue 'q' in vhost '/': received 'false' but current is 'true'"
            ),
            "auto_delete: configured false, found true",
            None,
        );
        check(
            &format!(
                "{begin} 'x-single-active-consumer' for queue 'q' in vhost '/': received 'true' but current is none"
            ),
            "x-single-active-consumer: configured true, found none",
            Some(true),
        );
        check(
            &format!(
                "{begin} 'x-max-length' for queue 'a but current is b' in vhost '/': received the value '5' of type \
                 'signedint' but current is the value '9' of type 'signedint'"
            ),
            "x-max-length: configured 5, found 9",
            Some(true),
        );
        let locked = "405 RESOURCE_LOCKED - cannot obtain exclusive access";
        check(locked, locked, None);
    }
}
