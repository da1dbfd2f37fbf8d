//! `osnl tap` at full speed, its lines into a pipe, beside the raw consumer.
//!
//! A tap has a queue of its own from the moment it listens, so it cannot be started on a full one: it is stopped as a
//! terminal that does not read stops it, messages are published, and it is let go on.

use anyhow::Result;

use super::sections::{Effort, Load, SIZE, drain};
use super::sink::Span;
use super::stage::{Lines, Program, Queue, Stage};
use super::table::Figure;

/// More bytes than that a tap lets the broker keep for it drop the oldest: 64 MiB.
const MOST: u64 = 15_000;

/// Against a consumer that does nothing but acknowledge, on messages of 4 kB.
pub(super) fn piped(stage: &Stage, effort: Effort) -> Result<()> {
    let taps = [Lines::Text, Lines::Json, Lines::Saved].map(Program::Tap);
    let programs = [&[Program::Raw][..], &taps].concat();
    let load = Load { count: MOST, every: MOST, size: SIZE };
    drain(stage, "(tap) looking on, messages of 4 kB", &programs, effort.rounds, load)?.print();
    Ok(())
}

/// One run. CPU time is all of the process's, its start included.
pub(super) fn once(queue: &Queue<'_>, program: Program, load: Load) -> Result<Figure> {
    let Load { count, every, size } = load;
    // The exchange is there from then on.
    queue.fill(1, 1, size)?;
    let mut process = queue.consume(program, count)?;
    queue.wait_for_tap();
    process.signal("STOP")?;
    queue.fill(count, every, size)?;
    process.signal("CONT")?;
    let (first, last) = process.lines(count)?;
    Ok(Figure {
        messages: count,
        rate: count as f64 / Span { first, last }.seconds(),
        cpu: process.cpu()?.as_secs_f64() * 1e6 / count as f64,
        memory: process.peak_memory()?,
    })
}
