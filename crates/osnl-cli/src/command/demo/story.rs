//! The lines of the demo, and which message each of them is about.
//!
//! Everything runs on one thread and prints as it happens, so the lines are in the order of the events.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use osnl::received::Received;
use osnl_model::{BodyDigest, Head, Notification, read_head, resource_key};
use tokio::sync::Notify;

use super::recording::Message;

/// How a line is coloured on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Dim,
    Good,
    Bad,
    Strong,
}

/// See the [module](self).
pub(super) struct Story {
    colour: bool,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The last message published; messages are numbered from 1.
    last: usize,
    by_digest: HashMap<String, usize>,
    by_message_id: HashMap<String, usize>,
    /// Per resource, the messages that wait for their delivery, the one under way first.
    lanes: HashMap<String, VecDeque<usize>>,
    looked_at: BTreeSet<usize>,
    unsettled: BTreeSet<usize>,
    unrouted: u64,
    acknowledged: u64,
}

impl Story {
    /// A story told on stdout: in colour when it is a terminal and `NO_COLOR` is not set.
    pub(super) fn to_stdout() -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: std::io::stdout().is_terminal() && !no_colour,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// A line about a message, or about none.
    pub(super) fn line(&self, number: Option<usize>, label: &str, tone: Tone, text: &str) {
        let number = number.map(|number| format!("#{number}")).unwrap_or_default();
        self.print(tone, &format!("{number:>4}  {label:<11}{}", text.replace(['\r', '\n'], " ")));
    }

    /// Indented prose.
    pub(super) fn text(&self, text: &str) {
        self.print(Tone::Plain, text);
    }

    /// What follows, in a few words.
    pub(super) fn heading(&self, text: &str) {
        self.print(Tone::Plain, "");
        self.print(Tone::Strong, text);
    }

    /// The last line.
    pub(super) fn ending(&self, tone: Tone, text: &str) {
        self.print(tone, text);
    }

    fn print(&self, tone: Tone, text: &str) {
        let code = match tone {
            Tone::Plain => "",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Strong => "1",
        };
        // A reader that has gone, such as `head`, does not end the demo.
        let _ = if self.colour && !code.is_empty() {
            writeln!(std::io::stdout(), "\x1b[{code}m{text}\x1b[0m")
        } else {
            writeln!(std::io::stdout(), "{text}")
        };
    }

    /// A message goes to the broker; gives its number.
    pub(super) fn publish(&self, message: &Message) -> usize {
        let head = read_head(message.body.as_bytes()).map(Head::into_owned).unwrap_or_default();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.unsettled.insert(number);
        state.by_digest.insert(BodyDigest::of(message.body.as_bytes()).to_string(), number);
        if let Ok(Notification { message_id: Some(id), .. }) = Notification::decode(message.body.as_bytes()) {
            state.by_message_id.insert(id, number);
        }
        drop(state);
        let what = match (&head.event_type, &head.publisher_id) {
            (Some(event_type), Some(publisher_id)) => format!("{event_type} from {publisher_id}"),
            (Some(event_type), None) => event_type.to_string(),
            (None, _) => "a body that cannot be read".to_owned(),
        };
        let Message { exchange, routing_key, note, .. } = message;
        self.line(
            Some(number),
            "published",
            Tone::Strong,
            &format!("{what}, to exchange {exchange}, key {routing_key}"),
        );
        self.line(Some(number), "is", Tone::Dim, note);
        number
    }

    /// No queue took the message.
    pub(super) fn unrouted(&self, number: usize) {
        self.line(
            Some(number),
            "unrouted",
            Tone::Dim,
            "no queue of ours is bound to that: it never reaches osnl",
        );
        let mut state = self.lock();
        state.unrouted += 1;
        state.unsettled.remove(&number);
    }

    /// No rule wants the message that was published last; the listener acknowledges such a message at once.
    pub(super) fn unmatched(&self, why: &str) {
        let number = self.lock().last;
        self.line(Some(number), "no match", Tone::Dim, why);
        self.note_look(number);
        self.acknowledge(number);
    }

    /// A message is taken; its deliveries queue up behind those about the same resource.
    pub(super) fn taken(&self, received: &Received) -> Option<usize> {
        let number = self.by_digest(&received.digest().to_string())?;
        if let Some(key) = received.decode().ok().and_then(|notification| resource_key(&notification)) {
            self.lock().lanes.entry(key).or_default().push_back(number);
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
        let mut state = self.lock();
        state.acknowledged += 1;
        state.unsettled.remove(&number);
        state.lanes.values_mut().for_each(|lane| lane.retain(|other| *other != number));
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
        self.until(|state| state.looked_at.contains(&number)).await;
    }

    /// Waits until every message that reached us is settled.
    pub(super) async fn all_settled(&self) {
        self.until(|state| state.unsettled.is_empty()).await;
    }

    /// Messages published so far.
    pub(super) fn published(&self) -> u64 {
        self.lock().last as u64
    }

    /// Of these, the ones that a queue of ours took.
    pub(super) fn published_to_us(&self) -> u64 {
        let state = self.lock();
        state.last as u64 - state.unrouted
    }

    /// Messages acknowledged so far.
    pub(super) fn acknowledged(&self) -> u64 {
        self.lock().acknowledged
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            // Armed before looking, so that a change in between is not missed.
            let changed = self.changed.notified();
            if holds(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
