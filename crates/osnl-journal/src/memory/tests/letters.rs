//! Deliveries that wait in a dead letter queue: a model of the two queues, whose daemon is killed at each step.

use std::collections::{BTreeSet, VecDeque};

use osnl_core::rule::{GuardHold, GuardKind, GuardName};
use osnl_transport::{Marks, QueuedMessage};

use super::*;
use crate::Begin;
use crate::dead_letters::{LetterCopies, LetterWait, RetriedDelivery, WaitingLetter, again};
use crate::query::{HeldBy, RowState};

/// Unsettled messages that a daemon may hold.
const PREFETCH: usize = 8;

#[derive(Clone, Debug)]
struct Message {
    event: usize,
    marks: Option<Marks>,
    is_redelivered: bool,
}

/// The source queue and the dead letter queue at the broker, the daemon that reads them, and the target.
struct World {
    journal: MemoryJournal,
    /// Becomes active when the daemon is killed.
    standby: MemoryJournal,
    keys: usize,
    source: VecDeque<Message>,
    unsettled: Vec<(Message, Receipt)>,
    /// Letters that the daemon carries out from the dead letter queue.
    in_hand: Vec<(u64, Receipt)>,
    dead: Vec<QueuedMessage>,
    /// The most letters that one reading takes.
    most: usize,
    /// Events that a reading has found waiting for release.
    listed: BTreeSet<usize>,
    /// Events that a daemon has begun with by itself, before it found them waiting for release, if ever.
    begun: BTreeSet<usize>,
    /// Events that an operator has released or retried.
    let_go: BTreeSet<usize>,
    effects: Vec<usize>,
}

impl World {
    fn new(keys: usize, events: usize) -> Self {
        let source = (0..events).map(|event| Message { event, marks: None, is_redelivered: false });
        let (unsettled, in_hand, dead, listed, begun, let_go, effects) = Default::default();
        let (journal, standby) = (Self::daemon(), Self::daemon());
        let (source, most) = (source.collect(), usize::MAX);
        Self {
            journal,
            standby,
            keys,
            source,
            unsettled,
            in_hand,
            dead,
            most,
            listed,
            begun,
            let_go,
            effects,
        }
    }

    fn daemon() -> MemoryJournal {
        let limits = MemoryLimits::for_prefetch(u16::try_from(PREFETCH).unwrap());
        let journal = MemoryJournal::new(limits, Arc::default());
        journal.keep_dead_letters_of(listener());
        journal.set_gating([listener()].into());
        journal.subscribed(&listener(), 100);
        journal
    }

    fn kill(&mut self) {
        self.journal = std::mem::replace(&mut self.standby, Self::daemon());
        self.in_hand.clear();
        self.give_back();
    }

    /// Returns what is unsettled to the source queue.
    fn give_back(&mut self) {
        for (message, _) in self.unsettled.drain(..).rev() {
            self.source.push_front(Message { is_redelivered: true, ..message });
        }
    }

    /// Breaks the connection of the daemon, which subscribes again.
    fn reconnect(&mut self) {
        self.give_back();
        self.journal.subscribed(&listener(), 100);
    }

    /// Hands the next message to the daemon; `is_guarded` is the verdict of a guard.
    fn arrive(&mut self, is_guarded: bool) {
        if self.unsettled.len() == PREFETCH {
            return;
        }
        let Some(message) = self.source.pop_front() else { return };
        let mut entry = self.entry_of(&message);
        if is_guarded && message.marks.is_none() {
            let guard = GuardName::new(GuardKind::Action, "a");
            entry.deliveries[0].begin = Begin::Held(GuardHold::new(guard, "more than 1 per 1m"));
        }
        let receipt = append_as(&self.journal, entry);
        self.unsettled.push((message, receipt));
    }

