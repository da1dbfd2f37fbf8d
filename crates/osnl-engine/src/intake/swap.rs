//! A rule engine that can be replaced. Later messages have the new rules; appended messages keep their verdict.
//!
//! Reserved places outlive the change, so that polled messages still have places.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use osnl_model::Head;
use osnl_transport::{Batch, BoxFuture, IncomingMessage};
use tokio::sync::Notify;

use super::{Intake, RuleEngine};
use osnl_core::metrics::QueuedMessages;
use osnl_core::received::ReceivedMessage;
use osnl_journal::{Obstacle, Receipt};

/// The intake whose rules a reload replaces while listeners go on.
pub struct LiveRules {
    engine: RwLock<Arc<RuleEngine>>,
    replaced: Notify,
}

impl LiveRules {
    #[must_use]
    pub fn new(engine: RuleEngine) -> Self {
        Self { engine: RwLock::new(Arc::new(engine)), replaced: Notify::new() }
    }

    pub fn replace(&self, engine: RuleEngine) {
        let mut current = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        engine.succeed(&current);
        *current = Arc::new(engine);
        drop(current);
        self.replaced.notify_waiters();
    }

    pub fn begin(&self, before: Option<&Self>) {
        let before = before.map(|before| before.engine().clone());
        self.engine().begin(before.as_deref());
    }

    /// Takes the message of a dead letter that waited, and of which only the delivery of its marks is made.
    pub fn carry_out(&self, received: ReceivedMessage) -> Receipt {
        self.engine().carry_out(received)
    }

    fn engine(&self) -> RwLockReadGuard<'_, Arc<RuleEngine>> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intake for LiveRules {
    fn reserve(&self, at_most: usize) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            loop {
                let replaced = self.replaced.notified();
                tokio::pin!(replaced);
                // Registered before the check, so that no change is missed.
                replaced.as_mut().enable();
                let engine = self.engine().clone();
                // A full action may have no role in the new rules.
                let places = tokio::select! {
                    biased;
                    () = replaced => continue,
                    places = engine.reserve(at_most) => places,
                };
                let current = self.engine();
                if !Arc::ptr_eq(&current, &engine) {
                    // The next message uses the new engine's places.
                    current.take_places(&engine);
                }
                return places;
            }
        })
    }

    fn keep(&self, at_most: usize) {
        self.engine().keep(at_most);
    }

    fn obstacle(&self) -> Option<Obstacle> {
        self.engine().obstacle()
    }

    fn is_paced(&self) -> bool {
        self.engine().is_paced()
    }

    fn subscribed(&self, listener: &str, prefetch: u16) {
        self.engine().subscribed(listener, prefetch);
    }

    fn unsubscribed(&self, listener: &str) {
        self.engine().unsubscribed(listener);
    }

    fn active(&self, listener: &str) {
        self.engine().active(listener);
    }

    fn queued(&self, listener: &str, messages: QueuedMessages) {
        self.engine().queued(listener, messages);
    }

    fn upcoming(&self, batch: &Batch) {
        self.engine().upcoming(batch);
    }

    fn suspected(&self, message: &IncomingMessage) -> Option<String> {
        self.engine().suspected(message)
    }

    fn evaluated(&self) {
        self.engine().evaluated();
    }

    fn wants(&self, head: &Head<'_>) -> bool {
        self.engine().wants(head)
    }

    fn unwanted(&self, message: &IncomingMessage, listener: &Arc<str>, head: &Head<'_>) {
        self.engine().unwanted(message, listener, head);
    }

    fn notify(&self, received: ReceivedMessage) -> Receipt {
        self.engine().notify(received)
    }

    fn unreadable(&self, received: ReceivedMessage, reason: String) -> Receipt {
        self.engine().unreadable(received, reason)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use osnl_model::{NotificationFilter, Pattern};

    use super::*;
    use osnl_core::rule::Rule;
    use osnl_journal::memory::{MemoryJournal, MemoryLimits};
    use osnl_journal::{ClaimLimits, Journal as _};

    #[test]
    fn other_rules_judge_what_comes_next_in_the_places_that_were_reserved() {
        let counters = Arc::<osnl_core::metrics::Counters>::default();
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(2), counters.clone()));
        let engine = |event_type: &str| {
            let filter = NotificationFilter {
                event_type: Some(Pattern::new(event_type).unwrap()),
                ..NotificationFilter::default()
            };
            let rule = Rule { name: "r".into(), filter, actions: vec!["a".into()], ..Rule::default() };
            RuleEngine::new(vec![rule], journal.clone(), counters.clone())
        };
        let body = |event: &str, n: u32| {
            format!("{{\"event_type\": \"{event}\", \"message_id\": \"{n}\", \"payload\": {{}}}}")
        };
        let live = LiveRules::new(engine("^one$"));
        assert_eq!(live.reserve(4).now_or_never(), Some(4));
        live.replace(engine("^two$"));
        let wants = |event: &str| {
            let head = Head { event_type: Some(event.into()), publisher_id: None, priority: None };
            live.wants(&head)
        };
        assert_eq!((wants("one"), wants("two")), (false, true));
        let receipts: Vec<_> =
            (0..4).map(|n| live.notify(ReceivedMessage::sample(body("two", n), false))).collect();
        assert!(journal.reserve(&[], 1).now_or_never().is_none());
        assert_eq!(
            journal.claim("a", ClaimLimits::in_order(9)).now_or_never().map(|claimed| claimed.len()),
            Some(4)
        );
        let waits = live.reserve(1);
        tokio::pin!(waits);
        assert!((&mut waits).now_or_never().is_none());
        live.replace(engine("^three$"));
        assert!((&mut waits).now_or_never().is_none(), "all places are taken still");
        drop(receipts);
    }

    #[test]
    fn places_that_come_while_the_rules_are_replaced_are_those_of_the_new_rules() {
        let counters = Arc::<osnl_core::metrics::Counters>::default();
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(2), counters.clone()));
        let rule = || Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
        let engine = || RuleEngine::new(vec![rule()], journal.clone(), counters.clone());
        let all = journal.reserve(&[], 4).now_or_never().unwrap();
        let live = LiveRules::new(engine());
        let waits = live.reserve(4);
        tokio::pin!(waits);
        assert!((&mut waits).now_or_never().is_none());
        live.replace(engine());
        drop(all);
        let places = (&mut waits).now_or_never().unwrap();
        let own = live.engine().with_places(|places| places.count());
        assert!(places >= 1 && own == places, "{places} were given, {own} are held");
        let body = r#"{"event_type": "x", "message_id": "1", "payload": {}}"#;
        let _receipt = live.notify(ReceivedMessage::sample(body.to_owned(), false));
        assert_eq!(live.engine().with_places(|places| places.count()), places - 1, "the entry has a place");
    }
}
