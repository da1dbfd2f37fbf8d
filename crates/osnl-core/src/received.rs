//! A message as received, with its origin. The journal stores these bytes, and retries and replays read them again.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use crate::epoch;
use bytes::Bytes;
use osnl_model::{BodyDigest, Budget, DecodeError, Emission, Excess, Head, Notification};
use osnl_transport::{Cut, IncomingMessage, Marks, Properties};

/// The source of a message, for log lines, listings, and a retry through the broker.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The listener that received it.
    pub listener: Arc<str>,
    /// The queue that delivered it.
    pub queue: Arc<str>,
    /// The exchange to which it was first published.
    pub exchange: String,
    /// The routing key with which it was first published.
    pub routing_key: String,
    /// Whether the broker had delivered the message before, to this or another consumer.
    pub redelivered: bool,
    /// The first arrival in this process, from which all waits count.
    pub received: SystemTime,
}

/// A message as received. All later steps read these bytes.
#[derive(Clone, Debug)]
pub struct ReceivedMessage {
    /// The bytes of the body; only the beginning if it was too large.
    pub body: Bytes,
    /// The properties that decide how the body is read.
    pub properties: Properties,
    /// The source of the message.
    pub origin: Origin,
    /// Notes that are kept with the message.
    pub noted: MessageNotes,
}

impl ReceivedMessage {
    #[must_use]
    pub fn from_incoming(message: &IncomingMessage, listener: &Arc<str>) -> Self {
        Self {
            body: message.body.clone(),
            properties: message.properties.clone(),
            origin: Origin {
                listener: listener.clone(),
                queue: message.queue.clone(),
                exchange: message.exchange.clone(),
                routing_key: message.routing_key.clone(),
                redelivered: message.redelivered,
                received: epoch::now(),
            },
            noted: MessageNotes {
                cut: message.cut.as_deref().copied(),
                marks: message.marks.clone(),
                ..MessageNotes::default()
            },
        }
    }

    /// Reads a message that was accepted before, from the journal or the ring. [`Budget::MOST`] applies: the listener's
    /// budget has judged the message on receipt, and narrower options of today must not refuse it.
    ///
    /// # Errors
    /// Fails if the body has an unknown compression or encoding, is no notification, or exceeds the budget.
    pub fn decode(&self) -> Result<Notification, DecodeError> {
        self.decode_within(&Budget::MOST)
    }

    pub fn decode_within(&self, budget: &Budget) -> Result<Notification, DecodeError> {
        refuse(self.noted.cut, budget)?;
        budget.decode(&budget.plain_body(&self.body, &self.properties.content_info())?)
    }

    pub fn payload_text(&self) -> Option<String> {
        let plain = Budget::MOST.plain_body(&self.body, &self.properties.content_info()).ok()?;
        Emission::read(&plain).ok().map(|read| String::from(Box::<str>::from(read.payload)))
    }

    #[must_use]
    pub fn digest(&self) -> BodyDigest {
        self.noted.cut.map_or_else(|| BodyDigest::new(&self.body), |cut| cut.digest)
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.noted.cut.map_or(self.body.len() as u64, |cut| cut.bytes)
    }
}

/// Reads the head of a message alone, and passes it to `with`: most messages match no rule, and need no more.
///
/// # Errors
/// The head cannot be read, or the body exceeds the budget.
pub fn with_head<T>(
    message: &IncomingMessage,
    budget: &Budget,
    with: impl FnOnce(&Head<'_>) -> T,
) -> Result<T, DecodeError> {
    refuse(message.cut.as_deref().copied(), budget)?;
    let plain: Cow<'_, [u8]> = budget.plain_body(&message.body, &message.properties.content_info())?;
    Ok(with(&budget.read_head(&plain)?))
}

fn refuse(cut: Option<Cut>, budget: &Budget) -> Result<(), Excess> {
    let found = |cut: Cut| usize::try_from(cut.bytes).unwrap_or(usize::MAX);
    cut.map_or(Ok(()), |cut| Err(Excess::Body { found: found(cut), limit: budget.body }))
}

/// A change of the memory that oss_watcher's actions have of resources; kept with the message that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// `instance/ID`, `port/ID`, `floatingip/ID`, or `address/IP`, the first two also with the prefix `asked/`.
    pub name: String,
    /// The new value; `None` deletes the row.
    pub row: Option<String>,
}

/// Notes that are kept with a message, so that each attempt sees the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageNotes {
    /// The change of the resource against earlier messages, in the words of an [`Observe`](crate::observe::Observe).
    pub happened: Option<Arc<str>>,
    /// The reading of `happened`, made once.
    pub reading: NotesReading,
    /// The rows of the observer's memory that the message has changed.
    pub changes: Vec<RowChange>,
    /// Whether an operator appended the message again: no broker can redeliver it.
    pub is_again: bool,
    /// The length and digest of a body that was too large and has lost its end.
    pub cut: Option<Cut>,
    /// The headers that osnl set when it put the message back into its queue.
    pub marks: Option<Arc<Marks>>,
}

/// The reading of a message's notes, made once for all of its deliveries. Does not count when notes are compared.
#[derive(Clone, Default)]
pub struct NotesReading(Arc<OnceLock<Arc<dyn Any + Send + Sync>>>);

impl NotesReading {
    pub fn get<T: Any + Send + Sync>(&self, read: impl FnOnce() -> T) -> Option<Arc<T>> {
        self.0.get_or_init(|| Arc::new(read())).clone().downcast().ok()
    }
}

impl PartialEq for NotesReading {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for NotesReading {}

impl fmt::Debug for NotesReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotesReading").field("is_made", &self.0.get().is_some()).finish()
    }
}

#[cfg(any(test, feature = "sample"))]
impl ReceivedMessage {
    pub fn sample(body: impl Into<Bytes>, redelivered: bool) -> Self {
        let origin = Origin {
            listener: "l".into(),
            queue: "q".into(),
            exchange: "neutron".into(),
            routing_key: "notifications.info".into(),
            redelivered,
            received: SystemTime::UNIX_EPOCH,
        };
        Self { body: body.into(), properties: Properties::default(), origin, noted: MessageNotes::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_body_that_was_cut_nothing_is_read_and_all_is_said() {
        let digest = BodyDigest::new(b"all of it");
        let mut received = ReceivedMessage::sample(vec![b' '; 64 * 1024], false);
        received.noted.cut = Some(Cut { bytes: 20 << 20, digest });
        assert_eq!(
            received.decode_within(&Budget::DEFAULT).unwrap_err().to_string(),
            "the body has 20971520 bytes; the limit is 4194304 (option max_body)"
        );
        assert_eq!((received.digest(), received.bytes()), (digest, 20 << 20));
    }
}
