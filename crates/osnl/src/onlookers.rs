//! The observers of a listener's messages after the decision: the kept heads that no rule wanted, and live events.

use std::sync::Arc;

use osnl_model::{Budget, Head, Notification};
use osnl_transport::IncomingMessage;

use crate::intake::Onlooker;
use crate::journal::NewDelivery;
use crate::live::LiveEvents;
use crate::received::ReceivedMessage;
use crate::rule::{Rule, RuleMismatch, RuleSet};
use crate::unmatched::Ring;

/// The onlookers of a daemon's listener.
pub(crate) struct Onlookers {
    pub(crate) listener: Arc<str>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) live: Arc<LiveEvents>,
}

impl Onlooker for Onlookers {
    fn begun(&self, rules: &Arc<RuleSet>) {
        self.ring.watch(&self.listener, rules);
    }

    fn unwanted(&self, message: &IncomingMessage, listener: &Arc<str>, head: &Head<'_>, budget: &Budget) {
        self.ring.head(message, listener, head);
        self.live.unwanted(message, listener, head, budget);
    }

    fn unmatched(
        &self,
        received: &ReceivedMessage,
        notification: &Notification,
        failed: &[(&Rule, RuleMismatch)],
    ) {
        self.ring.event(received, notification, failed);
        self.live.unmatched(received, notification, failed);
    }

    fn matched(&self, received: &ReceivedMessage, notification: &Notification, deliveries: &[NewDelivery]) {
        self.live.matched(received, notification, deliveries);
    }
}

impl Onlooker for LiveEvents {
    fn begun(&self, _: &Arc<RuleSet>) {}

    fn unwanted(&self, message: &IncomingMessage, listener: &Arc<str>, head: &Head<'_>, budget: &Budget) {
        self.head(message, listener, head, budget);
    }

    fn unmatched(
        &self,
        received: &ReceivedMessage,
        notification: &Notification,
        _: &[(&Rule, RuleMismatch)],
    ) {
        self.event(received, notification, &[]);
    }

    fn matched(&self, received: &ReceivedMessage, notification: &Notification, deliveries: &[NewDelivery]) {
        self.event(received, notification, deliveries);
    }
}
