//! Where the listener hands messages over: oslo.messaging's endpoint, and the rule engine as the one
//! that the daemon uses.

use std::sync::{Arc, Mutex, PoisonError};

use osnl_model::{Head, resource_key};
use osnl_transport::BoxFuture;

use crate::journal::{Entry, Journal, NewDelivery, Permit, Receipt, Settle};
use crate::metrics::Counters;
use crate::received::Received;
use crate::rule::Rule;

/// Takes the messages of one listener.
pub trait Endpoint: Send + Sync {
    /// Waits until a message could be kept; answers how many, at most `at_most`, may be read from
    /// the broker. Nothing is read that could not be kept.
    fn reserve(&self, at_most: usize) -> BoxFuture<'_, usize> {
        Box::pin(std::future::ready(at_most))
    }

    /// Whether a message with this head is wanted, decided before its payload is read.
    fn wants(&self, head: &Head<'_>) -> bool;

    /// Takes a wanted message. Called in the order of arrival; must not wait, the receipt does.
    fn notify(&self, received: Received) -> Receipt;

    /// Takes a message whose head cannot be read.
    fn unreadable(&self, received: Received, reason: String) -> Receipt;
}

/// The rule engine: wants what any rule's head predicates want, and appends what fires to the journal.
pub struct RuleEngine {
    rules: Vec<Rule>,
    journal: Arc<dyn Journal>,
    counters: Arc<Counters>,
    /// Places reserved for what is about to be read.
    permit: Mutex<Permit>,
}

impl RuleEngine {
    /// An engine for one listener.
    #[must_use]
    pub fn new(rules: Vec<Rule>, journal: Arc<dyn Journal>, counters: Arc<Counters>) -> Self {
        Self { rules, journal, counters, permit: Mutex::default() }
    }

    fn with_permit<T>(&self, with: impl FnOnce(&mut Permit) -> T) -> T {
        with(&mut self.permit.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Endpoint for RuleEngine {
    fn reserve(&self, at_most: usize) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            let have = self.with_permit(|permit| permit.places());
            if have > 0 {
                return have.min(at_most);
            }
            let more = self.journal.reserve(at_most).await;
            self.with_permit(|permit| {
                permit.merge(more);
                permit.places().min(at_most)
            })
        })
    }

    fn wants(&self, head: &Head<'_>) -> bool {
        self.rules.iter().any(|rule| rule.wants(head))
    }

    fn notify(&self, received: Received) -> Receipt {
        let notification = match received.decode() {
            Ok(notification) => notification,
            // Wanted by its head, but the rest cannot be read.
            Err(error) => return self.unreadable(received, error.to_string()),
        };
        let key = resource_key(&notification);
        let deliveries: Vec<NewDelivery> = self
            .rules
            .iter()
            .filter(|rule| match rule.fires(&notification) {
                Ok(()) => true,
                Err(mismatch) => {
                    tracing::debug!(rule.name = &*rule.name, "did not fire: {mismatch}");
                    false
                }
            })
            .flat_map(|rule| rule.actions.iter().map(move |action| (rule, action)))
            .map(|(rule, action)| NewDelivery {
                rule: rule.name.clone(),
                action: action.clone(),
                key: key.clone(),
            })
            .collect();
        if deliveries.is_empty() {
            self.counters.unmatched.increment();
            return Receipt::complete(Settle::Acknowledge);
        }
        self.counters.matched.increment();
        let entry = Entry { received: Arc::new(received), notification: Arc::new(notification), deliveries };
        self.with_permit(|permit| self.journal.append(permit, entry))
    }

    fn unreadable(&self, received: Received, reason: String) -> Receipt {
        self.journal.set_aside(received, reason)
    }
}
