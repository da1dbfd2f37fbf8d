use std::time::{Duration, SystemTime};

use anyhow::Result;

pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

pub(crate) fn wait_for_end_of_input() -> Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

pub(crate) fn print_span(took: Duration) {
    let last = now();
    println!("{} {last}", last - took.as_nanos());
}
