//! What `cargo xtask bench` runs beside osnl, as processes of their own so that their cost is not ours.
//!
//! | command | what it does | what it prints |
//! | --- | --- | --- |
//! | `raw URL COUNT` | consumes and acknowledges, nothing else: the price of the client library | `FIRST LAST` when it has seen `COUNT` |
//! | `fill URL COUNT EVERY SIZE` | publishes as fast as it can; each `EVERY`th message matches, the others have `SIZE` bytes | nothing |
//! | `pace URL RATE COUNT` | publishes matching messages at `RATE` per second | `NUMBER:TIME …` |
//! | `confirm URL,… RATE COUNT` | publishes matching messages at `RATE` per second, each until a broker has confirmed it | the numbers that were sent more than once |
//! | `versioned COUNT` | builds and writes a payload `COUNT` times in each round | the payload, then ways with nanoseconds, see [`versioned`] |
//! | `sink` | an HTTP target that answers 204 | its port; then answers on standard input, see [`sink`] |
//!
//! Times are nanoseconds since the epoch of Unix. `raw` and `sink` run until their standard input ends.
#![expect(clippy::print_stdout, reason = "a command line tool: its output is its purpose")]

mod confirm;
mod messages;
mod publish;
mod queue;
mod raw;
mod sink;
mod versioned;

use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["raw", url, count] => block_on(raw::run(url, number(count)?)),
        ["fill", url, count, every, size] => {
            block_on(publish::fill(url, number(count)?, number(every)?, number(size)?))
        }
        ["pace", url, rate, count] => block_on(publish::pace(url, number(rate)?, number(count)?)),
        ["confirm", urls, rate, count] => block_on(confirm::run(urls, number(rate)?, number(count)?)),
        ["versioned", count] => versioned::run(number(count)?),
        ["sink"] => sink::run(),
        _ => bail!(
            "usage: osnl-bench raw URL COUNT | fill URL COUNT EVERY SIZE | pace URL RATE COUNT | \
             confirm URL,… RATE COUNT | versioned COUNT | sink"
        ),
    }
}

/// One thread, as osnl has: see ARCHITECTURE.md.
fn block_on(future: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

fn number(text: &str) -> Result<u64> {
    text.parse().ok().filter(|number| *number > 0).with_context(|| format!("\"{text}\" is no number above 0"))
}

/// Nanoseconds since the epoch; comparable between processes of one machine.
fn now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Keeps the process, and what it has used so far readable, until whoever started it is done with it.
fn wait_for_end_of_input() -> Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
