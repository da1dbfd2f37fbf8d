//! Messages that have returned to the broker. When such a message comes again, its waits and attempts go on, what a guard
//! held is held on, and what had ended is not done again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use osnl_core::rule::GuardHold;
use tokio::time::Instant;

use super::{FailedAttempts, MemoryLane, MemoryState, OpenEntry, PendingDelivery};
use crate::store::weight::bytes_of_values;
use crate::{Begin, DeliveryId, Entry, Handover, NewDelivery, UsedLimits};

/// The most lanes that are known to be on their way back. Others may be overtaken by what a quorum queue keeps.
const MOST_AWAY: usize = 100_000;

/// The rule, action and resource of a delivery among those of one message.
pub(super) type DeliveryName = (Arc<str>, Arc<str>, Option<u32>);

/// The estimated bytes of a name, and of a delivery that is kept whole.
const NAME: usize = 64;
const WHOLE: usize = 2048;

/// The course of one message over its returns to the broker.
#[derive(Clone, Debug)]
pub(super) struct MessageCourse {
    /// The first arrival in this process, by both clocks.
    pub(super) received: SystemTime,
    pub(super) since: Instant,
    pub(super) returns: u32,
    /// The attempts of each delivery that has returned.
    pub(super) used: HashMap<DeliveryName, ReturnedAttempts>,
    /// The decisions of guards about deliveries that have returned. No guard is asked again.
    held: HashMap<DeliveryName, GuardHold>,
    /// The deliveries that have ended, each with the giver of a delivery of `on_failure`.
    pub(super) ended: HashMap<DeliveryName, Option<Arc<str>>>,
    /// Open deliveries of `on_failure`, which no rule makes.
    pub(super) handed: Vec<HandedDelivery>,
}

/// The attempts of a delivery that has returned, and the retry that it waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct ReturnedAttempts {
    used: UsedLimits,
    failed: Option<FailedAttempts>,
    /// The time of the retry, and that of the return; `None` if the delivery waited for no retry.
    retry: Option<(Instant, Instant)>,
    charged_until: Option<Instant>,
}

/// A returned delivery of `on_failure`.
#[derive(Clone, Debug)]
pub(super) struct HandedDelivery {
    new: NewDelivery,
    giver: Arc<str>,
    since: Instant,
    /// The letter that leaves its queue when the delivery has ended.
    ends_letter: Option<u64>,
}

impl MessageCourse {
    pub(super) fn begin(received: SystemTime) -> Self {
        Self {
            received,
            since: Instant::now(),
            returns: 0,
            used: HashMap::new(),
            held: HashMap::new(),
            ended: HashMap::new(),
            handed: Vec::new(),
        }
    }

    /// Leaves out ended deliveries, holds on what a guard held, and adds deliveries of `on_failure`, which no rule makes.
    pub(super) fn resume(&self, deliveries: &mut Vec<NewDelivery>) {
        deliveries.retain(|new| !self.ended.contains_key(&name(new)));
        for new in deliveries.iter_mut().filter(|new| new.begin == Begin::Live) {
            if let Some(hold) = self.held.get(&name(new)) {
                new.begin = Begin::Held(hold.clone());
            }
        }
        // A reload may have made a rule call the action of `on_failure` itself.
        let own: HashSet<DeliveryName> = deliveries.iter().map(name).collect();
        let handed = self.handed.iter().map(|handed| &handed.new);
        deliveries.extend(handed.filter(|new| !own.contains(&name(new))).cloned());
    }

    /// Returns the names of all deliveries that the message has had. Notes those that end from the start.
    pub(super) fn wanted(&mut self, deliveries: &[NewDelivery]) -> HashSet<DeliveryName> {
        let wanted = deliveries.iter().map(name).chain(self.ended.keys().cloned()).collect();
        let from_the_start = deliveries.iter().filter(|new| !new.begin.is_open());
        self.ended.extend(from_the_start.map(|new| (name(new), None)));
        wanted
    }

    fn bytes(&self) -> usize {
        let whole = |new: &NewDelivery| WHOLE + bytes_of_values(new.enriched.as_deref());
        let words = |of: &ReturnedAttempts| {
            let length = |of: &FailedAttempts| of.answer.len() + of.host.as_ref().map_or(0, String::len);
            of.failed.as_ref().map_or(0, length)
        };
        (self.ended.len() + self.used.len() + self.held.len()) * NAME
            + self.held.values().map(|hold| hold.why.len()).sum::<usize>()
            + self.used.values().map(words).sum::<usize>()
            + self.handed.iter().map(|handed| whole(&handed.new)).sum::<usize>()
    }
}

fn name(new: &NewDelivery) -> DeliveryName {
    (new.rule.clone(), new.action.clone(), new.resource)
}

/// Returns the lanes of an entry's deliveries, each with its action.
fn lanes(entry: &Entry) -> impl Iterator<Item = (Arc<str>, MemoryLane)> {
    let ordered =
        entry.deliveries.iter().filter(|new| new.ordered && new.begin.is_open() && new.letter.is_none());
    ordered.filter_map(|new| Some((new.action.clone(), MemoryLane::Key(new.key.clone()?))))
}

impl OpenEntry {
    /// Whether the end of a delivery makes one of `on_failure`: the message has not had it.
    pub(super) fn hands_over(&self, pending: &PendingDelivery, to: &Handover) -> bool {
        !self.wanted.contains(&(pending.rule.clone(), to.action.clone(), pending.resource))
    }