    fn entry_of(&self, message: &Message) -> Entry {
        let key = format!("k{}", message.event % self.keys);
        let mut entry = entry(&format!("e{}", message.event), &key, message.is_redelivered);
        let received = Arc::make_mut(&mut entry.received);
        received.noted.marks = message.marks.clone().map(Arc::new);
        let copy = message.marks.as_ref().and_then(RetriedDelivery::from_marks);
        entry.deliveries[0].letter = copy.as_ref().and_then(|copy| copy.letter);
        entry
    }

    /// Begins with a letter of the dead letter queue, without a place in the window.
    fn carry_out(&mut self, message: &QueuedMessage) {
        let (event, marks) = (event_in(message), Some(again(message).headers));
        let entry = self.entry_of(&Message { event, marks, is_redelivered: true });
        let receipt = self.journal.append(&mut Permit::default(), entry);
        self.in_hand.push((letter(message).id, receipt));
    }

    fn settle(&mut self) {
        self.unsettled.retain_mut(|(message, receipt)| match receipt.now_or_never() {
            Some(Settle::Acknowledge) => false,
            None => true,
            other => panic!("event {}: {other:?}", message.event),
        });
        let journal = &self.journal;
        self.in_hand.retain_mut(|(letter, receipt)| match receipt.now_or_never() {
            Some(Settle::Acknowledge) => false,
            Some(_) => {
                journal.came_back(*letter);
                false
            }
            None => true,
        });
    }

    /// Makes one attempt; the target refuses it if `fails`. A daemon that is killed in between ends nothing.
    fn attempt(&mut self, fails: bool, is_killed: bool) {
        let claimed = self.journal.claim("a", ClaimLimits::in_order(1)).now_or_never().unwrap_or_default();
        for delivery in claimed {
            let event = event_of(delivery.event.notification.unique_id.as_deref().unwrap());
            if !fails {
                self.has_effect(event);
            }
            if is_killed {
                self.kill();
                return;
            }
            let outcome =
                if fails { Outcome::DeadHoldingKey("refused".to_owned()) } else { Outcome::Delivered };
            self.journal.end(delivery.id, outcome.into());
        }
    }

