use anyhow::Result;

use super::against::{self, Line};
use super::effort::Effort;
use super::sections::{Paced, paced, spread};
use super::sink::times;
use super::stage::{Program, Stage, built};
use super::table::{Table, quantile};
use crate::step;

pub(super) fn latency(stage: &Stage, effort: Effort) -> Result<()> {
    let folder = stage.folder("latency")?;
    let columns = ["", "msg/s", "messages", "p50", "p99", "max"];
    let mut table = Table::new(
        "(durable) from publishing to the request by way of the journal, ms; p99 wanted: 10",
        &columns,
    );
    let rate = 1000;
    let count = rate * effort.paced;
    // Without another build to compare with, one run is enough.
    let programs = stage.cast(&[Program::Journal, Program::OtherJournal]);
    let rounds = if programs.len() > 1 { effort.rounds } else { 1 };
    let mut found: Vec<(Program, [Vec<f64>; 4])> =
        programs.iter().map(|program| (*program, Default::default())).collect();
    for _ in 0..rounds {
        for (program, figures) in &mut found {
            let Paced { waits, cpu, .. } = paced(stage, *program, rate, count)?;
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
            lines.map(|(name, (ours, other))| Line::new(name, ours, other, false)).collect();
        against::print(&lines);
    }
    Ok(())
}
