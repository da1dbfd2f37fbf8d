//! Messages, events, rules, attempts, and outcomes: types and pure decisions.
//!
//! Nothing here connects, reads files, or sleeps. Imports of these modules end at `osnl_model`, `osnl_template`,
//! `osnl_config`, and the types of `osnl_http` and `osnl_transport`.

pub mod attempt;
pub mod ended;
pub mod event;
pub mod fallback;
pub mod metrics;
pub(crate) mod moment;
mod progress;
pub mod received;
pub mod rule;
