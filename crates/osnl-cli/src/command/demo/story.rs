//! The events of the demo as lines, each with the message that it is about.
//!
//! Everything runs on one thread and is told as it happens, so the lines are in the order of the events.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use osnl::received::ReceivedMessage;
use osnl_model::{BodyDigest, Head, Notification, read_head, resource_key};
use tokio::sync::Notify;

use super::printer::{Printer, Tone};
use super::recording::DemoMessage;
use super::summary::Summary;

/// See the [module](self).
pub(super) struct Story {
    printer: Printer,
    state: Mutex<StoryProgress>,
    changed: Notify,
}

#[derive(Default)]
struct StoryProgress {
    /// The last message published; messages are numbered from 1.
    last: usize,
    by_digest: HashMap<String, usize>,
    by_message_id: HashMap<String, usize>,
    /// Digest and id of each message that is not settled, to find it by.
    keys: HashMap<usize, (String, Option<String>)>,
    /// Per listener, the messages that its queue took and that it has not read, in the broker's order.
    arriving: HashMap<String, VecDeque<usize>>,
    /// Per resource, the messages that wait for their delivery, the one under way first.
    lanes: HashMap<String, VecDeque<usize>>,
    looked_at: BTreeSet<usize>,
    unsettled: BTreeSet<usize>,
    unrouted: u64,
    acknowledged: u64,
    /// Grows with each line about a message.
    progress: u64,
}

impl Story {
    /// A story that this printer prints.
    pub(super) fn new(printer: Printer) -> Self {
        Self { printer, state: Mutex::default(), changed: Notify::new() }
    }

    /// A line about a message, or about none.
    pub(super) fn line(&self, number: Option<usize>, label: &str, tone: Tone, text: &str) {
        if number.is_some() {
            self.lock().progress += 1;
        }
        self.printer.line(number, label, tone, text);
    }

    /// Prose.
    pub(super) fn text(&self, text: &str) {
        self.printer.text(text);
    }

    /// Announces the next part in a few words.
    pub(super) fn heading(&self, text: &str) {
        self.printer.heading(text);
    }

    /// The end of it.
    pub(super) fn summary(&self, summary: &Summary) {
        self.printer.summary(summary);
    }

    /// A message goes to the broker, whose queue for this listener takes it; gives its number.
    pub(super) fn publish(&self, message: &DemoMessage, listener: Option<&str>) -> usize {
        let head = read_head(message.body.as_bytes()).map(Head::into_owned).unwrap_or_default();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        if let Some(listener) = listener {
            state.unsettled.insert(number);
            state.arriving.entry(listener.to_owned()).or_default().push_back(number);
            let digest = BodyDigest::of(message.body.as_bytes()).to_string();
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

    /// A listener reads the head of the next message of its queue.
    pub(super) fn arrived(&self, listener: &str) -> Option<usize> {
        self.lock().arriving.get_mut(listener)?.pop_front()
    }

    /// No rule wants a message; the listener acknowledges such a message at once.
    pub(super) fn unmatched(&self, number: usize, why: &str) {
        self.line(Some(number), "no match", Tone::Dim, why);
        self.note_look(number);
        self.settle(number);
    }

    /// A message is taken; its deliveries queue up behind those about the same resource.
    pub(super) fn taken(&self, received: &ReceivedMessage) -> Option<usize> {
        let number = self.by_digest(&received.digest().to_string())?;
        let key = received.decode().ok().and_then(|notification| resource_key(&notification));
        let mut state = self.lock();
        // A message whose head cannot be read does not come through `arrived`.
        state.arriving.values_mut().for_each(|numbers| numbers.retain(|other| *other != number));
        if let Some(key) = key {
            let lane = state.lanes.entry(key).or_default();
            // A message that the broker delivers again is in its lane already.
            if !lane.contains(&number) {
                lane.push_back(number);
            }
        }
        Some(number)
    }

    /// Something was decided about a message: the next one may come.
    pub(super) fn note_look(&self, number: usize) {
        self.lock().looked_at.insert(number);
        self.changed.notify_waiters();
    }

    /// The listener acknowledges a message, which the broker then forgets.
    pub(super) fn acknowledge(&self, number: usize) {
        self.line(Some(number), "settled", Tone::Dim, "acknowledged to the broker");
        self.settle(number);
    }

    fn settle(&self, number: usize) {
        let mut state = self.lock();
        state.acknowledged += 1;
        state.unsettled.remove(&number);
        state.looked_at.remove(&number);
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

    /// The message whose delivery is under way for this resource.
    pub(super) fn under_way(&self, resource: &str) -> Option<usize> {
        self.lock().lanes.get(&resource.to_lowercase())?.front().copied()
    }

    /// The message with this id.
    pub(super) fn by_message_id(&self, id: &str) -> Option<usize> {
        self.lock().by_message_id.get(id).copied()
    }

    /// The message with this digest of its body.
    pub(super) fn by_digest(&self, digest: &str) -> Option<usize> {
        self.lock().by_digest.get(digest).copied()
    }

    /// Waits until something was decided about the message.
    pub(super) async fn looked_at(&self, number: usize) {
        self.until(|state| state.looked_at.contains(&number) || !state.unsettled.contains(&number)).await;
    }

    /// Waits until every message that reached us is settled.
    pub(super) async fn all_settled(&self) {
        self.until(|state| state.unsettled.is_empty()).await;
    }

    /// Waits until something is unsettled and nothing was told about any message for so long.
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

    /// The oldest message that is not settled.
    pub(super) fn oldest_unsettled(&self) -> Option<usize> {
        self.lock().unsettled.first().copied()
    }

    /// Messages so far: published, of these those that reached no queue of ours, acknowledged.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let state = self.lock();
        (state.last as u64, state.unrouted, state.acknowledged)
    }

    async fn until(&self, holds: impl Fn(&StoryProgress) -> bool) {
        loop {
            // Armed before looking, so that a change in between is not missed.
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
