//! The messages and deliveries that the process had in hand at an unexpected end, so that none can end every
//! start.
//!
//! Stack overflow, refused memory, or a watchdog ends the daemon without a message. The message or delivery in work
//! returns with the next start, from the broker or the journal. At the third end a message is set aside unread and a
//! delivery held, for the operator to inspect.
//!
//! The file `in-hand` in the state directory has a fixed size, is written with `pwrite` and never synced. The
//! file must survive the process and not a loss of power.
//!
//! - **Normally** a record must cost next to nothing. The messages of a batch are written as *candidates*
//!   when the first is wanted, deliveries when claimed. Nothing is cleared. To be a candidate counts as one
//!   end, once.
//! - **After an unexpected end** the process is *careful*. Each message is written before its head is read, and each
//!   attempt around every poll. At the next end the file names exactly the thing in hand, and each such end counts.
//!   One thread runs all attempts, so an attempt that waits for its target is not in hand.
//!
//! An entry that was decoded or ended since is forgotten, as is every entry an hour after its last end. The
//! process stops being careful ten minutes after its start, unless it found an entry in hand exactly.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use osnl_core::epoch;
use osnl_transport::BoxFuture;

use crate::DeliveryId;

pub const MOST_ENDS: u32 = 3;
const FORGOTTEN: Duration = Duration::from_secs(3600);
const CAREFUL: Duration = Duration::from_secs(600);
const LISTED: usize = 1024;
const CALLED: usize = 63;
const COUNTED: usize = 512;

const MAGIC: u64 = u64::from_le_bytes(*b"osnlhnd1");
/// The bytes of the magic number before its version.
const NAME: usize = 7;
/// The offsets of the parts in the file; each number has eight bytes.
const RUNNING: u64 = 8;
const MESSAGE: u64 = 64;
const ATTEMPT: u64 = 512;
const MESSAGES: u64 = 4096;
const DELIVERIES: u64 = MESSAGES + 8 * LISTED as u64;
const ENDS: u64 = DELIVERIES + 8 * LISTED as u64;
const ROW: usize = 4;
const SIZE: usize = ENDS as usize + 8 * ROW * COUNTED;

/// The kind of work that was in hand at an unexpected end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EntryKind {
    Message,
    Delivery,
}

/// The number of times that the process ended unexpectedly while one message or delivery was in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct UnexpectedEnds {
    /// The ends at which it was the only one in hand.
    exactly: u32,
    /// Whether it was once in hand together with others.
    as_candidate: bool,
    /// The latest end, in seconds since 1970.
    at: u64,
}

/// The ends by kind and key of the work.
type EndsByKey = BTreeMap<(EntryKind, u64), UnexpectedEnds>;

impl UnexpectedEnds {
    fn sum(self) -> u32 {
        self.exactly + u32::from(self.as_candidate)
    }
}

/// Writes to a file what is in hand, so that the next process knows which event may have ended this one.
#[derive(Debug)]
pub struct InHand {
    /// `None` without a state directory, or if the file cannot be used: nothing is recorded then.
    file: Option<File>,
    is_durable: bool,
    is_careful: AtomicBool,
    /// Whether a panic is under way: the file must keep its entries.
    is_frozen: AtomicBool,
    started: Instant,
    state: Mutex<InHandState>,
}

/// The work in hand, and what earlier processes have left.
#[derive(Debug, Default)]
struct InHandState {
    ends: EndsByKey,
    upcoming: Vec<u64>,
    message: Option<u64>,
    next: usize,
}

impl Default for InHand {
    fn default() -> Self {
        Self {
            file: None,
            is_durable: true,
            is_careful: AtomicBool::new(false),
            is_frozen: AtomicBool::new(false),
            started: Instant::now(),
            state: Mutex::default(),
        }
    }
}

