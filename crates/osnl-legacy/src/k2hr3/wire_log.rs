//! The log lines of k2hr3_osnl, word for word under its logger's name, for monitoring.
//!
//! | a delivery ends as | logged as `k2hr3_osnl.endpoint` |
//! | --- | --- |
//! | delivered | INFO `NotificationResult.HANDLED <cuk>` |
//! | dead letter | ERROR `no sent. <cuk> error <reason>`, WARNING `handled <cuk>, even if an error occurred.`, INFO `NotificationResult.HANDLED <cuk>` |
//! | dead letter, about no host | ERROR `k2hr3 exception <reason>`, WARNING `handled the msg even if an error occurred.` |
//! | returned to the broker | WARNING `requeuing <cuk>`, INFO `NotificationResult.REQUEUE <cuk>` |
//!
//! Before its attempts, a request for all addresses of a host logs WARNING `ips is empty`. Each
//! line is written once per message, not once per attempt, because a failed attempt loses nothing
//! here.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use osnl::actions::k2hr3::HostParameters;
use osnl_core::attempt::ActionError;
use osnl_core::event::Event;
use osnl_delivery::DeliveryObserver;
use osnl_journal::{ClaimedDelivery, DeliveryId, Outcome};

const ENDPOINT: &str = "k2hr3_osnl.endpoint";

pub(super) struct WireLog {
    /// By the delivery's number as operators write it.
    claimed: Mutex<HashMap<String, InWork>>,
    /// Whether the journal may return a delivery that waits for a retry, so that its host is kept.
    keeps_retried: bool,
}

struct InWork {
    is_first: bool,
    cuk: Option<String>,
}

impl WireLog {
    pub(super) fn new(keeps_retried: bool) -> Self {
        Self { claimed: Mutex::default(), keeps_retried }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, InWork>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the host that the action read, by a reader of the endpoint's own if it has one.
    pub(super) fn read(&self, event: &Event, host: Option<&HostParameters>) {
        let Some(delivery) = event.delivery.as_deref() else { return };
        let mut claimed = self.lock();
        let Some(in_work) = claimed.get_mut(delivery) else { return };
        let is_first = mem::take(&mut in_work.is_first);
        in_work.cuk = host.map(|host| host.cuk.clone());
        drop(claimed);
        if is_first && host.is_some_and(|host| host.addresses.is_empty()) {
            tracing::warn!(target: ENDPOINT, "ips is empty");
        }
    }

    /// Logs a return by the journal, with the host of the last attempt. Before the first attempt, only the
    /// payload names a host.
    pub(super) fn returned(&self, event: &Event) {
        let attempted = event.delivery.as_deref().and_then(|delivery| self.lock().remove(delivery));
        let cuk = attempted.map_or_else(|| host_of(event), |in_work| in_work.cuk);
        log_end(&Outcome::Returned, cuk.as_deref());
    }
}

fn host_of(event: &Event) -> Option<String> {
    HostParameters::from_payload(&event.payload()).ok().map(|parameters| parameters.cuk)
}

/// Logs the failure of a call from Python, which itself logs the result.
pub(super) fn log_failed_call(cuk: &str, error: &ActionError, requeue: bool) {
    if error.class.is_final() {
        return log_end(&Outcome::Dead(error.to_string()), None);
    }
    tracing::error!(target: ENDPOINT, "no sent. {cuk} error {error}");
    if requeue {
        tracing::warn!(target: ENDPOINT, "requeuing {cuk}");
    } else {
        tracing::warn!(target: ENDPOINT, "handled {cuk}, even if an error occurred.");
    }
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
        // The delivery loop logs why there is nothing to do.
        (Outcome::NothingToDo, _) | (Outcome::Delivered, None) => {}
    }
}

impl DeliveryObserver for WireLog {
    fn claimed(&self, claimed: &ClaimedDelivery) {
        let (id, is_first) = (claimed.id.to_string(), claimed.used.made == 0);
        if let Some(in_work) = self.lock().get_mut(&id) {
            in_work.is_first = is_first;
            return;
        }
        let cuk = host_of(&claimed.event);
        self.lock().insert(id, InWork { is_first, cuk });
    }

    fn retried(&self, delivery: DeliveryId) {
        if !self.keeps_retried {
            self.lock().remove(&delivery.to_string());
        }
    }

    fn ended(&self, delivery: DeliveryId, outcome: &Outcome) {
        let claimed = self.lock().remove(&delivery.to_string());
        if let Some(InWork { cuk, .. }) = claimed {
            log_end(outcome, cuk.as_deref());
        }
    }
}

#[cfg(test)]
mod tests;
