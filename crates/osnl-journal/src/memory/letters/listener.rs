//! The dead letter queue of one listener, as far as the journal knows it, and for how long that can be relied on.
//!
//! RabbitMQ may give the queue of the listener to another daemon, and give it back, without a lost connection, and tells a
//! consumer nothing of that. The other daemon changes the letters meanwhile. Only messages tell which daemon is active.
//! So after a pause the next message waits until the letters are known to be the same, and a daemon that has had no message
//! for long begins with no letter.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::dead_letters::LetterReads;
use crate::identity::MessageIdentity;
use crate::{Entry, Permit, Settle};

/// The pause of messages after which another daemon may have been active.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause after which as many letters as before may be other letters.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// The time after its latest message in which a daemon begins with letters.
const SURELY_ACTIVE: Duration = Duration::from_secs(30);
/// The longest time between two looks at what others have changed.
const LOOKS_AGAIN: Duration = Duration::from_mins(1);

/// The proof that the known letters are those of the queue, from the weakest to the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LetterProof {
    /// As many messages in the queue as expected.
    Count,
    /// No message in the queue, as expected.
    EmptyCount,
    /// A reading of the queue.
    #[default]
    Reading,
}

impl LetterProof {
    /// Returns what is needed so long after the letters were known.
    fn after(pause: Duration) -> Self {
        if pause > LONG_PAUSE { Self::EmptyCount } else { Self::Count }
    }
}

/// The knowledge of the letters for the messages that come.
#[derive(Clone, Copy, Debug, Default)]
enum Knowledge {
    /// Nothing in this session.
    #[default]
    None,
    /// The letters, at least in part, at the latest message, or when the latest proof began.
    Known(Instant),
    /// The letters as they were then. A message that came after a pause waits for a proof.
    InDoubt(Instant),
}

/// The dead letter queue of one listener.
#[derive(Debug, Default)]
pub(super) struct ListenerLetters {
    knowledge: Knowledge,
    /// Whether more letters waited than the latest reading took.
    pub(super) has_more: bool,
    /// The parts of a bulk request that its rules and actions read, for one resource.
    pub(super) reads: LetterReads,
    /// The number of requests for a proof, and of those that are answered.
    asked: u64,
    answered: u64,
    /// Whether an open request needs a reading, however short the pause was.
    needs_reading: bool,
    /// The request of the session that was made when the listener became active; `None` on a standby.
    active: Option<u64>,
    /// Whether a copy of a letter was sent since the letters were known, so that a message comes.
    pub(super) has_sent: bool,
    /// The time of the latest message of the session, or at which the listener became active; `None` on a standby.
    heard: Option<Instant>,
    /// The time of the latest look at what others have changed; `None` before the first one of the session.
    looked: Option<Instant>,
    pub(super) parked: VecDeque<ParkedEntry>,
}

/// An entry that waits until the letters of its listener are known.
#[derive(Debug)]
pub(super) struct ParkedEntry {
    pub(super) entry: Entry,
    pub(super) identity: MessageIdentity,
    pub(super) receipt: oneshot::Sender<Settle>,
    pub(super) place: Permit,
    /// The request that has to be answered before the entry is kept.
    pub(super) asked: u64,
}

impl ListenerLetters {
    /// Begins a session, in which nothing is known.
    pub(super) fn subscribed(&mut self) {
        self.knowledge = Knowledge::None;
        (self.active, self.has_sent, self.heard, self.looked) = (None, false, None, None);
        // Their connection is gone, and a reading that was begun for them may be older than this session.
        self.parked.clear();
    }

    pub(super) fn active(&mut self, is_gating: bool, now: Instant) {
        if self.active.is_none() {
            if is_gating {
                self.ask(true);
            }
            self.active = Some(self.asked);
            self.heard.get_or_insert(now);
        }
    }

    /// Notes a message, which puts the letters in doubt after a pause.
    pub(super) fn arrives(&mut self, is_gating: bool, now: Instant) {
        self.heard = Some(now);
        if let Knowledge::Known(at) = self.knowledge {
            let is_doubtful = is_gating && now - at > PAUSE;
            self.knowledge = if is_doubtful { Knowledge::InDoubt(at) } else { Knowledge::Known(now) };
        }
    }

    /// Whether the letters are known for the messages that come, at least in part.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.knowledge, Knowledge::Known(_))
    }

    /// Returns the proof that a message needs which waits now. The longer it waits, the stricter the proof is.
    fn needs(&self, now: Instant) -> LetterProof {
        match self.knowledge {
            Knowledge::None => LetterProof::Reading,
            Knowledge::Known(at) | Knowledge::InDoubt(at) => LetterProof::after(now - at),
        }
    }

    /// Asks for a proof, and returns the number of the request.
    pub(super) fn ask(&mut self, needs_reading: bool) -> u64 {
        self.asked += 1;
        self.needs_reading |= needs_reading;
        self.asked
    }

    /// Returns the number of the latest request.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// Returns the proof that was asked for, and has not come.
    pub(super) fn proof(&self, now: Instant) -> Option<LetterProof> {
        let proof = if self.needs_reading { LetterProof::Reading } else { self.needs(now) };
        (self.asked != self.answered).then_some(proof)
    }

    /// Notes the answer to a request and all before, and returns the entries that have waited for it. Another daemon may
    /// have changed the letters since the visit `began`.
    pub(super) fn answer(&mut self, asked: u64, is_gating: bool, began: Instant) -> Vec<ParkedEntry> {
        self.answered = self.answered.max(asked);
        if self.answered == self.asked {
            self.needs_reading = false;
        }
        // A reading from before the first message of a session may be older than the letters of the daemon before.
        if !is_gating || self.parked.front().is_some_and(|parked| parked.asked <= asked) {
            (self.knowledge, self.has_sent) = (Knowledge::Known(began), false);
        }
        let answered = self.parked.partition_point(|parked| parked.asked <= asked);
        self.parked.drain(..answered).collect()
    }

    /// Whether all letters have been read since the listener became active.
    pub(super) fn is_read(&self) -> bool {
        !self.has_more && self.is_read_in_part()
    }

    fn is_read_in_part(&self) -> bool {
        self.is_known() || self.active.is_some_and(|asked| self.answered >= asked)
    }

    /// Whether a message has come lately, so that the daemon carries letters out by itself.
    pub(super) fn is_surely_active(&self, now: Instant) -> bool {
        self.is_known() && self.heard.is_none_or(|heard| now - heard <= SURELY_ACTIVE)
    }

    /// Whether the daemon carries letters out, or sends a copy of one.
    pub(super) fn begins(&self, now: Instant) -> bool {
        let sends = !self.has_sent && self.parked.is_empty() && self.is_read_in_part();
        self.is_surely_active(now) || sends
    }

    /// Whether the daemon looks now at what others have changed; `is_told` is whether it knows of a change.
    pub(super) fn looks(&mut self, is_told: bool, now: Instant) -> bool {
        if !self.is_known() && self.active.is_none() {
            return false;
        }
        let pause = self.heard.map_or(LOOKS_AGAIN, |heard| (now - heard).min(LOOKS_AGAIN));
        let is_due = is_told || self.looked.is_none_or(|looked| now - looked >= pause);
        if is_due {
            self.looked = Some(now);
        }
        is_due
    }
}
