//! The order of events by their own time, for rules with `order_by_event_time`.
//!
//! An event is overtaken if a newer one of the same listener and order key came before it, whichever rule it matched: one
//! rule makes and another removes. Equal times overtake nothing. A message that comes again, from a broker or a log, is
//! not judged: it may have been the first.
//!
//! The memory is bounded: very many other keys forget what came before. A start, and a rule that begins to order, read
//! what the journal still keeps of it.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use osnl_model::Timestamp;

use super::key::KeySource;

/// The most keys of one generation. There are two.
const KEYS: usize = 20_000;
/// The messages of a key that are recognised when they come again.
const MESSAGES: usize = 16;

/// Remembers the newest event of each key, so that an older one does not undo its effect.
#[derive(Debug, Default)]
pub struct EventOrder(Mutex<Generations>);

/// Two maps instead of one bounded map: the old one is dropped when the young one is full.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<OrderedKey, KeyHistory>,
    old: HashMap<OrderedKey, KeyHistory>,
}

/// The listener, the source of the order key, and the key: rules that order by the same share their times.
type OrderedKey = (Arc<str>, KeySource, String);

/// The newest time of a key, and its latest messages, which are not judged again.
#[derive(Clone, Debug)]
struct KeyHistory {
    newest: Timestamp,
    messages: VecDeque<u64>,
}

/// An event of one listener and order key, with its own time.
#[derive(Clone, Copy, Debug)]
pub struct TimedEvent<'a> {
    pub listener: &'a Arc<str>,
    pub source: &'a KeySource,
    pub key: &'a str,
    pub time: Timestamp,
    /// The id or the digest of the message.
    pub message: &'a str,
}

impl EventOrder {
    /// The keys of all listeners that are remembered for certain.
    pub const KEYS: usize = KEYS;

    /// Returns the reason to end an event that a newer one of its key has overtaken.
    #[must_use]
    pub fn overtaken(&self, event: TimedEvent<'_>) -> Option<String> {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let history = generations.find(&event.ordered())?;
        if event.time >= history.newest || history.messages.contains(&event.number()) {
            return None;
        }
        Some(format!(
            "overtaken: published {}, and an event of {} of the same order key came before it \
             (order_by_event_time)",
            event.time, history.newest
        ))
    }

    pub fn note(&self, event: TimedEvent<'_>) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = KeyHistory { newest: event.time, messages: VecDeque::new() };
        let history = generations.enter(event.ordered(), first);
        history.newest = history.newest.max(event.time);
        let number = event.number();
        if !history.messages.contains(&number) {
            if history.messages.len() == MESSAGES {
                history.messages.pop_front();
            }
            history.messages.push_back(number);
        }
    }
}

impl TimedEvent<'_> {
    fn ordered(&self) -> OrderedKey {
        (self.listener.clone(), self.source.clone(), self.key.to_owned())
    }

    fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.message.hash(&mut hasher);
        hasher.finish()
    }
}

impl Generations {
    fn find(&self, key: &OrderedKey) -> Option<&KeyHistory> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn enter(&mut self, key: OrderedKey, first: KeyHistory) -> &mut KeyHistory {
        if self.young.len() >= KEYS && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        let known = self.old.remove(&key);
        self.young.entry(key).or_insert(known.unwrap_or(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-11-28 01:00:{time}")).unwrap()
    }

    #[test]
    fn only_an_older_event_that_did_not_come_before_is_overtaken() {
        let order = EventOrder::default();
        let (listener, other): (Arc<str>, Arc<str>) = ("l".into(), "m".into());
        let project = KeySource::parse("context.project_id").unwrap();
        let event = |time: &str, message: &'static str| TimedEvent {
            listener: &listener,
            source: &KeySource::Resource,
            key: "vm",
            time: at(time),
            message,
        };
        order.note(event("03", "first"));
        order.note(event("10", "delete"));
        let reason = "overtaken: published 2026-11-28T01:00:05Z, and an event of 2026-11-28T01:00:10Z of the same \
                      order key came before it (order_by_event_time)";
        assert_eq!(order.overtaken(event("05", "create")).as_deref(), Some(reason));
        for (fine, why) in [
            (event("03", "first"), "comes again"),
            (event("10", "other"), "equal"),
            (event("11", "newer"), "newer"),
            (TimedEvent { key: "other", ..event("05", "create") }, "another key"),
            (TimedEvent { listener: &other, ..event("05", "create") }, "another listener"),
            (TimedEvent { source: &project, ..event("05", "create") }, "another source of the key"),
        ] {
            assert_eq!(order.overtaken(fine), None, "{why}");
        }
        order.note(event("04", "late retry"));
        assert!(order.overtaken(event("05", "create")).is_some(), "an older one does not turn the time back");
    }

    fn timed<'a>(listener: &'a Arc<str>, key: &'a str, time: &'a str) -> TimedEvent<'a> {
        TimedEvent { listener, source: &KeySource::Resource, key, time: at(time), message: time }
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_used() {
        let order = EventOrder::default();
        let listener: Arc<str> = "l".into();
        for n in 0..3 * KEYS {
            order.note(timed(&listener, &format!("k{n}"), "10"));
            order.note(timed(&listener, "used", "20"));
        }
        let generations = order.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * KEYS);
        drop(generations);
        assert!(order.overtaken(timed(&listener, "used", "19")).is_some());
        assert!(order.overtaken(timed(&listener, "k0", "09")).is_none());
        for n in 0..10 * MESSAGES {
            let message = n.to_string();
            order.note(TimedEvent { message: &message, ..timed(&listener, "used", "20") });
        }
        let key = timed(&listener, "used", "20").ordered();
        assert_eq!(order.0.lock().unwrap().find(&key).unwrap().messages.len(), MESSAGES);
    }
}
