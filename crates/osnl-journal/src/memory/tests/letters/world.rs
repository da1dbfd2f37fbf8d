//! A model of the two queues, and of two daemons, of which one is active.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use osnl_core::rule::{GuardHold, GuardKind, GuardName};
use osnl_transport::{Marks, QueuedMessage};
use tokio::runtime::{Builder, Runtime};

use super::super::*;
use crate::dead_letters::{LetterCopies, LetterWait, RetriedDelivery, WaitingLetter, again};
use crate::{Begin, Handover};

/// Unsettled messages that a daemon may hold.
const PREFETCH: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) event: usize,
    pub(super) marks: Option<Marks>,
    pub(super) is_redelivered: bool,
}

/// A daemon, as far as its process has it in memory.
pub(super) struct Daemon {
    pub(super) journal: MemoryJournal,
    /// The letters in the dead letter queue that it knows of; `None` before its first reading.
    expected: Option<u64>,
    /// Letters that it carries out from the dead letter queue.
    pub(super) in_hand: Vec<(u64, Receipt)>,
    /// Deliveries that its loop has in hand without an attempt, as while the target is down.
    claimed: Vec<ClaimedDelivery>,
}

/// The source queue and the dead letter queue at the broker, the daemons that read them, and the target.
pub(super) struct World {
    /// The daemon to which the broker hands messages.
    pub(super) daemon: Daemon,
    /// Becomes active when the daemon is killed.
    standby: Daemon,
    keys: usize,
    pub(super) source: VecDeque<Message>,
    pub(super) unsettled: Vec<(Message, Receipt)>,
    pub(super) dead: Vec<QueuedMessage>,
    /// The most letters that one reading takes.
    pub(super) most: usize,
    /// Events that a reading has found waiting for release.
    listed: BTreeSet<usize>,
    /// Events that a daemon has begun with by itself, before it found them waiting for release, if ever.
    begun: BTreeSet<usize>,
    /// Events that an operator has released or retried.
    pub(super) let_go: BTreeSet<usize>,
    /// Events that an operator has discarded, and whether the active daemon has to know it.
    pub(super) discarded: BTreeMap<usize, bool>,
    pub(super) effects: Vec<usize>,
    /// Events whose delivery was given up for that of `on_failure`, and those for which the latter was called.
    given_up: BTreeSet<usize>,
    pub(super) handed_over: BTreeSet<usize>,
}

impl Daemon {
    fn new() -> Self {
        let limits = MemoryLimits::for_prefetch(u16::try_from(PREFETCH).unwrap());
        let journal = MemoryJournal::new(limits, Arc::default());
        journal.keep_dead_letters_of(listener());
        journal.set_gating([listener()].into());
        journal.subscribed(&listener(), 100);
        Self { journal, expected: None, in_hand: Vec::new(), claimed: Vec::new() }
    }
}

impl World {
    pub(super) fn new(keys: usize, events: usize) -> Self {
        let source = (0..events).map(|event| Message { event, marks: None, is_redelivered: false });
        let (unsettled, dead, listed, begun, let_go, discarded, effects) = Default::default();
        let (given_up, handed_over) = Default::default();
        let (daemon, standby, source, most) = (Daemon::new(), Daemon::new(), source.collect(), usize::MAX);
        Self {
            daemon,
            standby,
            keys,
            source,
            unsettled,
            dead,
            most,
            listed,
            begun,
            let_go,
            discarded,
            effects,
            given_up,
            handed_over,
        }
    }

    pub(super) fn kill(&mut self) {
        self.daemon = std::mem::replace(&mut self.standby, Daemon::new());
        self.give_back();
    }

    /// Lets the other daemon act, as after the broker has given the queue to that one and told neither.
    pub(super) fn swap(&mut self) {
        std::mem::swap(&mut self.daemon, &mut self.standby);
    }

