use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::effort::{Effort, SECONDS, SIZE};
use super::process::Process;
use super::sections::spread;
use super::sink::Span;
use super::stage::{Queue, Stage};
use super::table::{Figure, Figures, Table};
use crate::{package, setup};

/// The original gets one in this number of messages, and one round, because it is slow.
const SHARE: u64 = 6;

const LIBRARY: &str = "\
import k2hr3_osnl
from pathlib import Path
conf = k2hr3_osnl.K2hr3Conf(Path('k2hr3_osnl.conf'))
k2hr3_osnl.listen([k2hr3_osnl.K2hr3NotificationEndpoint(conf)])
";

const OWN: &str = "\
import sys, threading, time
import k2hr3_osnl
from pathlib import Path

class Own(k2hr3_osnl.K2hr3NotificationEndpoint):
    lock = threading.Lock()
    count = 0
    first = 0

    def info(self, context, publisher_id, event_type, payload, metadata):
        with Own.lock:
            Own.count += 1
            if Own.count == 1:
                Own.first = time.time_ns()
            if Own.count == int(sys.argv[1]):
                print(Own.first, time.time_ns(), flush=True)
        return 'handled'

conf = k2hr3_osnl.K2hr3Conf(Path('k2hr3_osnl.conf'))
k2hr3_osnl.listen([Own(conf)])
";

pub(super) fn library(stage: &Stage, effort: Effort) -> Result<()> {
    let ours = package::environment_for_benchmarks()?.join("bin/python");
    let original = setup::python_if_there().map(|folder| folder.join("bin/python"));
    let mut programs: Vec<(&str, PathBuf, u64, usize)> =
        vec![("osnl-k2hr3", ours, effort.matching, effort.rounds)];
    programs.extend(original.map(|python| ("k2hr3_osnl 1.0.8", python, effort.matching / SHARE, 1)));
    let columns = ["", "messages", "msg/s", "CPU µs/msg", "peak MiB"];
    let mut table = Table::new("(python) the library k2hr3_osnl, every message matches", &columns);
    for (endpoint, script) in [("the library's endpoint", LIBRARY), ("an endpoint in Python", OWN)] {
        for (name, python, count, rounds) in &programs {
            let mut figures: Option<Figures> = None;
            for _ in 0..*rounds {
                let queue = stage.queue()?;
                queue.fill(*count, 1, SIZE)?;
                let process = queue.consume_in_python(python, script, *count)?;
                let figure = once(stage, &queue, process, *count, script == OWN)
                    .with_context(|| format!("{name}, {endpoint}"))?;
                match &mut figures {
                    Some(figures) => figures.add(figure),
                    None => figures = Some(Figures::new(figure)),
                }
            }
            let figures = figures.context("no round")?;
            table.row(&[
                format!("{name}, {endpoint}"),
                format!("{rounds} x {count}"),
                spread(&figures.rate, 0),
                spread(&figures.cpu, 1),
                spread(&figures.memory, 1),
            ]);
        }
    }
    table.print();
    Ok(())
}

fn once(stage: &Stage, queue: &Queue<'_>, mut process: Process, count: u64, prints: bool) -> Result<Figure> {
    let span = if prints { Span::parse(&process.line()?)? } else { stage.sink().wait(count, SECONDS)? };
    queue.wait_for_end();
    Ok(Figure {
        messages: count,
        rate: (count - 1) as f64 / span.seconds(),
        cpu: process.cpu()?.as_secs_f64() * 1e6 / count as f64,
        memory: process.peak_memory()?,
    })
}
