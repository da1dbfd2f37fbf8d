use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::faults::SeenFault;
use super::held::{HeldEvidence, OperatorVerb};
use super::judge::StandbyVerdict;
use super::memory::MemoryPeaks;

const NAMED: usize = 20;

#[derive(Debug)]
pub struct StandbyReport {
    pub(super) seed: u64,
    pub(super) version: String,
    pub(super) published: Duration,
    pub(super) confirmed: usize,
    pub(super) drained: Option<Duration>,
    pub(super) seen: Vec<SeenFault>,
    pub(super) held: Option<HeldEvidence>,
    pub(super) peaks: MemoryPeaks,
    pub(super) verdict: StandbyVerdict,
    pub(super) wrong: Vec<String>,
    pub(super) logs: PathBuf,
}

impl StandbyReport {
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty() && self.verdict.holds()
    }
}

impl fmt::Display for StandbyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "RabbitMQ {}, seed {}, {} s", self.version, self.seed, self.published.as_secs())?;
        writeln!(f, "  {:<46} {:>5}   {:>23}   {:>16}", "", "", "take-over", "pause")?;
        writeln!(
            f,
            "  {:<46} {:>5}   {:>5} {:>8} {:>8}   {:>7} {:>8}",
            "fault", "times", "times", "p50", "most", "p50", "most"
        )?;
        let mut kinds: BTreeMap<&str, Vec<&SeenFault>> = BTreeMap::new();
        self.seen.iter().for_each(|seen| kinds.entry(&seen.name).or_default().push(seen));
        for (name, seen) in kinds {
            let takeovers = times(seen.iter().filter_map(|seen| seen.takeover));
            let pauses = times(seen.iter().map(|seen| seen.pause));
            writeln!(
                f,
                "  {name:<46} {:>5}   {:>5} {:>8} {:>8}   {:>7} {:>8}",
                seen.len(),
                takeovers.len(),
                middle(&takeovers),
                most(&takeovers),
                middle(&pauses),
                most(&pauses),
            )?;
        }
        if let Some(held) = &self.held {
            writeln!(f, "  {:<50} {:>8}", "deliveries listed as waiting for release", held.held().len())?;
            for (name, verb) in [
                ("commands to release", OperatorVerb::Release),
                ("commands to retry", OperatorVerb::Retry),
                ("commands to discard", OperatorVerb::Discard),
            ] {
                let (all, refused) = held.count(verb);
                writeln!(f, "  {name:<50} {all:>8}, refused {}", refused.values().sum::<usize>())?;
                for (answer, count) in refused {
                    writeln!(f, "    {count} times {answer}")?;
                }
            }
        }
        let MemoryPeaks { daemon, node } = self.peaks;
        writeln!(f, "  {:<50} {daemon:>8.0} of a daemon, {node:.0} of a node", "most memory in MiB")?;
        write_verdict(f, self.confirmed, self.drained, &self.verdict, &self.wrong)?;
        writeln!(f, "logs: {}", self.logs.display())
    }
}

pub(super) fn write_verdict(
    f: &mut fmt::Formatter<'_>,
    confirmed: usize,
    drained: Option<Duration>,
    verdict: &StandbyVerdict,
    wrong: &[String],
) -> fmt::Result {
    let row = |f: &mut fmt::Formatter<'_>, name: &str, number: usize| writeln!(f, "  {name:<50} {number:>8}");
    row(f, "events confirmed", confirmed)?;
    row(f, "dead letters of what the target rejects", verdict.dead)?;
    row(f, "effects repeated", verdict.repeated)?;
    row(f, "of those after a later one of their resource", verdict.late)?;
    match drained {
        Some(drained) => writeln!(f, "  {:<50} {:>7.1}s", "time to drain", drained.as_secs_f64())?,
        None => writeln!(f, "  the queue was not empty at the end")?,
    }
    for (what, events) in verdict.findings() {
        row(f, what, events.len())?;
        if !events.is_empty() {
            let named: Vec<String> = events.iter().take(NAMED).map(u64::to_string).collect();
            let more = if events.len() > NAMED { " …" } else { "" };
            writeln!(f, "    events {}{more}", named.join(" "))?;
        }
    }
    row(f, "other violations", wrong.len())?;
    wrong.iter().try_for_each(|what| writeln!(f, "    {what}"))
}

fn times(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times
}

fn middle(sorted: &[Duration]) -> String {
    said(sorted.get(sorted.len() / 2))
}

fn most(sorted: &[Duration]) -> String {
    said(sorted.last())
}

fn said(time: Option<&Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
}