    fn has_effect(&mut self, event: usize) {
        self.may_be(event);
        let of_key = |other: &usize| *other % self.keys == event % self.keys;
        let is_first = !self.effects.contains(&event);
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
    fn serve(&mut self, steps: usize) {
        self.serve_in_part(steps, true, true);
    }

    /// Puts letters into the dead letter queue, visits it, or both.
    fn serve_in_part(&mut self, mut steps: usize, puts: bool, visits: bool) {
        let mut step = |world: &mut Self| {
            steps = steps.wrapping_sub(1);
            if steps == 0 {
                world.kill();
            }
            steps == 0
        };
        let Some(work) = self.journal.queue_work(&listener()).now_or_never() else { return };
        for burial in work.burials.into_iter().filter(|_| puts) {
            if step(self) {
                return;
            }
            self.dead.push(burial.message.clone());
            if step(self) {
                return;
            }
            self.journal.buried(&[burial]);
        }
        if let Some(visit) = work.visit.filter(|_| visits) {
            let (mut done, has_more) = (visit.clone(), self.dead.len() > self.most);
            let (read, copies) = self.reading();
            let (mut removed, mut found, mut to_begin) = (BTreeSet::new(), Vec::new(), Vec::new());
            for (at, message) in read.iter().enumerate() {
                let (of, is_current) = (letter(message), copies.is_current(at));
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
            self.journal.visited(&listener(), &done, found, has_more);
            for message in to_begin {
                if step(self) {
                    return;
                }
                self.carry_out(&message);
            }
        }
    }

    /// Lets the standby read the dead letter queue, as after a command that an operator gave there.
    fn read_by_standby(&mut self) {
        std::mem::swap(&mut self.journal, &mut self.standby);
        self.journal.ask_for_letters(&listener());
        self.serve(0);
        std::mem::swap(&mut self.journal, &mut self.standby);
    }

    fn send_copy(&mut self, message: &QueuedMessage) {
        let (event, marks) = (event_in(message), Some(again(message).headers));
        self.source.push_back(Message { event, marks, is_redelivered: false });
    }

    /// Returns the messages that a reading takes.
    fn reading(&self) -> (Vec<QueuedMessage>, LetterCopies) {
        let mut read: Vec<QueuedMessage> = self.dead.iter().take(self.most).cloned().collect();
        let mut copies = LetterCopies::new(self.journal.refused_letters());
        read.iter_mut().for_each(|message| copies.admit(message));
        copies.arrange(&read);
        (read, copies)
    }

    /// Returns the letters that a reading finds, in their places.
    fn in_places(&self) -> Vec<QueuedMessage> {
        let (read, copies) = self.reading();
        let mut letters: Vec<QueuedMessage> =
            read.into_iter().enumerate().filter(|(at, _)| copies.is_current(*at)).map(|(_, of)| of).collect();
        letters.sort_by_key(|message| letter(message).place);
        letters
    }

    /// Releases all that a guard holds, and retries all that is dead, in their places.
    fn let_go(&mut self) {
        for message in self.in_places() {
            self.let_go.insert(event_in(&message));
            self.send_copy(&message);
        }
    }

    fn is_done(&self) -> bool {
        let is_idle = self.unsettled.is_empty() && self.in_hand.is_empty();
        self.source.is_empty() && is_idle && self.dead.is_empty()
    }

    /// Lets everything end: nothing is killed and nothing fails.
    fn finish(&mut self) {
        for _ in 0..1_000 {
            if self.is_done() {
                return;
            }
            self.let_go();
            for _ in 0..20 {
                self.arrive(false);
                self.attempt(false, false);
                self.serve(0);
                self.settle();
            }
        }
        panic!("it does not end: {:?}, {} unsettled, {:?}", self.source, self.unsettled.len(), self.dead);
    }
}

fn listener() -> Arc<str> {
    ReceivedMessage::sample("", false).origin.listener
}

fn letter(message: &QueuedMessage) -> WaitingLetter {
    WaitingLetter::read(message).unwrap()
}

fn event_of(id: &str) -> usize {
    id.trim_start_matches('e').parse().unwrap()
}

fn event_in(message: &QueuedMessage) -> usize {
    let body = std::str::from_utf8(&message.body).unwrap();
    event_of(body.split(' ').next().unwrap())
}

#[test]
fn wherever_a_daemon_is_killed_nothing_is_lost_out_of_order_or_carried_out_without_its_release() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (keys, events) = (random.usize(1..4), random.usize(4..24));
        let mut world = World::new(keys, events);
        world.most = if random.bool() { usize::MAX } else { random.usize(4..12) };
        for _ in 0..random.usize(20..200) {
            match random.u8(..21) {
                0 => world.kill(),
                1 => world.let_go(),
                // A guard counts anew with each daemon, so it may hold what came before, or let pass what it held.
                2..8 => world.arrive(random.u8(..4) == 0),
                8..13 => world.attempt(random.u8(..5) == 0, random.u8(..12) == 0),
                13..15 => world.serve(random.usize(1..8)),
                15 => world.serve(0),
                16 => world.serve_in_part(0, random.bool(), random.bool()),
                17 => world.read_by_standby(),
                18 => world.journal.active(&listener()),
                19 => world.reconnect(),
                _ => world.settle(),
            }
        }
        world.finish();
        let had: BTreeSet<usize> = world.effects.iter().copied().collect();
        assert_eq!(had.len(), events, "seed {seed}: {:?}", world.effects);
    }
}

fn counts(journal: &MemoryJournal) -> Vec<(RowState, u64)> {
    journal.tally().into_iter().map(|of| (of.state, of.count)).collect()
}

