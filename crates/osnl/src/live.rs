//! Live events for readers, such as a page in a browser.
//!
//! Without readers, a message costs one load of a flag. With readers, a message never waits: [`MOST_READERS`] readers,
//! `ROOM` waiting events each, [`MOST_A_SECOND`] events and 20 ms of work per second. A reader learns how many events
//! it has missed.
//!
//! An unmatched message is shown by its head, and decoded up to 64 KiB only for a reader that needs the rest.

mod event;
mod filter;
mod reader;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use osnl_model::{Budget, Head, Notification};
use osnl_transport::IncomingMessage;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::Instant;

pub use self::event::LiveEvent;
pub use self::filter::LiveFilter;
use self::filter::SeenHead;
pub use self::reader::LiveReader;
use crate::journal::NewDelivery;
use crate::received::ReceivedMessage;

pub const MOST_READERS: usize = 16;
pub(crate) const ROOM: usize = 128;
/// The limit of events a second, of all readers together.
pub const MOST_A_SECOND: u32 = 100;
const MOST_TIME: Duration = Duration::from_millis(20);
/// The number of events kept for a reader that reconnects.
pub(crate) const RECENT: usize = 100;
/// The time for which events are kept after a [call](LiveEvents::latest).
pub const KEPT: Duration = Duration::from_secs(60);

/// Passes events to observers while there are any, without a cost otherwise.
#[derive(Default)]
pub struct LiveEvents {
    is_watched: AtomicBool,
    state: Mutex<LiveState>,
}

#[derive(Default)]
struct LiveState {
    watchers: Vec<LiveWatcher>,
    recent: VecDeque<Arc<LiveEvent>>,
    newest: u64,
    watchers_so_far: u64,
    second: Second,
}

struct LiveWatcher {
    id: u64,
    filter: LiveFilter,
    kind: WatcherKind,
}

enum WatcherKind {
    Reader { events: Sender<Arc<LiveEvent>>, missed: Arc<AtomicU64> },
    Gone { until: Instant },
}

#[derive(Default)]
struct Second {
    begun: Option<Instant>,
    shown: u32,
    spent: Duration,
}

impl LiveEvents {
    /// Reads events that pass a filter, with recent ones after number `after`. With [`MOST_READERS`] readers, the
    /// oldest is closed.
    pub fn read(self: &Arc<Self>, filter: LiveFilter, after: Option<u64>) -> LiveReader {
        let mut state = self.lock();
        state.expire();
        let readers = state.watchers.iter().filter(|watcher| watcher.is_reader()).count();
        let oldest = state.watchers.iter().position(LiveWatcher::is_reader);
        if let Some(oldest) = oldest.filter(|_| readers >= MOST_READERS) {
            state.watchers.remove(oldest);
        }
        let (to, events) = channel(ROOM);
        // A higher number than the newest belongs to an earlier process.
        let after = after.map(|after| if after > state.newest { 0 } else { after });
        for event in &state.recent {
            if after.is_some_and(|after| event.id > after) && filter.wants(event) {
                // The channel has room for all recent events.
                let _ = to.try_send(event.clone());
            }
        }
        let missed = Arc::<AtomicU64>::default();
        let kind = WatcherKind::Reader { events: to, missed: missed.clone() };
        let id = state.watch(filter, kind);
        self.is_watched.store(true, Ordering::Relaxed);
        LiveReader::new(id, events, missed, self.clone())
    }

    /// Returns the latest events, newest first. Events are kept from the first look until [`KEPT`] after the last.
    pub fn latest(&self, filter: &LiveFilter) -> Vec<Arc<LiveEvent>> {
        let mut state = self.lock();
        state.expire();
        state.keep_for(filter.clone());
        self.is_watched.store(true, Ordering::Relaxed);
        state.recent.iter().rev().filter(|event| filter.wants(event)).cloned().collect()
    }

    fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    pub(crate) fn head(
        &self,
        message: &IncomingMessage,
        listener: &Arc<str>,
        head: &Head<'_>,
        budget: &Budget,
    ) {
        if self.is_watched() {
            let seen = SeenHead::from_head(head, listener);
            self.note(&seen, || LiveEvent::from_head(message, listener, head, budget));
        }
    }

