//! The cost of an enrichment that is remembered.

use anyhow::{Context as _, Result};

use super::sections::Effort;
use super::stage::{Stage, built};
use super::table::Table;
use crate::step;

/// Rounds of a thousand events.
const ROUNDS: &str = "200";

/// The answer of the cache, and keeping it with the delivery in a journal on this disk; the first is held against what was
/// promised.
pub(super) fn hit(_: &Stage, _: Effort) -> Result<()> {
    let folder = step::target_dir().join("bench-enrich");
    // What an earlier run has left.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("journal.db");
    let file = file.to_str().context("a path that is no text")?;
    let printed = step::output(built("osnl-bench").args(["enrich", file, ROUNDS]))?;
    let figures: Vec<f64> =
        printed.split_whitespace().map(|word| word.parse().context("no number")).collect::<Result<_>>()?;
    let [hit, kept] = figures[..] else { anyhow::bail!("osnl-bench enrich printed {printed}") };
    let mut table = Table::new("(enrich) one event whose server is remembered", &["", "µs CPU"]);
    for (name, time) in [
        ("the event's id, the cache, a copy for the event", hit),
        ("keeping it with the delivery in the journal, 1.2 kB", kept),
        ("both; promised are 20", hit + kept),
    ] {
        table.row(&[name.to_owned(), format!("{:.1}", time / 1e3)]);
    }
    table.print();
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
