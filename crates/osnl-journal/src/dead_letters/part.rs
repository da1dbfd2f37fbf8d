//! The body of a letter about one resource of a bulk request: that resource, the first one, and `{}` for each other.
//!
//! With the whole body, a message of 500 ports that are given up would be 500 times in the dead letter queue. An attempt
//! reads the one resource. The conditions of rules, which are decided again, read the whole message: its first resource as
//! `resource`, and paths below `payload`. Where they or an action read the other resources too, the letter has the whole
//! body. So it has in the absence of a message id, since the idempotency key then has the digest of the body.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use osnl_core::received::ReceivedMessage;
use osnl_model::{Budget, BulkItems, Notification, bulk_len, bulk_part};

/// The parts of a bulk request that the rules and actions of a listener read, for one of its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LetterReads {
    /// An action reads the message as received.
    #[default]
    Whole,
    /// The paths that conditions of rules read.
    Paths(BTreeSet<String>),
}

impl LetterReads {
    /// Whether more than the first resource of the list may be read.
    #[must_use]
    pub fn reads_others(&self, list: &str) -> bool {
        let Self::Paths(paths) = self else { return true };
        paths.iter().any(|path| match path.strip_prefix("payload") {
            Some("") => true,
            Some(below) => {
                let below = below.strip_prefix('.').and_then(|below| below.strip_prefix(list));
                below.is_some_and(|item| item.is_empty() || item.starts_with('.') && !is_first(item))
            }
            None => false,
        })
    }
}

fn is_first(item: &str) -> bool {
    item.strip_prefix(".0").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The body of one letter, which is made when it is needed: thousands of letters of one message may wait.
#[derive(Clone, Debug)]
pub(crate) struct LetterPart {
    whole: Bytes,
    items: Arc<BulkItems>,
    resource: usize,
}

impl LetterPart {
    /// Returns the part of a message, unless it is the message.
    #[must_use]
    pub(crate) fn new(whole: &Bytes, items: &Arc<BulkItems>, resource: u32) -> Option<Self> {
        let part =
            Self { whole: whole.clone(), items: items.clone(), resource: usize::try_from(resource).ok()? };
        (part.body().len() < whole.len()).then_some(part)
    }

    #[must_use]
    pub(crate) fn body(&self) -> Bytes {
        let only = self.items.only(&self.whole, self.resource);
        only.map_or_else(|| self.whole.clone(), Bytes::from)
    }
}

/// Finds the items of a bulk request whose letters may have parts; `None` if a part would not be read as the message is.
#[must_use]
pub(crate) fn items_of(received: &ReceivedMessage) -> Option<BulkItems> {
    let plain = Budget::MOST.plain_body(&received.body, &received.properties.content_info()).ok()?;
    let is_plain = matches!(plain, Cow::Borrowed(_)) && plain.len() == received.body.len();
    let whole = received.decode().ok().filter(|_| is_plain)?;
    whole.id()?;
    let items = BulkItems::find(&plain, whole.event_type.as_deref()?)?;
    let last = items.len().checked_sub(1)?;
    let part = ReceivedMessage { body: items.only(&received.body, last)?.into(), ..received.clone() };
    let part = part.decode().ok()?;
    let rest = |n: &Notification| {
        let mut payload = n.payload.clone();
        if let Some(payload) = payload.as_object_mut() {
            payload.remove(items.list());
        }
        n.with_payload(payload)
    };
    let is_same = [&whole, &part].iter().all(|n| bulk_len(n) == Some(items.len()))
        && [0, last].iter().all(|at| bulk_part(&whole, *at) == bulk_part(&part, *at))
        && rest(&whole) == rest(&part);
    is_same.then_some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_on_other_resources_needs_the_whole_message() {
        let check = |path: &str, expected: bool| {
            let reads = LetterReads::Paths([path.to_owned()].into());
            assert_eq!(reads.reads_others("ports"), expected, "{path}");
        };
        for path in ["payload", "payload.ports", "payload.ports.1.id", "payload.ports.01", "payload.ports.-1"]
        {
            check(path, true);
        }
        for path in
            ["payload.ports.0", "payload.ports.0.id", "payload.port.id", "payload.portse", "resource.id"]
        {
            check(path, false);
        }
        check("payloads.ports", false);
        assert!(LetterReads::default().reads_others("ports"));
    }

    #[test]
    fn a_message_without_an_id_or_with_a_packed_body_has_no_parts() {
        let body = |id: &str| {
            format!(
                r#"{{"event_type": "port.create.end", {id}"payload": {{"ports": [{{"id": 1}}, {{"id": 2}}, {{"id": 3}}]}}}}"#
            )
        };
        let received = |body: String| ReceivedMessage::sample(body, false);
        let own = received(body(r#""message_id": "1", "#));
        let items = Arc::new(items_of(&own).unwrap());
        let part = |resource| LetterPart::new(&own.body, &items, resource).map(|part| part.body().len());
        assert_eq!(
            [part(0), part(1), part(2), part(3)].map(|part| part.is_some()),
            [true, true, true, false]
        );
        assert_eq!(items_of(&received(body(""))), None);
        let mut packed = own.clone();
        packed.properties.compression = Some("gzip".to_owned());
        assert_eq!(items_of(&packed), None);
        packed.properties.compression = None;
        packed.properties.content_encoding = Some("utf-16".into());
        assert!(items_of(&packed).is_some(), "ASCII is read as it is");
    }
}
