#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod addresses;
mod book;
mod check_connect;
mod command_line;
mod config;
mod control;
mod crash;
mod daemon;
mod dead_letters;
mod declared;
mod demo;
mod doctor;
mod errors;
mod events;
mod explain;
mod faults;
mod first_hour;
mod gap;
mod harness;
mod history;
mod hostile_screens;
mod hung_daemon;
mod hung_parts;
mod incidents;
mod init;
mod journal;
mod journalled;
mod killed;
mod left_queue;
mod logging;
mod logs;
mod management;
mod manners;
mod monitoring;
mod names;
mod old_events;
mod options;
mod oracle;
mod oss_owner;
mod oss_watcher;
mod quarantine;
mod queues;
mod rabbit_options;
mod recorded_files;
mod refused;
mod reload;
mod reload_http;
mod reloading;
mod replay;
mod rights;
mod rotation;
mod rule_tests;
mod send;
mod served;
mod side_by_side;
mod signals;
mod snapshot;
mod storage;
mod structured_logs;
mod systemd;
mod tap;
mod tap_view;
mod tls;
mod trust;
mod upkeep;
mod verify;
mod when;

/// A folder for its user alone, as a daemon's is. Other folders would give warnings about files
/// readable by all.
fn private_folder() -> std::io::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir()
}
