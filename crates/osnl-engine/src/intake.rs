//! The [`Intake`] of a listener's messages, and the rule engine. Programs that listen themselves write an `Endpoint` of
//! `osnl::notification_listener` instead.

mod fallback;
mod fired;
mod parts;
mod places;
mod retried;
mod swap;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use osnl_config::template::Names;
use osnl_model::{Budget, Head, Notification};
use osnl_transport::{Batch, BoxFuture, IncomingMessage};

use self::fallback::{fallback_delivery, once_each};
use self::fired::{Arrival, FiredRule};
pub use self::parts::Parts;
use self::places::ReservedPlaces;
pub use self::swap::LiveRules;
use osnl_core::metrics::{Counters, QueuedMessages, StreamKind};
pub use osnl_core::observe::{Observe, PartKeys};
use osnl_core::received::ReceivedMessage;
use osnl_core::rule::{Decisions, Guards, Mode, Rule, RuleDecision, RuleMismatch, RuleSet};
use osnl_journal::dead_letters::RetriedDelivery;
use osnl_journal::in_hand::InHand;
use osnl_journal::{Begin, Entry, Journal, NewDelivery, Obstacle, Permit, Receipt, Settle};

/// The receiver of a listener's messages: reserves room, decides, and keeps.
pub trait Intake: Send + Sync {
    /// Waits for room, and returns how many messages may be read, up to `at_most`. No message is read that could not be
    /// kept.
    fn reserve(&self, at_most: usize) -> BoxFuture<'_, usize> {
        Box::pin(std::future::ready(at_most))
    }

    /// Keeps at most so many reserved places and releases the rest.
    fn keep(&self, at_most: usize);

    /// Returns the obstacle to keeping or ending messages, if known.
    fn obstacle(&self) -> Option<Obstacle>;

    /// Whether the `rate` of an action delays the end of open messages, so that a long time without an end is no fault.
    fn is_paced(&self) -> bool {
        false
    }

    /// Notes that the listener has subscribed, with the most messages that may be open. The next message is the first of a
    /// new session.
    fn subscribed(&self, listener: &str, prefetch: u16) {
        let _ = (listener, prefetch);
    }

    /// Notes that a session has ended, after which the broker hands what was unsettled to this listener or another one.
    fn unsubscribed(&self, listener: &str) {
        let _ = listener;
    }

    /// Notes that the listener is no standby: it gets the messages of its queue.
    fn active(&self, listener: &str) {
        let _ = listener;
    }

    /// Notes the messages of the listener at its broker, with each answer of the broker.
    fn queued(&self, listener: &str, messages: QueuedMessages) {
        let _ = (listener, messages);
    }

    /// Notes the messages of a batch before the first is read, so that one that ends the process is known afterwards.
    fn upcoming(&self, batch: &Batch) {
        let _ = batch;
    }

    /// Notes that a message will be read, and returns a reason not to.
    fn suspected(&self, message: &IncomingMessage) -> Option<String> {
        let _ = message;
        None
    }

    /// Notes that all messages of a step are read, and none of them ended the process.
    fn evaluated(&self) {}

    /// Whether a rule may match, decided before the payload is read.
    fn wants(&self, head: &Head<'_>) -> bool;

    /// Notes an unmatched message before its acknowledgement; must not wait.
    fn unwanted(&self, message: &IncomingMessage, listener: &Arc<str>, head: &Head<'_>) {
        let _ = (message, listener, head);
    }

    /// Takes a message for which [`wants`](Self::wants) holds, in order of arrival; must not wait.
    fn notify(&self, received: ReceivedMessage) -> Receipt;

    /// Takes a message that cannot be read, and keeps its bytes in quarantine.
    fn unreadable(&self, received: ReceivedMessage, reason: String) -> Receipt;
}

/// Sees each message after the rules have decided, for pages, files, and counts.
///
/// Nothing that it sees or does changes a decision. No call may wait: the listener does nothing else meanwhile.
pub trait Onlooker: Send + Sync {
    /// Notes that these rules decide from now on.
    fn begun(&self, rules: &Arc<RuleSet>);

