use anyhow::{Context as _, Result, ensure};

use super::against;
use super::effort::{Effort, SECONDS, SIZE};
use super::process::Process;
use super::sink::{Span, times};
use super::stage::{Program, Queue, Stage};
use super::table::{Figures, Table, median, quantile};

const PROGRAMS: [Program; 4] = [Program::Raw, Program::Osnl, Program::Other, Program::Upstream];
/// The share of messages and the number of rounds for k2hr3_osnl, because it is slow.
const UPSTREAM_SHARE: u64 = 6;
const UPSTREAM_ROUNDS: usize = 1;

pub(super) fn one_percent(stage: &Stage, effort: Effort) -> Result<()> {
    let title = "(a) one message in a hundred matches, the others are 4 kB";
    let programs = [Program::Raw, Program::C, Program::Osnl, Program::Other, Program::Upstream];
    let load = Load { count: effort.mostly_unmatched, every: 100, size: SIZE };
    let drained = drain(stage, title, &programs, effort.rounds, load)?;
    drained.print();
    drained.compare(Program::Osnl, Program::Other);
    Ok(())
}

pub(super) fn all_match(stage: &Stage, effort: Effort) -> Result<()> {
    let load = Load { count: effort.matching, every: 1, size: SIZE };
    let drained = drain(stage, "(b) every message matches", &PROGRAMS[1..], effort.rounds, load)?;
    drained.print();
    drained.compare(Program::Osnl, Program::Other);
    Ok(())
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) count: u64,
    pub(super) every: u64,
    pub(super) size: u64,
}

pub(super) struct Comparison {
    title: String,
    pub(super) figures: Vec<(Program, Figures)>,
}

pub(super) fn drain(
    stage: &Stage,
    title: &str,
    programs: &[Program],
    rounds: usize,
    load: Load,
) -> Result<Comparison> {
    let mut figures: Vec<(Program, Figures)> = Vec::new();
    for round in 0..rounds {
        for program in stage.cast(programs) {
            let load = match program {
                Program::Raw
                | Program::C
                | Program::RawPost
                | Program::Osnl
                | Program::Other
                | Program::Memory
                | Program::OtherMemory
                | Program::Journal
                | Program::OtherJournal => load,
                Program::Upstream if round < UPSTREAM_ROUNDS => {
                    Load { count: load.count / UPSTREAM_SHARE, ..load }
                }
                Program::Upstream => continue,
            };
            let figure = drain_once(stage, program, load).with_context(|| program.to_string())?;
            match figures.iter_mut().find(|(of, _)| *of == program) {
                Some((_, figures)) => figures.add(figure),
                None => figures.push((program, Figures::new(figure))),
            }
        }
    }
    Ok(Comparison { title: title.to_owned(), figures })
}

impl Comparison {
    pub(super) fn compare(&self, ours: Program, other: Program) {
        let of = |program| self.figures.iter().find(|(of, _)| *of == program).map(|(_, figures)| figures);
        let (Some(ours), Some(other)) = (of(ours), of(other)) else { return };
        let lines = [("msg/s", &ours.rate, &other.rate, true), ("CPU µs/msg", &ours.cpu, &other.cpu, false)];
        against::print(&lines.map(|(what, ours, other, more)| against::Line::new(what, ours, other, more)));
    }

    pub(super) fn print(&self) {
        let columns = ["", "messages", "msg/s", "ratio", "CPU µs/msg", "ratio of CPU", "peak MiB"];
        let mut table = Table::new(&self.title, &columns);
        let first = self.figures.first();
        let (rate, cpu) = first.map_or((1.0, 1.0), |(_, f)| (median(&f.rate), median(&f.cpu)));
        for (program, figures) in &self.figures {
            table.row(&[
                program.to_string(),
                format!("{} x {}", figures.cpu.len(), figures.messages),
                spread(&figures.rate, 0),
                format!("{:.2}", median(&figures.rate) / rate),
                spread(&figures.cpu, 1),
                format!("{:.2}", median(&figures.cpu) / cpu),
                spread(&figures.memory, 1),
            ]);
        }
        table.print();
    }
}

fn drain_once(stage: &Stage, program: Program, load: Load) -> Result<super::table::Figure> {
    let Load { count, every, size } = load;
    let queue = stage.queue()?;
    queue.fill(count, every, size)?;
    let mut process = queue.consume(program, count)?;
    // The last message matches, so that the last request means that all messages are read.
    let (span, of) = match program {
        Program::Raw | Program::C => (Span::parse(&process.line()?)?, count),
        Program::RawPost
        | Program::Osnl
        | Program::Other
        | Program::Memory
        | Program::OtherMemory
        | Program::Journal
        | Program::OtherJournal
        | Program::Upstream => {
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

pub(super) fn latency(stage: &Stage, effort: Effort) -> Result<()> {
    let columns = ["", "msg/s", "messages", "p50", "p99", "max", "CPU µs/msg"];
    let mut table = Table::new("(latency) from publishing to the request, ms", &columns);
    for rate in [100, 1000] {
        for program in stage.cast(&PROGRAMS[1..]) {
            let count = rate * effort.paced;
            let Paced { waits, cpu, .. } = paced(stage, program, rate, count)?;
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

/// The figures of a run at a pace.
pub(super) struct Paced {
    /// The milliseconds from publishing to the request, of each message.
    pub(super) waits: Vec<f64>,
    /// Microseconds of CPU for a message.
    pub(super) cpu: f64,
    /// Bytes that the program has sent to the disk for a message.
    pub(super) written: f64,
}

/// Starts a program on a queue of its own. Its first request, which connects, is over.
pub(super) fn started(stage: &Stage, program: Program) -> Result<(Queue<'_>, Process)> {
    let queue = stage.queue()?;
    queue.fill(1, 1, SIZE)?;
    let process = queue.consume(program, 1)?;
    stage.sink().wait(1, SECONDS)?;
    queue.wait_for_consumer();
    queue.wait_for_end();
    stage.sink().reset()?;
    Ok((queue, process))
}

pub(super) fn paced(stage: &Stage, program: Program, rate: u64, count: u64) -> Result<Paced> {
    let (queue, process) = started(stage, program)?;
    let (before, written_before) = (process.cpu()?, process.written()?);
    let published = times(&queue.pace(rate, count)?)?;
    stage.sink().wait(count, SECONDS).with_context(|| format!("{program} at {rate} msg/s"))?;
    let arrived = stage.sink().times()?;
    let mut waits = Vec::new();
    for (number, at) in &published {
        let arrival = arrived.get(number).copied().unwrap_or_default();
        ensure!(arrival >= *at, "message {number} was delivered before it was published");
        waits.push(Span { first: *at, last: arrival }.seconds() * 1e3);
    }
    let count = count as f64;
    Ok(Paced {
        waits,
        cpu: (process.cpu()? - before).as_secs_f64() * 1e6 / count,
        written: (process.written()? - written_before) as f64 / count,
    })
}

pub(super) fn spread(values: &[f64], digits: usize) -> String {
    let [least, middle, most] = [0.0, 0.5, 1.0].map(|share| quantile(values, share));
    if values.len() == 1 {
        return format!("{middle:.digits$}");
    }
    format!("{middle:.digits$} ({least:.digits$}–{most:.digits$})")
}
