//! The operator: lists waiting deliveries, and releases, retries, or discards each some seconds later, with the command line and
//! the configuration of any daemon that reads the queue.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::breaking::millis;
use super::super::pause_until;
use super::super::program::OracleDaemon;
use super::super::target::OracleTarget;
use super::held::{HeldDelivery, HeldEvidence, Listing, OperatorCommand, OperatorVerb, Selection};
use super::judge::event_of;

/// The pause between two rounds in ms.
const ROUND: [u64; 2] = [3_000, 10_000];
const LAST_ROUND: Duration = Duration::from_millis(500);
/// The bound after the drain within which nothing waits any more.
const LAST: Duration = Duration::from_secs(180);
const TOGETHER: usize = 200;
const PAGE: &str = "1000";
const WAITING: &str = "waiting-for-release";
const DEAD: &str = "dead";
/// Also deliveries that wait behind another one, or that the asked daemon has in hand.
const ANY: &str = "open,dead";

/// Looks at waiting deliveries through the daemons of one queue, and keeps the commands for the verdict.
pub(super) struct StandbyOperator<'a> {
    pub(super) daemons: &'a [OracleDaemon],
    /// Those of them that deliver.
    pub(super) pairs: Vec<&'a [OracleDaemon]>,
    pub(super) target: &'a OracleTarget,
    pub(super) chance: fastrand::Rng,
    pub(super) evidence: HeldEvidence,
    pub(super) wrong: Vec<String>,
}

impl StandbyOperator<'_> {
    /// Works until `is_over`, and then until nothing waits.
    pub(super) fn run(mut self, is_over: &AtomicBool) -> (HeldEvidence, Vec<String>) {
        while !is_over.load(Ordering::Relaxed) {
            let next = Instant::now() + millis(&mut self.chance, ROUND[0], ROUND[1]);
            while Instant::now() < next && !is_over.load(Ordering::Relaxed) {
                pause_until(next.min(Instant::now() + LAST_ROUND));
            }
            for pair in self.pairs.clone() {
                self.attend(pair, false);
            }
        }
        let end = Instant::now() + LAST;
        loop {
            let waiting = self.pairs.clone().iter().filter(|pair| !self.attend(pair, true)).count();
            if waiting == 0 {
                break;
            }
            if Instant::now() > end {
                self.wrong.push(format!("{waiting} queues still have deliveries that wait"));
                break;
            }
            pause_until(Instant::now() + LAST_ROUND);
        }
        (self.evidence, self.wrong)
    }

    /// Returns whether nothing waited, which only a last round finds out.
    fn attend(&mut self, pair: &[OracleDaemon], is_last: bool) -> bool {
        let daemon = &pair[self.chance.usize(..pair.len())];
        let (Some(waiting), Some(dead)) = (list(daemon, WAITING), list(daemon, DEAD)) else { return false };
        self.evidence.listings.push(Listing { at: Instant::now(), waiting: waiting.clone() });
        let is_whole = !is_last || list(daemon, ANY).is_some_and(|left| left.is_empty());
        self.end_dead(daemon, dead, is_last);
        self.release(daemon, waiting, is_last);
        is_whole
    }

    /// Releases the earliest deliveries by number, or all of one resource, or all.
    fn release(&mut self, daemon: &OracleDaemon, mut waiting: Vec<HeldDelivery>, is_last: bool) {
        if waiting.is_empty() {
            return;
        }
        let choice = if is_last { 9 } else { self.chance.u8(..10) };
        match choice {
            0..=5 => {
                waiting.sort_by_key(|held| held.event);
                waiting.truncate(TOGETHER);
                self.command(daemon, OperatorVerb::Release, &waiting);
            }
            6..=7 => {
                let resource = waiting[self.chance.usize(..waiting.len())].resource.clone();
                let words = ["deliveries", "release", "--yes", "--resource", &resource];
                self.give(daemon, OperatorVerb::Release, &words, Selection::Resource(resource.clone()));
            }
            _ => {
                let words = ["deliveries", "release", "--yes", "--all"];
                self.give(daemon, OperatorVerb::Release, &words, Selection::All);
            }
        }
    }

    /// Discards some dead letters, and retries the others, which the target accepts from now on.
    fn end_dead(&mut self, daemon: &OracleDaemon, mut dead: Vec<HeldDelivery>, is_last: bool) {
        dead.sort_by_key(|letter| letter.event);
        dead.truncate(TOGETHER);
        let (discarded, retried): (Vec<_>, Vec<_>) =
            dead.into_iter().partition(|_| is_last || self.chance.bool());
        self.target.accept(retried.iter().map(|letter| letter.event));
        self.command(daemon, OperatorVerb::Retry, &retried);
        self.command(daemon, OperatorVerb::Discard, &discarded);
    }

    fn command(&mut self, daemon: &OracleDaemon, verb: OperatorVerb, deliveries: &[HeldDelivery]) {
        if deliveries.is_empty() {
            return;
        }
        let words: &[&str] = match verb {
            OperatorVerb::Release => &["deliveries", "release"],
            OperatorVerb::Retry => &["deliveries", "retry"],
            OperatorVerb::Discard => &["deliveries", "discard", "--yes"],
        };
        let words: Vec<&str> =
            words.iter().copied().chain(deliveries.iter().map(|delivery| &*delivery.id)).collect();
        let events = deliveries.iter().map(|delivery| delivery.event).collect();
        self.give(daemon, verb, &words, Selection::Events(events));
    }

    fn give(&mut self, daemon: &OracleDaemon, verb: OperatorVerb, words: &[&str], selection: Selection) {
        let number = self.daemons.iter().position(|other| std::ptr::eq(other, daemon)).unwrap();
        let began = Instant::now();
        let said = daemon.ask(words);
        let answer = || said.out.lines().last().unwrap_or("no answer").to_owned();
        let refusal = (said.status != Some(0)).then(answer);
        // A command that finds the queue busy has done nothing.
        if refusal.is_none() || !said.out.contains("is busy") {
            let ended = Instant::now();
            let command = OperatorCommand { daemon: number, verb, selection, began, ended, refusal };
            self.evidence.commands.push(command);
        }
    }
}

