mod facts;
#[path = "../../../../crates/osnl-model/tests/it/services/recorded.rs"]
mod recorded;
mod typed;
