//! Dead letters of `memory://` as messages of a dead letter queue: the body as received, or the [part](LetterReads) of
//! one resource, and all facts in headers.
//!
//! | header | of | value |
//! | --- | --- | --- |
//! | `osnl-id` | all | the number for commands; the same for each copy of one dead letter |
//! | `osnl-kind` | all | `dead-letter` or `unreadable` |
//! | `osnl-reason` | all | the reason of the failure |
//! | `osnl-ended`, `osnl-received` | all | the times, RFC 3339 |
//! | `osnl-listener`, `osnl-queue`, `osnl-exchange`, `osnl-routing-key` | all | the origin of the message |
//! | `osnl-bytes`, `osnl-digest` | all | of the letter's body; of the message's, if only its beginning is kept |
//! | `osnl-rule`, `osnl-action` | dead letters | the rule that fired, and the action |
//! | `osnl-resource`, `osnl-key`, `osnl-resource-id`, `osnl-resource-name` | dead letters | the resource, if any |
//! | `osnl-attempts`, `osnl-failed-attempts` | dead letters | attempts that count, and attempts that failed |
//! | `osnl-event-type`, `osnl-message-id`, `osnl-idempotency-key` | dead letters | of the event |
//! | `osnl-waits` | waiting letters | the reason of the wait: `guard`, `hold_key`, or `behind` another one |
//! | `osnl-guard` | letters of a guard | its section, such as `rule:deleted`; letters of a candidate of 0.1.0 lack it |
//! | `osnl-place` | waiting letters | the place among the waiting letters of the action and resource |
//! | `osnl-on-failure` | dead letters | the action of `on_failure` that is called then; a waiting letter of the number stays |
//!
//! A retried message is published to its queue with `osnl-retry-of` (the dead letter's number), `osnl-exchange`, and
//! `osnl-routing-key`. `osnl-rule`, `osnl-action`, and `osnl-resource` keep other actions from being called.
//!
//! Each program that may publish to the queue can write these headers. So a reading checks each message by
//! [`LetterCopies`], and a copy counts for a letter only with the bytes, kind, rule, action, and resource of that. The
//! headers of a wait count as those of one copy: a letter that replaces another may wait, or wait no longer.
//!
//! A letter with `osnl-waits` is a [`WaitingLetter`]. Its copy has that header too, and the letter stays in the dead
//! letter queue until the delivery that is made of the copy has ended.

mod copies;
mod part;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use jiff::Timestamp;
use osnl_core::age::EventAge;
use osnl_core::epoch;
use osnl_core::event::idempotency_key;
use osnl_core::quarantine::{Extent, Glimpse};
use osnl_core::received::{MessageNotes, Origin, ReceivedMessage};
use osnl_core::rule::GuardName;
use osnl_model::{BodyDigest, Notification, cut};
use osnl_transport::dead_letters::{EXCHANGE, ROUTING_KEY};
use osnl_transport::{Marks, QueuedMessage};

#[cfg(test)]
pub(crate) use self::copies::copy_of;
pub use self::copies::{LetterCopies, RefusedLetters};
pub use self::part::LetterReads;
pub(crate) use self::part::{LetterPart, items_of};
use crate::identity::{MessageIdentity, RETRY_OF};
use crate::query::{DeliveryListRow, RowState, Unreadable};
use crate::{DeliveryId, NewDelivery, Subject, UsedLimits};

const ID: &str = "osnl-id";
const KIND: &str = "osnl-kind";
const REASON: &str = "osnl-reason";
const ENDED: &str = "osnl-ended";
const RECEIVED: &str = "osnl-received";
const LISTENER: &str = "osnl-listener";
const QUEUE: &str = "osnl-queue";
const BYTES: &str = "osnl-bytes";
const DIGEST: &str = "osnl-digest";
const RULE: &str = "osnl-rule";
const ACTION: &str = "osnl-action";
const RESOURCE: &str = "osnl-resource";
const KEY: &str = "osnl-key";
const RESOURCE_ID: &str = "osnl-resource-id";
const RESOURCE_NAME: &str = "osnl-resource-name";
const ATTEMPTS: &str = "osnl-attempts";
const FAILED_ATTEMPTS: &str = "osnl-failed-attempts";
const EVENT_TYPE: &str = "osnl-event-type";
const MESSAGE_ID: &str = "osnl-message-id";
const IDEMPOTENCY_KEY: &str = "osnl-idempotency-key";
const WAITS: &str = "osnl-waits";
const PLACE: &str = "osnl-place";
const GUARD: &str = "osnl-guard";
const ON_FAILURE: &str = "osnl-on-failure";