#[test]
fn what_a_guard_holds_waits_with_all_behind_it_and_the_release_lets_both_go_in_order() {
    let mut world = World::new(1, 3);
    world.serve(0);
    (0..3).for_each(|event| world.arrive(event == 0));
    world.serve(0);
    for _ in 0..4 {
        world.serve(0);
        world.settle();
    }
    assert!(world.unsettled.is_empty(), "the broker has confirmed the letters");
    let why: Vec<LetterWait> = world.dead.iter().map(|message| letter(message).why).collect();
    assert_eq!(why, [LetterWait::Guard, LetterWait::Behind, LetterWait::Behind]);
    assert_eq!(counts(&world.journal), [(RowState::Waiting, 2), (RowState::Held, 1)]);
    let causes = world.journal.letter_causes();
    assert_eq!((causes[0].count, causes[0].by), (1, HeldBy::Guard));
    assert_eq!(causes[0].guard, Some(GuardName::new(GuardKind::Action, "a")));
    let mut unnamed = world.dead[0].clone();
    assert!(unnamed.headers.remove("osnl-guard").is_some());
    assert_eq!((letter(&unnamed).why, letter(&unnamed).guard), (LetterWait::Guard, None));
    assert!(world.effects.is_empty());
    // The operator releases the first one alone; the rest follows.
    let first = world.dead[0].clone();
    world.send_copy(&first);
    world.let_go.insert(0);
    for _ in 0..12 {
        world.arrive(false);
        world.attempt(false, false);
        world.serve(0);
        world.settle();
    }
    assert_eq!(world.effects, [0, 1, 2]);
    assert!(world.is_done() && counts(&world.journal).is_empty());
}

/// Guards are asked at the first arrival only.
#[test]
fn what_a_guard_holds_is_held_on_when_its_message_has_returned_and_is_counted_once() {
    for is_late in [false, true] {
        let counters: Arc<Counters> = Arc::default();
        let journal = MemoryJournal::new(MemoryLimits::for_prefetch(4), counters.clone());
        journal.keep_dead_letters_of(listener());
        let guard = GuardName::new(GuardKind::Action, "a");
        let arrives = || {
            let mut held = entry("2", "k", false);
            held.deliveries[0].begin = Begin::Held(GuardHold::new(guard.clone(), "more than 1 per 1m"));
            append_as(&journal, held)
        };
        // Before the earlier one of its lane returns, or while that one is on its way back.
        let first = append(&journal, "1", "k");
        let live = claim(&journal)[0].0;
        let early = (!is_late).then(arrives);
        journal.end(live, Outcome::Returned.into());
        for receipt in [first, early.unwrap_or_else(arrives)] {
            assert_eq!(receipt.now_or_never(), Some(Settle::Requeue));
        }
        let again = entry("2", "k", true);
        assert!(seen(&again, &journal).is_some(), "no guard is asked");
        let _receipts = [append_as(&journal, entry("1", "k", true)), append_as(&journal, again)];
        let claimed = claim(&journal);
        assert_eq!(names(&claimed), ["1"]);
        journal.end(claimed[0].0, Outcome::Delivered.into());
        assert_eq!(names(&claim(&journal)), [""; 0]);
        let letters: Vec<WaitingLetter> = unburied(&journal).iter().map(|of| letter(&of.message)).collect();
        let [held] = &letters[..] else { panic!("one waits for release: {letters:?}") };
        assert_eq!((held.why, held.guard.as_ref()), (LetterWait::Guard, Some(&guard)));
        assert_eq!(counters.guarded.get(), 1);
    }
}

#[test]
fn a_dead_delivery_that_holds_its_key_keeps_its_place_and_its_number_when_its_retry_fails() {
    let mut world = World::new(1, 2);
    (0..2).for_each(|_| world.arrive(false));
    world.serve(0);
    world.attempt(true, false);
    (0..4).for_each(|_| world.serve(0));
    world.settle();
    let first = letter(&world.dead[0]);
    assert_eq!((first.why, letter(&world.dead[1]).why), (LetterWait::HoldKey, LetterWait::Behind));
    let copy = world.dead[0].clone();
    world.send_copy(&copy);
    world.arrive(false);
    world.attempt(true, false);
    (0..4).for_each(|_| world.serve(0));
    world.settle();
    assert_eq!(world.dead.len(), 2, "the new letter has replaced the former one");
    let again = letter(&world.dead[1]);
    assert_eq!((again.id, again.place, again.why), (first.id, first.place, LetterWait::HoldKey));
    assert!(world.effects.is_empty() && world.unsettled.is_empty());
    world.finish();
    assert_eq!(world.effects, [0, 1]);
}

