//! The binary as its users run it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod command_line;
mod config;
mod crash;
mod daemon;
mod demo;
mod gap;
mod harness;
mod journal;
mod journalled;
mod logging;
mod logs;
mod names;
mod options;
mod oracle;
mod queues;
mod recorded_files;
mod refused;
mod send;
mod side_by_side;
mod signals;
mod storage;
mod systemd;
mod tap;
mod tap_usage;
mod tls;