    /// Whether the broker can give the queue to the other daemon without returning a message. A guard of the other one may
    /// let pass what this one still holds of a lost connection.
    pub(super) fn may_swap(&self) -> bool {
        self.is_idle() && self.daemon.journal.lock().entries.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.unsettled.is_empty() && self.daemon.in_hand.is_empty() && self.standby.in_hand.is_empty()
    }

    /// Returns what is unsettled to the source queue.
    fn give_back(&mut self) {
        for (message, _) in self.unsettled.drain(..).rev() {
            self.source.push_front(Message { is_redelivered: true, ..message });
        }
    }

    /// Breaks the connection of the daemon, which subscribes again.
    pub(super) fn reconnect(&mut self) {
        self.daemon.journal.unsubscribed(&listener());
        self.give_back();
        self.settle();
        self.daemon.journal.subscribed(&listener(), 100);
    }

    /// Breaks the connection of the daemon, which goes on with what it has in hand, and lets the other daemon act.
    pub(super) fn take_over(&mut self) {
        self.reconnect();
        self.swap();
    }

    /// Whether the daemon has begun with nothing but letters. What it has of other messages it may attempt once more.
    pub(super) fn has_only_letters(&self) -> bool {
        let state = self.daemon.journal.lock();
        state.deliveries.values().all(|pending| pending.letter.is_some()) && state.parked() == 0
    }

    /// Hands the next message to the daemon; `is_guarded` is the verdict of a guard.
    pub(super) fn arrive(&mut self, is_guarded: bool) {
        if self.unsettled.len() == PREFETCH {
            return;
        }
        let Some(message) = self.source.pop_front() else { return };
        let mut entry = self.entry_of(&message);
        if is_guarded && message.marks.is_none() {
            let guard = GuardName::new(GuardKind::Action, "a");
            entry.deliveries[0].begin = Begin::Held(GuardHold::new(guard, "more than 1 per 1m"));
        }
        let receipt = append_as(&self.daemon.journal, entry);
        self.unsettled.push((message, receipt));
    }

    fn entry_of(&self, message: &Message) -> Entry {
        let key = format!("k{}", message.event % self.keys);
        let mut entry = entry(&format!("e{}", message.event), &key, message.is_redelivered);
        let received = Arc::make_mut(&mut entry.received);
        received.noted.marks = message.marks.clone().map(Arc::new);
        let copy = message.marks.as_ref().and_then(RetriedDelivery::from_marks);
        if let Some(copy) = copy {
            let [delivery] = &mut entry.deliveries[..] else { panic!("one delivery is made") };
            (delivery.action, delivery.letter) = (copy.action.into(), copy.letter);
        }
        entry
    }

    /// Begins with a letter of the dead letter queue, without a place in the window.
    pub(super) fn carry_out(&mut self, message: &QueuedMessage) {
        let (event, marks) = (event_in(message), Some(again(message).headers));
        let entry = self.entry_of(&Message { event, marks, is_redelivered: true });
        let receipt = self.daemon.journal.append(&mut Permit::default(), entry);
        self.daemon.in_hand.push((letter(message).id, receipt));
    }

    pub(super) fn settle(&mut self) {
        self.unsettled.retain_mut(|(message, receipt)| match receipt.now_or_never() {
            Some(Settle::Acknowledge) => false,
            None => true,
            other => panic!("event {}: {other:?}", message.event),
        });
        let journal = &self.daemon.journal;
        self.daemon.in_hand.retain_mut(|(letter, receipt)| match receipt.now_or_never() {
            Some(Settle::Acknowledge) => false,
            Some(_) => {
                journal.came_back(*letter);
                false
            }
            None => true,
        });
    }

    /// Takes one delivery in hand, and makes no attempt.
    pub(super) fn claim(&mut self) {
        let claimed = self.daemon.journal.claim("a", ClaimLimits::in_order(1)).now_or_never();
        self.daemon.claimed.extend(claimed.unwrap_or_default());
    }

    /// Forgets what the delivery loop has in hand: the test has ended it.
    pub(super) fn drop_claims(&mut self) {
        self.daemon.claimed.clear();
    }

