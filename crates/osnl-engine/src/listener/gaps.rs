//! Gaps: the intervals in which a listener could not have received what was published. Nothing else decides about them.
//!
//! | fact | cause | interval |
//! | --- | --- | --- |
//! | a queue that was read is missing at a subscription; it is transient | [`ConnectionLost`], or [`Stopped`] in an earlier run | from the last sign of life until the subscription |
//! | the same of another queue | [`QueueRecreated`] | the same |
//! | an exchange was missing and is bound | [`ExchangeMissing`] | between the two looks: a service that makes its exchange publishes at once |
//! | a binding that was refused is made; the exchange may have been made anew meanwhile | [`BindingRefused`]; only possible | from the look before the refusal until now |
//! | unsettled messages did not come back, and no other consumer is known | [`MessagesMissing`]; only possible | from the last sign of life until now |
//! | a partition's position was lost | [`PositionLost`]; only possible if no offset is known | the same |
//! | messages waited for longer, or are as many, as a limit in force lets them | [`DropPolicy`]; only possible | while they waited |
//!
//! A durable queue that is bound keeps what is published, with or without a consumer. So a restart, a stop, a
//! take-over, and a reload are no gaps: the queue is there at the next subscription. The record of the last sign of life names the
//! queues that were read, so that a new pool is no gap either. Of two daemons on one queue, the one that makes it anew
//! has the gap.
//!
//! Messages that do not come back are never lost for certain. A count of consumers is about one moment, and the one of a
//! quorum queue has no standby: another daemon may have taken over, read them, and left between two looks. What this
//! run has received, it delivers anyway. If another consumer was seen at the last look before the connection ended or
//! since, there is no gap.
//!
//! A sign of life is a look at which the queues were empty: what waits in a queue that is deleted is lost too. Of a broker
//! that does not count, it is one at which the listener was idle.
//! `<state_dir>/gaps.json` has the open gaps and the signs of life, which are written at most a minute late:
//!
//! ```json
//! {"format":1,"next":2,"heard":{"nova":{"queues":["osnl"],"at":1767225600}},"gaps":[{"id":1,"listener":"nova",
//!  "exchanges":["nova"],"topics":["notifications"],"from":1767225000,"until":1767225300,"cause":"queue-recreated",
//!  "is_certain":true,"detail":null,"verified":[]}]}
//! ```
//!
//! [`ConnectionLost`]: GapCause::ConnectionLost
//! [`Stopped`]: GapCause::Stopped
//! [`QueueRecreated`]: GapCause::QueueRecreated
//! [`ExchangeMissing`]: GapCause::ExchangeMissing
//! [`BindingRefused`]: GapCause::BindingRefused
//! [`MessagesMissing`]: GapCause::MessagesMissing
//! [`PositionLost`]: GapCause::PositionLost
//! [`DropPolicy`]: GapCause::DropPolicy

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osnl_core::clock::Clock;
use osnl_journal::files::replace_in_folder;
use osnl_model::{Priority, Target};
use osnl_transport::LostPosition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const FORMAT: u64 = 1;
/// Gaps of one cause that are nearer are one: the facts are looked for at most a minute apart.
const TOUCH: u64 = 60;
/// The most gaps that are kept apart; beyond, a new one becomes one with all of its listener and cause.
const MOST: usize = 200;

/// The cause of a gap. The names in JSON do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GapCause {
    ConnectionLost,
    Stopped,
    QueueRecreated,
    ExchangeMissing,
    BindingRefused,
    MessagesMissing,
    PositionLost,
    DropPolicy,
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionLost => "the queue is transient, and was gone after a lost connection",
            Self::Stopped => "the queue is transient, and was gone when osnl started again",
            Self::QueueRecreated => "the queue was deleted and made anew",
            Self::ExchangeMissing => "the exchange was missing, so the queue was not bound to it",
            Self::BindingRefused => {
                "the broker refused to bind the queue, whose exchange may have been made anew"
            }
            Self::MessagesMissing => "unsettled messages did not come back after a lost connection",
            Self::PositionLost => "the position of the consumer group was lost",
            Self::DropPolicy => "a limit of the queue may have dropped messages that waited",
        })
    }
}