const DEAD_LETTER: &str = "dead-letter";
const UNREADABLE: &str = "unreadable";

/// Bytes of one header. A command may hold 10,000 messages, and all headers of a message must fit into one
/// frame of 128 KiB.
const LONGEST: usize = 1024;

/// The reason for which a delivery of `memory://` waits in a dead letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterWait {
    /// A guard holds the delivery until an operator releases or discards it.
    Guard,
    /// The delivery is dead, and with `on_dead = hold_key` holds its resource until it is retried or discarded.
    HoldKey,
    /// An earlier delivery of the action and resource waits. The daemon sends this one back when that has ended.
    Behind,
}

impl LetterWait {
    const ALL: [Self; 3] = [Self::Guard, Self::HoldKey, Self::Behind];

    /// Returns the state that a listing shows.
    #[must_use]
    pub fn state(self) -> RowState {
        match self {
            Self::Guard => RowState::Held,
            Self::HoldKey => RowState::Dead,
            Self::Behind => RowState::Waiting,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::HoldKey => "hold_key",
            Self::Behind => "behind",
        }
    }
}

/// A delivery that waits in a dead letter queue, and holds later deliveries of its action and resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingLetter {
    /// The number by which commands name the letter.
    pub id: u64,
    /// The place in the order of the waiting letters of one action and resource; smaller ones are carried out first.
    pub place: u64,
    /// The reason of the wait.
    pub why: LetterWait,
    /// The rule that made the delivery.
    pub rule: Arc<str>,
    /// The action whose deliveries wait.
    pub action: Arc<str>,
    /// The order key; `None` if the delivery waits for no other, and no other for it.
    pub key: Option<String>,
    /// The reason in words, for status and listings.
    pub reason: String,
    /// The guard that holds it; `None` for another wait, and if the letter does not name its guard.
    pub guard: Option<GuardName>,
    /// The first arrival of the message.
    pub received: SystemTime,
    /// The idempotency key of the delivery, the same for each arrival of its message.
    pub effect: String,
    /// The digest of the body, as in its header.
    digest: String,
}

impl WaitingLetter {
    /// Reads a message of a dead letter queue; `None` if it is a letter that holds nothing.
    #[must_use]
    pub fn read(message: &QueuedMessage) -> Option<Self> {
        let text = |name: &str| message.headers.get(name).cloned();
        let why = text(WAITS)?;
        let why = LetterWait::ALL.into_iter().find(|of| of.name() == why)?;
        let DeadLetterRow::Delivery(found) = DeadLetterRow::read(message) else { return None };
        let (row, _) = *found;
        Some(Self {
            id: row.id.0,
            place: text(PLACE).and_then(|place| place.parse().ok()).unwrap_or_default(),
            why,
            rule: row.rule.into(),
            action: row.action.into(),
            key: row.key,
            reason: row.reason.unwrap_or_default(),
            guard: text(GUARD).and_then(|section| GuardName::from_section(&section)),
            received: row.received,
            effect: text(IDEMPOTENCY_KEY).unwrap_or_default(),
            digest: text(DIGEST).unwrap_or_default(),
        })
    }

    /// Whether the letter's body is that of a message.
    #[must_use]
    pub(crate) fn has_body_of(&self, received: &ReceivedMessage) -> bool {
        self.digest == received.digest().to_string()
    }

    /// Whether a delivery of a message is that of the letter.
    #[must_use]
    pub(crate) fn is_of(&self, received: &ReceivedMessage, head: &Notification, new: &NewDelivery) -> bool {
        let digest = received.digest().to_string();
        let effect = idempotency_key(head, &new.rule, &new.action, new.resource, || digest.clone());
        self.digest == digest && self.effect == cut(&effect, LONGEST)
    }
}

