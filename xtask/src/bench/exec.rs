//! The cost of sending a child an event, without a broker.

use anyhow::{Context as _, Result};

use super::sections::Effort;
use super::sink::Span;
use super::stage::{Stage, built};
use super::table::{Table, median};
use crate::{setup, step};

/// Events that a child has in its hands at once.
const IN_FLIGHT: [&str; 2] = ["1", "64"];
/// The least that a plug-in is.
const PYTHON: &str = "import json, sys\nfor line in sys.stdin:\n    event = json.loads(line)\n    \
                      print(json.dumps({'id': event['id'], 'verdict': 'done'}), flush=True)\n";

/// Events per second: the action alone, and from a broker inside of osnl's process through rule, journal and delivery.
pub(super) fn child(_: &Stage, effort: Effort) -> Result<()> {
    let count = effort.matching;
    let ours = built("osnl-bench");
    let ours = ours.get_program().to_str().context("a path that is not UTF-8")?.to_owned();
    let mut children = vec![("a child in Rust", vec![ours, "answer".to_owned()])];
    if let Some(python) = setup::python_if_there() {
        let python = python.join("bin/python").display().to_string();
        children.push((
            "a child in Python",
            ["-u", "-c", PYTHON].iter().fold(vec![python], |mut words, word| {
                words.push((*word).to_owned());
                words
            }),
        ));
    }
    let title = "(exec) events per second, told to a long-lived child";
    let mut table = Table::new(title, &["", "at once", "the action alone", "all of osnl", "wanted"]);
    for (name, child) in &children {
        for in_flight in IN_FLIGHT {
            let rate = |what: &str| {
                let mut rates = Vec::new();
                for _ in 0..effort.rounds {
                    let mut command = built("osnl-bench");
                    command.args([what, &count.to_string(), in_flight]).args(child);
                    rates.push(count as f64 / Span::parse(step::output(&mut command)?.trim())?.seconds());
                }
                Ok::<f64, anyhow::Error>(median(&rates))
            };
            let (alone, whole) = (rate("exec")?, rate("exec-whole")?);
            let wanted = if in_flight == "1" { String::new() } else { "5000".to_owned() };
            table.row(&[
                (*name).to_owned(),
                in_flight.to_owned(),
                format!("{alone:.0}"),
                format!("{whole:.0}"),
                wanted,
            ]);
        }
    }
    table.print();
    Ok(())
}