/// An interval in which a listener could not have received what was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The number by which an operator names it.
    pub id: u64,
    /// The listener that could not receive.
    pub listener: String,
    /// The exchanges that its queues were to be bound to.
    pub exchanges: BTreeSet<String>,
    /// The topics that it was to receive.
    pub topics: BTreeSet<String>,
    /// The beginning, in seconds since 1970.
    pub from: u64,
    /// The end, in seconds since 1970.
    pub until: u64,
    /// The reason why nothing arrived.
    pub cause: GapCause,
    /// Whether what was published meanwhile is lost for certain; else it may be.
    pub is_certain: bool,
    /// The broker's or the policy's words; `None` if the cause says it all.
    pub detail: Option<String>,
    /// The verifications until after the gap, by name, while others are missing.
    pub verified: BTreeSet<String>,
}

/// The listener of a fact, and what its queues are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapScope {
    pub listener: Arc<str>,
    pub exchanges: BTreeSet<String>,
    pub topics: BTreeSet<String>,
}

impl GapScope {
    #[must_use]
    pub fn new(listener: &Arc<str>, targets: &[(Target, Priority)]) -> Self {
        Self {
            listener: listener.clone(),
            exchanges: targets.iter().filter_map(|(target, _)| target.exchange.clone()).collect(),
            topics: targets.iter().map(|(target, _)| target.topic.clone()).collect(),
        }
    }
}

/// The limits in force by which a broker drops waiting messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropLimits {
    pub ttl: Option<Duration>,
    pub max_length: Option<u64>,
    /// The setting in words.
    pub words: String,
}

/// A fact about a listener from which a gap may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GapFact {
    /// A subscription has begun: in this run not the first if `is_again`. Of its queues, `created` were missing.
    Subscribed {
        queues: BTreeSet<String>,
        created: BTreeSet<String>,
        is_transient: bool,
        is_again: bool,
        /// Whether no message waited.
        is_empty: bool,
        /// The messages that were unsettled when the queues were last read.
        unsettled: usize,
    },
    /// A queue that osnl only reads was missing at an attempt.
    QueueMissing { queue: String },
    /// A missing exchange is there and bound. It was not at a look at `looked`, or later.
    Bound { exchange: String, looked: SystemTime },
    /// A binding that the broker refused is made. It was not refused at a look at `looked`.
    Allowed { exchange: String, looked: SystemTime },
    /// So many unsettled messages have not come back, and no other consumer is known.
    NotBack { messages: usize },
    /// A partition is not read from where the group was.
    Position { topic: String, partition: i32, lost: LostPosition },
    /// Limits are in force, and so many messages wait, since this time if that is known.
    Limited { limits: DropLimits, messages: u64, since: Option<SystemTime> },
}

/// The last sign of life of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Heard {
    queues: BTreeSet<String>,
    at: u64,
    /// The milliseconds by which the system clock was ahead then; `None` in an earlier run.
    #[serde(skip)]
    ahead: Option<i64>,
}

/// The interval before the present subscription, and the facts of the subscription that are already gaps.
#[derive(Clone, Debug, Default)]
struct Present {
    away: Option<(u64, u64)>,
    missing: BTreeSet<String>,
    told: BTreeSet<String>,
}

/// The gaps as the state folder has them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    format: u64,
    next: u64,
    heard: BTreeMap<String, Heard>,
    gaps: Vec<Gap>,
    #[serde(skip)]
    present: BTreeMap<String, Present>,
}

/// The open gaps of a daemon's listeners, in memory and in the state folder.
#[derive(Debug, Default)]
pub struct GapBook {
    path: Option<PathBuf>,
    record: Mutex<Record>,
    clock: Clock,
}

/// A verification, by which gaps are closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapVerification {
    pub name: String,
    /// The listeners that it is about, each with the names of all verifications that its gaps need.
    pub listeners: BTreeMap<String, BTreeSet<String>>,
    /// The time before which each missed deletion is found.
    pub until: SystemTime,
}

