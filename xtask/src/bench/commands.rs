use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::effort::{Effort, SECONDS};
use super::sink::{Span, times};
use super::stage::{Stage, built};
use super::table::{Table, quantile};
use crate::step;

const SHARE: u64 = 10;
const RATE: u64 = 200;
const LASTING: u64 = 12;

/// The commands that run under load. Retried deliveries belong to another action and name no instance, so that they
/// send no request.
const COMMANDS: [(&str, &[&str]); 5] = [
    ("none", &[]),
    ("retry --dry-run", &["deliveries", "retry", "--all", "--dry-run"]),
    ("retry --dry-run --out-of-order", &["deliveries", "retry", "--all", "--dry-run", "--out-of-order"]),
    ("discard --dry-run", &["deliveries", "discard", "--state", "dead", "--yes", "--dry-run"]),
    ("retry", &["deliveries", "retry", "--all", "--out-of-order"]),
];

pub(super) fn history(stage: &Stage, name: &str, count: u64) -> Result<(PathBuf, u64)> {
    let (state, dead) = (stage.folder(name)?, count / SHARE);
    let file = state.join("journal.db").display().to_string();
    step::output(built("osnl-bench").args(["history", &file, &count.to_string(), &dead.to_string()]))?;
    Ok((state, dead))
}

pub(super) fn stops(stage: &Stage, effort: Effort) -> Result<()> {
    let count = effort.history;
    let (state, dead) = history(stage, "commands", count)?;
    let queue = stage.queue()?;
    queue.fill(1, 1, super::effort::SIZE)?;
    let process = queue.consume_beside(&state)?;
    stage.sink().wait(1, SECONDS)?;
    queue.wait_for_consumer();

    let title = format!(
        "(commands) on {count} deliveries, {dead} of them dead; wanted: the longest stop 1000 ms at most"
    );
    let columns = ["command", "the command, s", "messages", "p50 ms", "p99 ms", "longest stop, ms"];
    let mut table = Table::new(&title, &columns);
    for (from, (command, words)) in (1_u64..).step_by(1_000_000).zip(COMMANDS) {
        stage.sink().reset()?;
        let mut publisher = queue.publisher(RATE, RATE * LASTING, from);
        let (published, took) = std::thread::scope(|scope| -> Result<_> {
            let publisher = scope.spawn(move || step::output(&mut publisher));
            let began = Instant::now();
            let mut asked = 0.0;
            while !words.is_empty() && !publisher.is_finished() {
                let before = Instant::now();
                let output = queue.command(words).output()?;
                // Status 1 is expected, because the journal refuses some retries.
                ensure!(
                    output.status.code().is_some_and(|code| code <= 1) || before.elapsed().as_secs() >= 10,
                    "{command} ended with {}: {}",
                    output.status,
                    String::from_utf8_lossy(&output.stderr)
                );
                asked = f64::max(asked, before.elapsed().as_secs_f64());
                if began.elapsed().as_secs() >= LASTING {
                    break;
                }
            }
            let published = publisher.join().ok().context("the publisher")??;
            Ok((published, asked))
        })?;
        let published = times(&published)?;
        stage.sink().wait(published.len() as u64, 300).with_context(|| command.to_owned())?;
        let arrived = stage.sink().times()?;
        let waits: Vec<f64> = published
            .iter()
            .map(|(number, at)| {
                let last = arrived.get(number).copied().unwrap_or(*at);
                Span { first: *at, last: last.max(*at) }.seconds() * 1e3
            })
            .collect();
        let cells = [0.5, 0.99, 1.0].map(|share| format!("{:.1}", quantile(&waits, share)));
        let head = [command.to_owned(), format!("{took:.2}"), waits.len().to_string()];
        table.row(&[&head[..], &cells].concat());
    }
    drop(process);
    table.print();
    std::fs::remove_dir_all(&state)?;
    Ok(())
}
