//! `chaos`: kills and breaks osnl and its surroundings under load, and then checks that every event has its effect.
//!
//! | kind | faults |
//! | --- | --- |
//! | `--cluster` | three RabbitMQ nodes with a quorum queue; the leader is killed with SIGKILL, the lead is moved, the node that osnl is connected to is killed, both come back |
//! | `--standby [--broker 4\|4.3] [--minutes N] [--seed S]` | two daemons without a journal of their own on a quorum queue of three nodes; daemons, nodes, both, and all nodes are killed, daemons fall silent, the target is away |
//! | `--shards [--broker 4\|4.3] [--minutes N] [--seed S]` | the same with a splitter and four shards, each with a standby |
//! | `--outage [--broker 4\|4.3] [--minutes N] [--events N] [--alone] [--sqlite]` | the target is away for much longer than the broker's consumer time-out, while tens of thousands of messages wait |
//! | `[--minutes N] [--seed S] [--alone] [--plain] [--upstream]` | two daemons, broker and target are killed at random moments, the target fails, hangs, resets and answers garbage, and an operator reloads, pauses, renames the queue, retries, discards, releases |
//!
//! The gate leaves `chaos` out, because a run takes minutes and most of the machine.

mod cluster;
mod oracle;
mod stage;
mod standby;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    match args {
        [kind] if kind == "--cluster" => cluster::run(),
        [kind, rest @ ..] if ["--standby", "--shards", "--outage"].contains(&kind.as_str()) => {
            standby::run(kind, rest)
        }
        _ => oracle::run(args),
    }
}

fn program(option: &str, path: Option<&String>) -> Result<PathBuf> {
    let path = path.with_context(|| format!("{option} needs the path of a program"))?;
    std::fs::canonicalize(path).with_context(|| format!("{option} {path}"))
}
