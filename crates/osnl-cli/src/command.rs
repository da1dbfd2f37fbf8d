//! The commands, one file for each.
//!
//! A new command is a module here, a variant of `Command` in `main.rs`, and a row of `tests/cli/manners/samples.rs`.
//! Manual page and `docs/reference/commands` are made of its help by `cargo xtask docs`.

pub(crate) mod actions;
mod asking;
pub(crate) mod check;
pub(crate) mod config;
mod confirm;
pub(crate) mod deliveries;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod journal;
pub(crate) mod k2hr3_osnl;
pub(crate) mod man;
pub(crate) mod oss_watcher;
mod progress;
pub(crate) mod quarantine;
pub(crate) mod queues;
pub(crate) mod reload;
pub(crate) mod replay;
pub(crate) mod run;
mod saved_events;
pub(crate) mod send;
mod sources;
pub(crate) mod status;
mod table;
pub(crate) mod tap;
pub(crate) mod test;
mod url;
