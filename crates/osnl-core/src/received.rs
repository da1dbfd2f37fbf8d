//! A message that has arrived: its bytes, and where they came from.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use osnl_model::{BodyDigest, Budget, DecodeError, Emission, Excess, Head, Notification};
use osnl_transport::{Cut, IncomingMessage, Marks, MessageView, Properties};

/// The origin of a message.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The listener's name in the configuration.
    pub listener: Arc<str>,
    /// The queue it was taken from.
    pub queue: Arc<str>,
    /// The exchange it was published to.
    pub exchange: String,
    /// `<topic>.<priority>`.
    pub routing_key: String,
    /// Whether the broker had delivered it before.
    pub redelivered: bool,
    /// When it reached us.
    pub received: SystemTime,
}

/// A message as it arrived. Everything later works from these bytes.
#[derive(Clone, Debug)]
pub struct ReceivedMessage {
    /// The body, compressed or not.
    pub body: Bytes,
    /// Properties that the body is read by.
    pub properties: Properties,
    /// Its origin.
    pub origin: Origin,
    /// Notes that are kept with it; empty for most messages.
    pub noted: MessageNotes,
}

/// A fact about a resource that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// `instance/ID`, `port/ID`, `floatingip/ID`, `address/IP`; `asked/` before one of the first two.
    pub name: String,
    /// Its new value; `None` if it is forgotten.
    pub row: Option<String>,
}

/// Notes that are kept with a message: each attempt has the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageNotes {
    /// Its meaning against earlier messages: `Occurrence`s as JSON.
    pub happened: Option<Arc<str>>,
    /// Rows that it has changed: kept with the message, in its transaction.
    pub changes: Vec<RowChange>,
    /// An operator has it appended: no broker hands it over.
    pub is_again: bool,
    /// The body is only the beginning of one that was too large to be kept.
    pub cut: Option<Cut>,
    /// The headers with which osnl put the message back into its queue.
    pub marks: Option<Arc<Marks>>,
    /// The partition of a topic that it was read from.
    pub partition: Option<Arc<str>>,
}

impl ReceivedMessage {
    /// Takes note of a message without taking it from its window.
    #[must_use]
    pub fn of(message: &IncomingMessage, listener: &Arc<str>) -> Self {
        Self {
            body: message.body.clone(),
            properties: message.properties.clone(),
            origin: Origin {
                listener: listener.clone(),
                queue: message.queue.clone(),
                exchange: message.exchange.clone(),
                routing_key: message.routing_key.clone(),
                redelivered: message.redelivered,
                received: SystemTime::now(),
            },
            noted: MessageNotes {
                cut: message.cut.as_deref().copied(),
                marks: message.marks.clone(),
                partition: message.partition.as_ref().map(|partition| partition.name.clone()),
                ..MessageNotes::default()
            },
        }
    }

    /// Reads all of a message that was accepted before: from the journal, from the ring. Its cost was judged by the
    /// budget of its listener when it came. No option that is narrower by now has a say, so [`Budget::MOST`] counts.
    ///
    /// # Errors
    /// The body is compressed or encoded in a way that is not known, is no notification, or costs too much.
    pub fn decode(&self) -> Result<Notification, DecodeError> {
        self.decode_within(&Budget::MOST)
    }

    /// Like [`decode`](Self::decode), within the budget of a listener.
    ///
    /// # Errors
    /// As [`ReceivedMessage::decode`].
    pub fn decode_within(&self, budget: &Budget) -> Result<Notification, DecodeError> {
        refuse(self.noted.cut, budget)?;
        budget.decode(&budget.plain_body(&self.body, &self.properties.content_info())?)
    }

    /// The JSON text of the payload, if the body can be read.
    pub fn payload_text(&self) -> Option<String> {
        let plain = Budget::MOST.plain_body(&self.body, &self.properties.content_info()).ok()?;
        Emission::read(&plain).ok().map(|read| String::from(Box::<str>::from(read.payload)))
    }

    /// The digest of the bytes as they came.
    #[must_use]
    pub fn digest(&self) -> BodyDigest {
        self.noted.cut.map_or_else(|| BodyDigest::of(&self.body), |cut| cut.digest)
    }

    /// The bytes of the body as it was published.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.noted.cut.map_or(self.body.len() as u64, |cut| cut.bytes)
    }
}

/// The head of a message, read without building anything of the payload; `with` gets it.
///
/// # Errors
/// As [`ReceivedMessage::decode`], as far as the head is concerned.
pub fn with_head<T>(
    message: &IncomingMessage,
    budget: &Budget,
    with: impl FnOnce(&Head<'_>) -> T,
) -> Result<T, DecodeError> {
    refuse(message.cut.as_deref().copied(), budget)?;
    with_head_of(&message.view(), budget, with)
}

/// The same of a message that is there as a whole.
///
/// # Errors
/// As [`with_head`].
pub fn with_head_of<T>(
    message: &MessageView<'_>,
    budget: &Budget,
    with: impl FnOnce(&Head<'_>) -> T,
) -> Result<T, DecodeError> {
    let plain: Cow<'_, [u8]> = budget.plain_body(message.body, &message.properties.content_info())?;
    Ok(with(&budget.read_head(&plain)?))
}

/// Refuses a body that is not there as a whole.
fn refuse(cut: Option<Cut>, budget: &Budget) -> Result<(), Excess> {
    let found = |cut: Cut| usize::try_from(cut.bytes).unwrap_or(usize::MAX);
    cut.map_or(Ok(()), |cut| Err(Excess::Body { found: found(cut), limit: budget.body }))
}

#[cfg(any(test, feature = "sample"))]
impl ReceivedMessage {
    /// A message with this body, from nowhere in particular.
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
        let digest = BodyDigest::of(b"all of it");
        let mut received = ReceivedMessage::sample(vec![b' '; 64 * 1024], false);
        received.noted.cut = Some(Cut { bytes: 20 << 20, digest });
        assert_eq!(
            received.decode_within(&Budget::DEFAULT).unwrap_err().to_string(),
            "the body has 20971520 bytes; the limit is 4194304 (option max_body)"
        );
        assert_eq!((received.digest(), received.bytes()), (digest, 20 << 20));
    }
}
