//! The sections: what is run, in which order, and which figures it gives.

use anyhow::{Context as _, Result, ensure};

use super::sink::{Span, times};
use super::stage::{Program, Stage};
use super::table::{Figures, Table, median, quantile};

/// The programs of one round, in this order.
const PROGRAMS: [Program; 4] = [Program::Raw, Program::Osnl, Program::Other, Program::Upstream];
/// k2hr3_osnl gets one in so many of the messages, and this many of the rounds: it takes its time.
const UPSTREAM_SHARE: u64 = 6;
const UPSTREAM_ROUNDS: usize = 1;
/// How long a run may take, in seconds; k2hr3_osnl needs about ten for its longest.
const SECONDS: u64 = 60;

/// How much is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    rounds: usize,
    starts: usize,
    /// Messages of a round of `a`.
    mostly_unmatched: u64,
    /// Messages of a round of `b`.
    matching: u64,
    /// Length of a run of `d`, in seconds.
    paced: u64,
}

impl Effort {
    pub(super) const FULL: Self =
        Self { rounds: 5, starts: 11, mostly_unmatched: 60_000, matching: 24_000, paced: 10 };
    pub(super) const QUICK: Self =
        Self { rounds: 3, starts: 5, mostly_unmatched: 18_000, matching: 6_000, paced: 3 };
}

/// One in a hundred matches; the rest is 4 kB that nobody wants.
pub(super) fn one_percent(stage: &Stage, effort: Effort) -> Result<()> {
    let title = "(a) one message in a hundred matches, the others are 4 kB";
    drain(stage, title, &PROGRAMS, effort.rounds, effort.mostly_unmatched, 100)
}

/// All match.
pub(super) fn all_match(stage: &Stage, effort: Effort) -> Result<()> {
    drain(stage, "(b) every message matches", &PROGRAMS[1..], effort.rounds, effort.matching, 1)
}

/// Alternating rounds, each program against a queue that has been filled before.
fn drain(
    stage: &Stage,
    title: &str,
    programs: &[Program],
    rounds: usize,
    count: u64,
    every: u64,
) -> Result<()> {
    let mut figures: Vec<(Program, Figures)> = Vec::new();
    for round in 0..rounds {
        for program in stage.cast(programs) {
            let count = match program {
                Program::Raw | Program::Osnl | Program::Other => count,
                Program::Upstream if round < UPSTREAM_ROUNDS => count / UPSTREAM_SHARE,
                Program::Upstream => continue,
            };
            let figure = drain_once(stage, program, count, every).with_context(|| program.to_string())?;
            match figures.iter_mut().find(|(of, _)| *of == program) {
                Some((_, figures)) => figures.add(figure),
                None => figures.push((program, Figures::of(figure))),
            }
        }
    }
    let mut table = Table::new(title, &["", "messages", "msg/s", "CPU µs/msg", "ratio of CPU", "peak MiB"]);
    let reference = figures.first().map_or(1.0, |(_, figures)| median(&figures.cpu));
    for (program, figures) in &figures {
        let ratio = format!("{:.2}", median(&figures.cpu) / reference);
        table.row(&[
            program.to_string(),
            format!("{} x {}", figures.cpu.len(), figures.messages),
            spread(&figures.rate, 0),
            spread(&figures.cpu, 1),
            ratio,
            spread(&figures.memory, 1),
        ]);
    }
    table.print();
    Ok(())
}

/// One run. CPU time is all of the process's, its start included.
fn drain_once(stage: &Stage, program: Program, count: u64, every: u64) -> Result<super::table::Figure> {
    let queue = stage.queue()?;
    queue.fill(count, every)?;
    let mut process = queue.consume(program, count)?;
    // The last message matches, so the last request comes when all of them have been read.
    let (span, of) = match program {
        Program::Raw => (Span::parse(&process.line()?)?, count),
        Program::Osnl | Program::Other | Program::Upstream => {
            let requests = count / every;
            (stage.sink().wait(requests, SECONDS)?, count - every)
        }
    };
    queue.wait_for_end();
    let count_f = count as f64;
    Ok(super::table::Figure {
        messages: count,
        rate: of as f64 / span.seconds(),
        cpu: process.cpu()?.as_secs_f64() * 1e6 / count_f,
        memory: process.peak_memory()?,
    })
}

/// From exec to the first request, with one message waiting.
pub(super) fn start(stage: &Stage, effort: Effort) -> Result<()> {
    let mut table = Table::new(
        "(c) from exec to the first message (raw) or request, ms",
        &["", "starts", "median (min–max)"],
    );
    for program in stage.cast(&PROGRAMS) {
        let starts = match program {
            Program::Raw | Program::Osnl | Program::Other => effort.starts,
            Program::Upstream => effort.starts.div_ceil(3),
        };
        let mut found = Vec::new();
        for _ in 0..starts {
            let queue = stage.queue()?;
            queue.fill(1, 1)?;
            let mut process = queue.consume(program, 1)?;
            let span = match program {
                Program::Raw => Span::parse(&process.line()?)?,
                Program::Osnl | Program::Other | Program::Upstream => stage.sink().wait(1, SECONDS)?,
            };
            found.push(Span { first: process.started, last: span.first }.seconds() * 1e3);
        }
        table.row(&[program.to_string(), starts.to_string(), spread(&found, 1)]);
    }
    table.print();
    Ok(())
}

/// From publishing to the request, at a pace.
pub(super) fn latency(stage: &Stage, effort: Effort) -> Result<()> {
    let columns = ["", "msg/s", "messages", "p50", "p99", "max", "CPU µs/msg"];
    let mut table = Table::new("(d) from publishing to the request, ms", &columns);
    for rate in [100, 1000] {
        for program in stage.cast(&PROGRAMS[1..]) {
            let count = rate * effort.paced;
            let queue = stage.queue()?;
            // The first request, which connects, is not counted.
            queue.fill(1, 1)?;
            let process = queue.consume(program, 1)?;
            stage.sink().wait(1, SECONDS)?;
            queue.wait_for_consumer();
            queue.wait_for_end();
            stage.sink().reset()?;

            let before = process.cpu()?;
            let published = times(&queue.pace(rate, count)?)?;
            stage.sink().wait(count, SECONDS).with_context(|| format!("{program} at {rate} msg/s"))?;
            let arrived = stage.sink().times()?;
            let mut waits = Vec::new();
            for (number, at) in &published {
                let arrival = arrived.get(number).copied().unwrap_or_default();
                ensure!(arrival >= *at, "message {number} was delivered before it was published");
                waits.push(Span { first: *at, last: arrival }.seconds() * 1e3);
            }
            let cpu = (process.cpu()? - before).as_secs_f64() * 1e6 / count as f64;
            table.row(&[
                program.to_string(),
                rate.to_string(),
                count.to_string(),
                format!("{:.2}", quantile(&waits, 0.5)),
                format!("{:.2}", quantile(&waits, 0.99)),
                format!("{:.2}", quantile(&waits, 1.0)),
                format!("{cpu:.0}"),
            ]);
        }
    }
    table.print();
    Ok(())
}

/// `median (min–max)`, or the one value.
fn spread(values: &[f64], digits: usize) -> String {
    let [least, middle, most] = [0.0, 0.5, 1.0].map(|share| quantile(values, share));
    if values.len() == 1 {
        return format!("{middle:.digits$}");
    }
    format!("{middle:.digits$} ({least:.digits$}–{most:.digits$})")
}