/// Returns the dead letters of a queue, all pages of the list.
pub(super) fn dead_letters(daemon: &OracleDaemon) -> Option<BTreeSet<u64>> {
    let (mut events, mut after) = (BTreeSet::new(), None::<String>);
    loop {
        let mut words = vec!["deliveries", "list", "--state", DEAD, "--sort", "oldest", "--limit", PAGE];
        words.extend(after.iter().flat_map(|after| ["--after", after]));
        let list = daemon.ask_json(&words)?;
        events.extend(rows(&list)?.iter().map(|row| row.event));
        match list["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return Some(events),
        }
    }
}

fn list(daemon: &OracleDaemon, state: &str) -> Option<Vec<HeldDelivery>> {
    rows(&daemon.ask_json(&["deliveries", "list", "--state", state, "--sort", "oldest", "--limit", PAGE])?)
}

fn rows(list: &Value) -> Option<Vec<HeldDelivery>> {
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        let event = event_of(row["message_id"].as_str()?)?;
        Some(HeldDelivery { event, id: text("id")?, resource: text("key")? })
    };
    list["deliveries"].as_array()?.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_listed_delivery_has_its_event_its_number_and_its_resource() {
        let message = "10000000-0000-4000-8000-0000000001f3";
        let row = json!({"id": "17.0", "key": "port-3", "message_id": message, "state": "dead"});
        let expected = HeldDelivery { event: 499, id: "17.0".to_owned(), resource: "port-3".to_owned() };
        assert_eq!(rows(&json!({"deliveries": [row], "next": null})), Some(vec![expected]));
        assert_eq!(rows(&json!({"deliveries": [{"id": "17.0", "key": "port-3"}]})), None);
        assert_eq!(rows(&json!({"error": "busy"})), None);
    }
}
