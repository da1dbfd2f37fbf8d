//! What a versioned notification costs to build and to write, beside ironic's own way and beside `serde_json`.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use osnl_testkit::VersionedPeer;
use serde_json::Value;

use super::sections::{Effort, spread};
use super::stage::{Stage, built};
use super::table::{Table, median};
use crate::{setup, step};

const CLASS: &str = "NodeSetPowerStatePayload";

/// The node power_set payload, four ways in Rust and oslo.versionedobjects' with ironic's fields.
pub(super) fn power_set(_: &Stage, effort: Effort) -> Result<()> {
    let output = step::output(
        built("osnl-bench").args(["versioned", &effort.payloads.to_string()]).stdin(Stdio::null()),
    )?;
    let mut lines = output.lines();
    let payload: Value = serde_json::from_str(lines.next().context("osnl-bench printed no payload")?)?;
    let mut ways = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let name = words.next().context("a way without a name")?;
        let rounds: Vec<f64> = words.map(str::parse).collect::<Result<_, _>>()?;
        ways.push((name.to_owned(), rounds));
    }
    let mut columns = vec![("oslo.versionedobjects with ironic's fields", oslo(&payload, effort)?)];
    for (name, title) in [
        ("typed", "osnl: populated and written"),
        ("tree", "serde_json: tree cloned and written"),
        ("typed-written", "osnl: written only"),
        ("tree-written", "serde_json: tree written only"),
    ] {
        let way = ways.iter().find(|(way, _)| way == name);
        columns.push((title, way.with_context(|| format!("osnl-bench measured no {name}"))?.1.clone()));
    }
    let ours = median(&columns[1].1);
    let title = format!("(versioned) a {CLASS} of {} bytes, µs", payload.to_string().len());
    let mut table = Table::new(&title, &["", "median (min–max)", "to ours, populated and written"]);
    for (title, nanoseconds) in &columns {
        let micros: Vec<f64> = nanoseconds.iter().map(|ns| ns / 1e3).collect();
        table.row(&[(*title).to_owned(), spread(&micros, 2), format!("{:.2}", median(nanoseconds) / ours)]);
    }
    table.print();
    Ok(())
}

/// Nothing where Python is not installed.
fn oslo(payload: &Value, effort: Effort) -> Result<Vec<f64>> {
    let Some(python) = setup::python_if_there() else { return Ok(Vec::new()) };
    let mut peer = VersionedPeer::start_in(&python);
    let values = &payload["ironic_object.data"];
    let mut found = Vec::new();
    for _ in 0..effort.rounds {
        let (nanoseconds, written) = peer.measure(CLASS, values, effort.payloads.div_ceil(100));
        ensure!(
            serde_json::from_str::<Value>(&written)? == *payload,
            "Python wrote another payload: {written}"
        );
        found.push(nanoseconds);
    }
    Ok(found)
}