    /// Sees a message of which the head is enough to know that no rule matches.
    fn unwanted(&self, message: &IncomingMessage, listener: &Arc<str>, head: &Head<'_>, budget: &Budget);

    /// Sees a message for which nothing is done, with the rules whose conditions failed.
    fn unmatched(
        &self,
        received: &ReceivedMessage,
        notification: &Notification,
        failed: &[(&Rule, RuleMismatch)],
    );

    /// Sees a message and what is done for it, before the journal has it.
    fn matched(&self, received: &ReceivedMessage, notification: &Notification, deliveries: &[NewDelivery]);
}

/// The intake of the daemon: decides by the rules and appends to the journal.
pub struct RuleEngine {
    /// The rules of the listener.
    rules: Arc<RuleSet>,
    /// Sees each message after the decision; `None` where nothing is shown.
    onlooker: Option<Arc<dyn Onlooker>>,
    /// The actions for whose deliveries a place is reserved, fallbacks included.
    actions: Vec<Arc<str>>,
    /// The store of the deliveries.
    journal: Arc<dyn Journal>,
    /// The metrics of the process.
    counters: Arc<Counters>,
    /// The counts of resources by which a guard holds deliveries.
    guards: Arc<Guards>,
    /// The memory of resources that an action needs to understand an event; `None` for most.
    observer: Option<Arc<dyn Observe>>,
    /// Marks the message in work, so that one that ends the process is known afterwards.
    in_hand: Arc<InHand>,
    /// The reserved places, with those of the engine that this one has replaced.
    places: Mutex<ReservedPlaces>,
    /// The limits of a message.
    budget: Budget,
}

impl RuleEngine {
    #[must_use]
    pub fn new(rules: Vec<Rule>, journal: Arc<dyn Journal>, counters: Arc<Counters>) -> Self {
        let actions: BTreeSet<_> = rules.iter().flat_map(Rule::takes_places_of).cloned().collect();
        let actions = actions.into_iter().collect();
        let rules = Arc::new(RuleSet::new(rules, counters.clone()));
        let (guards, observer, in_hand, places, budget) = Default::default();
        Self { rules, onlooker: None, actions, journal, counters, guards, observer, in_hand, places, budget }
    }

    #[must_use]
    pub fn with_onlooker(mut self, onlooker: Arc<dyn Onlooker>) -> Self {
        self.onlooker = Some(onlooker);
        self
    }

    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    #[must_use]
    pub fn with_guards(mut self, guards: Arc<Guards>) -> Self {
        self.guards = guards;
        self
    }

    #[must_use]
    pub fn with_observer(mut self, observer: Option<Arc<dyn Observe>>) -> Self {
        self.observer = observer;
        self
    }

    #[must_use]
    pub fn with_in_hand(mut self, in_hand: Arc<InHand>) -> Self {
        self.in_hand = in_hand;
        self
    }

    fn append(
        &self,
        received: ReceivedMessage,
        notification: Arc<Notification>,
        deliveries: Vec<NewDelivery>,
        place: EntryPlace,
    ) -> Receipt {
        debug_assert!(!deliveries.is_empty(), "rules decide before the append");
        let entry = Entry { received: Arc::new(received), notification, deliveries };
        match place {
            EntryPlace::Reserved => self.with_places(|places| self.journal.append(places.next(), entry)),
            EntryPlace::Without => self.journal.append(&mut Permit::default(), entry),
        }
    }

    fn observer_of(&self, action: &str) -> Option<&dyn Observe> {
        self.observer.as_deref().filter(|observer| observer.serves(action))
    }

    fn succeed(&self, before: &Self) {
        self.take_places(before);
        self.begin(Some(before));
    }

    fn take_places(&self, before: &Self) {
        let places = before.with_places(std::mem::take);
        self.with_places(|own| own.succeed(places));
    }

    fn begin(&self, before: Option<&Self>) {
        before.inspect(|before| self.rules.succeed(&before.rules));
        self.onlooker.as_ref().inspect(|onlooker| onlooker.begun(&self.rules));
    }