#[test]
fn a_new_daemon_keeps_no_message_before_it_has_read_the_letters() {
    let mut world = World::new(2, 3);
    world.serve(0);
    world.arrive(true);
    (0..2).for_each(|_| world.serve(0));
    world.settle();
    assert_eq!(world.dead.len(), 1);
    world.kill();
    (0..2).for_each(|_| world.arrive(false));
    world.attempt(false, false);
    assert!(world.effects.is_empty(), "nothing is attempted before the queue has been read");
    (0..3).for_each(|_| world.serve(0));
    world.attempt(false, false);
    world.attempt(false, false);
    assert_eq!(world.effects, [1], "the other resource goes on, event 2 waits behind event 0");
    assert_eq!(world.dead.len(), 2);
    world.finish();
    assert_eq!(world.effects, [1, 0, 2]);
}

#[test]
fn a_new_daemon_knows_what_waits_for_release_before_a_message_comes_and_a_standby_does_not() {
    let mut world = World::new(1, 2);
    world.serve(0);
    world.arrive(true);
    (0..2).for_each(|_| world.serve(0));
    world.settle();
    assert_eq!(world.dead.len(), 1);
    world.kill();
    let has_work = |world: &World| world.journal.queue_work(&listener()).now_or_never().is_some();
    let has_unread = |world: &World| world.journal.may_have_unread_letters(&listener());
    assert!(!has_work(&world) && has_unread(&world), "a standby leaves the queue alone");
    assert!(!world.journal.follows_letters(&listener()));
    world.journal.active(&listener());
    assert!(has_unread(&world), "it has not read them yet");
    let work = world.journal.queue_work(&listener()).now_or_never().unwrap();
    let found = world.dead.iter().map(letter).collect();
    world.journal.visited(&listener(), &work.visit.unwrap(), found, true);
    assert!(has_unread(&world), "more letters wait than one reading takes");
    world.journal.ask_for_letters(&listener());
    world.serve(0);
    assert_eq!((world.journal.waiting_letters(), has_unread(&world)), (1, false));
    assert!(!has_work(&world) && world.journal.follows_letters(&listener()));
    // The daemon before may have put more of them in the meantime.
    world.arrive(false);
    world.attempt(false, false);
    assert!(world.effects.is_empty() && has_work(&world), "the first message waits for another reading");
    world.reconnect();
    assert!(has_unread(&world), "in the next session another daemon may be active");
    world.finish();
    assert_eq!(world.effects, [0, 1]);
}

#[test]
fn a_reading_that_ends_in_the_next_session_was_made_for_the_one_before() {
    let mut world = World::new(1, 3);
    world.serve(0);
    world.arrive(true);
    (0..2).for_each(|_| world.serve(0));
    world.settle();
    // The copy of a letter that an operator has discarded asks for a reading, during which the connection breaks.
    world.source.clear();
    let letter = world.dead.remove(0);
    world.send_copy(&letter);
    world.journal.ask_for_letters(&listener());
    world.serve(0);
    world.arrive(false);
    let work = world.journal.queue_work(&listener()).now_or_never().unwrap();
    world.reconnect();
    world.source.clear();
    // Meanwhile the other daemon is active, and its guard holds event 1.
    std::mem::swap(&mut world.journal, &mut world.standby);
    world.source.extend((1..3).map(|event| Message { event, marks: None, is_redelivered: false }));
    world.serve(0);
    world.arrive(true);
    (0..2).for_each(|_| world.serve(0));
    world.settle();
    assert_eq!(world.dead.len(), 1);
    std::mem::swap(&mut world.journal, &mut world.standby);
    world.journal.visited(&listener(), &work.visit.unwrap(), Vec::new(), false);
    world.arrive(false);
    world.attempt(false, false);
    assert!(world.effects.is_empty(), "the first message of a session waits for a reading of its own");
    (0..3).for_each(|_| world.serve(0));
    world.attempt(false, false);
    let waiting: Vec<usize> = world.dead.iter().map(event_in).collect();
    assert_eq!((waiting, world.effects.len()), (vec![1, 2], 0));
}

