//! The order of events by their own time, for rules with `order_by_event_time`.
//!
//! An event is overtaken if a newer one of the same order key came before it, which the same rule matched, at any of its
//! listeners, or another rule at the same listener: one rule makes and another removes. Equal times overtake nothing. A
//! message that comes again, from a broker or a log, is not judged: it may have been the first.
//!
//! The memory is bounded: very many other keys forget what came before. A start, and a rule that begins to order, read
//! what the journal still keeps of it.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use osnl_model::Timestamp;

use super::key::KeySource;

/// The most keys of one generation, each in two scopes. There are two generations.
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

/// The scope, the source of the order key, and the key: events of the same share their times.
type OrderedKey = (OrderScope, KeySource, String);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum OrderScope {
    Rule(Arc<str>),
    Listener(Arc<str>),
}

/// The newest time of a key, and its latest messages, which are not judged again.
#[derive(Clone, Debug)]
struct KeyHistory {
    newest: Timestamp,
    messages: VecDeque<u64>,
}

/// An event of one rule, listener, and order key, with its own time.
#[derive(Clone, Copy, Debug)]
pub struct TimedEvent<'a> {
    pub rule: &'a Arc<str>,
    pub listener: &'a Arc<str>,
    pub source: &'a KeySource,
    pub key: &'a str,
    pub time: Timestamp,
    /// The id or the digest of the message.
    pub message: &'a str,
}

impl EventOrder {
    /// The keys of all rules that are remembered for certain.
    pub const KEYS: usize = KEYS;

    /// Returns the reason to end an event that a newer one of its key has overtaken.
    #[must_use]
    pub fn overtaken(&self, event: TimedEvent<'_>) -> Option<String> {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (keys, number) = (event.ordered(), event.number());
        let known: Vec<&KeyHistory> = keys.iter().filter_map(|key| generations.find(key)).collect();
        let newest = known.iter().map(|history| history.newest).max()?;
        if event.time >= newest || known.iter().any(|history| history.messages.contains(&number)) {
            return None;
        }
        Some(format!(
            "overtaken: published {}, and an event of {newest} of the same order key came before it \
             (order_by_event_time)",
            event.time
        ))
    }

    pub fn note(&self, event: TimedEvent<'_>) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = event.number();
        for key in event.ordered() {
            let first = KeyHistory { newest: event.time, messages: VecDeque::new() };
            let history = generations.enter(key, first);
            history.newest = history.newest.max(event.time);
            if !history.messages.contains(&number) {
                if history.messages.len() == MESSAGES {
                    history.messages.pop_front();
                }
                history.messages.push_back(number);
            }
        }
    }
}

impl TimedEvent<'_> {
    fn ordered(&self) -> [OrderedKey; 2] {
        let scopes = [OrderScope::Rule(self.rule.clone()), OrderScope::Listener(self.listener.clone())];
        scopes.map(|scope| (scope, self.source.clone(), self.key.to_owned()))
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
        if self.young.len() >= 2 * KEYS && !self.young.contains_key(&key) {
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
        let (rule, listener, other): (Arc<str>, Arc<str>, Arc<str>) = ("r".into(), "l".into(), "o".into());
        let project = KeySource::parse("context.project_id").unwrap();
        let event = |time: &str, message: &'static str| TimedEvent {
            rule: &rule,
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
        let create = event("05", "create");
        for late in [create, TimedEvent { rule: &other, ..create }, TimedEvent { listener: &other, ..create }]
        {
            assert_eq!(order.overtaken(late).as_deref(), Some(reason), "{late:?}");
        }
        for (fine, why) in [
            (event("03", "first"), "comes again"),
            (TimedEvent { listener: &other, ..event("03", "first") }, "comes again from another listener"),
            (event("10", "other"), "equal"),
            (event("11", "newer"), "newer"),
            (TimedEvent { key: "other", ..create }, "another key"),
            (TimedEvent { rule: &other, listener: &other, ..create }, "another rule and listener"),
            (TimedEvent { source: &project, ..create }, "another source of the key"),
        ] {
            assert_eq!(order.overtaken(fine), None, "{why}");
        }
        order.note(event("04", "late retry"));
        assert!(order.overtaken(create).is_some(), "an older one does not turn the time back");
    }

    fn timed<'a>(name: &'a Arc<str>, key: &'a str, time: &'a str) -> TimedEvent<'a> {
        let source = &KeySource::Resource;
        TimedEvent { rule: name, listener: name, source, key, time: at(time), message: time }
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_used() {
        let order = EventOrder::default();
        let name: Arc<str> = "r".into();
        for n in 0..3 * KEYS {
            order.note(timed(&name, &format!("k{n}"), "10"));
            order.note(timed(&name, "used", "20"));
        }
        let generations = order.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 4 * KEYS);
        drop(generations);
        assert!(order.overtaken(timed(&name, "used", "19")).is_some());
        assert!(order.overtaken(timed(&name, "k0", "09")).is_none());
        for n in 0..10 * MESSAGES {
            let message = n.to_string();
            order.note(TimedEvent { message: &message, ..timed(&name, "used", "20") });
        }
        for key in timed(&name, "used", "20").ordered() {
            assert_eq!(order.0.lock().unwrap().find(&key).unwrap().messages.len(), MESSAGES);
        }
    }
}