    fn with_places<T>(&self, with: impl FnOnce(&mut ReservedPlaces) -> T) -> T {
        with(&mut self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The place of the journal in which a message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntryPlace {
    /// One of those that the listener has reserved.
    Reserved,
    /// None: the message is that of a dead letter, which its queue keeps.
    Without,
}

impl Intake for RuleEngine {
    fn subscribed(&self, listener: &str, prefetch: u16) {
        self.journal.subscribed(listener, prefetch);
    }

    fn unsubscribed(&self, listener: &str) {
        self.journal.unsubscribed(listener);
    }

    fn active(&self, listener: &str) {
        self.journal.active(listener);
    }

    fn queued(&self, listener: &str, messages: QueuedMessages) {
        let each = self.actions.iter().map(|action| self.counters.series.action(action));
        each.for_each(|series| series.backlog.queued(listener, messages));
    }

    fn upcoming(&self, batch: &Batch) {
        self.in_hand.upcoming(batch.iter().map(|message| &message.body));
    }

    fn suspected(&self, message: &IncomingMessage) -> Option<String> {
        self.in_hand.message(&message.body)
    }

    fn evaluated(&self) {
        self.in_hand.evaluated();
    }

    fn reserve(&self, at_most: usize) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            let have = self.with_places(|places| places.count());
            let more = self.journal.reserve(&self.actions, at_most.saturating_sub(have));
            let more = if have == 0 {
                more.await
            } else if have < at_most {
                // Takes only free places, so that the last few do not make small batches.
                more.now_or_never().unwrap_or_default()
            } else {
                Permit::default()
            };
            self.with_places(|places| {
                places.merge(more);
                places.count().min(at_most)
            })
        })
    }

    fn keep(&self, at_most: usize) {
        self.with_places(|places| places.keep(at_most));
    }

    fn obstacle(&self) -> Option<Obstacle> {
        self.journal.obstacle(&self.actions)
    }

    fn is_paced(&self) -> bool {
        self.actions.iter().any(|action| self.counters.series.action(action).backlog.is_paced())
    }

    fn wants(&self, head: &Head<'_>) -> bool {
        self.rules.wants(head)
    }

    fn unwanted(&self, message: &IncomingMessage, listener: &Arc<str>, head: &Head<'_>) {
        if let Some(onlooker) = &self.onlooker {
            onlooker.unwanted(message, listener, head, &self.budget);
        }
    }

    fn notify(&self, received: ReceivedMessage) -> Receipt {
        self.in_hand.wanted();
        self.decide(received, EntryPlace::Reserved)
    }

    fn unreadable(&self, received: ReceivedMessage, reason: String) -> Receipt {
        self.journal.set_aside(received, reason)
    }
}

impl RuleEngine {
    /// Takes the message of a dead letter that waited, and of which only the delivery of its marks is made. Its queue keeps
    /// it until that delivery has ended.
    pub(crate) fn carry_out(&self, received: ReceivedMessage) -> Receipt {
        self.decide(received, EntryPlace::Without)
    }

