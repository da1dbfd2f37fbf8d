use std::collections::{BTreeMap, BTreeSet};

use super::super::target::TargetRequest;

const MESSAGE: &str = "10000000-0000-4000-8000-";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StandbyVerdict {
    pub(super) lost: Vec<u64>,
    pub(super) out_of_order: Vec<u64>,
    pub(super) wrongly_dead: Vec<u64>,
    pub(super) dead: usize,
    pub(super) repeated: usize,
    pub(super) late: usize,
}

impl StandbyVerdict {
    pub(super) fn of(confirmed: &[u64], requests: &[TargetRequest], dead: &BTreeSet<u64>) -> Self {
        let mut verdict = Self::default();
        let mut seen = BTreeSet::new();
        let mut latest: BTreeMap<u64, u64> = BTreeMap::new();
        for request in requests.iter().filter(|request| request.effect) {
            let latest = latest.entry(request.key).or_default();
            let is_behind = request.event < *latest;
            *latest = request.event.max(*latest);
            if !seen.insert(request.event) {
                verdict.repeated += 1;
                verdict.late += usize::from(is_behind);
            } else if is_behind {
                verdict.out_of_order.push(request.event);
            }
        }
        let is_lost = |event: &u64| !seen.contains(event) && !dead.contains(event);
        verdict.lost = confirmed.iter().copied().filter(is_lost).collect();
        for event in dead {
            if event.is_multiple_of(super::REJECTED) {
                verdict.dead += 1;
            } else {
                verdict.wrongly_dead.push(*event);
            }
        }
        verdict
    }

    pub(super) fn findings(&self) -> [(&'static str, &[u64]); 3] {
        [
            ("lost: neither an effect nor a dead letter", &self.lost),
            ("out of order: first effects of a resource", &self.out_of_order),
            ("dead letters of what the target accepts", &self.wrongly_dead),
        ]
    }

    pub(super) fn holds(&self) -> bool {
        self.findings().iter().all(|(_, events)| events.is_empty())
    }
}

pub(super) fn buried(log: &str) -> BTreeSet<u64> {
    let event = |line: &str| {
        let digits = line.split_once(MESSAGE)?.1.get(..12)?;
        u64::from_str_radix(digits, 16).ok()
    };
    log.lines().filter(|line| line.contains("dead_letter")).filter_map(event).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Parses requests: `1` is an effect of event 1 about key 0, `1x` a failure, `1k3` an effect about key 3.
    fn requests(text: &str) -> Vec<TargetRequest> {
        let request = |word: &str| {
            let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
            let (_, key) = word.split_once('k').unwrap_or(("", "0"));
            let (event, key) = (digits.parse().unwrap(), key.parse().unwrap());
            TargetRequest { event, key, daemon: 0, effect: !word.contains('x'), at: Instant::now() }
        };
        text.split_whitespace().map(request).collect()
    }

    #[test]
    fn each_rule_of_the_promise() {
        let check = |seen: &str, dead: &[u64], expected: &str| {
            let dead = dead.iter().copied().collect();
            let verdict = StandbyVerdict::of(&[1, 2, 3, 97], &requests(seen), &dead);
            let findings = verdict.findings();
            let broken = findings.iter().filter(|(_, events)| !events.is_empty());
            let broken: Vec<String> =
                broken.map(|(what, events)| format!("{} {events:?}", &what[..4])).collect();
            assert_eq!(
                format!("{} / {} {}", broken.join(", "), verdict.repeated, verdict.late),
                expected,
                "{seen} {dead:?}"
            );
        };
        check("1 2 3", &[97], " / 0 0");
        check("1x 1 2 3 3 1", &[97], " / 2 1");
        check("1 3", &[97], "lost [2] / 0 0");
        check("1 2x 3", &[97], "lost [2] / 0 0");
        check("1 2 3", &[], "lost [97] / 0 0");
        check("2 1 3", &[97], "out  [1] / 0 0");
        check("2k1 1 3", &[97], " / 0 0");
        check("1 3", &[2, 97], "dead [2] / 0 0");
    }

    #[test]
    fn dead_letters_are_read_from_the_log() {
        let log = "12:00:00 ERROR {\"dead_letter\":{\"message_id\":\"10000000-0000-4000-8000-000000000061\"}}\n\
            12:00:00 INFO message.id=10000000-0000-4000-8000-000000000007 delivered\n";
        assert_eq!(buried(log), BTreeSet::from([97]));
    }
}
