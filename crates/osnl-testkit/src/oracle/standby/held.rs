//! The verdict on deliveries that wait for an operator: beyond a guard, or behind a dead letter.
//!
//! A delivery waits from the end of the listing that shows it first. A command ends the wait when it begins: its effect
//! may come before its answer. Deliveries in the hands of a daemon that falls silent are not judged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::target::TargetRequest;

/// By then a daemon that was silent knows that the broker has closed its connection.
const AWAKE: Duration = Duration::from_secs(5);
/// By then the other daemon of a queue has seen that an operator has changed the letters: it looks once a minute, or more often.
const SEEN: Duration = Duration::from_secs(75);

#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) at: Instant,
    pub(super) waiting: Vec<HeldDelivery>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldDelivery {
    pub(super) event: u64,
    pub(super) id: String,
    pub(super) resource: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperatorVerb {
    Release,
    Retry,
    Discard,
}

#[derive(Clone, Debug)]
pub(super) enum Selection {
    Events(BTreeSet<u64>),
    Resource(String),
    All,
}

#[derive(Clone, Debug)]
pub(super) struct OperatorCommand {
    /// The number of the daemon that was asked.
    pub(super) daemon: usize,
    pub(super) verb: OperatorVerb,
    pub(super) selection: Selection,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// The last line of the answer to a refused command.
    pub(super) refusal: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    pub(super) daemon: usize,
    pub(super) from: Instant,
    pub(super) to: Instant,
}

/// The time from the first sight of a wait to the command that ends it, if there is one.
#[derive(Clone, Copy, Debug)]
struct Wait {
    from: Instant,
    to: Option<Instant>,
}

impl Wait {
    fn contains(self, at: Instant) -> bool {
        at > self.from && self.to.is_none_or(|to| at < to)
    }
}

#[derive(Debug, Default)]
pub(super) struct HeldEvidence {
    pub(super) listings: Vec<Listing>,
    pub(super) commands: Vec<OperatorCommand>,
    pub(super) silences: Vec<Silence>,
}

impl HeldEvidence {
    pub(super) fn discarded(&self) -> BTreeSet<u64> {
        let discards = self.commands.iter().filter(|command| command.verb == OperatorVerb::Discard);
        let events = discards.filter_map(|command| match &command.selection {
            Selection::Events(events) => Some(events),
            Selection::Resource(_) | Selection::All => None,
        });
        events.flatten().copied().collect()
    }

    pub(super) fn held(&self) -> BTreeSet<u64> {
        self.listings.iter().flat_map(|listing| &listing.waiting).map(|held| held.event).collect()
    }

    /// Returns the number of commands of this kind, and the number of refused ones by their answers without numbers.
    pub(super) fn count(&self, verb: OperatorVerb) -> (usize, BTreeMap<String, usize>) {
        let commands = self.commands.iter().filter(|command| command.verb == verb);
        let mut refused = BTreeMap::new();
        for refusal in commands.clone().filter_map(|command| command.refusal.as_ref()) {
            let words =
                refusal.split_whitespace().filter(|word| !word.contains(|of: char| of.is_ascii_digit()));
            *refused.entry(words.collect::<Vec<_>>().join(" ")).or_default() += 1;
        }
        (commands.count(), refused)
    }

    /// Returns the events that the target was asked about while they waited for release.
    pub(super) fn unreleased(&self, confirmed: &[(u64, Instant)], requests: &[TargetRequest]) -> Vec<u64> {
        let waits = self.waits(confirmed);
        let is_unreleased = |request: &&TargetRequest| {
            waits.get(&request.event).is_some_and(|wait| wait.contains(request.at))
                && !self.was_silent(request)
        };
        distinct(requests.iter().filter(is_unreleased))
    }

    /// Returns the events that the target was asked about while an earlier one of their resource waited for release, or
    /// was a dead letter.
    pub(super) fn overtaking(&self, confirmed: &[(u64, Instant)], requests: &[TargetRequest]) -> Vec<u64> {
        let mut holding: BTreeMap<u64, Vec<(u64, Wait)>> = BTreeMap::new();
        let resources: BTreeMap<u64, u64> = requests.iter().map(|asked| (asked.event, asked.key)).collect();
        for (event, wait) in self.waits(confirmed) {
            if let Some(resource) = resources.get(&event) {
                holding.entry(*resource).or_default().push((event, wait));
            }
        }
        let mut dead = BTreeSet::new();
        for request in requests.iter().filter(|request| request.rejected) {
            if dead.insert(request.event) {
                let wait = Wait { from: request.at, to: self.ended(request.event) };
                holding.entry(request.key).or_default().push((request.event, wait));
            }
        }
        let is_overtaking = |request: &&TargetRequest| {
            let earlier = holding.get(&request.key).into_iter().flatten();
            let mut earlier = earlier.filter(|(event, _)| *event < request.event);
            earlier.any(|(_, wait)| wait.contains(request.at)) && !self.was_silent(request)
        };
        distinct(requests.iter().filter(is_overtaking))
    }

    /// Returns the events that the target was asked about after their discard, unless an operator let them go once more.
    pub(super) fn after_discard(&self, requests: &[TargetRequest]) -> Vec<u64> {
        let concerns = |command: &OperatorCommand, event: u64| match &command.selection {
            Selection::Events(events) => events.contains(&event),
            Selection::Resource(_) | Selection::All => true,
        };
        let is_forbidden = |command: &OperatorCommand, request: &TargetRequest| {
            let seen = if request.daemon == command.daemon { Duration::ZERO } else { SEEN };
            let since = command.ended..request.at;
            let lets_go = |other: &OperatorCommand| {
                other.verb != OperatorVerb::Discard
                    && since.contains(&other.began)
                    && concerns(other, request.event)
            };
            command.verb == OperatorVerb::Discard
                && command.refusal.is_none()
                && concerns(command, request.event)
                && request.at > command.ended + seen
                && !self.commands.iter().any(lets_go)
        };
        let is_late = |request: &&TargetRequest| {
            self.commands.iter().any(|command| is_forbidden(command, request)) && !self.was_silent(request)
        };
        distinct(requests.iter().filter(is_late))
    }

    /// Returns the wait for release of each event that was listed.
    fn waits(&self, confirmed: &[(u64, Instant)]) -> BTreeMap<u64, Wait> {
        let confirmed: BTreeMap<u64, Instant> = confirmed.iter().copied().collect();
        let released = |held: &HeldDelivery| {
            let releases = self.commands.iter().filter(|command| command.verb == OperatorVerb::Release);
            let covering = releases.filter(|command| match &command.selection {
                Selection::Events(events) => events.contains(&held.event),
                Selection::Resource(name) => {
                    *name == held.resource && is_published(&confirmed, held.event, command)
                }
                Selection::All => is_published(&confirmed, held.event, command),
            });
            covering.map(|command| command.began).min()
        };
        let mut waits = BTreeMap::new();
        for listing in &self.listings {
            for held in &listing.waiting {
                waits.entry(held.event).or_insert_with(|| Wait { from: listing.at, to: released(held) });
            }
        }
        waits
    }

    /// Returns the time at which a dead letter was first retried or discarded.
    fn ended(&self, event: u64) -> Option<Instant> {
        let commands = self.commands.iter().filter(|command| command.verb != OperatorVerb::Release);
        let covering = commands.filter(
            |command| matches!(&command.selection, Selection::Events(events) if events.contains(&event)),
        );
        covering.map(|command| command.began).min()
    }

    pub(super) fn text(&self, began: Instant) -> String {
        let seconds = |at: Instant| at.saturating_duration_since(began).as_secs_f64();
        let mut lines: Vec<(Instant, String)> = Vec::new();
        for Listing { at, waiting } in &self.listings {
            let events: Vec<u64> = waiting.iter().map(|held| held.event).collect();
            lines.push((*at, format!("{:8.2} s  waiting {events:?}", seconds(*at))));
        }
        for OperatorCommand { daemon: _, verb, selection, began, ended, refusal } in &self.commands {
            let (from, to) = (seconds(*began), seconds(*ended));
            let refused = refusal.as_ref().map(|said| format!(", refused ({said})")).unwrap_or_default();
            lines.push((*began, format!("{from:8.2} s to {to:.2} s{refused}: {verb:?} {selection:?}")));
        }
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }

    fn was_silent(&self, request: &TargetRequest) -> bool {
        let is_within = |silence: &Silence| (silence.from..silence.to + AWAKE).contains(&request.at);
        self.silences.iter().any(|silence| silence.daemon == request.daemon && is_within(silence))
    }
}

fn distinct<'a>(requests: impl Iterator<Item = &'a TargetRequest>) -> Vec<u64> {
    requests.map(|request| request.event).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether the event may have been published before the command ended: the publisher sends an event when the one before
/// is confirmed.
fn is_published(confirmed: &BTreeMap<u64, Instant>, event: u64, command: &OperatorCommand) -> bool {
    confirmed.range(..event).next_back().is_none_or(|(_, at)| *at <= command.ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds evidence about seconds after `zero`: `L1@5` lists event 1 of resource `r` as waiting; `R1@6`, `T1@6` and
    /// `D1@6` release, retry, and discard event 1, `Rr@6` releases resource `r` and `R*@6` everything; `S0@5` is a silence of
    /// daemon 0 from then to the tenth second; `1@7` is an effect of event 1 about key 0, and `1x@7` a rejection, both by
    /// daemon 0.
    fn evidence(text: &str, zero: Instant) -> (HeldEvidence, Vec<TargetRequest>) {
        let (mut evidence, mut requests) = (HeldEvidence::default(), Vec::new());
        for word in text.split_whitespace() {
            let (what, second) = word.split_once('@').unwrap();
            let at = zero + Duration::from_secs(second.parse().unwrap());
            let (kind, rest) = what.split_at(1);
            let verb = match kind {
                "R" => OperatorVerb::Release,
                "T" => OperatorVerb::Retry,
                "D" => OperatorVerb::Discard,
                "L" => {
                    let (event, id, resource) = (rest.parse().unwrap(), rest.to_owned(), "r".to_owned());
                    evidence
                        .listings
                        .push(Listing { at, waiting: vec![HeldDelivery { event, id, resource }] });
                    continue;
                }
                "S" => {
                    let to = zero + Duration::from_secs(10);
                    evidence.silences.push(Silence { daemon: rest.parse().unwrap(), from: at, to });
                    continue;
                }
                _ => {
                    let (digits, rejected) = (what.trim_end_matches('x'), what.ends_with('x'));
                    let event = digits.parse().unwrap();
                    requests.push(TargetRequest {
                        event,
                        key: 0,
                        daemon: 0,
                        effect: !rejected,
                        rejected,
                        at,
                    });
                    continue;
                }
            };
            let selection = match rest {
                "*" => Selection::All,
                "r" | "q" => Selection::Resource(rest.to_owned()),
                event => Selection::Events([event.parse().unwrap()].into()),
            };
            let ended = at + Duration::from_secs(1);
            let (daemon, refusal) = (0, None);
            evidence.commands.push(OperatorCommand { daemon, verb, selection, began: at, ended, refusal });
        }
        (evidence, requests)
    }

    #[test]
    fn nothing_is_carried_out_while_it_waits_for_release() {
        let zero = Instant::now();
        // Event n is confirmed in second n.
        let confirmed: Vec<_> = (1..20).map(|n| (n, zero + Duration::from_secs(n))).collect();
        let check = |text: &str, expected: &[u64]| {
            let (evidence, requests) = evidence(text, zero);
            assert_eq!(evidence.unreleased(&confirmed, &requests), expected, "{text}");
        };
        check("L1@5 R1@8 1@9", &[]);
        check("L1@5 1@6 R1@8 1@9", &[1]);
        check("L1@5 1@9", &[1]);
        check("L1@5 R2@8 1@9", &[1]);
        // A former daemon let the event through, and the next daemon held it.
        check("1@4 L1@5 R1@8 1@9", &[]);
        check("L1@5 Rr@8 1@9", &[]);
        check("L1@5 Rq@8 1@9", &[1]);
        check("L1@5 R*@8 1@9", &[]);
        // An earlier release of everything was over when the event was published.
        check("R*@3 L9@10 9@11", &[9]);
        check("T1@4 L1@5 1@9", &[1]);
        check("S0@4 L1@5 1@12 R1@16 1@17", &[]);
        check("S0@4 L1@5 1@15 R1@16 1@17", &[1]);
        check("S1@4 L1@5 1@12 R1@16 1@17", &[1]);
    }

    #[test]
    fn nothing_overtakes_what_holds_its_resource() {
        let zero = Instant::now();
        let confirmed: Vec<_> = (1..20).map(|n| (n, zero)).collect();
        let check = |text: &str, expected: &[u64]| {
            let (evidence, requests) = evidence(text, zero);
            assert_eq!(evidence.overtaking(&confirmed, &requests), expected, "{text}");
        };
        check("1@1 2x@2 D2@5 3@6", &[]);
        check("1@1 2x@2 3@4 D2@5", &[3]);
        check("2x@2 3@4", &[3]);
        check("2x@2 T2@5 2@6 3@7", &[]);
        check("2x@2 R2@5 3@6", &[3]);
        check("2x@2 1@4 2x@5 D2@6", &[]);
        check("S0@1 2x@2 3@4", &[]);
        check("L2@2 R2@5 2@6 3@7", &[]);
        check("L2@2 3@4 R2@5 2@6", &[3]);
        check("L2@2 1@3 R2@5 2@6", &[]);
    }

    #[test]
    fn nothing_is_asked_about_after_its_discard() {
        let zero = Instant::now();
        let check = |text: &str, daemon: usize, expected: &[u64]| {
            let (mut evidence, requests) = evidence(text, zero);
            evidence.commands.iter_mut().for_each(|command| command.daemon = daemon);
            assert_eq!(evidence.after_discard(&requests), expected, "{text}");
        };
        // A command takes a second.
        check("2x@2 D2@5 2@6", 0, &[]);
        check("2x@2 D2@5 1@7 3@7", 0, &[]);
        check("2x@2 D2@5 2@7", 0, &[2]);
        check("2x@2 D2@5 2x@7", 0, &[2]);
        check("2x@2 D2@5 T2@7 2@9", 0, &[]);
        check("2x@2 T2@3 D2@5 2@9", 0, &[2]);
        check("S0@1 2x@2 D2@5 2@9", 0, &[]);
        check("2x@2 D2@5 2@80", 1, &[]);
        check("2x@2 D2@5 2@82", 1, &[2]);
    }

    #[test]
    fn discarded_events_need_no_effect() {
        let (mut evidence, _) = evidence("D2@1 R3@1 T4@1 D5@2", Instant::now());
        assert_eq!(evidence.discarded(), BTreeSet::from([2, 5]));
        assert_eq!(evidence.count(OperatorVerb::Discard).0, 2);
        evidence.commands[0].refusal = Some("12 of port-7 are behind 4.0".to_owned());
        let refused = evidence.count(evidence.commands[0].verb).1;
        assert_eq!(refused, [("of are behind".to_owned(), 1)].into());
    }
}