impl Record {
    fn judge(&mut self, of: &GapScope, fact: GapFact, now: u64, ahead: i64) -> Option<Gap> {
        let present = self.present.entry(of.listener.to_string()).or_default();
        let gap = |cause, (from, until): (u64, u64), detail| Gap {
            id: 0,
            listener: of.listener.to_string(),
            exchanges: of.exchanges.clone(),
            topics: of.topics.clone(),
            from: from.min(until),
            until,
            cause,
            is_certain: true,
            detail,
            verified: BTreeSet::new(),
        };
        match fact {
            GapFact::QueueMissing { queue } => {
                present.missing.insert(queue);
                None
            }
            GapFact::Subscribed { queues, created, is_transient, is_again, is_empty, unsettled } => {
                let missing = std::mem::take(present).missing;
                let kept =
                    self.heard.get(&*of.listener).filter(|before| !is_empty && before.queues == queues);
                let (at, then) = kept.map_or((now, Some(ahead)), |before| (before.at, before.ahead));
                let heard = Heard { queues, at, ahead: then };
                let before = self.heard.insert(of.listener.to_string(), heard)?;
                // By the clock of now: a step since then makes it neither longer nor shorter.
                let step = before.ahead.map_or(0, |before| ahead.saturating_sub(before) / 1000);
                let away = (before.at.saturating_add_signed(step), now);
                present.away = Some(away);
                let was_read = |queue: &String| before.queues.contains(queue);
                created.iter().chain(&missing).any(was_read).then_some(())?;
                let cause = match (is_transient, is_again) {
                    (true, true) => GapCause::ConnectionLost,
                    (true, false) => GapCause::Stopped,
                    (false, _) => GapCause::QueueRecreated,
                };
                let words = (unsettled > 0).then(|| format!("unsettled messages in it: {unsettled}"));
                Some(gap(cause, away, words))
            }
            GapFact::Bound { exchange, looked } => {
                let found = gap(GapCause::ExchangeMissing, (seconds(looked), now), None);
                Some(Gap { exchanges: [exchange].into(), ..found })
            }
            GapFact::Allowed { exchange, looked } => {
                let found = gap(GapCause::BindingRefused, (seconds(looked), now), None);
                Some(Gap { exchanges: [exchange].into(), is_certain: false, ..found })
            }
            GapFact::NotBack { messages } => {
                let (from, _) = present.away.unwrap_or((now, now));
                let messages = format!("messages: {messages}");
                let found = gap(GapCause::MessagesMissing, (from, now), Some(messages));
                Some(Gap { is_certain: false, ..found })
            }
            GapFact::Position { topic, partition, lost } => {
                let words = format!("topic {topic}, partition {partition}: {lost}");
                let (from, until) = present.away.unwrap_or((now, now));
                present.told.insert(words.clone()).then_some(())?;
                let found = gap(GapCause::PositionLost, (from, until), Some(words));
                Some(Gap { topics: [topic].into(), is_certain: lost.before.is_some(), ..found })
            }
            GapFact::Limited { limits: DropLimits { ttl, max_length, words }, messages, since } => {
                let was_long = |(from, until): &(u64, u64)| {
                    ttl.is_some_and(|ttl| until.saturating_sub(*from) > ttl.as_secs())
                };
                let waited = present.away.filter(was_long).filter(|_| present.told.insert(words.clone()));
                let wait = since.filter(|_| messages > 0).map(|since| (seconds(since), now)).filter(was_long);
                let is_full = max_length.is_some_and(|most| messages >= most);
                let since = since.map(seconds).or(present.away.map(|(from, _)| from)).unwrap_or(now);
                let found = waited.or(wait).or(is_full.then_some((since, now)))?;
                Some(Gap { is_certain: false, ..gap(GapCause::DropPolicy, found, Some(words)) })
            }
        }
    }

    /// Adds a gap, and returns it; or extends those that it touches.
    fn add(&mut self, mut new: Gap) -> Option<Gap> {
        let touches = |gaps: &[Gap], new: &Gap| {
            let is_full = gaps.len() >= MOST;
            let is_near = |one: &Gap| one.from <= new.until + TOUCH && new.from <= one.until + TOUCH;
            gaps.iter().position(|one| is_alike(one, new) && (is_full || is_near(one)))
        };
        while let Some(at) = touches(&self.gaps, &new) {
            new = joined(self.gaps.remove(at), new);
        }
        let is_new = new.id == 0;
        if is_new {
            self.next += 1;
            new.id = self.next;
        }
        self.gaps.push(new.clone());
        self.gaps.sort_by_key(|gap| (gap.from, gap.id));
        is_new.then_some(new)
    }
}

fn is_alike(one: &Gap, other: &Gap) -> bool {
    let of = |gap: &Gap| (gap.listener.clone(), gap.cause, gap.is_certain);
    of(one) == of(other)
}

