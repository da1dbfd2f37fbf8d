//! The programs that `cargo xtask bench` runs beside osnl, in processes of their own so that osnl's cost excludes
//! theirs.
//!
//! | command | action | output |
//! | --- | --- | --- |
//! | `raw URL COUNT` | consumes and acknowledges: the price of the client library | `FIRST LAST` after `COUNT` messages |
//! | `post URL PORT` | consumes, posts each message to the target at `PORT`, and then acknowledges it | nothing |
//! | `fill URL COUNT EVERY SIZE` | publishes as fast as it can; each `EVERY`th message matches, the others have `SIZE` bytes | nothing |
//! | `pace URL RATE COUNT FROM` | publishes matching messages at `RATE` per second, numbered from `FROM` on | `NUMBER:TIME …` |
//! | `confirm URL,… RATE COUNT` | publishes matching messages at `RATE` per second, each until a broker has confirmed it | the numbers that were sent more than once |
//! | `append FILE COUNT KEYS SIZE` | appends to a journal; `SIZE` 0 is as recorded | `FIRST LAST` |
//! | `soak URL RATE SECONDS LARGEST SEED HUGE` | publishes matching messages at `RATE` per second and a hostile one for each ten, then `HUGE` of 128 MiB | `NUMBER:TIME …` of the matching ones, then `HOSTILE BYTES` |
//! | `history FILE COUNT DEAD` | a journal with a long history | nothing |
//! | `shards URL SHARDS` | declares the exchange and the queues of shards | nothing |
//! | `split URL COUNT SHARDS` | passes messages on to the shards, each confirmed: the price of a splitter by the client library | `FIRST LAST` after `COUNT` messages |
//! | `sync FILE COUNT` | writes and syncs the size of a small commit | `NUMBER:NANOSECONDS …` |
//! | `sink` | an HTTP target that answers 204 | its port; then answers on standard input, see [`sink`] |
//!
//! Times are nanoseconds since the epoch of Unix. `raw`, `post`, `split`, and `sink` run until their standard input ends.
#![expect(clippy::print_stdout, reason = "a command line tool: its output is its purpose")]

mod clock;
mod confirm;
mod history;
mod journal;
mod messages;
mod post;
mod publish;
mod queue;
mod raw;
mod sink;
mod soak;
mod split;

use anyhow::{Context as _, Result, bail};

/// The allocator of `osnl`, so that benchmarks of its parts and of bare clients measure the same allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["raw", url, count] => block_on(raw::run(url, number(count)?)),
        ["post", url, port] => block_on(post::run(url, port.parse().context("PORT")?)),
        ["fill", url, count, every, size] => {
            block_on(publish::fill(url, number(count)?, number(every)?, number(size)?))
        }
        ["pace", url, rate, count, from] => {
            block_on(publish::pace(url, number(rate)?, number(count)?, number(from)?))
        }
        ["confirm", urls, rate, count] => block_on(confirm::run(urls, number(rate)?, number(count)?)),
        ["soak", url, rate, seconds, largest, seed, huge] => {
            let [rate, seconds, largest, seed] =
                [number(rate)?, number(seconds)?, number(largest)?, number(seed)?];
            // No huge message is a run too.
            block_on(soak::run(url, [rate, seconds, largest, seed, huge.parse().context("HUGE")?]))
        }
        ["history", file, count, dead] => block_on(history::run(file, number(count)?, number(dead)?)),
        ["append", file, count, keys, size] => {
            let size = size.parse().context("SIZE")?;
            block_on(journal::append(file, number(count)?, number(keys)?, size))
        }
        ["shards", url, shards] => block_on(split::declare(url, number(shards)?)),
        ["split", url, count, shards] => block_on(split::run(url, number(count)?, number(shards)?)),
        ["sync", file, count] => journal::sync(file, number(count)?),
        ["sink"] => sink::run(),
        _ => bail!(
            "usage: osnl-bench raw URL COUNT | post URL PORT | fill URL COUNT EVERY SIZE | pace URL RATE COUNT FROM | \
             confirm URL,… RATE COUNT | soak URL RATE SECONDS LARGEST SEED HUGE | history FILE COUNT DEAD | \
             append FILE COUNT KEYS SIZE | shards URL SHARDS | split URL COUNT SHARDS | sync FILE COUNT | sink"
        ),
    }
}

fn block_on(future: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

fn number(text: &str) -> Result<u64> {
    text.parse().ok().filter(|number| *number > 0).with_context(|| format!("\"{text}\" is no number above 0"))
}
