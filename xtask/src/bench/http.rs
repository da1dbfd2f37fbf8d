//! `driver = http` against a target that takes its time: its own limit is what should bound us.

use anyhow::Result;

use super::sections::{Effort, SECONDS, SIZE, spread};
use super::sink::Span;
use super::stage::Stage;
use super::table::{Table, median};

/// The time of an answer.
const LATENCY_MS: u64 = 20;
/// Requests at once.
const AT_ONCE: [u64; 3] = [1, 16, 64];

/// Requests per second, and their share of what so many at once can be.
pub(super) fn latency(stage: &Stage, effort: Effort) -> Result<()> {
    let columns = ["at once", "requests", "limit, req/s", "req/s", "of the limit", "CPU µs/req"];
    let title =
        format!("(http) driver = http, from the queue to a target whose answers take {LATENCY_MS} ms");
    let mut table = Table::new(&title, &columns);
    stage.sink().pause(LATENCY_MS)?;
    for at_once in AT_ONCE {
        let limit = at_once as f64 * 1e3 / LATENCY_MS as f64;
        // As long for each: as many answers one after the other.
        let count = at_once * effort.paced * 25;
        let (mut rates, mut cpu) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            let queue = stage.queue()?;
            queue.fill(count, 1, SIZE)?;
            let process = queue.consume_http(at_once)?;
            let Span { first, last } = stage.sink().wait(count, SECONDS)?;
            queue.wait_for_end();
            // The first ones are there at once; what is timed is what came after them.
            rates.push((count - at_once) as f64 / Span { first, last }.seconds());
            cpu.push(process.cpu()?.as_secs_f64() * 1e6 / count as f64);
        }
        table.row(&[
            at_once.to_string(),
            format!("{} x {count}", rates.len()),
            format!("{limit:.0}"),
            spread(&rates, 0),
            format!("{:.2}", median(&rates) / limit),
            spread(&cpu, 0),
        ]);
    }
    stage.sink().pause(0)?;
    table.print();
    Ok(())
}
