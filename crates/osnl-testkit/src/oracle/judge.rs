//! The verdict: compares the records of the target and of the journals with the promise.
//!
//! | rule | broken by |
//! | --- | --- |
//! | each confirmed event has an effect, or a record that says why not | `missing` |
//! | of each daemon and queue, the first effects about a key come in the order of its events | `out_of_order` |
//! | each event that was confirmed, and each effect of a daemon, has a record | `unrecorded` |
//! | a daemon's journal has no more deliveries of an event than the target saw effects of it | `unseen` |
//! | a dead letter and what was discarded say why | `unexplained` |
//!
//! An effect may repeat, also after a record of a dead letter: a daemon killed between the target's answer and its
//! commit does not know of it. Retried dead letters have no order, nor have events in two queues.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::target::TargetRequest;

const DEAD: i64 = 3;
const DELIVERED: i64 = 4;
const DISCARDED: i64 = 6;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JournalRow {
    pub(super) event: u64,
    pub(super) delivery: i64,
    pub(super) state: i64,
    pub(super) queue: String,
    pub(super) reason: String,
}

impl JournalRow {
    pub(super) fn read(row: &Value) -> Self {
        let text = |at: usize| row[at].as_str().unwrap_or_default();
        let number = |at: usize| row[at].as_i64().unwrap_or(-1);
        let event = text(0).rsplit('-').next().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        Self {
            event: event.unwrap_or(u64::MAX),
            delivery: number(1),
            state: number(2),
            queue: text(3).to_owned(),
            reason: text(4).to_owned(),
        }
    }

    pub(super) fn has_ended_without_effect(&self) -> bool {
        [DEAD, DISCARDED].contains(&self.state)
    }
}

