//! Deliveries that wait in a dead letter queue.

mod world;

use std::collections::BTreeSet;

use self::world::{Message, World, clock, event_in, letter, listener, pass};
use osnl_core::rule::{GuardHold, GuardKind, GuardName};

use super::*;
use crate::Begin;
use crate::dead_letters::{LetterWait, WaitingLetter, again};
use crate::query::{HeldBy, RowState};

#[test]
fn wherever_a_daemon_is_killed_nothing_is_lost_out_of_order_or_carried_out_without_its_release() {
    let clock = clock();
    let _entered = clock.enter();
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (keys, events) = (random.usize(1..4), random.usize(4..24));
        let mut world = World::new(keys, events);
        world.most = if random.bool() { usize::MAX } else { random.usize(4..12) };
        for _ in 0..random.usize(20..200) {
            match random.u8(..36) {
                0 => world.kill(),
                1 => world.let_go(),
                // A guard counts anew with each daemon, so it may hold what came before, or let pass what it held.
                2..8 => world.arrive(random.u8(..4) == 0),
                8..13 => world.attempt(random.u8(..5) == 0, random.u8(..12) == 0),
                13..15 => world.serve(random.usize(1..8)),
                15 => world.serve(0),
                16 => world.serve_in_part(0, random.bool(), random.bool()),
                17 => world.read_by_standby(),
                18 => world.daemon.journal.active(&listener()),
                19 => world.reconnect(),
                20 if world.may_swap() => {
                    world.swap();
                    pass(&clock, Duration::from_secs(11));
                }
                21 => pass(&clock, Duration::from_millis(random.u64(..40_000))),
                22..24 => world.other_goes_on(random.bool()),
                24..27 => world.claim(),
                27 => world.discard(random.bool()),
                28 if world.has_only_letters() => world.take_over(),
                29..31 => world.give_up(random.u8(..6) == 0),
                31..33 => world.hand_over(),
                _ => world.settle(),
            }
        }
        world.finish();
        let ended = world.effects.iter().chain(world.discarded.keys()).chain(&world.handed_over);
        let ended: BTreeSet<usize> = ended.copied().collect();
        assert_eq!(ended.len(), events, "seed {seed}: {:?}", world.effects);
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
    assert_eq!(counts(&world.daemon.journal), [(RowState::Waiting, 2), (RowState::Held, 1)]);
    let causes = world.daemon.journal.letter_causes();
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
    assert!(world.is_done() && counts(&world.daemon.journal).is_empty());
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
    let (mut world, _) = with_a_copy(true);
    let first = letter(&world.dead[0]);
    assert_eq!((first.why, letter(&world.dead[1]).why), (LetterWait::HoldKey, LetterWait::Behind));
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
    let has_work = |world: &World| world.daemon.journal.queue_work(&listener()).now_or_never().is_some();
    let has_unread = |world: &World| world.daemon.journal.may_have_unread_letters(&listener());
    assert!(!has_work(&world) && has_unread(&world), "a standby leaves the queue alone");
    assert!(!world.daemon.journal.follows_letters(&listener(), false));
    world.daemon.journal.active(&listener());
    assert!(has_unread(&world), "it has not read them yet");
    let work = world.daemon.journal.queue_work(&listener()).now_or_never().unwrap();
    let found = world.dead.iter().map(letter).collect();
    world.daemon.journal.visited(&listener(), &work.visit.unwrap(), found, true);
    assert!(has_unread(&world), "more letters wait than one reading takes");
    world.daemon.journal.ask_for_letters(&listener());
    world.serve(0);
    assert_eq!((world.daemon.journal.waiting_letters(), has_unread(&world)), (1, false));
    assert!(!has_work(&world) && world.daemon.journal.follows_letters(&listener(), false));
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
    world.daemon.journal.ask_for_letters(&listener());
    world.serve(0);
    world.arrive(false);
    let work = world.daemon.journal.queue_work(&listener()).now_or_never().unwrap();
    world.reconnect();
    world.source.clear();
    // Meanwhile the other daemon is active, and its guard holds event 1.
    world.swap();
    world.source.extend((1..3).map(|event| Message { event, marks: None, is_redelivered: false }));
    world.serve(0);
    world.arrive(true);
    (0..2).for_each(|_| world.serve(0));
    world.settle();
    assert_eq!(world.dead.len(), 1);
    world.swap();
    world.daemon.journal.visited(&listener(), &work.visit.unwrap(), Vec::new(), false);
    world.arrive(false);
    world.attempt(false, false);
    assert!(world.effects.is_empty(), "the first message of a session waits for a reading of its own");
    (0..3).for_each(|_| world.serve(0));
    world.attempt(false, false);
    let waiting: Vec<usize> = world.dead.iter().map(event_in).collect();
    assert_eq!((waiting, world.effects.len()), (vec![1, 2], 0));
}

