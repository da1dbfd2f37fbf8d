//! The log lines of k2hr3_osnl that monitoring may look for, under its logger's name and word for word.
//!
//! | a delivery ends as | logged as `k2hr3_osnl.endpoint` |
//! | --- | --- |
//! | delivered | INFO `NotificationResult.HANDLED <cuk>` |
//! | dead letter | ERROR `no sent. <cuk> error <reason>`, WARNING `handled <cuk>, even if an error occurred.`, INFO `NotificationResult.HANDLED <cuk>` |
//! | dead letter, about no host | ERROR `k2hr3 exception <reason>`, WARNING `handled the msg even if an error occurred.` |
//! | returned to the broker | WARNING `requeuing <cuk>`, INFO `NotificationResult.REQUEUE <cuk>` |
//!
//! Before its attempts, a request for every address of a host is WARNING `ips is empty`. Each line is written
//! once per message and not once per attempt: here an attempt that fails has lost nothing.
//!
//! It stands between the delivery loop and the journal, because only the two of them know how a delivery
//! ends; of the delivery it changes nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use osnl_transport::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::action::Event;
use crate::action::k2hr3::HostParameters;
use crate::enrich::Enriched;
use crate::journal::{
    Claimed, DeliveryId, End, Entry, Journal, JournalState, Learnt, Obstacle, Outcome, Paused, Permit,
    Receipt, Retry, Used,
};
use crate::received::Received;

/// The name of the logger.
const ENDPOINT: &str = "k2hr3_osnl.endpoint";

/// A journal whose deliveries' ends are logged in k2hr3_osnl's words. See the [module](self).
pub(super) struct WireLog {
    journal: Arc<dyn Journal>,
    /// The cuk of each claimed delivery, as the notification spells it; bounded by what may be claimed.
    claimed: Mutex<HashMap<DeliveryId, Option<String>>>,
}

impl WireLog {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal, claimed: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeliveryId, Option<String>>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, claimed: &Claimed) {
        let parameters = HostParameters::of(&claimed.event.payload()).ok();
        let is_first = claimed.used.made == 0;
        if is_first && parameters.as_ref().is_some_and(|parameters| parameters.addresses.is_empty()) {
            tracing::warn!(target: ENDPOINT, "ips is empty");
        }
        self.lock().insert(claimed.id, parameters.map(|parameters| parameters.cuk));
    }

    fn log_end(&self, delivery: DeliveryId, outcome: &Outcome) {
        let claimed = self.lock().remove(&delivery);
        if let Some(cuk) = claimed {
            log_end(outcome, cuk.as_deref());
        }
    }
}

/// The journal returns a message by itself.
pub(super) fn log_returned(event: &Event) {
    let parameters = HostParameters::of(&event.payload()).ok();
    log_end(&Outcome::Returned, parameters.as_ref().map(|parameters| parameters.cuk.as_str()));
}

fn log_end(outcome: &Outcome, cuk: Option<&str>) {
    match (outcome, cuk) {
        (Outcome::Delivered, Some(cuk)) => {
            tracing::info!(target: ENDPOINT, "NotificationResult.HANDLED {cuk}");
        }
        (Outcome::Dead(reason) | Outcome::DeadHoldingKey(reason), Some(cuk)) => {
            tracing::error!(target: ENDPOINT, "no sent. {cuk} error {reason}");
            tracing::warn!(target: ENDPOINT, "handled {cuk}, even if an error occurred.");
            tracing::info!(target: ENDPOINT, "NotificationResult.HANDLED {cuk}");
        }
        (Outcome::Dead(reason) | Outcome::DeadHoldingKey(reason), None) => {
            tracing::error!(target: ENDPOINT, "k2hr3 exception {reason}");
            tracing::warn!(target: ENDPOINT, "handled the msg even if an error occurred.");
        }
        (Outcome::Returned, Some(cuk)) => {
            tracing::warn!(target: ENDPOINT, "requeuing {cuk}");
            tracing::info!(target: ENDPOINT, "NotificationResult.REQUEUE {cuk}");
        }
        (Outcome::Returned, None) => tracing::warn!(target: ENDPOINT, "requeuing the msg"),
        // The loop's own line says why there is nothing to do.
        (Outcome::NothingToDo, _) | (Outcome::Delivered, None) => {}
    }
}

impl Journal for WireLog {
    fn claim<'a>(&'a self, action: &'a str, at_most: usize) -> BoxFuture<'a, Vec<Claimed>> {
        Box::pin(async move {
            let claimed = self.journal.claim(action, at_most).await;
            claimed.iter().for_each(|claimed| self.remember(claimed));
            claimed
        })
    }

    fn end(&self, delivery: DeliveryId, end: End) {
        self.log_end(delivery, &end.outcome);
        self.journal.end(delivery, end);
    }

    fn retry_at(&self, delivery: DeliveryId, retry: Retry) {
        // The next claim is of the same host, and says nothing twice.
        self.lock().remove(&delivery);
        self.journal.retry_at(delivery, retry);
    }

    fn next_due(&self, action: &str) -> Option<Instant> {
        self.journal.next_due(action)
    }

    fn due_now(&self, action: &str) {
        self.journal.due_now(action);
    }

    fn enriched(&self, delivery: DeliveryId, enriched: &Enriched, learnt: Learnt) -> BoxFuture<'static, ()> {
        self.journal.enriched(delivery, enriched, learnt)
    }

    fn known<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Option<String>> {
        self.journal.known(object)
    }

    fn retired(&self, action: &str) {
        self.journal.retired(action);
    }

    fn reserve<'a>(&'a self, actions: &'a [Arc<str>], at_most: usize) -> BoxFuture<'a, Permit> {
        self.journal.reserve(actions, at_most)
    }

    fn obstacle(&self, actions: &[Arc<str>]) -> Option<Obstacle> {
        self.journal.obstacle(actions)
    }

    fn append(&self, permit: &mut Permit, entry: Entry) -> Receipt {
        self.journal.append(permit, entry)
    }

    fn set_aside(&self, received: Received, reason: String) -> Receipt {
        self.journal.set_aside(received, reason)
    }

    fn attempted(&self, delivery: DeliveryId, used: Used, answer: &str) {
        self.journal.attempted(delivery, used, answer);
    }

    fn overdue(&self, action: &str) -> Vec<DeliveryId> {
        self.journal.overdue(action)
    }

    fn withdrawn(&self, action: &str) -> Vec<DeliveryId> {
        self.journal.withdrawn(action)
    }

    fn state(&self) -> watch::Receiver<JournalState> {
        self.journal.state()
    }

    fn paused(&self) -> watch::Receiver<Paused> {
        self.journal.paused()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.journal.close()
    }
}