/// The facts about a delivery of which a letter is made.
#[derive(Clone, Copy, Debug)]
pub struct GivenUp<'a> {
    /// The message, whose body the letter repeats.
    pub received: &'a ReceivedMessage,
    /// The part of the message that the letter has; `None` for all of it.
    pub(crate) part: Option<&'a LetterPart>,
    /// The decoded message, at least its ids and event type.
    pub head: &'a Notification,
    /// The rule that made the delivery.
    pub rule: &'a str,
    /// The action that has given up, or is held.
    pub action: &'a str,
    /// The order key; `None` if the delivery waits for no other.
    pub key: Option<&'a str>,
    /// The index of the resource in a bulk request; `None` for the whole event.
    pub resource: Option<u32>,
    /// The id and name of the resource, for listings.
    pub subject: &'a Subject,
    /// The attempts that were made.
    pub used: UsedLimits,
    /// The reason in words, for listings.
    pub reason: &'a str,
    /// The guard that holds it; `None` for a dead letter, and for another wait.
    pub guard: Option<&'a GuardName>,
    /// The number of the letter that this one replaces; `None` for a new one.
    pub id: Option<u64>,
    /// The wait, and the letter's place; `None` for a dead letter that holds nothing.
    pub wait: Option<(LetterWait, u64)>,
    /// The action of `on_failure` that is called next; `None` for a delivery that waits, and without one.
    pub on_failure: Option<&'a str>,
}

impl<'a> GivenUp<'a> {
    #[must_use]
    pub(crate) fn from_the_start(
        received: &'a ReceivedMessage,
        head: &'a Notification,
        new: &'a NewDelivery,
        reason: &'a str,
    ) -> Self {
        Self {
            received,
            part: None,
            head,
            rule: &new.rule,
            action: &new.action,
            key: new.key.as_deref(),
            resource: new.resource,
            subject: &new.subject,
            used: UsedLimits::default(),
            reason,
            guard: None,
            id: new.letter,
            wait: None,
            on_failure: None,
        }
    }

    #[must_use]
    pub fn message(&self) -> QueuedMessage {
        let Self { received, part, head, rule, action, key, resource, subject, used, .. } = *self;
        let Self { reason, guard, id, wait, on_failure, .. } = *self;
        let effect = idempotency_key(head, rule, action, resource, || received.digest().to_string());
        let identity = MessageIdentity::new(received, head);
        let mut headers = common(received, DEAD_LETTER, reason);
        let part = part.map(LetterPart::body);
        if let Some(body) = &part {
            let digest = BodyDigest::new(body).to_string();
            headers.extend([header(BYTES, &body.len().to_string()), header(DIGEST, &digest)]);
        }
        let same = identity.id.map(|id| hash(&format!("{id}/{}/{effect}", identity.digest)));
        let age = EventAge::from_notification(head, received.origin.received)
            .map(|age| age.age)
            .unwrap_or_default();
        let published = received.origin.received.checked_sub(age).unwrap_or(received.origin.received);
        let own = || seconds(published) << 32 | u64::from(same.unwrap_or_else(|| fastrand::u32(..)));
        let id = id.unwrap_or_else(own);
        let mut set = |name: &str, value: Option<String>| headers.extend(value.map(|v| header(name, &v)));
        set(ID, Some(id.to_string()));
        set(RULE, Some(rule.to_owned()));
        set(ACTION, Some(action.to_owned()));
        set(RESOURCE, resource.map(|resource| resource.to_string()));
        set(KEY, key.map(str::to_owned));
        set(RESOURCE_ID, subject.id.clone());
        set(RESOURCE_NAME, subject.name.clone());
        set(ATTEMPTS, Some(used.attempts.to_string()));
        set(FAILED_ATTEMPTS, Some(used.made.to_string()));
        set(EVENT_TYPE, head.event_type.clone());
        set(MESSAGE_ID, head.message_id.clone());
        set(IDEMPOTENCY_KEY, Some(effect));
        set(WAITS, wait.map(|(why, _)| why.name().to_owned()));
        set(PLACE, wait.map(|(_, place)| place.to_string()));
        set(GUARD, guard.map(GuardName::section));
        set(ON_FAILURE, on_failure.map(str::to_owned));
        QueuedMessage {
            body: part.unwrap_or_else(|| received.body.clone()),
            properties: received.properties.clone(),
            headers,
            cut: None,
        }
    }
}