/// The daemon may be wrong about being active; the copy comes to the one that is.
#[test]
fn what_nothing_is_before_any_more_is_carried_out_though_no_message_comes() {
    for is_running in [true, false] {
        let mut world = World::new(1, 3);
        (0..3).for_each(|_| world.arrive(false));
        world.serve(0);
        world.attempt(true, false);
        (0..4).for_each(|_| world.serve(0));
        world.settle();
        let why: Vec<LetterWait> = world.dead.iter().map(|message| letter(message).why).collect();
        assert_eq!(why, [LetterWait::HoldKey, LetterWait::Behind, LetterWait::Behind]);
        world.kill();
        if is_running {
            world.journal.active(&listener());
            (0..2).for_each(|_| world.serve(0));
            assert!(world.source.is_empty(), "a dead letter is before the others");
        }
        // An operator discards it.
        world.dead.remove(0);
        if is_running {
            world.journal.ask_for_letters(&listener());
        } else {
            world.journal.active(&listener());
        }
        (0..4).for_each(|_| world.serve(0));
        world.attempt(false, false);
        assert!(world.effects.is_empty() && world.in_hand.is_empty(), "another daemon may carry them out");
        assert_eq!((world.source.len(), world.dead.len()), (1, 2), "one copy is sent");
        world.arrive(false);
        world.attempt(false, false);
        assert!(world.effects.is_empty(), "the copy waits for another reading");
        for _ in 0..20 {
            world.serve(0);
            world.attempt(false, false);
            world.settle();
        }
        assert_eq!(world.effects, [1, 2]);
        assert!(world.is_done(), "{:?}", world.dead);
    }
}

#[test]
fn a_copy_whose_letter_is_gone_is_acknowledged_and_has_no_effect() {
    let mut world = World::new(1, 1);
    world.serve(0);
    world.arrive(true);
    (0..2).for_each(|_| world.serve(0));
    world.settle();
    world.let_go();
    // An operator discards it meanwhile.
    world.dead.clear();
    world.journal.ask_for_letters(&listener());
    world.serve(0);
    world.arrive(false);
    (0..2).for_each(|_| world.serve(0));
    world.attempt(false, false);
    world.settle();
    assert!(world.is_done() && world.effects.is_empty());
}

/// A publisher that may write to the default exchange can put any number into the headers of its own message.
#[test]
fn a_message_with_the_number_of_a_letter_and_another_body_removes_no_letter() {
    let mut world = World::new(1, 2);
    world.serve(0);
    world.arrive(true);
    (0..2).for_each(|_| world.serve(0));
    world.settle();
    assert_eq!(world.dead.len(), 1);
    // Event 1 of the same resource pretends to be the copy of the letter of event 0.
    let forged = again(&world.dead[0]).headers;
    world.source[0].marks = Some(forged);
    world.arrive(false);
    (0..4).for_each(|_| world.serve(0));
    world.attempt(false, false);
    (0..4).for_each(|_| world.serve(0));
    world.settle();
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    let kept: Vec<(usize, LetterWait)> = world.dead.iter().map(|of| (event_in(of), letter(of).why)).collect();
    assert_eq!(kept, [(0, LetterWait::Guard), (1, LetterWait::Behind)]);
    world.finish();
    assert_eq!(world.effects, [0, 1]);
}

