use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::judge::SharedVerdict;
use super::target::RequestCounts;

const NAMED: usize = 20;

#[derive(Debug)]
pub struct SharedReport {
    pub(super) seed: u64,
    pub(super) published: usize,
    pub(super) nameless: usize,
    pub(super) again: usize,
    pub(super) publishing: Duration,
    pub(super) drained: Option<Duration>,
    pub(super) faults: BTreeMap<&'static str, u64>,
    pub(super) untried: Vec<String>,
    pub(super) requests: RequestCounts,
    pub(super) buried: usize,
    pub(super) commands: BTreeMap<String, [u64; 2]>,
    pub(super) said: BTreeMap<&'static str, usize>,
    pub(super) verdict: SharedVerdict,
    pub(super) wrong: Vec<String>,
    pub(super) logs: PathBuf,
}

impl SharedReport {
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty() && self.verdict.findings().iter().all(|(_, events)| events.is_empty())
    }
}

impl fmt::Display for SharedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.verdict;
        let row =
            |f: &mut fmt::Formatter<'_>, name: &str, number: usize| writeln!(f, "  {name:<58} {number:>7}");
        writeln!(f, "seed {}, {} s", self.seed, self.publishing.as_secs())?;
        writeln!(f, "faults")?;
        for (name, count) in &self.faults {
            writeln!(f, "  {name:<58} {count:>7}")?;
        }
        self.untried.iter().try_for_each(|what| writeln!(f, "  not tried: {what}"))?;
        writeln!(f, "events")?;
        row(f, "published", self.published)?;
        row(f, "of those without an id", self.nameless)?;
        row(f, "published again, as the broker went away", self.again)?;
        row(f, "deliveries recorded as delivered", verdict.delivered)?;
        row(f, "dead letters of what the target rejects", verdict.dead)?;
        row(f, "events whose dead letters have left for a file", self.buried)?;
        row(f, "effects repeated", verdict.repeated)?;
        row(f, "of those without an id", verdict.repeated_nameless)?;
        row(f, "effects late, after a later one of their resource", verdict.late)?;
        row(f, "the most of those by one fault of a daemon", verdict.most_late)?;
        row(f, "of those without a fault of the daemon", verdict.late_without_fault)?;
        row(f, "of those late, refused by their fence", verdict.fenced)?;
        row(f, "requests with a smaller fence than one before", self.requests.behind)?;
        row(f, "messages stored again, without an id or published again", verdict.stored_again)?;
        row(f, "requests that failed", self.requests.failed)?;
        for (what, count) in &self.said {
            row(f, what, *count)?;
        }
        writeln!(f, "an operator's commands: done, not done")?;
        for (name, [done, failed]) in &self.commands {
            writeln!(f, "  {name:<58} {done:>7} {failed:>7}")?;
        }
        match self.drained {
            Some(drained) => writeln!(f, "  {:<58} {:>6.1}s", "time to drain", drained.as_secs_f64())?,
            None => writeln!(f, "  the journal or a queue was not empty at the end")?,
        }
        writeln!(f, "violations")?;
        for (what, events) in verdict.findings() {
            row(f, what, events.len())?;
            if !events.is_empty() {
                let named: Vec<String> = events.iter().take(NAMED).map(u64::to_string).collect();
                writeln!(
                    f,
                    "    events {}{}",
                    named.join(" "),
                    if events.len() > NAMED { " …" } else { "" }
                )?;
            }
        }
        row(f, "others", self.wrong.len())?;
        self.wrong.iter().try_for_each(|what| writeln!(f, "    {what}"))?;
        writeln!(f, "logs: {}", self.logs.display())
    }
}
