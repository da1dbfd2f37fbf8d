//! Bulk requests: many resources in one message against as many messages of one.

use anyhow::Result;

use super::sections::{Effort, spread};
use super::sink::Span;
use super::stage::{Stage, built};
use super::table::{Table, median};
use crate::step;

/// Resources of the bulk request, and how many messages of one stand against it.
const RESOURCES: u64 = 10_000;
/// Requests at once.
const AT_ONCE: u64 = 16;
/// As long as a round may take, in seconds.
const SECONDS: u64 = 300;
/// Rounds; each is 10,000 requests.
const ROUNDS: usize = 3;

/// The cost of a resource in one message of all, and in a message of its own.
pub(super) fn bulk(stage: &Stage, effort: Effort) -> Result<()> {
    let columns = ["", "requests", "s", "CPU µs/resource", "ratio of CPU", "peak MiB"];
    let title = format!(
        "(resources) one message about {RESOURCES} resources against {RESOURCES} about one; wanted: a ratio of 1 at most"
    );
    let mut table = Table::new(&title, &columns);
    let mut figures =
        [(RESOURCES, 1), (1, RESOURCES)].map(|shape| (shape, Vec::new(), Vec::new(), Vec::new()));
    for _ in 0..ROUNDS.min(effort.rounds) {
        for ((messages, resources), seconds, cpu, memory) in &mut figures {
            let queue = stage.queue()?;
            let numbers = [*messages, *resources].map(|number| number.to_string());
            step::run(built("osnl-bench").args(["bulk", queue.url().as_str()]).args(numbers))?;
            let process = queue.consume_created(AT_ONCE)?;
            let span = stage.sink().wait(RESOURCES, SECONDS)?;
            queue.wait_for_end();
            seconds.push(Span { first: process.started, last: span.last }.seconds());
            cpu.push(process.cpu()?.as_secs_f64() * 1e6 / RESOURCES as f64);
            memory.push(process.peak_memory()?);
        }
    }
    let one = median(&figures[0].2);
    for ((messages, resources), seconds, cpu, memory) in &figures {
        table.row(&[
            format!("{messages} x {resources}"),
            format!("{} x {RESOURCES}", cpu.len()),
            spread(seconds, 2),
            spread(cpu, 0),
            format!("{:.2}", median(cpu) / one),
            spread(memory, 1),
        ]);
    }
    table.print();
    Ok(())
}
