//! What was seen, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use super::Plan;
use super::program::Journal;
use super::target::Asked;

/// The number of the state `delivered` in the journal.
const DELIVERED: i64 = 4;
/// Of each kind of fault so many are named.
const NAMED: usize = 10;
/// Lines of the program's log that go with a fault.
const LINES: usize = 60;

/// Something was broken until then.
#[derive(Debug)]
pub(super) struct Break {
    pub(super) what: &'static str,
    pub(super) whole: Instant,
    /// The latest event that was confirmed by then.
    pub(super) confirmed: u64,
}

pub(super) struct Seen {
    pub(super) published: Duration,
    pub(super) drained: Duration,
    pub(super) confirmed: Vec<(u64, Instant)>,
    pub(super) requests: Vec<Asked>,
    pub(super) faults: BTreeMap<String, u64>,
    pub(super) recoveries: Vec<Break>,
    pub(super) journal: Option<Journal>,
    pub(super) log: String,
}

/// From the end of a breakage to the effect of an event that was published after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// How often it was broken.
    pub times: usize,
    /// The middle of those after which an effect was seen.
    pub median: Duration,
    /// The longest.
    pub longest: Duration,
}

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where everything random came from.
    pub seed: u64,
    /// How long was published.
    pub published: Duration,
    /// How long it took from then until every confirmed event had its effect.
    pub drained: Duration,
    /// Events that the broker has confirmed.
    pub confirmed: usize,
    /// Requests that the target got.
    pub requests: usize,
    /// Effects of events that had had theirs.
    pub duplicates: usize,
    /// What requests got instead of a success, and how many.
    pub faults: BTreeMap<String, u64>,
    /// What was broken, how often, and how soon it worked again.
    pub recoveries: BTreeMap<&'static str, Recovery>,
    /// Confirmed events without an effect.
    pub missing: Vec<u64>,
    /// Events whose first effect came after that of a later event of the same key.
    pub out_of_order: Vec<u64>,
    /// Events confirmed or delivered that the journal does not have as delivered.
    pub unrecorded: Vec<u64>,
    /// What else is wrong.
    pub wrong: Vec<String>,
    /// The end of what the program has said.
    log: String,
}

impl Report {
    pub(super) fn of(plan: &Plan, seen: Seen) -> Self {
        let confirmed: BTreeSet<u64> = seen.confirmed.iter().map(|(number, _)| *number).collect();
        let mut effects: BTreeSet<u64> = BTreeSet::new();
        let mut latest: HashMap<u64, u64> = HashMap::new();
        let (mut duplicates, mut out_of_order, mut wrong) = (0, Vec::new(), Vec::new());
        for asked in &seen.requests {
            if asked.event == u64::MAX {
                wrong.push("a request that is about none of the events".to_owned());
            } else if asked.effect && effects.insert(asked.event) {
                let latest = latest.entry(asked.key).or_default();
                if asked.event < *latest {
                    out_of_order.push(asked.event);
                }
                *latest = asked.event.max(*latest);
            } else if asked.effect {
                duplicates += 1;
            }
        }
        let unrecorded = seen.journal.map_or_else(Vec::new, |journal| {
            if !journal.contains_key("ok") {
                wrong.push("the journal is damaged".to_owned());
            }
            let recorded = |event: &u64| {
                journal.get(&format!("10000000-0000-4000-8000-{event:012x}")) == Some(&DELIVERED)
            };
            confirmed.union(&effects).filter(|event| !recorded(event)).copied().collect()
        });
        let lines: Vec<&str> = seen.log.lines().collect();
        Self {
            seed: plan.seed,
            published: seen.published,
            drained: seen.drained,
            confirmed: confirmed.len(),
            requests: seen.requests.len(),
            duplicates,
            faults: seen.faults,
            recoveries: recoveries(&seen.recoveries, &seen.requests),
            missing: confirmed.difference(&effects).copied().collect(),
            out_of_order,
            unrecorded,
            wrong,
            log: lines[lines.len().saturating_sub(LINES)..].join("\n"),
        }
    }

    /// Whether every confirmed event had its effect, in order, with a record.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.missing.is_empty()
            && self.out_of_order.is_empty()
            && self.unrecorded.is_empty()
            && self.wrong.is_empty()
    }

    /// How often something was killed: daemon, broker, target.
    #[must_use]
    pub fn kills(&self) -> usize {
        self.recoveries.iter().filter(|(what, _)| what.ends_with("killed")).map(|(_, one)| one.times).sum()
    }

    /// The end of what the program has said.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.log
    }
}

fn recoveries(breaks: &[Break], requests: &[Asked]) -> BTreeMap<&'static str, Recovery> {
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

impl fmt::Display for Report {
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
        for (what, events) in [
            ("confirmed events without effect", &self.missing),
            ("events after a later one of their key", &self.out_of_order),
            ("events without a record of their delivery", &self.unrecorded),
        ] {
            let named: Vec<String> = events.iter().take(NAMED).map(u64::to_string).collect();
            let more = if events.len() > NAMED { " …" } else { "" };
            let colon = if events.is_empty() { "" } else { ": " };
            writeln!(f, "  {what}: {}{colon}{}{more}", events.len(), named.join(" "))?;
        }
        self.wrong.iter().try_for_each(|what| writeln!(f, "  {what}"))
    }
}
