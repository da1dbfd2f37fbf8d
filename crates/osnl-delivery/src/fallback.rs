//! The delivery loop knows the current settings, and the journal makes the end and the new delivery in one step.
//! `failure` is stored with the enrichments, so that each attempt sends the same.

use std::sync::Arc;

use jiff::Timestamp;
use osnl_core::epoch;
use osnl_core::event::{EnrichedValues, FAILURE};
use osnl_core::fallback::Fallback;
use osnl_journal::Handover;
use serde_json::{Value, json};

/// The facts about a delivery that is given up, for the templates of the action of `on_failure`.
#[derive(Clone, Copy, Debug)]
pub struct AbandonedDelivery<'a> {
    pub action: &'a str,
    pub reason: &'a str,
    pub attempts: u32,
    pub answer: &'a str,
}

impl AbandonedDelivery<'_> {
    pub fn handover(self, to: &Fallback, before: Option<&Value>) -> Handover {
        Handover { action: to.action.clone(), ordered: to.ordered, enriched: Some(self.failure(before)) }
    }

    fn failure(self, before: Option<&Value>) -> Arc<EnrichedValues> {
        let Self { action, reason, attempts, answer } = self;
        let at = Timestamp::try_from(epoch::now()).map(|at| at.to_string()).unwrap_or_default();
        let failure = json!({
            "action": action, "reason": reason, "attempts": attempts, "answer": answer, "at": at,
            "before": before,
        });
        Arc::new(EnrichedValues::from([(FAILURE.to_owned(), failure)]))
    }
}