    /// Gives back what is withdrawn, as the delivery loop does before each attempt.
    fn give_back_withdrawn(&mut self) {
        for id in self.daemon.journal.withdrawn("a") {
            self.daemon.claimed.retain(|claimed| claimed.id != id);
            self.daemon.journal.end(id, Outcome::Returned.into());
        }
    }

    /// Makes one attempt; the target refuses it if `fails`. A daemon that is killed in between ends nothing.
    pub(super) fn attempt(&mut self, fails: bool, is_killed: bool) {
        let outcome = match fails {
            true => Outcome::DeadHoldingKey("refused".to_owned()).into(),
            false => Outcome::Delivered.into(),
        };
        self.attempt_with(&outcome, is_killed);
    }

    /// Makes one attempt, which is refused, and gives the delivery up for one of `on_failure`.
    pub(super) fn give_up(&mut self, is_killed: bool) {
        let outcome = Outcome::Dead("refused".to_owned());
        self.attempt_with(&End::from(outcome).handed_to(Handover::to("b")), is_killed);
    }

    fn attempt_with(&mut self, end: &End, is_killed: bool) {
        self.give_back_withdrawn();
        if self.daemon.claimed.is_empty() {
            self.claim();
        }
        for delivery in std::mem::take(&mut self.daemon.claimed) {
            let event = event_of(delivery.event.notification.unique_id.as_deref().unwrap());
            if end.outcome == Outcome::Delivered {
                self.has_effect(event);
            }
            if is_killed {
                self.kill();
                return;
            }
            if end.to.is_some() {
                self.given_up.insert(event);
            }
            self.daemon.journal.end(delivery.id, end.clone());
        }
    }

    /// Makes one attempt of a delivery of `on_failure`.
    pub(super) fn hand_over(&mut self) {
        let journal = &self.daemon.journal;
        for delivery in journal.claim("b", ClaimLimits::in_order(1)).now_or_never().unwrap_or_default() {
            self.handed_over.insert(event_of(delivery.event.notification.unique_id.as_deref().unwrap()));
            journal.end(delivery.id, Outcome::Delivered.into());
        }
    }

    fn has_effect(&mut self, event: usize) {
        self.may_be(event);
        assert_ne!(self.discarded.get(&event), Some(&true), "event {event} is attempted after its discard");
        let of_key = |other: &usize| *other % self.keys == event % self.keys;
        // What was given up is called once more if the daemon dies before the call of `on_failure`.
        let is_first = !self.effects.contains(&event) && !self.given_up.contains(&event);
        let later = self.effects.iter().copied().find(|other| of_key(other) && *other > event);
        assert!(!is_first || later.is_none(), "event {event} comes after {later:?}: {:?}", self.effects);
        self.effects.push(event);
    }

    /// Asserts that an event does not wait for release. What has begun may be attempted again after a kill.
    fn may_be(&self, event: usize) {
        let has_begun = self.let_go.contains(&event) || self.begun.contains(&event);
        assert!(
            has_begun || !self.listed.contains(&event),
            "event {event} is carried out without its release"
        );
    }

    /// Serves the dead letter queue once, and is killed before so many of its steps have been made.
    pub(super) fn serve(&mut self, steps: usize) {
        self.serve_in_part(steps, true, true);
    }

