//! The values that are read from the recorded notifications of thirteen services.

mod facts;
#[path = "../../../../crates/osnl-model/tests/it/services/recorded.rs"]
mod recorded;
mod typed;