/// RabbitMQ may give the queue to the other daemon and back, and tells neither.
#[test]
fn after_a_pause_a_message_waits_until_the_letters_are_known_to_be_the_same() {
    let clock = clock();
    let _entered = clock.enter();
    let cases = [
        (1, 0, 0, true),
        (2, 0, 0, true),
        (2, 0, 1, true),
        (11, 0, 0, true),
        (11, 0, 1, false),
        (2, 9, 1, false),
    ];
    for (pause, waits, other_letters, counts) in cases {
        let mut world = World::new(4, 4);
        world.serve(0);
        world.arrive(other_letters == 1);
        (0..3).for_each(|_| world.serve(0));
        world.attempt(false, false);
        world.settle();
        let before = world.effects.len();
        pass(&clock, Duration::from_secs(pause));
        world.arrive(false);
        world.attempt(false, false);
        assert_eq!(world.effects.len() == before, pause > 1, "{pause} s");
        pass(&clock, Duration::from_secs(waits));
        let work = world.daemon.journal.queue_work(&listener()).now_or_never().unwrap_or_default();
        let is_answered =
            work.visit.map(|visit| (visit.is_answered_by(other_letters), visit.is_more_than_carrying_out()));
        let expected = (pause > 1).then_some((counts, true));
        assert_eq!(is_answered, expected, "{pause} s, then {waits} s, {other_letters} letters");
        world.serve(0);
        world.arrive(false);
        (0..2).for_each(|_| world.attempt(false, false));
        assert_eq!(world.effects.len(), before + 2, "after the proof no message waits");
    }
}

/// During the reading the other daemon may put a letter that it does not find.
#[test]
fn what_is_known_from_a_reading_is_as_old_as_its_beginning() {
    let clock = clock();
    let _entered = clock.enter();
    for (seconds, is_answered_by_count) in [(1, None), (2, Some(true)), (11, Some(false))] {
        let mut world = World::new(4, 4);
        world.serve(0);
        world.arrive(true);
        (0..3).for_each(|_| world.serve(0));
        pass(&clock, Duration::from_secs(11));
        world.arrive(false);
        let visit = || world.daemon.journal.queue_work(&listener()).now_or_never().unwrap_or_default().visit;
        let reading = visit().unwrap();
        pass(&clock, Duration::from_secs(seconds));
        let found = world.dead.iter().map(letter).collect();
        world.daemon.journal.visited(&listener(), &reading, found, false);
        assert_eq!(visit(), None, "the message has not waited in vain");
        world.arrive(false);
        let visit = || world.daemon.journal.queue_work(&listener()).now_or_never().unwrap_or_default().visit;
        assert_eq!(visit().map(|visit| visit.is_answered_by(1)), is_answered_by_count, "{seconds} s");
    }
}

#[test]
fn a_daemon_that_has_had_no_message_for_long_begins_with_no_letter() {
    let clock = clock();
    let _entered = clock.enter();
    let mut world = World::new(1, 9);
    let mut later = world.source.split_off(0);
    world.daemon.journal.active(&listener());
    world.serve(0);
    for comes in [false, false, true] {
        world.source.extend(later.drain(..2));
        (0..2).for_each(|event| world.arrive(event == 0));
        (0..4).for_each(|_| world.serve(0));
        world.settle();
        assert_eq!(world.dead.len(), 2);
        pass(&clock, Duration::from_secs(31));
        // An operator discards the first letter by another daemon.
        world.dead.remove(0);
        world.daemon.journal.ask_for_letters(&listener());
        if comes {
            world.serve(0);
            world.source.extend(later.pop_front());
            world.arrive(false);
            let work = world.daemon.journal.queue_work(&listener()).now_or_never().unwrap_or_default();
            assert!(work.visit.is_some_and(|visit| !visit.has_changed()), "no copy is needed");
        } else {
            (0..3).for_each(|_| world.serve(0));
            assert!(world.daemon.in_hand.is_empty());
            let copies = world.source.iter().filter(|message| message.marks.is_some()).count();
            assert_eq!(copies, 1, "another daemon may be active: a copy tells");
        }
        world.finish();
    }
    assert_eq!(world.effects, [1, 3, 5, 6]);
}

