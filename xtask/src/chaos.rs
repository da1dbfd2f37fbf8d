//! `chaos`: what surrounds osnl is killed while it works, and then it is counted: every event has its effect.
//!
//! | kind | what happens |
//! | --- | --- |
//! | `--cluster` | three RabbitMQ nodes with a quorum queue; the leader is killed with SIGKILL, the lead is moved, the node that osnl is connected to is killed, both come back |
//!
//! Not part of the gate: it takes minutes and most of the machine. Each kind is a file; what they share, the daemon
//! under test, its target and the report, is [`stage`]. Everything that is started is ended by its process id, also
//! when this program is killed.

mod cluster;
mod stage;

use std::process::ExitCode;

use anyhow::Result;

/// Runs the kind that `args` name.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    match args {
        [kind] if kind == "--cluster" => cluster::run(),
        _ => {
            eprintln!("xtask chaos: say which kind: --cluster, not \"{}\"", args.join(" "));
            Ok(ExitCode::from(2))
        }
    }
}