impl InHand {
    /// Opens the file of a state directory, and counts the entries of an unexpected end. A daemon runs
    /// without a file that cannot be opened.
    ///
    /// Deliveries of a durable journal are known by their numbers, others by message, rule, action, and
    /// resource.
    #[must_use]
    pub fn open(folder: &Path, is_durable: bool) -> Self {
        let path = folder.join("in-hand");
        let _ = std::fs::create_dir_all(folder);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let opened = options.custom_flags(NO_FOLLOW).open(&path);
        let made = opened.and_then(|file| Self::read(&file, now()).map(|found| (file, found)));
        match made {
            Ok((file, (ends, was_unexpected))) => {
                let in_hand = Self {
                    file: Some(file),
                    is_durable,
                    is_careful: AtomicBool::new(was_unexpected || !ends.is_empty()),
                    state: Mutex::new(InHandState { ends, ..InHandState::default() }),
                    ..Self::default()
                };
                if was_unexpected {
                    tracing::warn!(
                        suspects = in_hand.lock().ends.len(),
                        "the previous process ended unexpectedly; the messages that it was processing are watched"
                    );
                }
                in_hand.begin();
                in_hand
            }
            Err(error) => {
                let words = "the file cannot be used: what is in hand at an unexpected end is not known";
                match error.kind() {
                    std::io::ErrorKind::InvalidData => {
                        tracing::warn!(file.path = %path.display(), %error, "{words}");
                    }
                    _ => tracing::debug!(file.path = %path.display(), %error, "{words}"),
                }
                Self::default()
            }
        }
    }

    fn read(file: &File, now: u64) -> std::io::Result<(EndsByKey, bool)> {
        let mut bytes = vec![0; SIZE];
        let mut read = 0;
        while read < SIZE {
            match file.read_at(&mut bytes[read..], read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        let number = |at: u64| {
            let at = at as usize;
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        let mut ends = BTreeMap::new();
        let magic = number(0);
        if magic > MAGIC && magic.to_le_bytes()[..NAME] == MAGIC.to_le_bytes()[..NAME] {
            let newer = "it was written by a newer osnl, and stays as it is; run that one, or remove it";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, newer));
        }
        if magic != MAGIC {
            return Ok((ends, false));
        }
        for row in 0..COUNTED as u64 {
            let at = |column: u64| number(ENDS + 8 * (row * ROW as u64 + column));
            let kind = match at(0) {
                1 => EntryKind::Message,
                2 => EntryKind::Delivery,
                _ => continue,
            };
            let counted = at(2);
            let exactly = u32::try_from(counted >> 1).unwrap_or(u32::MAX);
            ends.insert((kind, at(1)), UnexpectedEnds { exactly, as_candidate: counted & 1 == 1, at: at(3) });
        }
        let was_unexpected = number(RUNNING) == 1;
        if was_unexpected {
            let mut list = |kind: EntryKind, from: u64, most: usize, exactly: bool| {
                let keys = (0..most as u64).map(|n| number(from + 8 * n)).filter(|key| *key != 0);
                for key in keys {
                    let ends: &mut UnexpectedEnds = ends.entry((kind, key)).or_default();
                    ends.at = now;
                    match exactly {
                        true => ends.exactly = ends.exactly.saturating_add(1),
                        false => ends.as_candidate = true,
                    }
                }
            };
            list(EntryKind::Message, MESSAGE, 1, true);
            list(EntryKind::Delivery, ATTEMPT, CALLED + 1, true);
            list(EntryKind::Message, MESSAGES, LISTED, false);
            list(EntryKind::Delivery, DELIVERIES, LISTED, false);
        }
        ends.retain(|_, ends| now.saturating_sub(ends.at) < FORGOTTEN.as_secs());
        // Exact entries matter most, then the latest.
        let mut by_weight: Vec<_> = ends.into_iter().collect();
        by_weight.sort_by_key(|(_, ends)| std::cmp::Reverse((ends.exactly, ends.at)));
        by_weight.truncate(COUNTED);
        Ok((by_weight.into_iter().collect(), was_unexpected))
    }

    fn begin(&self) {
        self.write(0, &vec![0; SIZE / 8]);
        self.write_ends(&self.lock().ends);
        self.write(0, &[MAGIC, 0]);
    }

    /// Marks the daemon as running: an end without [`clean_end`](Self::clean_end) counts from now on.
    pub fn running(&self) {
        self.write(RUNNING, &[1]);
    }

    /// Marks the end as intended, so that it counts against no entry.
    pub fn clean_end(&self) {
        self.write(RUNNING, &[0]);
    }

    /// Returns deliveries in hand at three unexpected ends, with the number of ends. Their count starts anew.
    #[must_use]
    pub fn take_suspects(&self) -> Vec<(u64, u32)> {
        let mut state = self.lock();
        let suspects: Vec<(u64, u32)> = state
            .ends
            .iter()
            .filter(|((kind, _), ends)| *kind == EntryKind::Delivery && ends.sum() >= MOST_ENDS)
            .map(|((_, key), ends)| (*key, ends.sum()))
            .collect();
        for (key, _) in &suspects {
            state.ends.remove(&(EntryKind::Delivery, *key));
        }
        if !suspects.is_empty() {
            self.write_ends(&state.ends);
        }
        suspects
    }

    pub fn upcoming<'a>(&self, bodies: impl Iterator<Item = &'a Bytes>) {
        if self.file.is_none() || self.is_careful() {
            return;
        }
        let mut state = self.lock();
        state.upcoming.clear();
        state.upcoming.extend(bodies.take(LISTED).map(|body| key_of(body)));
    }