    /// Puts letters into the dead letter queue, visits it, or both.
    pub(super) fn serve_in_part(&mut self, mut steps: usize, puts: bool, visits: bool) {
        let mut step = |world: &mut Self| {
            steps = steps.wrapping_sub(1);
            if steps == 0 {
                world.kill();
            }
            steps == 0
        };
        let Some(work) = self.daemon.journal.queue_work(&listener()).now_or_never() else { return };
        let count = |visit: &&LetterVisit| {
            let is_expected = |expected| visit.is_answered_by(expected) && self.dead.len() as u64 == expected;
            self.daemon.expected.is_some_and(is_expected)
        };
        if let Some(visit) = work.visit.as_ref().filter(count) {
            self.daemon.journal.counted(&listener(), visit);
            return;
        }
        for burial in work.burials.into_iter().filter(|_| puts) {
            if step(self) {
                return;
            }
            self.dead.push(burial.message.clone());
            // An attempt had failed before: what has come back since the command is left alone.
            self.discarded.entry(event_in(&burial.message)).and_modify(|is_told| *is_told = false);
            if step(self) {
                return;
            }
            self.daemon.expected = self.daemon.expected.map(|expected| expected + 1);
            self.daemon.journal.buried(&[burial]);
        }
        if let Some(visit) = work.visit.filter(|_| visits) {
            let (mut done, has_more) = (visit.clone(), self.dead.len() > self.most);
            let (read, copies) = self.reading();
            let (mut removed, mut found, mut to_begin) = (BTreeSet::new(), Vec::new(), Vec::new());
            for (at, message) in read.iter().enumerate() {
                let Some(of) = WaitingLetter::read(message) else { continue };
                let is_current = copies.is_waiting(at);
                if is_current && visit.begins_with(&of) {
                    to_begin.push(message.clone());
                }
                if is_current && of.why == LetterWait::Guard {
                    self.listed.insert(event_in(message));
                }
                match visit.remove.get(&of.id) {
                    Some(is_replaced) if !(*is_replaced && is_current) => drop(removed.insert(at)),
                    Some(_) | None if is_current => found.push(of),
                    Some(_) | None => {}
                }
            }
            let mut at = 0..;
            self.dead.retain(|_| !removed.contains(&at.next().unwrap()));
            if has_more {
                let removed: BTreeSet<u64> = removed.iter().map(|at| letter(&read[*at]).id).collect();
                done.remove.retain(|id, is_replaced| *is_replaced || removed.contains(id));
            }
            to_begin.sort_by_key(|message| letter(message).place);
            done.carry_out = to_begin.iter().map(letter).map(|of| (of.id, of.why)).collect();
            for event in to_begin.iter().map(event_in) {
                self.may_be(event);
                self.begun.insert(event);
            }
            if step(self) {
                return;
            }
            if visit.by_copy {
                for message in std::mem::take(&mut to_begin) {
                    self.send_copy(&message);
                    if step(self) {
                        return;
                    }
                }
            }
            self.daemon.expected = Some((read.len() - removed.len()) as u64);
            self.daemon.journal.visited(&listener(), &done, found, has_more);
            for message in to_begin {
                if step(self) {
                    return;
                }
                self.carry_out(&message);
            }
        }
    }

    /// Lets the other daemon go on, which was active before and may not know that it is no more.
    pub(super) fn other_goes_on(&mut self, serves: bool) {
        self.swap();
        if serves {
            self.serve(0);
        }
        self.attempt(false, false);
        self.hand_over();
        self.settle();
        self.swap();
    }

    /// Lets the standby read the dead letter queue, as after a command that an operator gave there.
    pub(super) fn read_by_standby(&mut self) {
        self.swap();
        self.daemon.journal.ask_for_letters(&listener());
        self.serve(0);
        self.swap();
    }

    pub(super) fn send_copy(&mut self, message: &QueuedMessage) {
        let (event, marks) = (event_in(message), Some(again(message).headers));
        self.source.push_back(Message { event, marks, is_redelivered: false });
    }

    /// Discards the last letter that a command shows, by a command to the active daemon or by another one.
    pub(super) fn discard(&mut self, is_told: bool) {
        let Some(discarded) = self.in_places().pop() else { return };
        let (of, event) = (letter(&discarded), event_in(&discarded));
        // A daemon that died may have acknowledged nothing: the broker hands out the event itself once more.
        let unsettled = self.unsettled.iter().map(|(message, _)| message);
        if self.source.iter().chain(unsettled).any(|of| of.event == event && of.marks.is_none()) {
            return;
        }
        self.dead.retain(|message| WaitingLetter::read(message).is_none_or(|other| other.id != of.id));
        *self.discarded.entry(event).or_default() |= is_told;
        if is_told {
            self.daemon.expected = None;
            self.daemon.journal.discard_letters(&[of.id].into());
        }
        self.daemon.journal.ask_for_letters(&listener());
    }

