//! The consequences of an attempt, written to the log and to the journal.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use osnl_core::attempt::{Completion, ErrorClass, LONGEST_ANSWER, TARGET_HELD};
use osnl_core::epoch;
use osnl_core::event::Event;
use osnl_journal::{ClaimedDelivery, DeliveryId, End};
use osnl_model::cut;
use osnl_transport::Remedy;
use tokio::time::Instant;

use super::published::LastFailure;
use super::schedule::{EndedDelivery, RetriedDelivery, WaitReason};
use super::{AbandonedDelivery, BreakerState, DeliveryLoop};

const REMIND: Duration = Duration::from_secs(60);

impl DeliveryLoop {
    /// Logs and counts the end of a delivery, then ends its claim.
    pub(super) fn record_end(&mut self, ended: EndedDelivery) {
        let EndedDelivery { claimed, outcome, last, used } = ended;
        let ClaimedDelivery { id, key, event, used: before, .. } = claimed;
        let sent = self.sent.remove(&id);
        let took = sent.as_ref().map(|sent| sent.took);
        let (action, rule, message) = (&*self.name, &*event.rule, message_id(&event));
        let resource = key.as_deref().unwrap_or("-");
        let (mut done, mut cause, mut remedy) = (String::new(), None, None);
        let mut answer = String::new();
        if let Some(Ok(done)) = &last {
            self.series.backlog.ended.increment();
            self.series.done(done, &event.notification, id.0);
        }
        match last {
            Some(Ok(Completion::Delivered(what))) => {
                // The used limits of a success do not include this attempt.
                tracing::info!(
                    action.name = action,
                    delivery.id = %id,
                    rule.name = rule,
                    resource.id = resource,
                    attempt = used.made + 1,
                    message.id = message,
                    done = what.as_str(),
                    "delivered"
                );
                done = what;
            }
            Some(Ok(Completion::NothingToDo(why))) => {
                tracing::info!(
                    action.name = action,
                    delivery.id = %id,
                    rule.name = rule,
                    resource.id = resource,
                    message.id = message,
                    reason = why.as_str(),
                    "no action needed"
                );
                done = why;
            }
            Some(Err(error)) => {
                answer = error.to_string();
                cause = Some(error.cause());
                remedy = error.remedy();
                // What a limit ends while it waits for a host of its event has made no attempt.
                if used.made > before.made || error.class == ErrorClass::Dependency {
                    self.record_failure(&answer, remedy.clone(), Some(error.class));
                    self.journal.attempted(id, used, &answer);
                }
                if let Some(sent) = sent {
                    self.journal.sent(id, used.made, sent);
                }
            }
            None => (answer, cause) = (self.last_answer(), Some(TARGET_HELD.to_owned())),
        }
        if let Some(reason) = outcome.given_up() {
            self.series.backlog.ended.increment();
            self.series.dead.increment();
            tracing::error!(
                action.name = action,
                delivery.id = %id,
                rule.name = rule,
                resource.id = resource,
                attempt = used.made,
                message.id = message,
                reason,
                remedy = remedy.as_deref(),
                "given up: dead letter"
            );
        }
        let end = End::from(outcome).caused_by(cause).after(took);
        self.end_or_hand_over(id, &event, end, &done, used.attempts, &answer);
    }

    /// Logs and counts a failed attempt or a wait, then gives the delivery back to the journal until its retry is due.
    pub(super) fn record_retry(&mut self, retried: RetriedDelivery) {
        self.log_retry(&retried);
        let RetriedDelivery { claimed: ClaimedDelivery { id, .. }, mut retry, reason, remedy, class, .. } =
            retried;
        let sent = self.sent.remove(&id).filter(|_| !retry.answer.is_empty());
        let (error, attempt) = (retry.answer.as_str(), retry.used.made);
        match reason {
            WaitReason::Failed | WaitReason::TargetDown => self.record_failure(error, remedy, class),
            WaitReason::Dependency => self.counters.failures.increment(),
            WaitReason::Crowded => {}
        }
        if let Some(observer) = &self.observer {
            observer.retried(id);
        }
        if let Some(sent) = sent {
            // The record of an attempt belongs to its claim, which `retry_at` ends.
            self.journal.attempted(id, retry.used, &retry.answer);
            self.journal.sent(id, attempt, sent);
            retry.answer.clear();
        }
        self.journal.retry_at(id, retry);
    }