    /// Writes the candidates, since one matches and will be decoded.
    pub fn wanted(&self) {
        if self.file.is_none() || self.is_careful() {
            return;
        }
        let mut state = self.lock();
        if !state.upcoming.is_empty() {
            let mut keys = std::mem::take(&mut state.upcoming);
            // Terminates the list, as an earlier list may have been longer.
            keys.truncate(LISTED - 1);
            keys.push(0);
            self.write(MESSAGES, &keys);
            keys.clear();
            state.upcoming = keys;
        }
    }

    /// Records the message that is read next; returns the reason if it must not be read.
    #[must_use]
    pub fn message(&self, body: &Bytes) -> Option<String> {
        if !self.is_careful() {
            return None;
        }
        let key = key_of(body);
        let mut state = self.lock();
        self.survived(&mut state);
        if let Some(ends) =
            state.ends.get(&(EntryKind::Message, key)).copied().filter(|ends| ends.sum() >= MOST_ENDS)
        {
            state.ends.remove(&(EntryKind::Message, key));
            self.write_ends(&state.ends);
            return Some(reason(ends.sum()));
        }
        state.message = Some(key);
        self.write(MESSAGE, &[key]);
        None
    }

    pub fn evaluated(&self) {
        if self.is_careful() {
            let mut state = self.lock();
            self.survived(&mut state);
            self.write(MESSAGE, &[0]);
        }
    }

    fn survived(&self, state: &mut InHandState) {
        if let Some(key) = state.message.take()
            && state.ends.remove(&(EntryKind::Message, key)).is_some()
        {
            self.write_ends(&state.ends);
        }
    }

    pub fn claimed(&self, keys: &[u64]) {
        if self.file.is_none() || self.is_careful() {
            return;
        }
        let mut state = self.lock();
        let keys = &keys[keys.len().saturating_sub(LISTED)..];
        let (first, second) = keys.split_at(keys.len().min(LISTED - state.next));
        self.write(DELIVERIES + 8 * state.next as u64, first);
        self.write(DELIVERIES, second);
        state.next = (state.next + keys.len()) % LISTED;
    }

    #[must_use]
    pub fn key_of(
        &self,
        id: DeliveryId,
        body: &[u8],
        rule: &str,
        action: &str,
        resource: Option<u32>,
    ) -> u64 {
        match self.is_durable {
            true => id.0,
            false => delivery_key(body, rule, action, resource),
        }
    }

    #[must_use]
    pub fn is_suspect(&self, key: u64) -> Option<String> {
        if !self.is_careful() {
            return None;
        }
        let mut state = self.lock();
        let ends =
            state.ends.get(&(EntryKind::Delivery, key)).copied().filter(|ends| ends.sum() >= MOST_ENDS)?;
        state.ends.remove(&(EntryKind::Delivery, key));
        self.write_ends(&state.ends);
        Some(reason(ends.sum()))
    }

    pub fn attempted(&self, key: u64) {
        if self.is_careful() {
            let mut state = self.lock();
            if state.ends.remove(&(EntryKind::Delivery, key)).is_some() {
                self.write_ends(&state.ends);
            }
        }
    }