    /// Returns the messages that a reading takes.
    fn reading(&self) -> (Vec<QueuedMessage>, LetterCopies) {
        let mut read: Vec<QueuedMessage> = self.dead.iter().take(self.most).cloned().collect();
        let mut copies = LetterCopies::new(self.daemon.journal.refused_letters());
        read.iter_mut().for_each(|message| copies.admit(message));
        copies.arrange(&read);
        (read, copies)
    }

    /// Returns the letters that a reading finds, in their places.
    pub(super) fn in_places(&self) -> Vec<QueuedMessage> {
        let (read, copies) = self.reading();
        let mut letters: Vec<QueuedMessage> =
            read.into_iter().enumerate().filter(|(at, _)| copies.is_current(*at)).map(|(_, of)| of).collect();
        letters.retain(|message| WaitingLetter::read(message).is_some());
        letters.sort_by_key(|message| letter(message).place);
        letters
    }

    /// Releases all that a guard holds, and retries all that is dead, in their places.
    pub(super) fn let_go(&mut self) {
        for message in self.in_places() {
            self.let_go.insert(event_in(&message));
            self.send_copy(&message);
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.source.is_empty()
            && self.is_idle()
            && self.dead.iter().all(|of| WaitingLetter::read(of).is_none())
    }

    /// Discards the dead letters of which the operator knows all that there is to know.
    fn discard_ended(&mut self) {
        let is_ended = |event| self.handed_over.contains(&event) || self.effects.contains(&event);
        let (read, copies) = self.reading();
        let is_gone = |at: usize| {
            WaitingLetter::read(&read[copies.current_of(at)]).is_none() && is_ended(event_in(&read[at]))
        };
        let gone: BTreeSet<usize> = (0..read.len()).filter(|at| is_gone(*at)).collect();
        if gone.is_empty() {
            return;
        }
        let mut at = 0..;
        self.dead.retain(|_| !gone.contains(&at.next().unwrap()));
        self.daemon.expected = None;
        self.daemon.journal.ask_for_letters(&listener());
    }

    /// Lets everything end: nothing is killed and nothing fails.
    pub(super) fn finish(&mut self) {
        for round in 0..1_000 {
            if self.is_done() {
                return;
            }
            self.let_go();
            self.discard_ended();
            if round == 100 {
                // As many dead letters as one reading takes, whose `on_failure` was not called.
                self.most = usize::MAX;
            }
            for _ in 0..20 {
                self.arrive(false);
                self.attempt(false, false);
                self.hand_over();
                self.serve(0);
                self.settle();
                self.other_goes_on(true);
            }
        }
        let dead: Vec<_> = self.dead.iter().map(|of| (event_in(of), WaitingLetter::read(of))).collect();
        panic!("it does not end: {:?}, {} unsettled, {dead:?}", self.source, self.unsettled.len());
    }
}

pub(super) fn listener() -> Arc<str> {
    ReceivedMessage::sample("", false).origin.listener
}

pub(super) fn letter(message: &QueuedMessage) -> WaitingLetter {
    WaitingLetter::read(message).unwrap()
}

fn event_of(id: &str) -> usize {
    id.trim_start_matches('e').parse().unwrap()
}

pub(super) fn event_in(message: &QueuedMessage) -> usize {
    let body = std::str::from_utf8(&message.body).unwrap();
    event_of(body.split(' ').next().unwrap())
}

/// Returns a clock on which time passes only with [`pass`].
pub(super) fn clock() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

pub(super) fn pass(clock: &Runtime, time: Duration) {
    clock.block_on(tokio::time::advance(time));
}
