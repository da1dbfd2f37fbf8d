//! The events of the demo as lines, each with the number of its message.
//!
//! All reports come from one thread as they happen, so the lines have the order of the events.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use osnl::received::ReceivedMessage;
use osnl_model::{BodyDigest, Head, Notification, read_head, resource_key};
use tokio::sync::Notify;

use super::printer::{Printer, Tone};
use super::recording::DemoMessage;
use super::summary::Summary;

pub(super) struct Story {
    printer: Printer,
    state: Mutex<StoryProgress>,
    changed: Notify,
}

#[derive(Default)]
struct StoryProgress {
    last: usize,
    by_digest: HashMap<String, usize>,
    by_message_id: HashMap<String, usize>,
    keys: HashMap<usize, (String, Option<String>)>,
    /// Per listener, routed messages that are not yet read, in the broker's order.
    arriving: HashMap<String, VecDeque<usize>>,
    /// Per resource, messages that wait for their delivery, the running one first.
    lanes: HashMap<String, VecDeque<usize>>,
    evaluated: BTreeSet<usize>,
    unsettled: BTreeSet<usize>,
    unrouted: u64,
    acknowledged: u64,
    progress: u64,
}

impl Story {
    pub(super) fn new(printer: Printer) -> Self {
        Self { printer, state: Mutex::default(), changed: Notify::new() }
    }

    pub(super) fn line(&self, number: Option<usize>, label: &str, tone: Tone, text: &str) {
        if number.is_some() {
            self.lock().progress += 1;
        }
        self.printer.line(number, label, tone, text);
    }

    pub(super) fn text(&self, text: &str) {
        self.printer.text(text);
    }

    pub(super) fn heading(&self, text: &str) {
        self.printer.heading(text);
    }

    pub(super) fn summary(&self, summary: &Summary) {
        self.printer.summary(summary);
    }

    pub(super) fn publish(&self, message: &DemoMessage, listener: Option<&str>) -> usize {
        let head = read_head(message.body.as_bytes()).map(Head::into_owned).unwrap_or_default();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        if let Some(listener) = listener {
            state.unsettled.insert(number);
            state.arriving.entry(listener.to_owned()).or_default().push_back(number);
            let digest = BodyDigest::new(message.body.as_bytes()).to_string();
            let id = Notification::decode(message.body.as_bytes()).ok().and_then(|read| read.message_id);
            state.by_digest.insert(digest.clone(), number);
            if let Some(id) = &id {
                state.by_message_id.insert(id.clone(), number);
            }
            state.keys.insert(number, (digest, id));
        } else {
            state.unrouted += 1;
        }
        drop(state);
        let event_type = head.event_type.as_deref().unwrap_or("a body that cannot be read");
        self.line(Some(number), "published", Tone::Strong, &format!("{event_type} ({})", message.note));
        if listener.is_none() {
            let why = "no queue of osnl is bound to it";
            self.line(Some(number), "unrouted", Tone::Dim, why);
        }
        number
    }

    pub(super) fn arrived(&self, listener: &str) -> Option<usize> {
        self.lock().arriving.get_mut(listener)?.pop_front()
    }

    pub(super) fn unmatched(&self, number: usize, why: &str) {
        self.line(Some(number), "no match", Tone::Dim, why);
        self.note_evaluated(number);
        self.settle(number);
    }

    pub(super) fn taken(&self, received: &ReceivedMessage) -> Option<usize> {
        let number = self.by_digest(&received.digest().to_string())?;
        let key = received.decode().ok().and_then(|notification| resource_key(&notification));
        let mut state = self.lock();
        // `arrived` is not called for a message with an unreadable head.
        state.arriving.values_mut().for_each(|numbers| numbers.retain(|other| *other != number));
        if let Some(key) = key {
            let lane = state.lanes.entry(key).or_default();
            // A redelivered message is already in its lane.
            if !lane.contains(&number) {
                lane.push_back(number);
            }
        }
        Some(number)
    }

    pub(super) fn note_evaluated(&self, number: usize) {
        self.lock().evaluated.insert(number);
        self.changed.notify_waiters();
    }

    pub(super) fn acknowledge(&self, number: usize) {
        self.line(Some(number), "settled", Tone::Dim, "acknowledged to the broker");
        self.settle(number);
    }

    fn settle(&self, number: usize) {
        let mut state = self.lock();
        state.acknowledged += 1;
        state.unsettled.remove(&number);
        state.evaluated.remove(&number);
        if let Some((digest, id)) = state.keys.remove(&number) {
            state.by_digest.remove(&digest);
            id.map(|id| state.by_message_id.remove(&id));
        }
        state.lanes.retain(|_, lane| {
            lane.retain(|other| *other != number);
            !lane.is_empty()
        });
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn under_way(&self, resource: &str) -> Option<usize> {
        self.lock().lanes.get(&resource.to_lowercase())?.front().copied()
    }

    pub(super) fn by_message_id(&self, id: &str) -> Option<usize> {
        self.lock().by_message_id.get(id).copied()
    }

    pub(super) fn by_digest(&self, digest: &str) -> Option<usize> {
        self.lock().by_digest.get(digest).copied()
    }

    pub(super) async fn evaluated(&self, number: usize) {
        self.until(|state| state.evaluated.contains(&number) || !state.unsettled.contains(&number)).await;
    }

    pub(super) async fn all_settled(&self) {
        self.until(|state| state.unsettled.is_empty()).await;
    }

    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            let before = self.lock().progress;
            tokio::time::sleep(limit).await;
            let state = self.lock();
            if state.progress == before && !state.unsettled.is_empty() {
                return;
            }
        }
    }

    pub(super) fn oldest_unsettled(&self) -> Option<usize> {
        self.lock().unsettled.first().copied()
    }

    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let state = self.lock();
        (state.last as u64, state.unrouted, state.acknowledged)
    }

    async fn until(&self, holds: impl Fn(&StoryProgress) -> bool) {
        loop {
            // Created before the check, so that a change in between is not missed.
            let changed = self.changed.notified();
            if holds(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, StoryProgress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