#[test]
fn with_more_letters_than_one_reading_takes_everything_waits() {
    let mut world = World::new(2, 2);
    world.arrive(false);
    let work = world.journal.queue_work(&listener()).now_or_never().unwrap();
    world.journal.visited(&listener(), &work.visit.unwrap(), Vec::new(), true);
    assert!(world.journal.may_have_unread_letters(&listener()), "a guard may hold some of them");
    world.attempt(false, false);
    assert!(world.effects.is_empty());
    (0..2).for_each(|_| world.serve(0));
    assert_eq!(world.dead.len(), 1);
    world.finish();
    assert_eq!(world.effects.len(), 2);
}

/// A newer letter of a refused retry would be behind those that a reading takes, and nothing would hold the resource.
#[test]
fn with_more_letters_than_one_reading_takes_what_is_refused_is_dead_in_its_place_and_blocks_no_listener() {
    for is_known in [true, false] {
        let mut world = World::new(1, 8);
        world.serve(0);
        world.arrive(true);
        (0..4).for_each(|_| world.serve(0));
        if is_known {
            (0..4).for_each(|_| world.arrive(false));
            world.serve(0);
            world.most = 1;
            world.journal.ask_for_letters(&listener());
            world.serve(0);
        }
        world.settle();
        let held = world.dead[0].clone();
        world.let_go.insert(0);
        world.send_copy(&held);
        let copy = world.source.pop_back().unwrap();
        world.source.push_front(copy);
        world.arrive(false);
        world.arrive(false);
        world.attempt(true, false);
        if is_known {
            // A reading from before the refusal comes to its end.
            world.journal.ask_for_letters(&listener());
            let work = world.journal.queue_work(&listener()).now_or_never().unwrap();
            world.journal.visited(&listener(), &work.visit.unwrap(), vec![letter(&held)], true);
            let held = counts(&world.journal).into_iter().find(|(state, _)| *state == RowState::Held);
            assert_eq!(held, None, "it is dead");
        }
        world.most = 1;
        for _ in 0..20 {
            world.arrive(false);
            world.serve(0);
            world.settle();
        }
        assert_eq!((world.source.len(), world.unsettled.len()), (0, 0), "no message is kept");
        let waiting: Vec<(usize, LetterWait)> =
            world.dead.iter().map(|message| (event_in(message), letter(message).why)).collect();
        let newer = [(0, LetterWait::HoldKey)];
        let newer = newer.iter().filter(|_| !is_known);
        let behind = (1..8).map(|event| (event, LetterWait::Behind));
        let expected = [(0, LetterWait::Guard)].into_iter().chain(newer.copied()).chain(behind);
        assert_eq!(waiting, expected.collect::<Vec<_>>());
        let shown = letter(&world.in_places()[0]);
        assert_eq!((shown.why, &*shown.reason), (LetterWait::HoldKey, "refused"));
        assert!(world.effects.is_empty());
        world.finish();
        // The newer letter is found when the former one has left, and is dead until it is retried too.
        let effects = if is_known { &world.effects[..] } else { &world.effects[1..] };
        assert_eq!(effects, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(world.journal.refused_letters().lock().is_empty());
    }
}

#[test]
fn all_that_waits_behind_a_held_delivery_leaves_with_one_confirm_of_the_broker() {
    let mut world = World::new(1, 6);
    world.serve(0);
    (0..5).for_each(|event| world.arrive(event == 0));
    // The queue is read, then the letters are put.
    (0..2).for_each(|_| world.serve(0));
    world.settle();
    let waiting: Vec<usize> = world.dead.iter().map(event_in).collect();
    assert_eq!((waiting, world.unsettled.len()), ((0..5).collect(), 0));
    // A new event leaves at once, and the copies that came before it go on meanwhile.
    world.let_go();
    world.source.swap(0, 1);
    (0..2).for_each(|_| world.arrive(false));
    world.serve(0);
    world.settle();
    assert_eq!(world.dead.len(), 6);
    world.attempt(false, false);
    assert_eq!(world.effects, [0]);
    world.finish();
    assert_eq!(world.effects, [0, 1, 2, 3, 4, 5]);
}
