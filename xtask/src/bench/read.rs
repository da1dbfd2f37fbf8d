//! What it costs to understand a message, without a broker.

use anyhow::{Context as _, Result};

use super::sections::Effort;
use super::stage::{Stage, built};
use super::table::Table;
use crate::step;

/// Rounds of a hundred readings.
const ROUNDS: &str = "300";

/// Parsing a nova message of 15 kB once, and reading the resource view from its bytes.
pub(super) fn resource_view(_: &Stage, _: Effort) -> Result<()> {
    let printed = step::output(built("osnl-bench").args(["read", ROUNDS]))?;
    let figures: Vec<f64> =
        printed.split_whitespace().map(|word| word.parse().context("no number")).collect::<Result<_>>()?;
    let [bytes, times @ ..] = &figures[..] else { anyhow::bail!("osnl-bench read printed nothing") };
    let title = format!("(read) one message of {bytes} bytes, a versioned instance.create.end");
    let mut table = Table::new(&title, &["", "µs", "ratio"]);
    let names = [
        "parsed once by serde_json, envelope and message",
        "decoded",
        "decoded, and the resource view read",
        "decoded, and read as its service means it",
        "payload masked",
    ];
    for (name, time) in names.into_iter().zip(times) {
        let ratio = time / times.first().context("no time")?;
        table.row(&[name.to_owned(), format!("{:.1}", time / 1e3), format!("{ratio:.2}")]);
    }
    table.print();
    Ok(())
}
