//! The consequences of an attempt, written to the log and to the journal.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use osnl_core::attempt::Done;
use osnl_core::event::Event;
use osnl_journal::{Claimed, DeliveryId, End};
use tokio::time::Instant;

use super::schedule::{Ended, Reason, Retried};
use super::{BreakerState, DeliveryLoop, GivenUp};

/// The interval at which the log repeats that a target is held.
const REMIND: Duration = Duration::from_secs(60);

impl DeliveryLoop {
    /// A delivery has ended.
    pub(super) fn ended(&self, ended: Ended) {
        let Ended { claimed: Claimed { id, key, event, .. }, outcome, last, used } = ended;
        let (action, message) = (&*self.name, message_id(&event));
        let (mut done, mut cause) = (String::new(), None);
        let mut answer = String::new();
        match last {
            Some(Ok(Done::Delivered(what))) => {
                tracing::info!(action.name = action, message.id = message, "delivered {what}");
                done = what;
            }
            Some(Ok(Done::NothingToDo(why))) => {
                tracing::info!(action.name = action, message.id = message, "nothing to do: {why}");
                done = why;
            }
            Some(Err(error)) => {
                answer = error.to_string();
                cause = Some(error.class.to_string());
                self.failed(&answer);
                // The last attempt is part of the history too.
                self.journal.attempted(id, used, &answer);
            }
            None => (answer, cause) = (self.last_answer(), Some("held".to_owned())),
        }
        if let Some(reason) = outcome.given_up() {
            tracing::error!(
                action.name = action,
                delivery = id.0,
                message.id = message,
                resource.id = key.as_deref().unwrap_or("-"),
                "given up, dead letter: {reason}"
            );
        }
        let end = End::from(outcome).caused_by(cause);
        self.end(id, &event, end, &done, (used.attempts, &answer));
    }

    /// A delivery waits in the journal.
    pub(super) fn retried(&self, retried: Retried) {
        let Retried { claimed: Claimed { id, key, event, .. }, retry, pause, reason } = retried;
        let (action, message, error) = (&*self.name, message_id(&event), retry.answer.as_str());
        match reason {
            Reason::Failed => tracing::warn!(
                action.name = action,
                message.id = message,
                resource.id = key.as_deref().unwrap_or("-"),
                "{error}; next attempt in {:.1} s",
                pause.as_secs_f64()
            ),
            Reason::Held => tracing::debug!(action.name = action, message.id = message, "{error}; held"),
            Reason::Dependency => {
                tracing::debug!(action.name = action, message.id = message, "{error}; waits for it")
            }
            Reason::Crowded => {
                tracing::debug!(action.name = action, message.id = message, "its host is busy or held")
            }
        }
        match reason {
            Reason::Failed | Reason::Held => self.failed(error),
            // It says nothing about the target.
            Reason::Dependency => self.counters.failures.increment(),
            Reason::Crowded => {}
        }
        if let Some(observer) = &self.observer {
            observer.retried(id);
        }
        self.journal.retry_at(id, retry);
    }

    /// A delivery of a digest that was refused for good.
    pub(super) fn apart(&self, id: DeliveryId, error: &str) {
        self.failed(error);
        tracing::warn!(action.name = &*self.name, delivery = id.0, "{error}; tried alone");
    }

    fn failed(&self, error: &str) {
        self.counters.failures.increment();
        *self.gauges.failure.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((SystemTime::now(), error.to_owned()));
    }

    fn last_answer(&self) -> String {
        let answer = self.gauges.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        answer.map_or(String::new(), |(_, answer)| answer)
    }

    pub(super) fn opened(&self, host: Option<Arc<str>>, error: &str, pause: Duration) {
        let target = self.action.target();
        match host {
            None => tracing::warn!(
                action.name = &*self.name,
                "{target} is held: {error}; nothing is lost, next try in {:.1} s",
                pause.as_secs_f64()
            ),
            Some(host) => tracing::warn!(
                action.name = &*self.name,
                target.host = %host.escape_debug(),
                "a host that an event names is held: {error}; the others are not, next try in {:.1} s",
                pause.as_secs_f64()
            ),
        }
    }

    pub(super) fn closed(&self, host: Option<Arc<str>>) {
        match host {
            None => tracing::info!(action.name = &*self.name, "{} answers again", self.action.target()),
            Some(host) => tracing::info!(
                action.name = &*self.name,
                target.host = %host.escape_debug(),
                "a host that an event names answers again"
            ),
        }
    }

    pub(super) fn down(&self, dependency: &str, error: &str) {
        tracing::warn!(
            action.name = &*self.name,
            dependency = dependency,
            "a dependency is down: deliveries that need it wait, the others go out: {error}"
        );
    }

    pub(super) fn answers(&self, dependency: &str) {
        tracing::info!(action.name = &*self.name, dependency = dependency, "a dependency answers again");
    }

    /// Ends a delivery. One that is given up goes to the fallback, with the number of attempts and the last answer.
    fn end(&self, id: DeliveryId, event: &Event, end: End, done: &str, (attempts, answer): (u32, &str)) {
        let reason = end.outcome.given_up().map(str::to_owned);
        let fallback = self.fallback.as_ref().filter(|fallback| reason.is_some() && fallback.takes(event));
        let end = match (fallback, reason) {
            (Some(fallback), Some(reason)) => {
                tracing::warn!(
                    action.name = &*self.name,
                    message.id = message_id(event),
                    "handed to {}, its on_failure",
                    fallback.action
                );
                let given_up = GivenUp { action: &self.name, reason: &reason, attempts, answer };
                end.handed_to(given_up.handover(fallback, event.failure()))
            }
            (None, _) | (_, None) => end.saying(done),
        };
        self.close(id, end);
    }

    /// Repeats that targets are held, since an operator on call reads the last lines first.
    pub(super) fn remind(&mut self) {
        let now = Instant::now();
        if self.course.schedule.breaker() == BreakerState::Closed {
            self.held = None;
            return;
        }
        let (since, said) = *self.held.get_or_insert((now, now));
        if now - said >= REMIND {
            self.held = Some((since, now));
            tracing::warn!(
                action.name = &*self.name,
                deliveries = self.course.schedule.claimed(),
                "{} is still held, for {} s now; nothing is lost",
                self.action.target(),
                (now - since).as_secs()
            );
        }
    }
}

fn message_id(event: &Event) -> &str {
    event.notification.message_id.as_deref().unwrap_or("-")
}
