//! Parts that durable stores share: the claimable deliveries in memory, the admission of entries, the
//! numbers of lanes, and the shares of the quarantine.

pub(crate) mod claimable;
pub(crate) mod digest;
pub(crate) mod gate;
pub(crate) mod messages;
pub(crate) mod shares;
pub(crate) mod weight;

use osnl_core::metrics::Counters;

use crate::Outcome;

pub(crate) fn count(outcome: &Outcome, counters: &Counters) {
    match outcome {
        Outcome::Delivered => counters.delivered.increment(),
        Outcome::NothingToDo => counters.no_action_needed.increment(),
        Outcome::Dead(_) | Outcome::DeadHoldingKey(_) => counters.dead.increment(),
        // The delivery stays in the journal.
        Outcome::Returned => {}
    }
}