    fn decide(&self, mut received: ReceivedMessage, place: EntryPlace) -> Receipt {
        let budget = match place {
            EntryPlace::Reserved => &self.budget,
            // The budget of its arrival has judged it.
            EntryPlace::Without => &Budget::MOST,
        };
        let names = match received.decode_within(budget) {
            Ok(notification) => Names::from(notification),
            // The head matched, but the rest is unreadable.
            Err(error) => return self.unreadable(received, error.to_string()),
        };
        let Decisions { decided, mut failed } = self.rules.decide(&names);
        let notification = names.notification();
        let series = self.counters.series.listener(&received.origin.listener);
        let arrived = received.origin.received;
        let age = series.arrived(notification, arrived);
        // All waits count from the first arrival.
        let first = self.journal.first_arrival(&received, notification);
        received.origin.received = first.unwrap_or(arrived);
        let keys = self.observe(&decided, &mut received, notification);
        let parts = Parts::new(notification);
        let arrival = Arrival {
            received: &received,
            names: &names,
            parts: &parts,
            noted: keys.iter().map(|(part, key)| (*part, &**key)).collect(),
            retried: received.noted.marks.as_deref().and_then(RetriedDelivery::from_marks),
            is_back: first.is_some(),
        };
        let retried = arrival.retried.as_ref().map(|wanted| (wanted, rule_named(&decided, wanted.rule)));
        let mut deliveries = Vec::new();
        for decision in decided {
            match decision {
                RuleDecision::Fires(rule) => {
                    if !received.origin.redelivered && arrival.retried.is_none() {
                        self.counters.series.streams.note(StreamKind::Rule, &rule.name, 1, arrived);
                    }
                    let new = FiredRule::new(self, rule, &arrival).deliveries(&mut failed);
                    if let (Some(age), None, false) = (age, rule.max_event_age, received.origin.redelivered)
                        && new.iter().any(|new| new.begin.is_open())
                    {
                        series.ages.runs(age.age, arrived);
                    }
                    deliveries.extend(new);
                }
                RuleDecision::Undecided(rule, why) => {
                    deliveries.extend(dead_letters(rule, &why, &names, &parts));
                }
            }
        }
        if let Some((wanted, rule)) = retried {
            deliveries = vec![retried::retried(wanted, rule, deliveries)];
        }
        if deliveries.is_empty() {
            self.counters.unmatched.increment();
            series.unmatched.increment();
            if let Some(onlooker) = &self.onlooker {
                onlooker.unmatched(&received, notification, &failed);
            }
            return Receipt::complete(Settle::Acknowledge);
        }
        self.counters.matched.increment();
        series.matched.increment();
        parts.name(&mut deliveries);
        if let Some(onlooker) = &self.onlooker {
            onlooker.matched(&received, notification, &deliveries);
        }
        let count = deliveries.len();
        self.append(received, names.notification().clone(), deliveries, place).with_deliveries(count)
    }

    /// Lets the observer of an action that is called note the message, and returns its order keys.
    fn observe(
        &self,
        decided: &[RuleDecision<'_>],
        received: &mut ReceivedMessage,
        notification: &Notification,
    ) -> PartKeys {
        let observer = decided.iter().find_map(|decision| match decision {
            RuleDecision::Fires(rule) => rule.actions.iter().find_map(|action| self.observer_of(action)),
            RuleDecision::Undecided(..) => None,
        });
        let Some(observer) = observer else { return PartKeys::new() };
        let (noted, keys) = observer.note(received, notification);
        received.noted = noted;
        keys
    }
}

fn rule_named<'r>(decided: &[RuleDecision<'r>], name: &str) -> Option<&'r Rule> {
    decided.iter().find_map(|decision| match decision {
        RuleDecision::Fires(rule) | RuleDecision::Undecided(rule, _) => {
            (*rule.name == *name).then_some(*rule)
        }
    })
}

/// Returns the names of one resource for a rule that has conditions of its actions, else those of the whole message.
pub fn narrowed(rule: &Rule, names: &Names, parts: &Parts<'_>, resource: Option<u32>) -> Names {
    parts.names(names, resource.filter(|_| !rule.conditions.is_empty()))
}

/// Makes dead letters of a rule that cannot be decided. In shadow it makes none, since actions may never be called.
fn dead_letters(rule: &Rule, why: &str, names: &Names, parts: &Parts<'_>) -> Vec<NewDelivery> {
    match rule.mode {
        Mode::Shadow => {
            tracing::error!(rule.name = &*rule.name, reason = why, "a rule in shadow cannot be decided");
            return Vec::new();
        }
        Mode::Live => {}
    }
    let mut deliveries = Vec::new();
    for (resource, key) in parts.with_keys(rule, names) {
        // Only the action of `on_failure` reads these names.
        let named = parts.names(names, resource.filter(|_| !rule.on_failure.is_empty()));
        for action in &rule.actions {
            deliveries.push(NewDelivery {
                resource,
                begin: Begin::Dead(why.to_owned()),
                ordered: !rule.unordered.contains(action),
                ..NewDelivery::new(rule.name.clone(), action.clone(), key.clone())
            });
            deliveries.extend(fallback_delivery(rule, action, why, &named, key.as_deref(), resource));
        }
    }
    once_each(deliveries)
}

#[cfg(test)]
mod tests;