    #[must_use]
    pub fn around<T: 'static>(
        self: Arc<Self>,
        keys: Vec<u64>,
        attempt: BoxFuture<'static, T>,
    ) -> BoxFuture<'static, T> {
        if !self.is_careful() {
            return attempt;
        }
        let mut attempt = attempt;
        Box::pin(std::future::poll_fn(move |context: &mut Context<'_>| {
            let polled = PollMark::begin(&self, &keys);
            let poll: Poll<T> = attempt.as_mut().poll(context);
            drop(polled);
            poll
        }))
    }

    #[must_use]
    pub(crate) fn is_careful(&self) -> bool {
        if self.file.is_none() || !self.is_careful.load(Ordering::Relaxed) {
            return false;
        }
        if self.started.elapsed() < CAREFUL {
            return true;
        }
        let mut state = self.lock();
        let now = now();
        state.ends.retain(|_, ends| now.saturating_sub(ends.at) < FORGOTTEN.as_secs());
        let goes_on = state.ends.values().any(|ends| ends.exactly > 0);
        self.is_careful.store(goes_on, Ordering::Relaxed);
        if !goes_on {
            state.ends.clear();
            self.write_ends(&state.ends);
            self.write(MESSAGE, &[0]);
        }
        goes_on
    }

    fn write_ends(&self, ends: &EndsByKey) {
        let row = |((kind, key), ends): (&(EntryKind, u64), &UnexpectedEnds)| {
            let kind = match kind {
                EntryKind::Message => 1,
                EntryKind::Delivery => 2,
            };
            [kind, *key, u64::from(ends.exactly) << 1 | u64::from(ends.as_candidate), ends.at]
        };
        let mut rows: Vec<u64> = ends.iter().take(COUNTED).flat_map(row).collect();
        rows.resize(ROW * COUNTED, 0);
        self.write(ENDS, &rows);
    }

    /// Writes numbers; a failure loses only the record.
    fn write(&self, at: u64, numbers: &[u64]) {
        let Some(file) = self.file.as_ref().filter(|_| !numbers.is_empty()) else { return };
        if self.is_frozen.load(Ordering::Relaxed) && at != RUNNING {
            return;
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let _ = file.write_all_at(&bytes, at);
    }

    fn lock(&self) -> MutexGuard<'_, InHandState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks deliveries as in hand while their attempt is polled.
struct PollMark<'a>(&'a InHand);

impl<'a> PollMark<'a> {
    fn begin(in_hand: &'a InHand, keys: &[u64]) -> Self {
        let mut written = [0; CALLED + 1];
        let called = keys.len().min(CALLED);
        written[..called].copy_from_slice(&keys[..called]);
        in_hand.write(ATTEMPT, &written[..=called]);
        Self(in_hand)
    }
}

impl Drop for PollMark<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Other attempts are polled while the daemon drains: the file must keep its entries.
            self.0.is_frozen.store(true, Ordering::Relaxed);
        } else {
            self.0.write(ATTEMPT, &[0]);
        }
    }
}

#[must_use]
pub fn reason(ends: u32) -> String {
    format!(
        "the process ended unexpectedly {ends} times while this was in hand; the log before those ends says how, and a newer \
         osnl may do better"
    )
}

/// Returns eight bytes of a digest over length, beginning, end and samples of a body, as ids are near its
/// ends. Never 0.
fn key_of(body: &[u8]) -> u64 {
    const WHOLE: usize = 1024;
    const END: usize = 384;
    let mut key = Mix(body.len() as u64);
    if body.len() <= WHOLE {
        key.add(body);
    } else {
        key.add(&body[..END]);
        key.add(&body[body.len() - END..]);
        let step = body.len() / 16;
        (1..16).for_each(|n| key.add(&body[n * step..n * step + 8]));
    }
    key.0.max(1)
}

fn delivery_key(body: &[u8], rule: &str, action: &str, resource: Option<u32>) -> u64 {
    let mut key = Mix(key_of(body));
    key.add(rule.as_bytes());
    key.add(action.as_bytes());
    key.add(&resource.map_or(0, |n| u64::from(n) + 1).to_le_bytes());
    key.0.max(1)
}

/// A fast digest of eight bytes.
struct Mix(u64);

impl Mix {
    fn add(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            // A copy of a known length compiles to no call, and nearly all chunks are whole.
            let eight = chunk.first_chunk().copied().unwrap_or_else(|| {
                let mut eight = [0; 8];
                eight[..chunk.len()].copy_from_slice(chunk);
                eight
            });
            let mixed =
                (self.0.rotate_left(23) ^ u64::from_le_bytes(eight)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 = mixed ^ (mixed >> 29);
        }
    }
}

/// `O_NOFOLLOW`, since a link could name another user's file.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

fn now() -> u64 {
    epoch::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