#[must_use]
pub fn unreadable(received: &ReceivedMessage, reason: &str) -> QueuedMessage {
    let mut headers = common(received, UNREADABLE, reason);
    // Below 2^53, the exact range of JSON readers. Unreadable messages of a flood get different numbers,
    // since a command by number would otherwise change several.
    let id = seconds(received.origin.received) << 22 | u64::from(next_unreadable() & 0x003f_ffff);
    headers.extend([header(ID, &id.to_string())]);
    QueuedMessage { body: received.body.clone(), properties: received.properties.clone(), headers, cut: None }
}

/// Counts from a random number, so that two daemons rarely give the same.
fn next_unreadable() -> u32 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    NEXT.get_or_init(|| AtomicU32::new(fastrand::u32(..))).fetch_add(1, Ordering::Relaxed)
}

fn common(received: &ReceivedMessage, kind: &str, reason: &str) -> BTreeMap<String, String> {
    let origin = &received.origin;
    BTreeMap::from([
        header(KIND, kind),
        header(REASON, reason),
        header(ENDED, &shown(epoch::now())),
        header(RECEIVED, &shown(origin.received)),
        header(LISTENER, &origin.listener),
        header(QUEUE, &origin.queue),
        header(EXCHANGE, &origin.exchange),
        header(ROUTING_KEY, &origin.routing_key),
        header(BYTES, &received.bytes().to_string()),
        header(DIGEST, &received.digest().to_string()),
    ])
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), cut(value, LONGEST).to_owned())
}

fn shown(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| String::new(), |at| at.to_string())
}

/// Returns the seconds since 2020 in 31 bits, so that numbers of dead letters follow the order of their
/// events.
fn seconds(at: SystemTime) -> u64 {
    let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    since_1970.saturating_sub(1_577_836_800) & 0x7fff_ffff
}

fn hash(of: &str) -> u32 {
    let digest = BodyDigest::new(of.as_bytes());
    u32::from_be_bytes(digest.as_bytes().first_chunk().copied().unwrap_or_default())
}

/// A message of a dead letter queue as a listing shows it.
#[derive(Clone, Debug)]
pub enum DeadLetterRow {
    Delivery(Box<(DeliveryListRow, ReceivedMessage)>),
    Unreadable(Box<Unreadable>),
}

impl DeadLetterRow {
    /// Reads a message of a dead letter queue. A message of another program counts as unreadable.
    #[must_use]
    pub fn read(message: &QueuedMessage) -> Self {
        let text = |name: &str| message.headers.get(name).cloned();
        let count = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        let time = |name: &str| {
            let read = text(name).and_then(|text| text.parse::<Timestamp>().ok());
            read.map_or(SystemTime::UNIX_EPOCH, SystemTime::from)
        };
        let received = received_of(message);
        let reason = text(REASON)
            .unwrap_or_else(|| "another program than osnl has put it into the dead letter queue".to_owned());
        let id = id_of(message);
        let head =
            (text(KIND).as_deref() == Some(DEAD_LETTER)).then(|| text(RULE).zip(text(ACTION))).flatten();
        let Some((rule, action)) = head else {
            let size = count(BYTES).unwrap_or(message.body.len() as u64);
            let is_cut =
                message.cut.is_some() || (!message.body.is_empty() && size > message.body.len() as u64);
            return Self::Unreadable(Box::new(Unreadable {
                id: i64::try_from(id).unwrap_or_default(),
                reason,
                size,
                digest: text(DIGEST).unwrap_or_else(|| received.digest().to_string()),
                extent: if is_cut { Extent::Head } else { Extent::Whole },
                glimpse: Glimpse::from_body(&message.body),
                received,
            }));
        };
        let small = |name: &str| count(name).and_then(|n| u32::try_from(n).ok());
        let wait = text(WAITS).and_then(|why| LetterWait::ALL.into_iter().find(|of| of.name() == why));
        let state = wait.map_or(RowState::Dead, LetterWait::state);
        let row = DeliveryListRow {
            id: DeliveryId(id),
            rule,
            action,
            key: text(KEY),
            state,
            attempts: small(ATTEMPTS).unwrap_or_default(),
            tries: small(FAILED_ATTEMPTS).unwrap_or_default(),
            ended: (state == RowState::Dead).then(|| time(ENDED)),
            reason: Some(reason),
            resource: small(RESOURCE),
            resource_id: text(RESOURCE_ID),
            resource_name: text(RESOURCE_NAME),
            due: None,
            is_guarded: wait == Some(LetterWait::Guard),
            waits_for: None,
            took: None,
            last_answer: None,
            received: time(RECEIVED),
            queue: text(QUEUE).unwrap_or_default(),
            event_type: text(EVENT_TYPE),
            message_id: text(MESSAGE_ID),
            copies: 0,
        };
        Self::Delivery(Box::new((row, received)))
    }
}

