//! Time as it is comparable between the processes of a run.

use std::time::{Duration, SystemTime};

use anyhow::Result;

/// Nanoseconds since the epoch; comparable between processes of one machine.
pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Keeps the process, and what it has used so far readable, until the program that started it is done with it.
pub(crate) fn wait_for_end_of_input() -> Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Prints when something began that has ended now.
pub(crate) fn print_span(took: Duration) {
    let last = now();
    println!("{} {last}", last - took.as_nanos());
}
