//! The subcommands, one module for each.

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