/// The earlier number stays. A verification of a part does not cover the whole.
fn joined(one: Gap, new: Gap) -> Gap {
    Gap {
        id: if new.id == 0 { one.id } else { one.id.min(new.id) },
        exchanges: one.exchanges.union(&new.exchanges).cloned().collect(),
        topics: one.topics.union(&new.topics).cloned().collect(),
        from: one.from.min(new.from),
        until: one.until.max(new.until),
        detail: new.detail.or(one.detail),
        verified: if new.until > one.until { BTreeSet::new() } else { one.verified },
        ..one
    }
}

impl GapBook {
    /// Opens the record. Without a folder nothing outlives the process. An unreadable file counts as empty, and one of a
    /// newer osnl stays as it is.
    #[must_use]
    pub fn open(state_dir: Option<&Path>) -> Self {
        let mut path = state_dir.map(|folder| folder.join("gaps.json"));
        let text = path.as_ref().and_then(|path| fs::read(path).ok());
        let found = text.map(|text| serde_json::from_slice::<Value>(&text).unwrap_or_default());
        let is_newer =
            found.as_ref().and_then(|found| found["format"].as_u64()).is_some_and(|of| of > FORMAT);
        let record = match found.map(serde_json::from_value::<Record>) {
            Some(Ok(record)) if !is_newer => record,
            None => Record::default(),
            Some(Ok(_) | Err(_)) => {
                let file = path.as_ref().map(|path| path.display().to_string());
                path = path.filter(|_| !is_newer);
                tracing::warn!(
                    path = file,
                    "the file of gaps cannot be read: osnl does not know earlier gaps"
                );
                Record::default()
            }
        };
        Self { path, record: Mutex::new(Record { format: FORMAT, ..record }), clock: Clock::start() }
    }

    /// Decides about a fact, and logs a gap that is new.
    pub fn note(&self, of: &GapScope, fact: GapFact, now: SystemTime) {
        let found = self.write(|record| {
            let found = record.judge(of, fact, seconds_up(now), self.clock.ahead())?;
            record.add(found)
        });
        let Some(Gap { id, listener, cause, is_certain, from, until, .. }) = found else { return };
        tracing::warn!(
            listener.name = listener,
            gap.id = id,
            gap.seconds = until - from,
            gap.certain = is_certain,
            reason = cause.to_string(),
            "the listener has a gap: osnl gaps shows it, and osnl verify finds the deletions that it missed"
        );
    }

    /// Records a sign of life: the listener was connected, and no message waited.
    pub fn heard(&self, listener: &str, at: SystemTime) {
        self.write(|record| {
            // Also if it is earlier: the clock may have been ahead.
            let heard = record.heard.get_mut(listener)?;
            (heard.at, heard.ahead) = (seconds(at), Some(self.clock.ahead()));
            Some(())
        });
    }

    /// Returns the open gaps, oldest first.
    #[must_use]
    pub fn open_gaps(&self) -> Vec<Gap> {
        self.lock().gaps.clone()
    }

    /// Closes gaps of these numbers, or all, and returns them.
    pub fn dismiss(&self, ids: Option<&[u64]>) -> Vec<Gap> {
        let is_meant = |gap: &mut Gap| ids.is_none_or(|ids| ids.contains(&gap.id));
        self.write(|record| record.gaps.extract_if(.., is_meant).collect())
    }

    /// Closes the gaps that need no other verification, and returns them.
    pub fn verified(&self, by: &GapVerification) -> Vec<Gap> {
        let until = seconds(by.until);
        self.write(|record| {
            let is_closed = |gap: &mut Gap| {
                let Some(needed) = by.listeners.get(&gap.listener).filter(|_| gap.until <= until) else {
                    return false;
                };
                gap.verified.insert(by.name.clone());
                needed.is_subset(&gap.verified)
            };
            record.gaps.extract_if(.., is_closed).collect()
        })
    }

    fn write<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let mut record = self.lock();
        let text = |record: &Record| serde_json::to_string(record).unwrap_or_default() + "\n";
        let before = text(&record);
        let result = change(&mut record);
        let now = text(&record);
        if now != before
            && let Some(path) = &self.path
            && let Err(error) = replace_in_folder(path, now.as_bytes())
        {
            tracing::warn!(
                path = %path.display(),
                error = error.to_string(),
                "the file of gaps cannot be written: a restart forgets the latest"
            );
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn seconds_up(at: SystemTime) -> u64 {
    seconds(at) + 1
}
