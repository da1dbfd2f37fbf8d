//! The readers of queues, and the keys by which the tables know readers and messages.

use std::sync::Arc;

use osnl_core::received::ReceivedMessage;
use osnl_model::BodyDigest;

/// A listener and the queue that it reads; for a consumer group, a partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueueReader {
    pub(crate) listener: Arc<str>,
    pub(crate) queue: Arc<str>,
}

impl QueueReader {
    pub(crate) fn of(received: &ReceivedMessage) -> Self {
        let queue = received.noted.partition.as_ref().unwrap_or(&received.origin.queue);
        Self { listener: received.origin.listener.clone(), queue: queue.clone() }
    }

    /// Returns a reader for messages that an operator appends: unique to this start of the member, so that it
    /// fences no other reader.
    pub(crate) fn own() -> Self {
        let name: String = std::iter::repeat_with(fastrand::alphanumeric).take(20).collect();
        Self { listener: "".into(), queue: name.into() }
    }

    pub(crate) fn is_own(&self) -> bool {
        self.listener.is_empty()
    }

    pub(crate) fn name(&self) -> Vec<u8> {
        key(b"reader", &[self.listener.as_bytes(), self.queue.as_bytes()])
    }
}

/// Returns 160 bits of a digest over delimited parts. The tables store these keys, so the function never
/// changes.
pub(crate) fn key(kind: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut text = kind.to_vec();
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part);
    }
    BodyDigest::of(&text).as_bytes()[..20].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other() {
        assert_ne!(key(b"message", &[b"ab", b"c"]), key(b"message", &[b"a", b"bc"]));
        assert_ne!(key(b"message", &[b"a\0", b"b"]), key(b"message", &[b"a", b"\0b"]));
        assert_ne!(key(b"message", &[b"a"]), key(b"arrival", &[b"a"]));
    }

    #[test]
    fn keys_are_those_of_all_versions() {
        let reader = QueueReader { listener: "nova".into(), queue: "osnl".into() };
        let hex: String = reader.name().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "ab0928aabb1d3fbf5a7dc7a8c6b151fe6847d901");
    }
}