    pub(crate) fn event(
        &self,
        received: &ReceivedMessage,
        notification: &Notification,
        deliveries: &[NewDelivery],
    ) {
        if self.is_watched() {
            let seen = SeenHead::from_event(notification, received, !deliveries.is_empty());
            self.note(&seen, || LiveEvent::from_event(received, notification, deliveries));
        }
    }

    fn note(&self, seen: &SeenHead<'_>, make: impl FnOnce() -> LiveEvent) {
        let begun = std::time::Instant::now();
        let mut state = self.lock();
        state.expire();
        if state.watchers.is_empty() {
            state.recent = VecDeque::new();
            self.is_watched.store(false, Ordering::Relaxed);
            return;
        }
        state.second.pass();
        if state.second.spent >= MOST_TIME {
            state.watchers.iter().for_each(LiveWatcher::miss);
            return;
        }
        state.hand_out(seen, make);
        state.second.spent += begun.elapsed();
    }

    fn leave(&self, id: u64) {
        let mut state = self.lock();
        let place = state.watchers.iter().position(|watcher| watcher.id == id);
        if let Some(place) = place {
            // Keeps events for a while, since the reader may reconnect.
            let LiveWatcher { filter, .. } = state.watchers.remove(place);
            state.keep_for(filter);
        }
    }

    fn lock(&self) -> MutexGuard<'_, LiveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveState {
    fn watch(&mut self, filter: LiveFilter, kind: WatcherKind) -> u64 {
        self.watchers_so_far += 1;
        self.watchers.push(LiveWatcher { id: self.watchers_so_far, filter, kind });
        self.watchers_so_far
    }

    fn keep_for(&mut self, filter: LiveFilter) {
        self.watchers.retain(|watcher| watcher.is_reader() || watcher.filter != filter);
        let gone = self.watchers.iter().filter(|watcher| !watcher.is_reader()).count();
        if gone >= MOST_READERS
            && let Some(oldest) = self.watchers.iter().position(|watcher| !watcher.is_reader())
        {
            self.watchers.remove(oldest);
        }
        self.watch(filter, WatcherKind::Gone { until: Instant::now() + KEPT });
    }

    fn expire(&mut self) {
        if self.watchers.iter().all(LiveWatcher::is_reader) {
            return;
        }
        let now = Instant::now();
        let is_over =
            |watcher: &LiveWatcher| matches!(watcher.kind, WatcherKind::Gone { until } if until <= now);
        self.watchers.retain(|watcher| !is_over(watcher));
    }

    fn hand_out(&mut self, seen: &SeenHead<'_>, make: impl FnOnce() -> LiveEvent) {
        let wants = |watcher: &&LiveWatcher| watcher.filter.wants_head(seen);
        if !self.watchers.iter().any(|watcher| wants(&watcher)) {
            return;
        }
        if self.second.shown >= MOST_A_SECOND {
            self.watchers.iter().filter(wants).for_each(LiveWatcher::miss);
            return;
        }
        let event = Arc::new(LiveEvent { id: self.newest + 1, ..make() });
        let mut is_wanted = false;
        for watcher in self.watchers.iter().filter(|watcher| watcher.filter.wants(&event)) {
            is_wanted = true;
            watcher.take(&event);
        }
        if is_wanted {
            self.newest = event.id;
            self.second.shown += 1;
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(event);
        }
    }
}

impl LiveWatcher {
    fn is_reader(&self) -> bool {
        matches!(self.kind, WatcherKind::Reader { .. })
    }

    fn take(&self, event: &Arc<LiveEvent>) {
        if let WatcherKind::Reader { events, .. } = &self.kind
            && events.try_send(event.clone()).is_err()
        {
            self.miss();
        }
    }

    fn miss(&self) {
        if let WatcherKind::Reader { missed, .. } = &self.kind {
            missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Second {
    fn pass(&mut self) {
        let now = Instant::now();
        if self.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= Duration::from_secs(1)) {
            *self = Self { begun: Some(now), ..Self::default() };
        }
    }
}

impl fmt::Debug for LiveEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveEvents").field("is_watched", &self.is_watched).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
