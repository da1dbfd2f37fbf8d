use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::super::target::TargetRequest;
use super::held::HeldEvidence;

const MESSAGE: &str = "10000000-0000-4000-8000-";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StandbyVerdict {
    pub(super) lost: Vec<u64>,
    pub(super) out_of_order: Vec<u64>,
    pub(super) wrongly_dead: Vec<u64>,
    pub(super) unreleased: Vec<u64>,
    pub(super) overtaking: Vec<u64>,
    pub(super) after_discard: Vec<u64>,
    pub(super) at_two_shards: Vec<u64>,
    pub(super) dead: usize,
    pub(super) repeated: usize,
    pub(super) late: usize,
}

impl StandbyVerdict {
    pub(super) fn new(
        confirmed: &[(u64, Instant)],
        requests: &[TargetRequest],
        dead: &BTreeSet<u64>,
        held: Option<&HeldEvidence>,
    ) -> Self {
        let mut verdict = Self {
            unreleased: held.map(|held| held.unreleased(confirmed, requests)).unwrap_or_default(),
            overtaking: held.map(|held| held.overtaking(confirmed, requests)).unwrap_or_default(),
            after_discard: held.map(|held| held.after_discard(requests)).unwrap_or_default(),
            at_two_shards: at_two_pairs(requests),
            ..Self::default()
        };
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
        verdict.lost = confirmed.iter().map(|(event, _)| *event).filter(is_lost).collect();
        for event in dead {
            if event.is_multiple_of(super::REJECTED) {
                verdict.dead += 1;
            } else {
                verdict.wrongly_dead.push(*event);
            }
        }
        verdict
    }

    pub(super) fn findings(&self) -> [(&'static str, &[u64]); 7] {
        [
            ("lost: neither an effect nor a dead letter", &self.lost),
            ("out of order: first effects of a resource", &self.out_of_order),
            ("dead letters of what the target accepts", &self.wrongly_dead),
            ("unreleased: asked for while they waited for release", &self.unreleased),
            ("overtaking: asked for behind one that waits or is dead", &self.overtaking),
            ("discarded: asked for after their discard", &self.after_discard),
            ("strayed: of a resource that another shard has", &self.at_two_shards),
        ]
    }

    pub(super) fn holds(&self) -> bool {
        self.findings().iter().all(|(_, events)| events.is_empty())
    }
}

/// Returns the events of a resource that had its first effect from another pair of daemons.
fn at_two_pairs(requests: &[TargetRequest]) -> Vec<u64> {
    let mut pairs: BTreeMap<u64, usize> = BTreeMap::new();
    let strays = requests.iter().filter(|request| {
        let pair = request.daemon / 2;
        *pairs.entry(request.key).or_insert(pair) != pair
    });
    strays.map(|request| request.event).collect::<BTreeSet<_>>().into_iter().collect()
}

pub(super) fn buried(log: &str) -> BTreeSet<u64> {
    log.lines().filter(|line| line.contains("dead_letter")).filter_map(event_of).collect()
}

/// Returns the event of a text with its message id.
pub(super) fn event_of(text: &str) -> Option<u64> {
    u64::from_str_radix(text.split_once(MESSAGE)?.1.get(..12)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::super::REJECTED;
    use super::*;

    /// Parses requests: `1` is an effect of event 1 about key 0, `1x` a failure, `1s` an effect by the second shard, `1k3`
    /// an effect about key 3.
    fn requests(text: &str) -> Vec<TargetRequest> {
        let request = |word: &str| {
            let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
            let (_, key) = word.trim_end_matches('s').split_once('k').unwrap_or(("", "0"));
            let (event, key) = (digits.parse().unwrap(), key.parse().unwrap());
            let (effect, daemon) = (!word.contains('x'), if word.contains('s') { 2 } else { 0 });
            TargetRequest { event, key, daemon, effect, rejected: false, at: Instant::now() }
        };
        text.split_whitespace().map(request).collect()
    }

    #[test]
    fn each_rule_of_the_promise() {
        let check = |seen: &str, dead: &[u64], expected: &str| {
            let dead = dead.iter().copied().collect();
            let confirmed = [1, 2, 3, REJECTED].map(|event| (event, Instant::now()));
            let verdict = StandbyVerdict::new(&confirmed, &requests(seen), &dead, None);
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
        check("1 2 3", &[REJECTED], " / 0 0");
        check("1x 1 2 3 3 1", &[REJECTED], " / 2 1");
        check("1 3", &[REJECTED], "lost [2] / 0 0");
        check("1 2x 3", &[REJECTED], "lost [2] / 0 0");
        check("1 2 3", &[], "lost [499] / 0 0");
        check("2 1 3", &[REJECTED], "out  [1] / 0 0");
        check("2k1 1 3", &[REJECTED], " / 0 0");
        check("1 3", &[2, REJECTED], "dead [2] / 0 0");
        check("1 2s 3", &[REJECTED], "stra [2] / 0 0");
        check("1 2k1s 3", &[REJECTED], " / 0 0");
    }

    #[test]
    fn dead_letters_are_read_from_the_log() {
        let log = "12:00:00 ERROR {\"dead_letter\":{\"message_id\":\"10000000-0000-4000-8000-000000000061\"}}\n\
            12:00:00 INFO message.id=10000000-0000-4000-8000-000000000007 delivered\n";
        assert_eq!(buried(log), BTreeSet::from([97]));
    }
}
