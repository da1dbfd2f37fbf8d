use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::judge::{Evidence, OracleVerdict};
use super::target::TargetRequest;

const NAMED: usize = 10;
const LINES: usize = 60;

#[derive(Debug)]
pub(super) struct Break {
    pub(super) what: &'static str,
    pub(super) whole: Instant,
    pub(super) confirmed: u64,
}

pub(super) struct Observations {
    pub(super) published: Duration,
    pub(super) drained: Duration,
    pub(super) faults: BTreeMap<String, u64>,
    pub(super) recoveries: Vec<Break>,
    pub(super) operations: BTreeMap<&'static str, (u64, u64)>,
    pub(super) wrong: Vec<String>,
    pub(super) log: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    pub times: usize,
    pub median: Duration,
    pub longest: Duration,
}

#[derive(Clone, Debug)]
pub struct OracleReport {
    pub seed: u64,
    pub published: Duration,
    pub drained: Duration,
    pub confirmed: usize,
    pub requests: usize,
    pub duplicates: usize,
    pub faults: BTreeMap<String, u64>,
    pub recoveries: BTreeMap<&'static str, Recovery>,
    pub missing: Vec<u64>,
    pub out_of_order: Vec<u64>,
    pub unrecorded: Vec<u64>,
    pub unseen: Vec<u64>,
    pub unexplained: Vec<u64>,
    /// Confirmed events that ended without effect, with a record: dead letters and discarded events.
    pub dead: usize,
    pub operations: BTreeMap<&'static str, (u64, u64)>,
    pub wrong: Vec<String>,
    log: String,
}

impl OracleReport {
    pub(super) fn new(seed: u64, evidence: &Evidence, mut seen: Observations) -> Self {
        let verdict = OracleVerdict::new(evidence);
        let foreign = evidence.requests.iter().filter(|asked| asked.event == u64::MAX).count();
        if foreign > 0 {
            seen.wrong.push(format!("{foreign} requests that are about none of the events"));
        }
        let lines: Vec<&str> = seen.log.lines().collect();
        Self {
            seed,
            published: seen.published,
            drained: seen.drained,
            confirmed: evidence.confirmed.len(),
            requests: evidence.requests.len(),
            duplicates: verdict.duplicates,
            faults: seen.faults,
            recoveries: recoveries(&seen.recoveries, &evidence.requests),
            missing: verdict.missing,
            out_of_order: verdict.out_of_order,
            unrecorded: verdict.unrecorded,
            unseen: verdict.unseen,
            unexplained: verdict.unexplained,
            dead: verdict.dead,
            operations: seen.operations,
            wrong: seen.wrong,
            log: lines[lines.len().saturating_sub(LINES)..].join("\n"),
        }
    }

    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty() && self.findings().iter().all(|(_, events)| events.is_empty())
    }

    fn findings(&self) -> [(&'static str, &[u64]); 5] {
        [
            ("confirmed events without effect or reason", &self.missing),
            ("events after a later one of their key", &self.out_of_order),
            ("events without a record of what became of them", &self.unrecorded),
            ("events with a record of what the target never saw", &self.unseen),
            ("events that ended for no reason", &self.unexplained),
        ]
    }

    #[must_use]
    pub fn kills(&self) -> usize {
        self.recoveries.iter().filter(|(what, _)| what.ends_with("killed")).map(|(_, one)| one.times).sum()
    }

    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }
}

fn recoveries(breaks: &[Break], requests: &[TargetRequest]) -> BTreeMap<&'static str, Recovery> {
    let mut took: BTreeMap<&'static str, (usize, Vec<Duration>)> = BTreeMap::new();
    for one in breaks {
        let (times, took) = took.entry(one.what).or_default();
        *times += 1;
        let first = requests.partition_point(|asked| asked.at < one.whole);
        let next = requests[first..].iter().find(|asked| asked.effect && asked.event > one.confirmed);
        took.extend(next.map(|asked| asked.at - one.whole));
    }
    let summed = took.into_iter().map(|(what, (times, mut took))| {
        took.sort_unstable();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        (what, Recovery { times, median, longest: took.last().copied().unwrap_or_default() })
    });
    summed.collect()
}

impl fmt::Display for OracleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} events confirmed in {:.1} s, {} requests, {} effects repeated; all done {:.1} s after the last",
            self.seed,
            self.confirmed,
            self.published.as_secs_f64(),
            self.requests,
            self.duplicates,
            self.drained.as_secs_f64(),
        )?;
        for (what, recovery) in &self.recoveries {
            writeln!(
                f,
                "  {what} {} times; a new event had its effect after {:.2} s (median), {:.2} s at most",
                recovery.times,
                recovery.median.as_secs_f64(),
                recovery.longest.as_secs_f64(),
            )?;
        }
        let faults: Vec<String> = self.faults.iter().map(|(what, times)| format!("{what} {times}")).collect();
        writeln!(f, "  requests answered badly: {}", faults.join(", "))?;
        if !self.operations.is_empty() {
            let operations: Vec<String> = (self.operations.iter())
                .map(|(what, (accepted, refused))| format!("{what} {accepted} (refused {refused})"))
                .collect();
            writeln!(f, "  an operator's: {}", operations.join(", "))?;
            writeln!(f, "  events that ended without effect, with a record: {}", self.dead)?;
        }
        for (what, events) in self.findings() {
            let named: Vec<String> = events.iter().take(NAMED).map(u64::to_string).collect();
            let more = if events.len() > NAMED { " …" } else { "" };
            let colon = if events.is_empty() { "" } else { ": " };
            writeln!(f, "  {what}: {}{colon}{}{more}", events.len(), named.join(" "))?;
        }
        self.wrong.iter().try_for_each(|what| writeln!(f, "  {what}"))
    }
}
