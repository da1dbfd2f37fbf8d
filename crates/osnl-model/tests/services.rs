//! What is read from, hidden in and known about the recorded notifications of thirteen services.

#![expect(clippy::unwrap_used, reason = "a test's helper: what is not there fails the test")]

#[path = "services/catalogue.rs"]
mod catalogue;
#[path = "services/facts.rs"]
mod facts;
#[path = "services/masking.rs"]
mod masking;
#[path = "services/recorded.rs"]
mod recorded;
#[path = "services/typed.rs"]
mod typed;
