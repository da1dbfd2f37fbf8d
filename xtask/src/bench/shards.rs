//! A splitter and shards: requests per second of one, two, and four shards, and the splitter's CPU beside the client
//! library's.
//!
//! A shard makes few requests at once, so that a machine of two cores, which runs the broker and the target too, is not
//! the limit.

use std::time::Instant;

use anyhow::{Context as _, Result};
use osnl_testkit::wait_until;

use super::effort::{Effort, SECONDS, SIZE};
use super::process::Process;
use super::sections::spread;
use super::sink::Span;
use super::stage::{Queue, SOON, Stage, built};
use super::table::{Table, median};
use crate::step;

const SHARDS: [u64; 3] = [1, 2, 4];
const MOST: u64 = 4;
const LATENCY_MS: u64 = 20;
const AT_ONCE: u64 = 2;

pub(super) fn scaling(stage: &Stage, effort: Effort) -> Result<()> {
    let mut wanted = Table::new("(shards) wanted", &["", "found", "wanted"]);
    let mut row = |what: &str, found: f64, bound: &str| {
        wanted.row(&[what.to_owned(), format!("{found:.2}"), bound.to_owned()]);
    };
    row("rate of four shards, of that of one", rates(stage, effort)?, "at least 3.6");
    row("CPU of the splitter, of the raw client's", splitters(stage, effort)?, "at most 2");
    wanted.print();
    Ok(())
}

/// Returns the rate of four shards as a multiple of the rate of one.
fn rates(stage: &Stage, effort: Effort) -> Result<f64> {
    stage.sink().pause(LATENCY_MS)?;
    let title = format!(
        "(shards) answers take {LATENCY_MS} ms, each shard makes {AT_ONCE} requests at once, so that the machine is not the limit"
    );
    let mut table = Table::new(&title, &["shards", "requests", "limit, req/s", "req/s"]);
    let mut found = Vec::new();
    for shards in SHARDS {
        let limit = shards * AT_ONCE * 1000 / LATENCY_MS;
        let count = limit * effort.paced;
        let mut rates = Vec::new();
        for _ in 0..effort.rounds {
            let queue = prepared(stage, shards)?;
            // With a quarter more, no shard runs empty before the last counted request.
            queue.fill(count + count / 4, 1, SIZE)?;
            let daemons: Vec<Process> =
                (0..shards).map(|shard| start_shard(&queue, shard)).collect::<Result<_>>()?;
            let splitter = start_splitter(&queue, shards)?;
            rates.push((count - 1) as f64 / stage.sink().wait(count, SECONDS)?.seconds());
            drop((daemons, splitter));
        }
        let cells =
            [shards.to_string(), format!("{} x {count}", rates.len()), limit.to_string(), spread(&rates, 0)];
        table.row(&cells);
        found.push(median(&rates));
    }
    stage.sink().pause(0)?;
    table.print();
    let (one, most) = (found.first().context("no rate")?, found.last().context("no rate")?);
    Ok(most / one)
}

/// Returns the CPU of the splitter per event as a multiple of the raw client's.
fn splitters(stage: &Stage, effort: Effort) -> Result<f64> {
    let count = effort.matching;
    let mut figures: [(Vec<f64>, Vec<f64>); 2] = Default::default();
    for _ in 0..effort.rounds {
        for ((rates, costs), is_osnl) in figures.iter_mut().zip([false, true]) {
            let queue = prepared(stage, MOST)?;
            queue.fill(count, 1, SIZE)?;
            let began = Instant::now();
            let (process, seconds) = if is_osnl {
                let process = start_splitter(&queue, MOST)?;
                wait_for_shards(&queue, count);
                (process, began.elapsed().as_secs_f64())
            } else {
                let mut raw = built("osnl-bench");
                raw.args(["split", &queue.url(), &count.to_string(), &MOST.to_string()]);
                let mut process = Process::start(&mut raw)?;
                let span = Span::parse(&process.line()?)?;
                (process, span.seconds())
            };
            queue.wait_for_end();
            rates.push(count as f64 / seconds);
            costs.push(process.cpu()?.as_secs_f64() * 1e6 / count as f64);
        }
    }
    let title = "(shards) from the splitter's queue to four shards, each message confirmed, 16 at once";
    let mut table = Table::new(title, &["", "messages", "msg/s", "CPU µs/msg"]);
    let names =
        ["raw client (lapin, consumes, publishes with confirm, acknowledges)", "osnl run, shards = 4"];
    for (name, (rates, costs)) in names.iter().zip(&figures) {
        let messages = format!("{} x {count}", rates.len());
        table.row(&[(*name).to_owned(), messages, spread(rates, 0), spread(costs, 1)]);
    }
    table.print();
    let [(_, raw), (_, osnl)] = &figures;
    Ok(median(osnl) / median(raw))
}

fn prepared(stage: &Stage, shards: u64) -> Result<Queue<'_>> {
    let queue = stage.queue()?;
    step::run(built("osnl-bench").args(["shards", &queue.url(), &shards.to_string()]))?;
    Ok(queue)
}

fn wait_for_shards(queue: &Queue<'_>, count: u64) {
    wait_until(SOON, "the shards to have all messages", || {
        (0..MOST).map(|shard| queue.messages(&format!("osnl-shard-{shard}"))).sum::<u64>() >= count
    });
}

fn start_splitter(queue: &Queue<'_>, shards: u64) -> Result<Process> {
    let action =
        format!("driver = publish\ntransport_url = {}\nshards = {shards}\nformat = raw\n", queue.url());
    queue.start_part("splitter", &queue.listener(), &action)
}

fn start_shard(queue: &Queue<'_>, shard: u64) -> Result<Process> {
    let listener =
        format!("transport_url = {}\nqueue = osnl-shard-{shard}\nqueue_type = quorum\n", queue.url());
    let action = format!("{}concurrency = {AT_ONCE}\n", queue.roles());
    queue.start_part(&format!("shard-{shard}"), &listener, &action)
}
