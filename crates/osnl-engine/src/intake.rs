//! The [`Intake`] of a listener's messages, and the rule engine. Programs that listen themselves write an `Endpoint` of
//! `osnl::notification_listener` instead.

mod fallback;
mod parts;
mod places;
mod retried;
mod swap;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use osnl_config::template::Names;
use osnl_core::age::EventAge;
use osnl_model::{Budget, Head, Notification, Timestamp};
use osnl_transport::{Batch, BoxFuture, IncomingMessage};

use self::fallback::{fallback_delivery, once_each};
pub use self::parts::Parts;
use self::places::PredecessorPlaces;
pub use self::swap::LiveRules;
use osnl_core::metrics::{Counters, StreamKind};
pub use osnl_core::observe::{Observe, PartKeys};
use osnl_core::received::ReceivedMessage;
use osnl_core::rule::{
    Guards, KeySource, Mode, Rule, RuleDecision, RuleMismatch, RuleSet, TimedEvent, WhenMismatch,
};
use osnl_journal::dead_letters::RetriedDelivery;
use osnl_journal::in_hand::InHand;
use osnl_journal::{Begin, Entry, Journal, NewDelivery, Obstacle, Permit, Receipt, Settle, Subject};

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

    /// Notes that the listener has subscribed, and the next message is the first of a new session.
    fn subscribed(&self, listener: &str) {
        let _ = listener;
    }

    fn upcoming(&self, batch: &Batch) {
        let _ = batch;
    }

    /// Notes that a message will be read, and returns a reason not to.
    fn suspected(&self, message: &IncomingMessage) -> Option<String> {
        let _ = message;
        None
    }

    fn evaluated(&self) {}

    /// Whether a rule may match, decided before the payload is read.
    fn wants(&self, head: &Head<'_>) -> bool;

    /// Notes an unmatched message before its acknowledgement; must not wait.
    fn unwanted(&self, message: &IncomingMessage, listener: &Arc<str>, head: &Head<'_>) {
        let _ = (message, listener, head);
    }

    /// Takes a message for which [`wants`](Self::wants) holds, in order of arrival; must not wait.
    fn notify(&self, received: ReceivedMessage) -> Receipt;

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

pub struct RuleEngine {
    rules: Arc<RuleSet>,
    onlooker: Option<Arc<dyn Onlooker>>,
    actions: Vec<Arc<str>>,
    journal: Arc<dyn Journal>,
    counters: Arc<Counters>,
    guards: Arc<Guards>,
    observer: Option<Arc<dyn Observe>>,
    in_hand: Arc<InHand>,
    permit: Mutex<PredecessorPlaces>,
    budget: Budget,
}

impl RuleEngine {
    #[must_use]
    pub fn new(rules: Vec<Rule>, journal: Arc<dyn Journal>, counters: Arc<Counters>) -> Self {
        let actions: BTreeSet<_> = rules.iter().flat_map(Rule::takes_places_of).cloned().collect();
        let actions = actions.into_iter().collect();
        let rules = Arc::new(RuleSet::new(rules, counters.clone()));
        let (guards, observer, in_hand, permit, budget) = Default::default();
        Self { rules, onlooker: None, actions, journal, counters, guards, observer, in_hand, permit, budget }
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

    /// Returns a delivery per action and resource, unless the action's condition is false.
    fn deliveries<'r>(
        &self,
        rule: &'r Rule,
        arrival: Arrival<'_>,
        names: &Names,
        noted: &PartKeys,
        parts: &Parts<'_>,
        failed: &mut Vec<(&'r Rule, RuleMismatch)>,
    ) -> Vec<NewDelivery> {
        let (notification, received) = (names.notification(), arrival.received);
        let limit = rule.max_event_age;
        let age = limit.and_then(|_| EventAge::from_notification(notification, received.origin.received));
        let too_old = age.and_then(|age| age.exceeds(limit));
        let is_retried = received.noted.marks.as_deref().and_then(RetriedDelivery::from_marks).is_some();
        let mut deliveries = Vec::new();
        let noted: HashMap<_, _> = noted.iter().map(|(part, key)| (*part, key)).collect();
        let time = notification.timestamp.as_deref().filter(|_| rule.order_by_event_time && !is_retried);
        let time = time.and_then(|time| Timestamp::parse(time).ok());
        for (resource, key) in parts.with_keys(rule, names) {
            let named = narrowed(rule, names, parts, resource);
            let timed = time.zip(key.as_deref()).map(|(time, key)| TimedEvent {
                rule: &rule.name,
                key,
                time,
                message: parts.message(received),
            });
            // What comes again may have come before the newer event.
            let judged = timed.filter(|_| !received.origin.redelivered);
            let overtaken = judged.and_then(|event| self.guards.order().overtaken(event));
            let before = deliveries.len();
            for action in &rule.actions {
                let watched = rule.key == KeySource::Resource && self.observer_of(action).is_some();
                let known = noted.get(&resource).filter(|_| watched);
                let key = known.map_or_else(|| key.clone(), |key| Some((*key).clone()));
                let (name, to) = (&*rule.name, &**action);
                let mut instead = None;
                let begin = match (rule.asks(action, &named), rule.mode) {
                    (Err(mismatch @ (WhenMismatch::False(_) | WhenMismatch::Lacks { .. })), _) => {
                        tracing::debug!(rule.name = name, action.name = to, %mismatch, "the condition of the action is false");
                        failed.push((rule, RuleMismatch::When(mismatch)));
                        continue;
                    }
                    (Err(mismatch @ WhenMismatch::Undecided(_)), Mode::Live) => {
                        let why = format!("action {action}: {mismatch}");
                        instead = fallback_delivery(rule, action, &why, &named, key.as_deref(), resource);
                        Begin::Dead(why)
                    }
                    (Err(mismatch @ WhenMismatch::Undecided(_)), Mode::Shadow) => {
                        tracing::error!(
                            rule.name = name,
                            action.name = to,
                            mismatch = mismatch.to_string(),
                            "a rule in shadow cannot be decided"
                        );
                        continue;
                    }
                    (Ok(()), Mode::Shadow) => Begin::Shadow,
                    // The operator's decision overrides guards and age, and no guard counts it.
                    (Ok(()), Mode::Live) if is_retried => Begin::Live,
                    (Ok(()), Mode::Live) => match too_old.as_ref().or(overtaken.as_ref()) {
                        Some(why) => Begin::TooOld(why.clone()),
                        None => self.guarded(rule, action, key.as_deref(), resource, arrival, parts),
                    },
                };
                deliveries.push(NewDelivery {
                    rule: rule.name.clone(),
                    action: action.clone(),
                    key,
                    resource,
                    ordered: !rule.unordered.contains(action),
                    enriched: None,
                    begin,
                    subject: Subject::default(),
                    letter: None,
                });
                deliveries.extend(instead);
            }
            if let Some(event) = timed.filter(|_| deliveries[before..].iter().any(|new| new.begin.is_open()))
            {
                self.guards.order().note(event);
            }
        }
        once_each(deliveries)
    }

    fn guarded(
        &self,
        rule: &Rule,
        action: &str,
        key: Option<&str>,
        resource: Option<u32>,
        arrival: Arrival<'_>,
        parts: &Parts<'_>,
    ) -> Begin {
        let Arrival { received, is_back } = arrival;
        // Guards have decided when the message first came.
        if is_back || self.guards.longest().is_none() {
            return Begin::Live;
        }
        let own;
        let key = match key {
            Some(key) => key,
            None => {
                own = format!("{}#{}", parts.message(received), resource.unwrap_or_default());
                &own
            }
        };
        self.guards
            .verdict(&rule.name, action, key, received.origin.received)
            .map_or(Begin::Live, Begin::Held)
    }

    fn append(
        &self,
        received: ReceivedMessage,
        notification: Arc<Notification>,
        deliveries: Vec<NewDelivery>,
        place: EntryPlace,
    ) -> Receipt {
        let entry = Entry { received: Arc::new(received), notification, deliveries };
        match place {
            EntryPlace::Reserved => self.with_permit(|places| self.journal.append(places.next(), entry)),
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
        let places = before.with_permit(std::mem::take);
        self.with_permit(|own| own.succeed(places));
    }

    fn begin(&self, before: Option<&Self>) {
        before.inspect(|before| self.rules.succeed(&before.rules));
        self.onlooker.as_ref().inspect(|onlooker| onlooker.begun(&self.rules));
    }

    fn with_permit<T>(&self, with: impl FnOnce(&mut PredecessorPlaces) -> T) -> T {
        with(&mut self.permit.lock().unwrap_or_else(PoisonError::into_inner))
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

/// A message, and whether the broker delivers it to this process for another time.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    received: &'a ReceivedMessage,
    is_back: bool,
}

impl Intake for RuleEngine {
    fn subscribed(&self, listener: &str) {
        self.journal.subscribed(listener);
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
            let have = self.with_permit(|places| places.count());
            let more = self.journal.reserve(&self.actions, at_most.saturating_sub(have));
            let more = if have == 0 {
                more.await
            } else if have < at_most {
                // Takes only free places, so that the last few do not make small batches.
                more.now_or_never().unwrap_or_default()
            } else {
                Permit::default()
            };
            self.with_permit(|places| {
                places.merge(more);
                places.count().min(at_most)
            })
        })
    }

    fn keep(&self, at_most: usize) {
        self.with_permit(|places| places.keep(at_most));
    }

    fn obstacle(&self) -> Option<Obstacle> {
        self.journal.obstacle(&self.actions)
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
    pub fn carry_out(&self, received: ReceivedMessage) -> Receipt {
        self.decide(received, EntryPlace::Without)
    }

    fn decide(&self, mut received: ReceivedMessage, place: EntryPlace) -> Receipt {
        let notification = match received.decode_within(&self.budget) {
            Ok(notification) => notification,
            // The head matched, but the rest is unreadable.
            Err(error) => return self.unreadable(received, error.to_string()),
        };
        let names = Names::from(notification);
        let decisions = self.rules.decide(&names);
        let notification = names.notification();
        let series = self.counters.series.listener(&received.origin.listener);
        let arrived = received.origin.received;
        let age = series.arrived(notification, arrived);
        // All waits count from the first arrival.
        let first = self.journal.first_arrival(&received, notification);
        received.origin.received = first.unwrap_or(arrived);
        let mut keys = PartKeys::new();
        let observer = decisions.decided.iter().find_map(|decided| match decided {
            RuleDecision::Fires(rule) => rule.actions.iter().find_map(|action| self.observer_of(action)),
            RuleDecision::Undecided(..) => None,
        });
        if let Some(observer) = observer {
            (received.noted, keys) = observer.note(&received, notification);
        }
        let parts = Parts::new(notification);
        let retried = received.noted.marks.clone();
        let retried = retried.as_deref().and_then(RetriedDelivery::from_marks);
        let rule_of_retried = retried.as_ref().and_then(|wanted| {
            decisions.decided.iter().find_map(|decided| match decided {
                RuleDecision::Fires(rule) | RuleDecision::Undecided(rule, _) => {
                    (*rule.name == *wanted.rule).then_some(*rule)
                }
            })
        });
        let streams = &self.counters.series.streams;
        let mut failed = decisions.failed;
        let mut deliveries: Vec<NewDelivery> = decisions
            .decided
            .into_iter()
            .flat_map(|decided| match decided {
                RuleDecision::Fires(rule) => {
                    streams.note(StreamKind::Rule, &rule.name, 1, arrived);
                    let arrival = Arrival { received: &received, is_back: first.is_some() };
                    let new = self.deliveries(rule, arrival, &names, &keys, &parts, &mut failed);
                    if let (Some(age), None, false) = (age, rule.max_event_age, received.origin.redelivered)
                        && new.iter().any(|new| new.begin.is_open())
                    {
                        series.ages.runs(age.age, arrived);
                    }
                    new
                }
                RuleDecision::Undecided(rule, why) => dead_letters(rule, &why, &names, &parts),
            })
            .collect();
        if let Some(wanted) = &retried {
            deliveries = vec![retried::retried(wanted, rule_of_retried, deliveries)];
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
}

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
