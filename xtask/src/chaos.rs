//! `chaos`: what surrounds osnl, and osnl itself, is killed and broken while events come, and then it is counted:
//! every event has its effect.
//!
//! | kind | what happens |
//! | --- | --- |
//! | `--cluster` | three RabbitMQ nodes with a quorum queue; the leader is killed with SIGKILL, the lead is moved, the node that osnl is connected to is killed, both come back |
//! | `--shared [--minutes N] [--seed S] [--other PATH]` | four daemons on a PostgreSQL with a synchronous standby are killed, stopped, cut off, and get other clocks and versions; the database fails over, is full, slow, read-only, and loses answers of COMMIT; broker and target break |
//! | `[--minutes N] [--seed S] [--alone] [--plain] [--upstream]` | two daemons, broker and target are killed at random moments, the target fails, hangs, resets and answers garbage, and an operator reloads, pauses, renames the queue, retries, discards, releases |
//!
//! Not part of the gate: it takes minutes and most of the machine. Each kind is a file. Everything that is started is
//! ended by its process id, also when this program is killed.

mod cluster;
mod oracle;
mod shared;
mod stage;

use std::process::ExitCode;

use anyhow::Result;

/// Runs the kind that `args` name.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    match args {
        [kind] if kind == "--cluster" => cluster::run(),
        [kind, rest @ ..] if kind == "--shared" => shared::run(rest),
        _ => oracle::run(args),
    }
}
