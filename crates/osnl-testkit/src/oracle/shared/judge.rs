//! | rule | broken by |
//! | --- | --- |
//! | each event has its effect, and a record of it | `lost` |
//! | only what the target rejects is a dead letter, and it is one | `wrongly_dead`, `not_dead` |
//! | nothing is open after the faults | `open` |
//! | a message with an id, of which the broker has one, is stored once | `stored_twice` |
//! | what is recorded as delivered has had its effect | `unseen` |
//! | the events of a resource are stored, recorded, and have their first effects in their order | `out_of_order` |
//! | an effect after that of a later event of its resource has a smaller fence than a request before, if both have one | `not_fenced` |
//! | a target that refuses smaller fences still gets each effect | `only_fenced` |
//!
//! Permitted and counted: a repeated effect; a late effect of a daemon that has lost the partition (`late`,
//! `fenced`); a message without an id, or published twice, stored again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::REJECTED;
use super::publisher::Publication;
use super::target::TargetEffect;
use super::window::FaultWindow;

const DEAD: i64 = 3;
const DELIVERED: i64 = 4;
/// A late effect counts for a fault that ended within this time, because attempts under way have a time-out.
const AFTERMATH: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DatabaseRow {
    pub(super) event: u64,
    pub(super) arrival: i64,
    pub(super) delivery: i64,
    pub(super) is_spare: bool,
    pub(super) state: i64,
    /// The time of the last commit by the clock of the database, in microseconds; 0 if the delivery is open.
    pub(super) ended: i64,
    pub(super) has_id: bool,
    pub(super) reason: String,
}

impl DatabaseRow {
    pub(super) const SQL: &'static str = "SELECT substring(convert_from(a.body, 'UTF8') from 'chaos[^0-9]*([0-9]+)'), a.id, d.id, \
         (d.action = 'spare')::int, d.state, \
         CASE WHEN d.state >= 3 THEN coalesce((extract(epoch FROM pg_xact_commit_timestamp(d.xmin)) * 1000000)::bigint, 0) ELSE 0 END, (coalesce(a.unique_id, a.message_id) IS NOT NULL)::int, \
         translate(coalesce(d.reason, ''), E'\\n', ' ') \
         FROM osnl_arrival a JOIN osnl_delivery d ON d.arrival = a.id ORDER BY d.id";