    /// Notes how a delivery of the message has left: ended, or returned.
    pub(super) fn leaves(&mut self, pending: &PendingDelivery, returned: bool) {
        let name = (pending.rule.clone(), pending.action.clone(), pending.resource);
        if !returned {
            self.course.ended.insert(name, pending.giver.clone());
            return;
        }
        if let Some(hold) = pending.held.as_deref() {
            self.course.held.insert(name.clone(), hold.clone());
        }
        let retry = pending.due.or(pending.not_before).map(|due| (due, Instant::now()));
        let (used, failed, charged_until) = (pending.used, pending.failed.clone(), pending.charged_until);
        let attempts = ReturnedAttempts { used, failed, retry, charged_until };
        self.course.used.insert(name, attempts);
        if let Some(giver) = pending.giver.clone() {
            let new = NewDelivery {
                resource: pending.resource,
                ordered: matches!(pending.lane, MemoryLane::Key(_)),
                enriched: pending.enriched.clone(),
                subject: pending.subject.clone(),
                ..NewDelivery::new(pending.rule.clone(), pending.action.clone(), pending.key.clone())
            };
            let (since, ends_letter) = (pending.since, pending.ends_letter);
            self.course.handed.push(HandedDelivery { new, giver, since, ends_letter });
        }
    }
}

impl MemoryState {
    /// Adds the deliveries of an entry that are open. Those of `on_failure` keep the beginning of their wait.
    pub(super) fn add_open(
        &mut self,
        entry: u64,
        deliveries: &[NewDelivery],
        used: &HashMap<DeliveryName, ReturnedAttempts>,
        handed: &[HandedDelivery],
    ) {
        for new in deliveries.iter().filter(|new| new.begin.is_open()) {
            let returned = used.get(&name(new)).cloned().unwrap_or_default();
            let ReturnedAttempts { mut used, failed, retry, mut charged_until } = returned;
            let hastened = self.actions.get(&new.action).and_then(|lanes| lanes.hastened);
            let hastened = hastened.filter(|at| retry.is_some_and(|(_, left)| *at >= left));
            if let Some(at) = hastened {
                used.uncharge(charged_until.take(), at);
            }
            let retry = retry.filter(|_| hastened.is_none());
            self.add(entry, new, used, retry.map(|(due, _)| due));
            if let Some(pending) = self.deliveries.get_mut(&DeliveryId(self.last)) {
                (pending.failed, pending.charged_until) = (failed, charged_until);
            }
            let before = handed.iter().find(|handed| name(&handed.new) == name(new));
            let pending = self.deliveries.get_mut(&DeliveryId(self.last));
            if let (Some(before), Some(pending)) = (before, pending) {
                (pending.since, pending.ends_letter) = (before.since, before.ends_letter);
                pending.giver = Some(before.giver.clone());
            }
        }
    }

    /// Returns the course of a message that the broker delivers again. Where the action of an open delivery of `on_failure`
    /// is gone, the rules decide anew about the delivery that was given up; all other ends count.
    pub(super) fn course_of(&self, identity: &crate::identity::MessageIdentity) -> Option<MessageCourse> {
        let mut course = self.returned.get(identity)?.clone();
        let is_gone = |handed: &mut HandedDelivery| self.retired.contains(&handed.new.action);
        for HandedDelivery { new, giver, .. } in course.handed.extract_if(.., is_gone) {
            course.ended.retain(|(rule, action, resource), of| {
                let is_of_giver = *action == giver || of.as_ref() == Some(&giver);
                !(is_of_giver && *rule == new.rule && *resource == new.resource)
            });
        }
        Some(course)
    }

    /// Notes that a lane's next message is on its way back. A quorum queue gets it only with the end of the session, so a
    /// later message may arrive before.
    pub(super) fn note_away(&mut self, pending: &PendingDelivery) {
        let Some(open) = self.entries.get(&pending.entry).filter(|_| pending.letter.is_none()) else {
            return;
        };
        if matches!(pending.lane, MemoryLane::Key(_)) && self.away.len() < MOST_AWAY {
            let listener = open.received.origin.listener.clone();
            self.away.insert((pending.action.clone(), pending.lane.clone()), listener);
        }
    }

    pub(super) fn is_behind_returned(&self, entry: &Entry) -> bool {
        !self.away.is_empty() && lanes(entry).any(|lane| self.away.contains_key(&lane))
    }

    /// Notes that a message has come again, so that later ones of its lanes no longer follow it to the broker.
    pub(super) fn forget_away(&mut self, entry: &Entry) {
        if !self.away.is_empty() {
            lanes(entry).for_each(|lane| drop(self.away.remove(&lane)));
        }
    }

    /// Notes that a message returns to the broker of which only the decisions of guards are kept, and that later ones of its
    /// lanes follow it. When it comes again, it waits for nothing that has not come.
    pub(super) fn note_unkept(&mut self, entry: &Entry, identity: crate::identity::MessageIdentity) {
        let listener = &entry.received.origin.listener;
        if self.away.len() < MOST_AWAY {
            self.away.extend(lanes(entry).map(|lane| (lane, listener.clone())));
        }
        if self.returned.get(&identity).is_none() {
            let mut course = MessageCourse::begin(entry.received.origin.received);
            let held = entry.deliveries.iter().filter_map(|new| Some((name(new), new.begin.hold()?.clone())));
            course.held.extend(held);
            let bytes = identity.bytes() + course.bytes();
            self.returned.insert(identity, course, bytes);
        }
    }

    pub(super) fn remember_returned(&mut self, open: OpenEntry) {
        let returns = open.course.returns.saturating_add(1);
        let course = MessageCourse { returns, ..open.course };
        let bytes = open.identity.bytes() + course.bytes();
        self.returned.insert(open.identity, course, bytes);
    }
}