#[test]
fn a_daemon_that_has_had_no_message_for_long_looks_less_often_at_what_others_have_changed() {
    let clock = clock();
    let _entered = clock.enter();
    let mut world = World::new(1, 1);
    world.serve(0);
    world.arrive(false);
    world.serve(0);
    let looks = |is_told| world.daemon.journal.follows_letters(&listener(), is_told);
    assert!(looks(false) && looks(false));
    pass(&clock, Duration::from_secs(31));
    assert!(looks(false) && !looks(false) && looks(true));
    pass(&clock, Duration::from_secs(59));
    assert!(!looks(false));
    pass(&clock, Duration::from_secs(1));
    assert!(looks(false));
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
            world.daemon.journal.active(&listener());
            (0..2).for_each(|_| world.serve(0));
            assert!(world.source.is_empty(), "a dead letter is before the others");
        }
        // An operator discards it.
        world.dead.remove(0);
        if is_running {
            world.daemon.journal.ask_for_letters(&listener());
        } else {
            world.daemon.journal.active(&listener());
        }
        (0..4).for_each(|_| world.serve(0));
        world.attempt(false, false);
        assert!(
            world.effects.is_empty() && world.daemon.in_hand.is_empty(),
            "another daemon may carry them out"
        );
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
    world.daemon.journal.ask_for_letters(&listener());
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

/// Returns a world in which event 0 is dead and event 1 waits behind it. A copy of event 0 is in the source queue, and in
/// the hand of the delivery loop if it `has_come`.
fn with_a_copy(has_come: bool) -> (World, u64) {
    let mut world = World::new(1, 2);
    (0..2).for_each(|_| world.arrive(false));
    world.serve(0);
    world.attempt(true, false);
    (0..4).for_each(|_| world.serve(0));
    world.settle();
    let dead = world.dead[0].clone();
    world.send_copy(&dead);
    if has_come {
        world.arrive(false);
        world.claim();
    }
    assert_eq!((world.unsettled.len(), world.dead.len()), (usize::from(has_come), 2));
    (world, letter(&dead).id)
}

#[test]
fn a_discarded_letter_is_not_attempted_though_the_delivery_loop_has_it_in_hand() {
    let due = Instant::now() + Duration::from_secs(5);
    let retry = || AttemptRetry { due, used: attempts(1), is_charged: false, answer: "no".into() };
    for is_told in [true, false] {
        for end in ["given back", "refused", "retried", "delivered"] {
            let (mut world, id) = with_a_copy(true);
            let journal = &world.daemon.journal;
            let in_hand = journal.withdrawn("a").len() + journal.letters_in_hand(&[id + 1].into()).len();
            assert_eq!(in_hand, 0);
            world.dead.remove(0);
            match is_told {
                true => journal.discard_letters(&[id].into()),
                false => journal.ask_for_letters(&listener()),
            }
            world.serve(0);
            let journal = &world.daemon.journal;
            assert_eq!(journal.letters_in_hand(&[id].into()), [id].into(), "{end}");
            let wakes = || journal.claim("a", ClaimLimits::in_order(1)).now_or_never();
            assert_eq!(wakes().map(|claimed| claimed.len()), Some(0), "the loop looks for what is withdrawn");
            assert!(wakes().is_none(), "it is told once, and the letter still has its place");
            let [claimed] = journal.withdrawn("a")[..] else { panic!("one is withdrawn") };
            match end {
                "given back" => journal.end(claimed, Outcome::Returned.into()),
                "refused" => journal.end(claimed, Outcome::DeadHoldingKey("refused".to_owned()).into()),
                "retried" => journal.retry_at(claimed, retry()),
                // The call had begun before the command.
                _ => journal.end(claimed, Outcome::Delivered.into()),
            }
            assert_eq!(
                (journal.withdrawn("a"), journal.letters_in_hand(&[id].into()).len()),
                (Vec::new(), 0)
            );
            (0..4).for_each(|_| world.serve(0));
            world.settle();
            assert_eq!(world.unsettled.len(), 0, "{end}: the copy is acknowledged");
            let waiting: Vec<usize> = world.dead.iter().map(event_in).collect();
            assert_eq!(waiting, [1], "{end}: nothing new of event 0 is put");
            world.drop_claims();
            world.finish();
            assert_eq!(world.effects, [1], "{end}");
        }
    }
}

