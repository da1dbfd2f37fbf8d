//! An event at the rates that clouds have: each alone, so that nothing is shared with a batch.

use anyhow::{Context as _, Result};

use super::against::{self, Line};
use super::effort::{Effort, SECONDS};
use super::sections::{Paced, paced, spread, started};
use super::stage::{Program, Stage};
use super::table::{Table, quantile};
use super::traced;

const RATES: [u64; 3] = [10, 100, 300];
/// The rate at which two builds are compared.
const COMPARED: u64 = 100;
const PROGRAMS: [Program; 6] = [
    Program::RawPost,
    Program::Memory,
    Program::OtherMemory,
    Program::Journal,
    Program::OtherJournal,
    Program::Upstream,
];
/// Rounds beside another build. A comparison needs several, a table one.
const ROUNDS: usize = 3;
/// Seconds of a run under strace.
const TRACED: u64 = 10;

/// The figures of a program at a rate, one of each round.
#[derive(Default)]
struct Figures {
    cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    written: Vec<f64>,
}

impl Figures {
    fn add(&mut self, paced: &Paced) {
        self.cpu.push(paced.cpu / 1e3);
        self.p50.push(quantile(&paced.waits, 0.5));
        self.p99.push(quantile(&paced.waits, 0.99));
        self.written.push(paced.written);
    }
}

pub(super) fn rates(stage: &Stage, effort: Effort) -> Result<()> {
    let programs = stage.cast(&PROGRAMS);
    let rounds = if programs.contains(&Program::OtherMemory) { ROUNDS } else { 1 };
    let title = format!("(low) events at the rates of clouds, {rounds} x {} s", effort.low);
    let columns = ["", "events/s", "CPU ms/event", "p50 ms", "p99 ms", "bytes to the disk/event"];
    let mut table = Table::new(&title, &columns);
    for rate in RATES {
        let mut found: Vec<(Program, Figures)> =
            programs.iter().map(|program| (*program, Figures::default())).collect();
        for _ in 0..rounds {
            for (program, figures) in &mut found {
                let paced = paced(stage, *program, rate, rate * effort.low);
                figures.add(&paced.with_context(|| format!("{program}, {rate} events/s"))?);
            }
        }
        for (program, Figures { cpu, p50, p99, written }) in &found {
            let cells = [spread(cpu, 2), spread(p50, 2), spread(p99, 2), spread(written, 0)];
            table.row(&[&[program.to_string(), rate.to_string()][..], &cells].concat());
        }
        if rate == COMPARED {
            compare(&found);
        }
    }
    table.print();
    match traced::is_there() {
        true => system_calls(stage, &programs),
        false => {
            println!("bench: without the system calls, which need the package strace\n");
            Ok(())
        }
    }
}

fn compare(found: &[(Program, Figures)]) {
    let of = |program| found.iter().find(|(of, _)| *of == program).map(|(_, figures)| figures);
    let pairs = [(Program::Memory, Program::OtherMemory), (Program::Journal, Program::OtherJournal)];
    let mut lines = Vec::new();
    for (program, other) in pairs {
        let (Some(ours), Some(theirs)) = (of(program), of(other)) else { continue };
        let line = |what: &str, ours: &[f64], theirs: &[f64]| {
            Line::new(&format!("{program}, {COMPARED}/s: {what}"), ours, theirs, false)
        };
        lines.push(line("CPU ms/event", &ours.cpu, &theirs.cpu));
        lines.push(line("p50 ms", &ours.p50, &theirs.p50));
        lines.push(line("p99 ms", &ours.p99, &theirs.p99));
    }
    if !lines.is_empty() {
        against::print(&lines);
    }
}

/// Counts the calls in runs of their own, because strace slows a program down.
fn system_calls(stage: &Stage, programs: &[Program]) -> Result<()> {
    let columns = ["", "events/s"].into_iter().chain(traced::KINDS.map(|(name, _)| name)).chain(["others"]);
    let columns: Vec<&str> = columns.collect();
    let mut table = Table::new("(low) system calls for an event", &columns);
    let folder = stage.folder("low")?;
    for rate in RATES {
        for program in programs {
            let (queue, process) = started(stage, *program)?;
            let count = rate * TRACED;
            let calls = traced::calls(&process, &folder.join("calls"), || {
                queue.pace(rate, count)?;
                stage.sink().wait(count, SECONDS)?;
                queue.wait_for_end();
                Ok(())
            });
            let calls = calls.with_context(|| format!("{program}, {rate} events/s"))?;
            let cells = traced::per_event(&calls, count).into_iter().map(|count| format!("{count:.1}"));
            table.row(&[program.to_string(), rate.to_string()].into_iter().chain(cells).collect::<Vec<_>>());
        }
    }
    table.print();
    Ok(())
}
