//! The cost of the journal: beside its parts, and in the way of a single message.

use anyhow::{Context as _, Result};

use super::against::{self, Line};
use super::sections::{Effort, Load, SIZE, drain, paced, spread};
use super::sink::{Span, times};
use super::stage::{Program, Stage, When, built};
use super::table::{Table, median, quantile};
use crate::step;

/// Requests under way at once when they are measured alone.
const IN_FLIGHT: u64 = 64;
/// Messages of a transaction of SQLite's alone. Of the 200 that the journal has open, half are in the transaction under
/// way while the others gather: strace counts 80 to 100 for each `fdatasync`.
const BATCH: u64 = 100;

/// All messages match, the journal is on this disk: against its parts, and against k2hr3_osnl, which keeps nothing.
pub(super) fn parts(stage: &Stage, effort: Effort) -> Result<()> {
    let count = effort.matching;
    let folder = stage.folder("parts")?;
    let mut rates: [Vec<f64>; 5] = Default::default();
    for round in 0..effort.rounds {
        let file = |name: &str| folder.join(format!("{round}-{name}.db")).display().to_string();
        let rate = |span: Span| count as f64 / span.seconds();
        rates[0].push(rate(consume(stage, count)?));
        rates[1].push(rate(run(&["append", &file("a"), &count.to_string(), &count.to_string(), "0"])?));
        rates[2].push(rate(run(&["outcome", &file("a"), &count.to_string()])?));
        stage.sink().reset()?;
        let port = stage.sink().port().to_string();
        rates[3].push(rate(run(&["http", &port, &count.to_string(), &IN_FLIGHT.to_string()])?));
        rates[4].push(rate(run(&["sqlite", &file("s"), &count.to_string(), &BATCH.to_string()])?));
    }
    let [consume, append, outcome, http, raw] = rates.map(|rates| median(&rates));
    let sum = 1.0 / (1.0 / consume + 1.0 / append + 1.0 / outcome + 1.0 / http);

    let load = Load { count, every: 1, size: SIZE };
    let title = "(journal) every message matches, the journal is on this disk";
    let drained = drain(
        stage,
        title,
        &[Program::Journal, Program::OtherJournal, Program::Rules(1, When::No), Program::Upstream],
        effort.rounds,
        load,
    )?;
    drained.print();
    drained.compare(Program::Journal, Program::OtherJournal);
    let whole = drained.rate(Program::Journal).context("no figure of osnl")?;

    let mut table = Table::new("(journal) the parts alone, per second", &["", "msg/s", "", "wanted"]);
    for (name, rate) in [("consume", consume), ("append", append), ("outcome", outcome), ("http", http)] {
        table.row(&[name.to_owned(), format!("{rate:.0}"), String::new(), String::new()]);
    }
    let mut row = |name: &str, rate: f64, ratio: String, wanted: &str| {
        table.row(&[name.to_owned(), format!("{rate:.0}"), ratio, wanted.to_owned()]);
    };
    row("the parts one after the other", sum, String::new(), "");
    row("osnl, all of it", whole, format!("{:.2} of the parts", whole / sum), "0.6");
    row("SQLite alone", raw, format!("append is {:.2} of it", append / raw), "0.8");
    if let (Some(rate), Some(theirs), Some(cpu)) =
        (drained.rate(Program::Upstream), drained.cpu(Program::Upstream), drained.cpu(Program::Journal))
    {
        let ratio = format!("{:.1} x the rate, {:.1} x less CPU", whole / rate, theirs / cpu);
        row("k2hr3_osnl 1.0.8", rate, ratio, "8 and 8");
    }
    table.print();
    Ok(())
}

/// From publishing to the request at 1,000 messages a second, by way of the journal.
pub(super) fn latency(stage: &Stage, effort: Effort) -> Result<()> {
    let folder = stage.folder("latency")?;
    let columns = ["", "msg/s", "messages", "p50", "p99", "max"];
    let mut table = Table::new(
        "(durable) from publishing to the request by way of the journal, ms; p99 wanted: 10",
        &columns,
    );
    let rate = 1000;
    let count = rate * effort.paced;
    // Alone, one run is enough; beside another build there are rounds.
    let programs = stage.cast(&[Program::Journal, Program::OtherJournal]);
    let rounds = if programs.len() > 1 { effort.rounds } else { 1 };
    let mut found: Vec<(Program, [Vec<f64>; 4])> =
        programs.iter().map(|program| (*program, Default::default())).collect();
    for _ in 0..rounds {
        for (program, figures) in &mut found {
            let (waits, cpu) = paced(stage, *program, rate, count)?;
            let shares = [0.5, 0.99, 1.0].map(|share| quantile(&waits, share));
            figures.iter_mut().zip(shares.into_iter().chain([cpu])).for_each(|(all, one)| all.push(one));
        }
    }
    for (program, [p50, p99, most, _]) in &found {
        let cells = [p50, p99, most].map(|values| spread(values, 2));
        let messages = if rounds > 1 { format!("{rounds} x {count}") } else { count.to_string() };
        table.row(&[&[program.to_string(), rate.to_string(), messages][..], &cells].concat());
    }
    let file = folder.join("sync").display().to_string();
    let syncs = step::output(built("osnl-bench").args(["sync", &file, "2000"]))?;
    let syncs: Vec<f64> = times(syncs.trim())?.into_values().map(|nanos| nanos as f64 / 1e6).collect();
    let cells = [0.5, 0.99, 1.0].map(|share| format!("{:.2}", quantile(&syncs, share)));
    let head = ["the disk's fdatasync".to_owned(), String::new(), syncs.len().to_string()];
    table.row(&[&head[..], &cells].concat());
    table.print();
    if let [(_, ours), (_, other)] = &found[..] {
        let names = ["p50, ms", "p99, ms", "max, ms", "CPU µs/msg"];
        let lines = names.iter().zip(ours.iter().zip(other));
        let lines: Vec<Line> =
            lines.map(|(name, (ours, other))| Line::of(name, ours, other, false)).collect();
        against::print(&lines);
    }
    Ok(())
}

fn consume(stage: &Stage, count: u64) -> Result<Span> {
    let queue = stage.queue()?;
    queue.fill(count, 1, SIZE)?;
    let mut process = queue.consume(Program::Raw, count)?;
    Span::parse(&process.line()?)
}

/// Returns the span that a part of `osnl-bench` prints.
pub(super) fn run(args: &[&str]) -> Result<Span> {
    Span::parse(step::output(built("osnl-bench").args(args))?.trim())
}