#[test]
fn a_discarded_letter_is_unknown_at_once_so_that_its_copy_has_no_effect() {
    let (mut world, id) = with_a_copy(false);
    world.dead.remove(0);
    world.daemon.journal.discard_letters(&[id].into());
    world.arrive(false);
    world.attempt(false, false);
    assert!(world.effects.is_empty());
    world.finish();
    assert_eq!(world.effects, [1]);
}

/// The other daemon is active, an operator discards the letter there, and later events have their effects.
#[test]
fn a_letter_in_hand_when_the_session_ends_is_let_go_unless_its_message_comes_back() {
    for comes_back in [false, true] {
        let (mut world, id) = with_a_copy(true);
        if comes_back {
            world.reconnect();
            world.serve(0);
            world.arrive(false);
            world.serve(0);
            assert_eq!(world.daemon.journal.withdrawn("a"), []);
        } else {
            world.take_over();
            world.dead.remove(0);
            world.serve(0);
            assert_eq!(world.daemon.journal.letters_in_hand(&[id].into()).len(), 0);
        }
        world.let_go.insert(0);
        world.other_goes_on(true);
        world.finish();
        assert_eq!(world.effects, if comes_back { &[0, 1][..] } else { &[1] });
    }
}

/// The dead letter of the given-up delivery has the number of its letter, and takes the letter's place in a reading.
#[test]
fn what_on_failure_has_taken_goes_on_without_the_letter() {
    for ends_session in [false, true] {
        let (mut world, id) = with_a_copy(true);
        let journal = &world.daemon.journal;
        world.dead.remove(0);
        let given_up = End::from(Outcome::Dead("no".to_owned())).handed_to(crate::Handover::to("b"));
        let latest = journal.lock().last;
        journal.end(DeliveryId(latest), given_up);
        world.drop_claims();
        (0..2).for_each(|_| world.serve_in_part(0, true, false));
        let journal = &world.daemon.journal;
        match ends_session {
            true => journal.unsubscribed(&listener()),
            false => journal.ask_for_letters(&listener()),
        }
        let work = journal.queue_work(&listener()).now_or_never().unwrap_or_default();
        let visit = work.visit.unwrap_or_else(|| LetterVisit::new(Instant::now()));
        journal.visited(&listener(), &visit, Vec::new(), false);
        journal.discard_letters(&[id].into());
        let claimed = journal.claim("b", ClaimLimits::in_order(1)).now_or_never().unwrap_or_default();
        assert_eq!(claimed.len(), 1, "it is still to be called");
    }
}

/// The letter of a given-up delivery stays until the action of `on_failure` has ended, so that another daemon calls it.
#[test]
fn the_next_daemon_calls_on_failure_if_the_one_before_has_not() {
    for calls in [true, false] {
        let (mut world, _) = with_a_copy(true);
        world.give_up(false);
        world.serve(0);
        if calls {
            world.hand_over();
        }
        let shown = world.in_places();
        assert_eq!(shown.iter().map(event_in).collect::<Vec<_>>(), [1], "event 0 is shown as a dead letter");
        world.kill();
        world.serve(0);
        world.arrive(false);
        (0..2).for_each(|_| world.serve(0));
        world.give_up(false);
        world.serve(0);
        world.hand_over();
        assert_eq!(world.handed_over, [0].into());
        world.let_go.insert(1);
        world.finish();
        assert_eq!(world.effects, [1]);
    }
}

#[test]
fn with_more_letters_than_one_reading_takes_everything_waits() {
    let mut world = World::new(2, 2);
    world.arrive(false);
    let work = world.daemon.journal.queue_work(&listener()).now_or_never().unwrap();
    world.daemon.journal.visited(&listener(), &work.visit.unwrap(), Vec::new(), true);
    assert!(world.daemon.journal.may_have_unread_letters(&listener()), "a guard may hold some of them");
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
            world.daemon.journal.ask_for_letters(&listener());
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
            world.daemon.journal.ask_for_letters(&listener());
            let work = world.daemon.journal.queue_work(&listener()).now_or_never().unwrap();
            world.daemon.journal.visited(&listener(), &work.visit.unwrap(), vec![letter(&held)], true);
            let held = counts(&world.daemon.journal).into_iter().find(|(state, _)| *state == RowState::Held);
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
        assert!(world.daemon.journal.refused_letters().lock().is_empty());
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