#[must_use]
pub fn id_of(message: &QueuedMessage) -> u64 {
    let own = message.headers.get(ID).and_then(|id| id.parse::<u64>().ok()).filter(|id| *id >> 63 == 0);
    own.unwrap_or_else(|| u64::from(hash(&format!("{:?}", message.headers))))
}

#[must_use]
pub fn bytes_of(message: &QueuedMessage) -> u64 {
    let told = message.headers.get(BYTES).and_then(|bytes| bytes.parse().ok());
    told.unwrap_or(message.body.len() as u64)
}

fn received_of(message: &QueuedMessage) -> ReceivedMessage {
    let text = |name: &str| message.headers.get(name).cloned().unwrap_or_default();
    let received = text(RECEIVED).parse::<Timestamp>().map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    ReceivedMessage {
        body: message.body.clone(),
        properties: message.properties.clone(),
        origin: Origin {
            listener: text(LISTENER).into(),
            queue: text(QUEUE).into(),
            exchange: text(EXCHANGE),
            routing_key: text(ROUTING_KEY),
            redelivered: false,
            received,
        },
        noted: MessageNotes { cut: message.cut, ..MessageNotes::default() },
    }
}

#[must_use]
pub fn again(message: &QueuedMessage) -> QueuedMessage {
    let kept = [EXCHANGE, ROUTING_KEY, RULE, ACTION, RESOURCE, WAITS];
    let mut headers: BTreeMap<String, String> =
        message.headers.iter().filter(|(name, _)| kept.contains(&name.as_str())).map(owned).collect();
    headers.extend([header(RETRY_OF, &id_of(message).to_string())]);
    QueuedMessage { headers, ..message.clone() }
}

/// Returns the message of a waiting letter as a listener would receive its copy from its queue.
#[must_use]
pub fn carried_out(letter: &QueuedMessage, listener: &Arc<str>, queue: &str) -> ReceivedMessage {
    let QueuedMessage { body, properties, headers, cut } = again(letter);
    let text = |name: &str| headers.get(name).cloned().unwrap_or_default();
    ReceivedMessage {
        origin: Origin {
            listener: listener.clone(),
            queue: queue.into(),
            exchange: text(EXCHANGE),
            routing_key: text(ROUTING_KEY),
            redelivered: true,
            received: epoch::now(),
        },
        noted: MessageNotes { cut, marks: Some(Arc::new(headers)), ..MessageNotes::default() },
        body,
        properties,
    }
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

/// The one delivery that a retried message asks for: no other rule or action runs again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetriedDelivery<'a> {
    pub rule: &'a str,
    pub action: &'a str,
    pub resource: Option<u32>,
    /// The number of the [waiting letter](WaitingLetter) of which the message is a copy; `None` for the retry of a
    /// dead letter that held nothing, and is gone.
    pub letter: Option<u64>,
}

impl<'a> RetriedDelivery<'a> {
    /// Reads the headers of a message; `None` for any other message, which all rules may match.
    #[must_use]
    pub fn from_marks(marks: &'a Marks) -> Option<Self> {
        let text = |name: &str| marks.get(name).map(String::as_str);
        let of = marks.get(RETRY_OF)?;
        let resource = text(RESOURCE).and_then(|resource| resource.parse().ok());
        let letter = text(WAITS).and_then(|_| of.parse().ok());
        Some(Self { rule: text(RULE)?, action: text(ACTION)?, resource, letter })
    }
}