#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) confirmed: BTreeSet<u64>,
    pub(super) requests: Vec<TargetRequest>,
    pub(super) journals: Option<Vec<Vec<JournalRow>>>,
    pub(super) retried: BTreeSet<(usize, i64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OracleVerdict {
    pub(super) missing: Vec<u64>,
    pub(super) out_of_order: Vec<u64>,
    pub(super) unrecorded: Vec<u64>,
    pub(super) unseen: Vec<u64>,
    pub(super) unexplained: Vec<u64>,
    pub(super) duplicates: usize,
    pub(super) dead: usize,
}

impl OracleVerdict {
    pub(super) fn new(evidence: &Evidence) -> Self {
        let mut verdict = Self { out_of_order: out_of_order(evidence), ..Self::default() };
        let effects = effects(&evidence.requests);
        let events: BTreeSet<u64> = effects.keys().map(|(_, event)| *event).collect();
        verdict.duplicates = effects.values().sum::<usize>() - events.len();
        let Some(journals) = &evidence.journals else {
            verdict.missing = evidence.confirmed.difference(&events).copied().collect();
            return verdict;
        };
        let rows: Vec<HashMap<u64, Vec<&JournalRow>>> =
            journals.iter().map(|journal| by_event(journal)).collect();
        let of = |event: u64| rows.iter().filter_map(move |rows| rows.get(&event)).flatten();
        for event in evidence.confirmed.difference(&events) {
            if of(*event).any(|row| row.has_ended_without_effect()) {
                verdict.dead += 1;
            } else {
                verdict.missing.push(*event);
            }
        }
        let mut unrecorded: BTreeSet<u64> =
            evidence.confirmed.iter().filter(|event| of(**event).next().is_none()).copied().collect();
        for (daemon, event) in effects.keys() {
            let known = rows.get(*daemon).and_then(|rows| rows.get(event)).is_some_and(|rows| {
                rows.iter().any(|row| row.state == DELIVERED || row.has_ended_without_effect())
            });
            if !known {
                unrecorded.insert(*event);
            }
        }
        verdict.unrecorded = unrecorded.into_iter().collect();
        for (daemon, rows) in rows.iter().enumerate() {
            for (event, rows) in rows {
                let claimed = rows.iter().filter(|row| row.state == DELIVERED).count();
                if claimed > effects.get(&(daemon, *event)).copied().unwrap_or(0) {
                    verdict.unseen.push(*event);
                }
                if rows.iter().any(|row| row.has_ended_without_effect() && row.reason.is_empty()) {
                    verdict.unexplained.push(*event);
                }
            }
        }
        verdict.unseen.sort_unstable();
        verdict.unexplained.sort_unstable();
        verdict
    }
}

fn effects(requests: &[TargetRequest]) -> BTreeMap<(usize, u64), usize> {
    let mut effects = BTreeMap::new();
    for asked in requests.iter().filter(|asked| asked.effect && asked.event != u64::MAX) {
        *effects.entry((asked.daemon, asked.event)).or_default() += 1;
    }
    effects
}

fn by_event(journal: &[JournalRow]) -> HashMap<u64, Vec<&JournalRow>> {
    let mut rows: HashMap<u64, Vec<&JournalRow>> = HashMap::new();
    journal.iter().for_each(|row| rows.entry(row.event).or_default().push(row));
    rows
}

fn out_of_order(evidence: &Evidence) -> Vec<u64> {
    let rows: Option<Vec<_>> =
        evidence.journals.as_ref().map(|all| all.iter().map(|journal| by_event(journal)).collect());
    let queues = |daemon: usize, event: u64| -> BTreeSet<&str> {
        let Some(rows) = &rows else { return BTreeSet::from([""]) };
        let rows = rows.get(daemon).and_then(|rows| rows.get(&event)).into_iter().flatten();
        // Nothing records whose copy had the effect, so events in two queues have no order.
        if rows.clone().map(|row| row.queue.as_str()).collect::<BTreeSet<_>>().len() > 1 {
            return BTreeSet::new();
        }
        rows.filter(|row| row.state == DELIVERED && !evidence.retried.contains(&(daemon, row.delivery)))
            .map(|row| row.queue.as_str())
            .collect()
    };
    let mut seen = BTreeSet::new();
    let mut latest: HashMap<(usize, u64, &str), u64> = HashMap::new();
    let mut late = Vec::new();
    for asked in evidence.requests.iter().filter(|asked| asked.effect && asked.event != u64::MAX) {
        if !seen.insert((asked.daemon, asked.event)) {
            continue;
        }
        let mut is_late = false;
        for queue in queues(asked.daemon, asked.event) {
            let latest = latest.entry((asked.daemon, asked.key, queue)).or_default();
            is_late |= asked.event < *latest;
            *latest = asked.event.max(*latest);
        }
        if is_late {
            late.push(asked.event);
        }
    }
    late
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Parses requests: `1` is an effect of event 1 about key 0, `1x` a failure, `1b` an effect of the second daemon,
    /// `1k3` an effect about key 3.
    fn requests(text: &str) -> Vec<TargetRequest> {
        let asked = |word: &str| {
            let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
            let (_, key) = word.split_once('k').unwrap_or(("", "0"));
            TargetRequest {
                event: digits.parse().unwrap(),
                key: key.parse().unwrap(),
                daemon: usize::from(word.contains('b')),
                effect: !word.contains('x'),
                rejected: false,
                at: Instant::now(),
            }
        };
        text.split_whitespace().map(asked).collect()
    }

    /// Reads a row from each word: `1:4` is event 1 in state 4, `1:3q` is of the queue q, and `1:3!` has no reason.
    fn journal(text: &str) -> Vec<JournalRow> {
        let row = |(n, word): (usize, &str)| {
            let (event, rest) = word.split_once(':').unwrap();
            JournalRow {
                event: event.parse().unwrap(),
                delivery: i64::try_from(n).unwrap(),
                state: rest[..1].parse().unwrap(),
                queue: rest[1..].trim_end_matches('!').to_owned(),
                reason: if rest.ends_with('!') { String::new() } else { "refused".to_owned() },
            }
        };
        text.split_whitespace().enumerate().map(row).collect()
    }

    #[test]
    fn each_rule_of_the_promise() {
        let check = |asked: &str, journals: &[&str], expected: &str| {
            let evidence = Evidence {
                confirmed: (1..=3).collect(),
                requests: requests(asked),
                journals: (!journals.is_empty()).then(|| journals.iter().map(|text| journal(text)).collect()),
                retried: if journals.iter().any(|text| text.contains('r')) {
                    [(0, 1)].into()
                } else {
                    [].into()
                },
            };
            let verdict = OracleVerdict::new(&evidence);
            let found = [
                ("missing", &verdict.missing),
                ("order", &verdict.out_of_order),
                ("unrecorded", &verdict.unrecorded),
                ("unseen", &verdict.unseen),
                ("unexplained", &verdict.unexplained),
            ];
            let found: Vec<String> = found
                .iter()
                .filter(|(_, events)| !events.is_empty())
                .map(|(name, events)| format!("{name} {events:?}"))
                .collect();
            assert_eq!(found.join(", "), expected, "{asked} against {journals:?}");
        };
        let done = "1:4 2:4 3:4";
        check("1 2 3", &[done], "");
        check("1 2 3", &[], "");
        check("1x 1 2 2 3", &[done], "");
        check("1 3", &[], "missing [2]");
        check("1 3", &["1:4 3:4"], "missing [2], unrecorded [2]");
        check("1 2x 3", &["1:4 2:1 3:4"], "missing [2]");
        check("1 2x 3", &["1:4 2:3 3:4"], "");
        check("1 2x 3", &["1:4 2:6 3:4"], "");
        check("1 2x 3", &["1:4 2:3! 3:4"], "unexplained [2]");
        // Order holds for each key, not over keys; a repeated effect counts once.
        check("2 1 3", &[done], "order [1]");
        check("2 1k3 3", &[done], "");
        check("1 2 1 3", &[done], "");
        check("1b 2 3b", &["2:4", "1:4 3:4"], "");
        check("2 1b 3", &["2:4 3:4", "1:4"], "");
        check("3b 1b 2", &["2:4", "1:4 3:4"], "order [1]");
        // Two queues have no order, nor has an event in both, because its first effect may be of either copy.
        check("2 1 3", &["1:4p 2:4q 3:4q"], "");
        check("2 1 3 2", &["1:4p 2:4q 2:4p 3:4q"], "");
        check("2 1 3", &["1:4p 2:4p 3:4q"], "order [1]");
        check("1 3 2", &["1:4r 2:4r 3:4r"], "");
        check("3 1 2", &["1:4r 2:4r 3:4r"], "order [1]");
        check("1 2x 3", &[done], "missing [2], unseen [2]");
        check("1 2 3", &["1:4 2:4 2:4q 3:4"], "unseen [2]");
        check("1 2 3", &["1:4 3:4", "2:4"], "unrecorded [2], unseen [2]");
        check("1 2 3", &["1:4 2:5 3:4"], "unrecorded [2]");
        check("1 2 3", &["1:4 2:3 3:4"], "");
    }
}