    fn log_retry(&self, retried: &RetriedDelivery) {
        let RetriedDelivery { claimed, retry, pause, reason, remedy, class: _ } = retried;
        let ClaimedDelivery { id, key, event, .. } = claimed;
        let (action, rule, message) = (&*self.name, &*event.rule, message_id(event));
        let (error, attempt, remedy) = (retry.answer.as_str(), retry.used.made, remedy.as_deref());
        let resource = key.as_deref().unwrap_or("-");
        let pause = format!("{:.1} s", pause.as_secs_f64());
        match reason {
            WaitReason::Failed => {
                tracing::warn!(
                    action.name = action,
                    delivery.id = %id,
                    rule.name = rule,
                    resource.id = resource,
                    attempt,
                    message.id = message,
                    error,
                    remedy,
                    next_attempt_in = pause.as_str(),
                    "attempt failed, retrying"
                );
            }
            WaitReason::TargetDown => tracing::debug!(
                action.name = action,
                delivery.id = %id,
                attempt,
                message.id = message,
                error,
                "attempt failed, target down"
            ),
            WaitReason::Dependency => tracing::debug!(
                action.name = action,
                delivery.id = %id,
                message.id = message,
                error,
                "a dependency is down, waiting"
            ),
            WaitReason::Crowded => tracing::debug!(
                action.name = action,
                delivery.id = %id,
                message.id = message,
                "the host is busy or down, waiting"
            ),
        }
    }

    pub(super) fn record_apart(&self, id: DeliveryId, error: &str) {
        self.record_failure(error, None, None);
        tracing::warn!(
            action.name = &*self.name,
            delivery.id = %id,
            error,
            "a batch was refused, trying alone"
        );
    }

    pub(super) fn record_failure(&self, error: &str, remedy: Option<Remedy>, class: Option<ErrorClass>) {
        self.counters.failures.increment();
        // A failed dependency proves nothing about the target.
        if class != Some(ErrorClass::Dependency) {
            let answer = cut(error, LONGEST_ANSWER).to_owned();
            *self.gauges.failure.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(LastFailure { at: epoch::now(), answer, remedy, class });
        }
    }

    fn last_answer(&self) -> String {
        let failure = self.gauges.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.map_or(String::new(), |failure| failure.answer)
    }

    /// Logs that the breaker has opened: the target, or a host that an event names, is down.
    pub(super) fn log_opened(
        &self,
        host: Option<Arc<str>>,
        error: &str,
        remedy: Option<&str>,
        pause: Duration,
    ) {
        match host {
            None => tracing::warn!(
                action.name = &*self.name,
                target.address = self.action.target(),
                error,
                remedy,
                next_attempt_in = format!("{:.1} s", pause.as_secs_f64()),
                "the target is down; nothing is lost"
            ),
            Some(host) => tracing::warn!(
                action.name = &*self.name,
                target.host = %host.escape_debug(),
                error,
                remedy,
                next_attempt_in = format!("{:.1} s", pause.as_secs_f64()),
                "a host that an event names is down, the others are not"
            ),
        }
    }

    pub(super) fn log_closed(&self, host: Option<Arc<str>>) {
        match host {
            None => {
                tracing::info!(
                    action.name = &*self.name,
                    target.address = self.action.target(),
                    "the target answers again"
                );
            }
            Some(host) => tracing::info!(
                action.name = &*self.name,
                target.host = %host.escape_debug(),
                "a host that an event names answers again"
            ),
        }
    }

    pub(super) fn log_left(&self) {
        tracing::info!(
            action.name = &*self.name,
            "the target that was down is no longer called: the events name the hosts now"
        );
    }

    pub(super) fn log_dependency_down(&self, dependency: &str, error: &str) {
        tracing::warn!(
            action.name = &*self.name,
            dependency,
            error,
            remedy = "osnl check --connect tries it step by step",
            "a dependency is down: deliveries that need it wait, the others continue"
        );
    }

    pub(super) fn log_dependency_answers(&self, dependency: &str) {
        tracing::info!(action.name = &*self.name, dependency = dependency, "a dependency answers again");
    }

    /// Ends a delivery. The fallback receives a delivery that is given up, with the number of attempts and the last
    /// answer.
    fn end_or_hand_over(
        &self,
        id: DeliveryId,
        event: &Event,
        end: End,
        done: &str,
        attempts: u32,
        answer: &str,
    ) {
        let reason = end.outcome.given_up().map(str::to_owned);
        let fallback = self.fallback.as_ref().filter(|fallback| reason.is_some() && fallback.takes(event));
        let end = match (fallback, reason) {
            (Some(fallback), Some(reason)) => {
                tracing::warn!(
                    action.name = &*self.name,
                    delivery.id = %id,
                    rule.name = &*event.rule,
                    message.id = message_id(event),
                    on_failure = &*fallback.action,
                    "handed to the action of on_failure"
                );
                let given_up = AbandonedDelivery { action: &self.name, reason: &reason, attempts, answer };
                end.handed_to(given_up.handover(fallback, event.failure()))
            }
            (None, _) | (_, None) => end.saying(done),
        };
        self.end_claim(id, end);
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
                target.address = self.action.target(),
                down_for = format!("{} s", (now - since).as_secs()),
                deliveries = self.course.schedule.claimed(),
                "the target is still down; nothing is lost"
            );
        }
    }
}

fn message_id(event: &Event) -> &str {
    event.notification.message_id.as_deref().unwrap_or("-")
}
