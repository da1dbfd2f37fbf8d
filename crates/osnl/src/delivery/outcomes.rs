//! What follows from an attempt, said in the log and written down in the journal.

use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::schedule::Step;
use super::{BreakerState, DeliveryLoop, GivenUp};
use crate::action::{ActionError, Done, Event};
use crate::journal::{DeliveryId, End, Outcome, Retry, Used};

/// How often the log repeats that a target is held.
const REMIND: Duration = Duration::from_secs(60);

impl DeliveryLoop {
    pub(super) fn attempted(&mut self, id: DeliveryId, event: &Event, result: Result<Done, ActionError>) {
        let message = event.notification.message_id.as_deref().unwrap_or("-");
        let action = &*self.name;
        let mut done = String::new();
        let failure = match &result {
            Ok(Done::Delivered(what)) => {
                tracing::info!(action.name = action, message.id = message, "delivered {what}");
                done.clone_from(what);
                None
            }
            Ok(Done::NothingToDo(why)) => {
                tracing::info!(action.name = action, message.id = message, "nothing to do: {why}");
                done.clone_from(why);
                None
            }
            Err(error) => {
                self.counters.failures.increment();
                *self.gauges.failure.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((SystemTime::now(), error.to_string()));
                let resource = self.schedule.key(id).unwrap_or("-").to_owned();
                Some((error.to_string(), resource))
            }
        };
        let used = self.schedule.used(id, Instant::now()).unwrap_or_default();
        for step in self.schedule.report(id, result, Instant::now()) {
            let attempts = used.attempts.saturating_add(1);
            let (error, resource) =
                failure.as_ref().map_or(("", "-"), |(error, resource)| (error.as_str(), resource.as_str()));
            match step {
                Step::End(id, outcome) => {
                    if let Outcome::Dead(reason) | Outcome::DeadHoldingKey(reason) = &outcome {
                        // The last attempt is part of the history too.
                        let last = Used {
                            attempts: used.attempts.saturating_add(1),
                            made: used.made.saturating_add(1),
                            ..used
                        };
                        self.journal.attempted(id, last, error);
                        tracing::error!(
                            action.name = action,
                            message.id = message,
                            resource.id = resource,
                            "given up, dead letter: {reason}"
                        );
                    }
                    self.end(id, event, outcome, &done, (attempts, error));
                }
                // Written down below, with what the target said.
                Step::Attempted(..) => {}
                Step::Waits(pause) => tracing::warn!(
                    action.name = action,
                    message.id = message,
                    resource.id = resource,
                    "{error}; next attempt in {:.1} s",
                    pause.as_secs_f64()
                ),
                Step::Held => tracing::debug!(action.name = action, message.id = message, "{error}; held"),
                Step::Opened(pause) => tracing::warn!(
                    action.name = action,
                    message.id = message,
                    "{} is held: {error}; nothing is lost, next try in {:.1} s",
                    self.action.target(),
                    pause.as_secs_f64()
                ),
                Step::Closed => {
                    tracing::info!(action.name = action, "{} answers again", self.action.target())
                }
            }
        }
        let now = Instant::now();
        if let (Some((error, _)), Some(used)) = (failure, self.schedule.used(id, now)) {
            match self.schedule.hand_back(id) {
                // It ages while it waits.
                Some(due) => {
                    let age = used.age + due.saturating_duration_since(now);
                    self.journal.retry_at(id, Retry { due, used: Used { age, ..used }, answer: error });
                }
                None => self.journal.attempted(id, used, &error),
            }
        }
    }

    pub(super) fn give_up_what_is_held_too_long(&mut self) {
        let answer = self.gauges.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = answer.map_or(String::new(), |(_, answer)| answer);
        for (id, event, outcome, attempts) in self.schedule.held_too_long(Instant::now()) {
            if let Outcome::Dead(reason) | Outcome::DeadHoldingKey(reason) = &outcome {
                tracing::error!(
                    action.name = &*self.name,
                    delivery = id.0,
                    "given up, dead letter: {reason}"
                );
            }
            self.end(id, &event, outcome, "", (attempts, &answer));
        }
    }

    /// What is given up is the fallback's from then on, with how often it was attempted and what was said last.
    fn end(
        &self,
        id: DeliveryId,
        event: &Event,
        outcome: Outcome,
        done: &str,
        (attempts, answer): (u32, &str),
    ) {
        let given_up = outcome.given_up().map(str::to_owned);
        let fallback = self.fallback.as_ref().filter(|fallback| given_up.is_some() && fallback.takes(event));
        match (fallback, given_up) {
            (Some(fallback), Some(reason)) => {
                tracing::warn!(
                    action.name = &*self.name,
                    message.id = event.notification.message_id.as_deref().unwrap_or("-"),
                    "handed to {}, its on_failure",
                    fallback.action
                );
                let given_up = GivenUp { action: &self.name, reason: &reason, attempts, answer };
                let handover = fallback.handover(given_up, event.failure());
                self.journal.end(id, End::from(outcome).handed_to(handover));
            }
            (None, _) | (_, None) => self.journal.end(id, End::from(outcome).saying(done)),
        }
    }

    /// Whoever is on call reads the last lines first.
    pub(super) fn remind(&mut self) {
        let now = Instant::now();
        if self.schedule.breaker() == BreakerState::Closed {
            self.held = None;
            return;
        }
        let (since, said) = *self.held.get_or_insert((now, now));
        if now - said >= REMIND {
            self.held = Some((since, now));
            tracing::warn!(
                action.name = &*self.name,
                deliveries = self.schedule.claimed(),
                "{} is still held, for {} s now; nothing is lost",
                self.action.target(),
                (now - since).as_secs()
            );
        }
    }
}
