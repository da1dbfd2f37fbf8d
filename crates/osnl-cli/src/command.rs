//! The subcommands, one a file.

pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod demo;
mod events;
pub(crate) mod explain;
pub(crate) mod k2hr3_osnl;
pub(crate) mod man;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod send;
mod sources;
pub(crate) mod tap;
