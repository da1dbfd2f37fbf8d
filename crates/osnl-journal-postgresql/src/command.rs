use std::sync::Arc;

use bytes::Bytes;
use osnl_core::quarantine::StoredBody;
use osnl_core::received::ReceivedMessage;
use osnl_journal::identity::MessageIdentity;
use osnl_journal::reserved_numbers;
use osnl_journal::store::claimable::FetchKinds;
use osnl_journal::store::clock::Due;
use osnl_journal::{DeliveryId, End, Entry, LearntFacts, SentRequest, Settle, UsedLimits};
use tokio::sync::oneshot;

use crate::member::Member;
use crate::reader::{QueueReader, key};
use crate::session::LARGE;

pub(crate) enum PostgresCommand {
    Append(Box<NewEntry>, oneshot::Sender<Settle>),
    SetAside(Box<NewUnreadable>, oneshot::Sender<Settle>),
    BeginReading(QueueReader),
    Attempted(DeliveryId, UsedLimits, String),
    Sent(DeliveryId, u32, SentRequest),
    Retry(DeliveryId, Due, UsedLimits, String),
    DueNow(Arc<str>, i64),
    End(DeliveryId, End),
    Enriched(DeliveryId, String, LearntFacts, oneshot::Sender<()>),
    Known(String, oneshot::Sender<Option<String>>),
    Fetch(Arc<str>, FetchKinds, i64),
    Close(Option<oneshot::Sender<()>>),
    Check(oneshot::Sender<()>),
    Do(Box<dyn FnOnce(&mut Member) + Send>),
}

impl PostgresCommand {
    pub(crate) fn claim(&self) -> Option<DeliveryId> {
        match self {
            Self::Attempted(id, ..)
            | Self::Sent(id, ..)
            | Self::Retry(id, ..)
            | Self::End(id, _)
            | Self::Enriched(id, ..) => Some(*id),
            _ => None,
        }
    }

    pub(crate) fn is_unheard(&self) -> bool {
        match self {
            Self::Append(_, receipt) | Self::SetAside(_, receipt) => receipt.is_closed(),
            _ => false,
        }
    }

    pub(crate) fn ends(&self) -> bool {
        matches!(self, Self::End(..))
    }

    /// Whether the command appends a message without an id, which is a copy only of an open message.
    pub(crate) fn asks_what_is_open(&self) -> bool {
        let Self::Append(new, _) = self else { return false };
        new.identity.id.is_none() && new.entry.received.origin.redelivered
    }

    pub(crate) fn reader(&self) -> Option<&QueueReader> {
        if let Self::Append(new, _) = self {
            Some(&new.reader)
        } else if let Self::SetAside(new, _) = self {
            Some(&new.reader)
        } else {
            None
        }
    }

    pub(crate) fn unsent_body(&self) -> Option<Bytes> {
        let body = match self {
            Self::Append(new, _) if new.sent.is_none() && !new.entry.deliveries.is_empty() => {
                new.entry.received.body.clone()
            }
            Self::SetAside(new, _) if new.sent.is_none() && new.received.body.len() > LARGE => {
                let stored = StoredBody::of_received(&new.received);
                if !stored.extent.is_whole() {
                    return None;
                }
                stored.bytes.into()
            }
            _ => return None,
        };
        (body.len() > LARGE).then_some(body)
    }

    pub(crate) fn set_sent(&mut self, sent: Option<SentBody>) {
        match self {
            Self::Append(new, _) => new.sent = sent,
            Self::SetAside(new, _) => new.sent = sent,
            _ => {}
        }
    }

    pub(crate) fn has_sent(&self) -> bool {
        match self {
            Self::Append(new, _) => new.sent.is_some(),
            Self::SetAside(new, _) => new.sent.is_some(),
            _ => false,
        }
    }

    pub(crate) fn number(&mut self) -> Option<(&mut i64, i64)> {
        if let Self::Append(new, _) = self {
            let takes = reserved_numbers(new.entry.deliveries.len());
            Some((&mut new.id, takes))
        } else if let Self::SetAside(new, _) = self {
            Some((&mut new.id, 1))
        } else {
            None
        }
    }
}

/// A body whose parts are in the tables. The number of bytes shows lost parts: a replica that takes over may
/// lack some.
#[derive(Clone, Debug)]
pub(crate) struct SentBody {
    pub(crate) transfer: Vec<u8>,
    pub(crate) bytes: i64,
}

pub(crate) struct NewEntry {
    pub(crate) entry: Entry,
    pub(crate) identity: MessageIdentity,
    /// The member's own reader if no broker delivers the message.
    pub(crate) reader: QueueReader,
    pub(crate) id: i64,
    pub(crate) sent: Option<SentBody>,
}

impl NewEntry {
    pub(crate) fn new(entry: Entry, own: &QueueReader) -> Self {
        let identity = MessageIdentity::of(&entry.received, &entry.notification);
        let reader =
            if entry.received.noted.is_again { own.clone() } else { QueueReader::of(&entry.received) };
        Self { reader, identity, entry, id: 0, sent: None }
    }

    /// Returns the unique key: of the message, or of this arrival if the message has no id.
    pub(crate) fn unique_key(&self) -> Vec<u8> {
        match &self.identity.id {
            Some(id) => self.key(b"message", id.as_bytes()),
            None => self.key(b"arrival", &self.id.to_be_bytes()),
        }
    }

    pub(crate) fn nameless_key(&self) -> Option<Vec<u8>> {
        self.identity.id.is_none().then(|| self.key(b"nameless", b""))
    }

    fn key(&self, kind: &[u8], id: &[u8]) -> Vec<u8> {
        message_key(&self.entry.received, &self.identity, kind, id)
    }
}

/// The queue is that of the message, not of its reader, so that a message appended again is a copy of itself.
pub(crate) fn message_key(
    received: &ReceivedMessage,
    identity: &MessageIdentity,
    kind: &[u8],
    id: &[u8],
) -> Vec<u8> {
    let origin = &received.origin;
    key(kind, &[origin.listener.as_bytes(), origin.queue.as_bytes(), id, identity.digest.as_bytes()])
}

pub(crate) struct NewUnreadable {
    pub(crate) received: ReceivedMessage,
    pub(crate) reason: String,
    pub(crate) reader: QueueReader,
    pub(crate) id: i64,
    pub(crate) sent: Option<SentBody>,
}

impl NewUnreadable {
    pub(crate) fn key(&self) -> Vec<u8> {
        let digest = self.received.digest();
        key(
            b"unreadable",
            &[self.reader.listener.as_bytes(), self.reader.queue.as_bytes(), digest.as_bytes()],
        )
    }
}