    pub(super) fn read(line: &str) -> Option<Self> {
        let mut columns = line.splitn(8, '|');
        let mut number = || columns.next()?.parse::<i64>().ok();
        Some(Self {
            event: u64::try_from(number()?).ok()?,
            arrival: number()?,
            delivery: number()?,
            is_spare: number()? == 1,
            state: number()?,
            ended: number()?,
            has_id: number()? == 1,
            reason: columns.next()?.to_owned(),
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct SharedEvidence {
    pub(super) published: Vec<Publication>,
    pub(super) effects: Vec<TargetEffect>,
    pub(super) rows: Vec<DatabaseRow>,
    pub(super) windows: Vec<FaultWindow>,
    pub(super) buried: HashSet<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SharedVerdict {
    pub(super) lost: Vec<u64>,
    pub(super) wrongly_dead: Vec<u64>,
    pub(super) not_dead: Vec<u64>,
    pub(super) open: Vec<u64>,
    pub(super) stored_twice: Vec<u64>,
    pub(super) unseen: Vec<u64>,
    pub(super) out_of_order: Vec<u64>,
    pub(super) not_fenced: Vec<u64>,
    pub(super) only_fenced: Vec<u64>,
    pub(super) delivered: usize,
    pub(super) dead: usize,
    pub(super) repeated: usize,
    pub(super) repeated_nameless: usize,
    pub(super) late: usize,
    pub(super) fenced: usize,
    pub(super) most_late: usize,
    pub(super) late_without_fault: usize,
    pub(super) stored_again: usize,
}

impl SharedVerdict {
    pub(super) fn of(evidence: &SharedEvidence) -> Self {
        let mut verdict = Self::default();
        let SharedEvidence { published, effects, rows, .. } = evidence;
        let seen: HashSet<(u64, bool)> =
            effects.iter().map(|effect| (effect.event, effect.is_spare)).collect();
        let mut by_event: HashMap<u64, Vec<&DatabaseRow>> = HashMap::new();
        rows.iter().for_each(|row| by_event.entry(row.event).or_default().push(row));
        for Publication { event, has_id, is_again, .. } in published {
            let rejected = event.is_multiple_of(REJECTED);
            let own = by_event.remove(event).unwrap_or_default();
            let ended = own.iter().any(|row| row.is_spare == rejected && row.state == DELIVERED);
            let arrivals: BTreeSet<i64> = own.iter().map(|row| row.arrival).collect();
            if !seen.contains(&(*event, rejected)) || !ended {
                verdict.lost.push(*event);
            }
            if *has_id && !*is_again && arrivals.len() > 1 {
                verdict.stored_twice.push(*event);
            }
            verdict.stored_again += arrivals.len().saturating_sub(1);
            let is_dead = own.iter().any(|row| !row.is_spare && row.state == DEAD);
            if rejected && !is_dead && !evidence.buried.contains(event) {
                verdict.not_dead.push(*event);
            }
            for row in own {
                verdict.judge_row(row, rejected, &seen);
            }
        }
        // The remaining effects belong to messages that were never published.
        verdict.unseen.extend(by_event.into_keys());
        verdict.judge_effects(evidence);
        verdict.judge_fences(effects);
        verdict.judge_records(evidence);
        let Self { out_of_order, unseen, open, not_fenced, .. } = &mut verdict;
        let lists = [out_of_order, unseen, open, not_fenced];
        for events in lists {
            events.sort_unstable();
            events.dedup();
        }
        verdict
    }

    fn judge_row(&mut self, row: &DatabaseRow, rejected: bool, seen: &HashSet<(u64, bool)>) {
        let may_be_dead = rejected && !row.is_spare;
        match row.state {
            DEAD if may_be_dead => self.dead += 1,
            DEAD => self.wrongly_dead.push(row.event),
            DELIVERED if may_be_dead => self.unseen.push(row.event),
            DELIVERED if !seen.contains(&(row.event, row.is_spare)) => self.unseen.push(row.event),
            DELIVERED => self.delivered += 1,
            _ => self.open.push(row.event),
        }
    }

    fn judge_effects(&mut self, evidence: &SharedEvidence) {
        let nameless: HashSet<u64> =
            evidence.published.iter().filter(|one| !one.has_id).map(|one| one.event).collect();
        let mut arrivals: HashMap<u64, BTreeSet<i64>> = HashMap::new();
        evidence.rows.iter().for_each(|row| _ = arrivals.entry(row.event).or_default().insert(row.arrival));
        let mut seen = HashSet::new();
        let mut latest: HashMap<(u32, bool), u64> = HashMap::new();
        // Daemons of an older version send no fence, hence a second map.
        let mut latest_with_fence = latest.clone();
        let mut late_of: BTreeMap<usize, usize> = BTreeMap::new();
        for effect in &evidence.effects {
            let latest = latest.entry((effect.port, effect.is_spare)).or_default();
            let overtaken = effect.event < *latest;
            *latest = effect.event.max(*latest);
            let with_fence = latest_with_fence.entry((effect.port, effect.is_spare)).or_default();
            let is_overtaken_with_fence = effect.event < *with_fence;
            if effect.is_behind.is_some() {
                *with_fence = effect.event.max(*with_fence);
            }
            if seen.insert((effect.event, effect.is_spare)) {
                self.out_of_order.extend(overtaken.then_some(effect.event));
                continue;
            }
            self.repeated += 1;
            self.repeated_nameless += usize::from(nameless.contains(&effect.event));
            let is_again = arrivals.get(&effect.event).is_some_and(|arrivals| arrivals.len() > 1);
            if !overtaken || is_again {
                continue;
            }
            self.late += 1;
            self.fenced += usize::from(effect.is_behind == Some(true));
            let is_not_fenced = is_overtaken_with_fence && effect.is_behind == Some(false);
            self.not_fenced.extend(is_not_fenced.then_some(effect.event));
            let fault = evidence.windows.iter().rposition(|window| {
                window.daemon.is_none_or(|daemon| daemon == effect.daemon)
                    && window.from <= effect.at
                    && effect.at <= window.until + AFTERMATH
            });
            match fault {
                Some(fault) => *late_of.entry(fault).or_default() += 1,
                None => self.late_without_fault += 1,
            }
        }
        self.most_late = late_of.into_values().max().unwrap_or(0);
    }

    fn judge_fences(&mut self, effects: &[TargetEffect]) {
        let mut refused: BTreeMap<(u64, bool), bool> = BTreeMap::new();
        for effect in effects {
            let is_behind = effect.is_behind == Some(true);
            *refused.entry((effect.event, effect.is_spare)).or_insert(true) &= is_behind;
        }
        self.only_fenced
            .extend(refused.into_iter().filter(|(_, refused)| *refused).map(|((event, _), _)| event));
    }

    fn judge_records(&mut self, evidence: &SharedEvidence) {
        let ports: HashMap<u64, u32> = evidence.published.iter().map(|one| (one.event, one.port)).collect();
        let mut stored = HashSet::new();
        let mut latest: HashMap<u32, u64> = HashMap::new();
        let mut ended: HashMap<(u32, bool), i64> = HashMap::new();
        for row in &evidence.rows {
            let Some(port) = ports.get(&row.event) else { continue };
            if stored.insert(row.event) {
                let latest = latest.entry(*port).or_default();
                self.out_of_order.extend((row.event < *latest).then_some(row.event));
                *latest = row.event.max(*latest);
            }
            let ended = ended.entry((*port, row.is_spare)).or_default();
            if row.ended > 0 && row.state != DEAD {
                self.out_of_order.extend((row.ended < *ended).then_some(row.event));
                *ended = row.ended.max(*ended);
            }
        }
    }

    pub(super) fn findings(&self) -> [(&'static str, &[u64]); 9] {
        [
            ("lost: without an effect, or a record of it", &self.lost),
            ("out of order", &self.out_of_order),
            ("still open", &self.open),
            ("dead letters of what the target accepts", &self.wrongly_dead),
            ("without a dead letter, of what the target rejects", &self.not_dead),
            ("stored twice in spite of an id", &self.stored_twice),
            ("recorded as delivered without an effect", &self.unseen),
            ("late, with a fence that is not smaller", &self.not_fenced),
            ("without an effect at a target that refuses smaller fences", &self.only_fenced),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Parses events of one port: `1` is an effect, `1s` an effect of the fallback; a `b` marks the second daemon.
    /// `1+` has a fence, and `1-` a smaller fence than a request before.
    fn effects(text: &str) -> Vec<TargetEffect> {
        let effect = |word: &str| TargetEffect {
            event: word.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap(),
            port: 7,
            daemon: usize::from(word.contains('b')),
            is_spare: word.contains('s'),
            is_behind: word.contains(['+', '-']).then(|| word.contains('-')),
            at: Instant::now(),
        };
        text.split_whitespace().map(effect).collect()
    }

    /// Parses rows: `1:4` is event 1, delivered; `1:4s` by the fallback. Each word is an arrival that ends later than
    /// the word before; `<` ends earlier.
    fn rows(text: &str) -> Vec<DatabaseRow> {
        let row = |(n, word): (usize, &str)| {
            let (event, state) = word.split_once(':').unwrap();
            let n = n as i64 + 1;
            DatabaseRow {
                event: event.parse().unwrap(),
                arrival: n,
                delivery: n << 16,
                is_spare: word.contains('s'),
                state: state.trim_end_matches(['s', '<']).parse().unwrap(),
                ended: if word.contains('<') { 1 } else { 10 * n },
                has_id: true,
                reason: String::new(),
            }
        };
        text.split_whitespace().enumerate().map(row).collect()
    }

    fn verdict(count: u64, seen: &str, stored: &str) -> SharedVerdict {
        let published = (1..=count).map(|event| Publication {
            event,
            port: 7,
            has_id: !event.is_multiple_of(5),
            is_again: event == 6,
        });
        let (effects, rows) = (effects(seen), rows(stored));
        SharedVerdict::of(&SharedEvidence {
            published: published.collect(),
            effects,
            rows,
            ..SharedEvidence::default()
        })
    }

    #[test]
    fn what_breaks_a_rule_is_found() {
        let check = |seen: &str, stored: &str, expected: &[(usize, u64)]| {
            let verdict = verdict(3, seen, stored);
            let found: Vec<(usize, u64)> = (verdict.findings().iter().enumerate())
                .flat_map(|(rule, (_, events))| events.iter().map(move |event| (rule, *event)))
                .collect();
            assert_eq!(found, expected, "{seen} / {stored}");
        };
        check("1 2 3", "1:4 2:4 3:4", &[]);
        check("1 2b 2 3b 2", "1:4 2:4 3:4", &[]);
        check("1 3", "1:4 3:4", &[(0, 2)]);
        check("1 3", "1:4 2:4 3:4", &[(0, 2), (6, 2)]);
        check("1 2 3", "1:4 2:1 3:4", &[(0, 2), (2, 2)]);
        check("1 3 2", "1:4 2:4 3:4", &[(1, 2)]);
        check("1 2 3", "1:4 3:4 2:4", &[(1, 2)]);
        check("1 2 3", "1:4 2:4 3:4<", &[(1, 3)]);
        check("1 2 3", "1:4 2:3 3:4", &[(0, 2), (3, 2)]);
        check("1 2 3", "1:4 2:4 3:4 2:4", &[(5, 2)]);
        check("1 2 3 9", "1:4 2:4 3:4 9:4", &[(6, 9)]);
        check("1+ 2+ 1- 3+", "1:4 2:4 3:4", &[]);
        check("1+ 2+ 1+ 3+", "1:4 2:4 3:4", &[(7, 1)]);
        check("1+ 2 1+ 3+", "1:4 2:4 3:4", &[]);
        check("1- 1+ 2- 3+", "1:4 2:4 3:4", &[(8, 2)]);
    }

    #[test]
    fn what_is_permitted_is_counted() {
        let verdict = verdict(6, "1 2 1b- 3 4 5 5 6 5 4 4b-", "1:4 2:4 3:4 4:4 5:4 6:4 5:4");
        assert_eq!((verdict.repeated, verdict.repeated_nameless), (5, 2));
        assert_eq!((verdict.late, verdict.late_without_fault, verdict.stored_again), (3, 3, 1));
        assert_eq!(verdict.fenced, 2);
    }

    #[test]
    fn a_rejected_event_is_dead_and_has_another_effect() {
        let event = REJECTED;
        let published = vec![Publication { event, port: 7, has_id: true, is_again: false }];
        let (effects, mut rows) = (effects(&format!("{event}s")), rows(&format!("{event}:3 {event}:4s")));
        rows[1].arrival = 1;
        let mut evidence = SharedEvidence { published, effects, rows, ..SharedEvidence::default() };
        let verdict = SharedVerdict::of(&evidence);
        assert!(verdict.findings().iter().all(|(_, events)| events.is_empty()), "{verdict:?}");
        assert_eq!(verdict.dead, 1);
        evidence.rows.remove(0);
        assert_eq!(SharedVerdict::of(&evidence).not_dead, [event]);
        evidence.buried.insert(event);
        assert_eq!(SharedVerdict::of(&evidence).not_dead, [0; 0]);
        evidence.effects.clear();
        assert_eq!(SharedVerdict::of(&evidence).lost, [event]);
    }
}
