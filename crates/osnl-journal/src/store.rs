//! Parts that durable stores share: the claimable deliveries in memory, the admission of entries, the clock
//! of due times, the numbers of lanes, and the shares of the quarantine.

pub mod claimable;
pub mod clock;
pub mod digest;
pub mod gate;
pub mod messages;
pub mod shares;
pub mod weight;

use osnl_core::metrics::Counters;

use crate::Outcome;

pub fn count(outcome: &Outcome, counters: &Counters) {
    match outcome {
        Outcome::Delivered => counters.delivered.increment(),
        Outcome::NothingToDo => counters.no_action_needed.increment(),
        Outcome::Dead(_) | Outcome::DeadHoldingKey(_) => counters.dead.increment(),
        // The delivery stays in the journal.
        Outcome::Returned => {}
    }
}
