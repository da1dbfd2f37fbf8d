//! The binary as its users run it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod book;
mod check_connect;
mod command_line;
mod config;
mod control;
mod crash;
mod daemon;
mod demo;
mod events;
mod explain;
mod gap;
mod harness;
mod journal;
mod journalled;
mod killed;
mod logging;
mod logs;
mod names;
mod options;
mod oracle;
mod queues;
mod rabbit_options;
mod recorded_files;
mod refused;
mod replay;
mod send;
mod side_by_side;
mod signals;
mod storage;
mod systemd;
mod tap;
mod tap_usage;
mod tap_view;
mod tls;
mod when;
