//! `chaos`: everything is killed and broken while events come, and what is lost is counted.

mod oracle;

use std::process::ExitCode;

use anyhow::Result;

/// Runs what `args` ask for.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    oracle::run(args)
}
