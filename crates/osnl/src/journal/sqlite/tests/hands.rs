//! What people see, and what they do to deliveries.

use super::*;
use crate::journal::NewDelivery;

fn only(states: &[State]) -> Filter {
    Filter { states: states.to_vec(), ..Filter::default() }
}

fn one(id: DeliveryId) -> Filter {
    Filter { ids: vec![id], ..Filter::default() }
}

async fn change(journal: &SqliteJournal, change: Change) -> (Vec<String>, Vec<String>) {
    let changed = within(journal.change(change)).await.unwrap();
    let ids = changed.changed.iter().map(ToString::to_string).collect();
    (ids, changed.refused.into_iter().map(|(id, why)| format!("{id}: {why}")).collect())
}

#[tokio::test]
async fn deliveries_are_found_by_what_is_known_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for (n, (id, key)) in [("1", "k"), ("2", "k"), ("3", "other")].into_iter().enumerate() {
        let mut entry = entry(id, key, false);
        Arc::make_mut(&mut entry.received).origin.received =
            std::time::UNIX_EPOCH + Duration::from_secs(100 * (n as u64 + 1));
        if id == "3" {
            entry.deliveries.push(NewDelivery::new("s", "b", None));
        }
        within(append(&journal, entry).await).await;
    }
    let claimed = claim(&journal, "a", 2).await;
    journal.attempted(claimed[1].id, attempts(1), "status 409: no");
    journal.end(claimed[1].id, Outcome::Dead("status 409: no (attempt 6)".into()).into());
    claim(&journal, "a", 0).await;

    let reader = reader(&folder);
    let check = |filter: Filter, expected: &[&str]| {
        let rows = reader.list(&filter, &Page::default()).unwrap();
        assert_eq!(rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    let at = |seconds| Some(std::time::UNIX_EPOCH + Duration::from_secs(seconds));
    check(Filter::default(), &["1.0", "2.0", "3.0", "3.1"]);
    check(one(DeliveryId::parse("3.1").unwrap()), &["3.1"]);
    check(Filter { event: Some(3), ..Filter::default() }, &["3.0", "3.1"]);
    check(Filter { rule: Some("s".into()), ..Filter::default() }, &["3.1"]);
    check(Filter { action: Some("a".into()), ..Filter::default() }, &["1.0", "2.0", "3.0"]);
    check(only(&[State::Waiting, State::Dead]), &["2.0", "3.0"]);
    check(Filter { key: Some("k".into()), ..Filter::default() }, &["1.0", "2.0"]);
    check(
        Filter { event_type: Some("port.delete.end".into()), ..Filter::default() },
        &["1.0", "2.0", "3.0", "3.1"],
    );
    check(Filter { event_type: Some("x".into()), ..Filter::default() }, &[]);
    check(Filter { since: at(200), until: at(300), ..Filter::default() }, &["2.0"]);
    check(Filter { since: at(300), rule: Some("r".into()), ..only(&[State::Dead]) }, &["3.0"]);
    let page = Page { after: DeliveryId::parse("1.0"), limit: 2 };
    let rows = reader.list(&Filter::default(), &page).unwrap();
    assert_eq!(rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>(), ["2.0", "3.0"]);

    let shown = reader.show(claimed[1].id).unwrap().unwrap();
    assert_eq!(shown.row.reason.as_deref(), Some("status 409: no (attempt 6)"));
    assert_eq!((shown.row.attempts, shown.row.tries, shown.tries.len()), (1, 1, 1));
    assert!(shown.row.ended.is_some());
    assert_eq!(reader.show(DeliveryId::parse("2.0").unwrap()).unwrap().unwrap().ahead, 1);
    assert!(reader.show(DeliveryId::parse("9.0").unwrap()).unwrap().is_none());
    let tally: Vec<_> =
        reader.tally().unwrap().into_iter().map(|t| (t.action, t.state.name(), t.count)).collect();
    let expected = [("a", "waiting", 1), ("a", "ready", 1), ("a", "dead", 1), ("b", "ready", 1)];
    assert_eq!(tally, expected.map(|(action, state, count)| (action.to_owned(), state, count)));
    assert_eq!(reader.oldest_ready("a").unwrap(), at(100));
}

#[tokio::test]
async fn the_latest_attempts_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    let claimed = claim(&journal, "a", 1).await;
    for n in 0..50 {
        journal.attempted(
            claimed[0].id,
            Used { made: n + 1, ..attempts(0) },
            &format!("{n} {}", "ü".repeat(5000)),
        );
    }
    claim(&journal, "a", 0).await;
    let shown = reader(&folder).show(claimed[0].id).unwrap().unwrap();
    assert_eq!((shown.row.tries, shown.tries.len()), (50, 20));
    let mut numbers: Vec<u32> =
        shown.tries.iter().map(|one| one.answer.split(' ').next().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (30..50).collect::<Vec<_>>());
    assert!(shown.tries.iter().all(|one| one.answer.len() <= 1000));
}

#[tokio::test]
async fn a_dead_letter_is_retried_unless_something_later_of_its_key_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    keep(&journal, "2", "k").await;
    for _ in 0..2 {
        let claimed = claim(&journal, "a", 1).await;
        journal.attempted(claimed[0].id, attempts(6), "no");
        journal.end(claimed[0].id, Outcome::Dead("why".into()).into());
    }
    let retry = |out_of_order| Change::Retry { which: Filter::default(), out_of_order };
    // Both in one go, in their order.
    assert_eq!(change(&journal, retry(false)).await, (vec!["1.0".to_owned(), "2.0".into()], vec![]));
    let claimed = claim(&journal, "a", 1).await;
    assert_eq!((names(&claimed), claimed[0].used.attempts), (vec!["1"], 0));
    journal.end(claimed[0].id, Outcome::Dead("why".into()).into());
    let second = claim(&journal, "a", 1).await;
    assert_eq!(names(&second), ["2"]);
    journal.end(second[0].id, Outcome::Delivered.into());
    let refused = change(&journal, retry(false)).await;
    assert_eq!(refused.0, [""; 0]);
    assert!(refused.1[0].starts_with("1.0: 2.0 of the same resource came later"), "{refused:?}");
    assert_eq!(change(&journal, retry(true)).await, (vec!["1.0".to_owned()], vec![]));
    assert_eq!(names(&claim(&journal, "a", 1).await), ["1"]);
}

#[tokio::test]
async fn what_is_discarded_ends_and_frees_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for id in ["1", "2", "3"] {
        keep(&journal, id, "k").await;
    }
    let claimed = claim(&journal, "a", 1).await;
    let discard = |id: &str| Change::Discard { which: one(DeliveryId::parse(id).unwrap()), by: "eve".into() };
    assert_eq!(change(&journal, discard("2.0")).await.0, ["2.0"]);
    assert_eq!(journal.withdrawn("a"), []);
    // The one in work is to be given back; what comes of an attempt under way changes nothing.
    assert_eq!(change(&journal, discard("1.0")).await.0, ["1.0"]);
    assert_eq!(journal.withdrawn("a"), [claimed[0].id]);
    assert_eq!(names(&claim(&journal, "a", 1).await), ["3"]);
    journal.end(claimed[0].id, Outcome::Returned.into());
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
    assert_eq!(journal.withdrawn("a"), []);
    assert_eq!(change(&journal, discard("1.0")).await.0, [""; 0], "twice is once");
    let reader = reader(&folder);
    let row = &reader.list(&one(claimed[0].id), &Page::default()).unwrap()[0];
    assert_eq!((row.state, row.reason.as_deref()), (State::Discarded, Some("discarded by eve")));
}

#[tokio::test]
async fn what_is_held_keeps_its_followers_until_it_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    keep(&journal, "2", "k").await;
    let hold = Change::Hold { which: one(DeliveryId::parse("1.0").unwrap()), why: "guard".into() };
    assert_eq!(change(&journal, hold).await.0, ["1.0"]);
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
    drop(journal);
    let journal = open(&folder);
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0], "held outlives a restart");
    assert_eq!(
        reader(&folder).list(&only(&[State::Held]), &Page::default()).unwrap()[0].reason.as_deref(),
        Some("guard")
    );
    assert_eq!(change(&journal, Change::Release { which: Filter::default() }).await.0, ["1.0"]);
    let claimed = claim(&journal, "a", 1).await;
    assert_eq!(names(&claimed), ["1"]);
    journal.end(claimed[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(&journal, "a", 1).await), ["2"]);
}

#[tokio::test]
async fn what_is_moved_is_another_action_s_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    keep(&journal, "2", "k").await;
    let mut other = entry("3", "k", false);
    other.deliveries[0].action = "b".into();
    within(append(&journal, other).await).await;
    let to_b =
        || Change::Move { which: Filter { action: Some("a".into()), ..Filter::default() }, to: "b".into() };
    let running = claim(&journal, "a", 1).await;
    let refused = change(&journal, to_b()).await.1;
    assert!(refused[0].starts_with("1.0: a has it in work"), "{refused:?}");
    drop(journal);
    let journal = open(&folder);
    // The second went before; the first follows now that nobody has it.
    assert_eq!(change(&journal, to_b()).await.0, [running[0].id.to_string()]);
    let mut order = Vec::new();
    for _ in 0..3 {
        let claimed = claim(&journal, "b", 1).await;
        assert_eq!(claimed.len(), 1, "one of a key at a time");
        order.push(names(&claimed)[0].to_owned());
        journal.end(claimed[0].id, Outcome::Delivered.into());
    }
    // The one that was claimable of `b` already stays ahead.
    assert_eq!(order, ["3", "1", "2"]);
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
}

#[tokio::test]
async fn a_dead_letter_that_holds_its_key_keeps_its_followers_until_somebody_decides() {
    for discard in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = open(&folder);
        for (id, key) in [("1", "k"), ("2", "k"), ("3", "other")] {
            keep(&journal, id, key).await;
        }
        let first = claim(&journal, "a", 2).await;
        journal.end(first[0].id, Outcome::DeadHoldingKey("why".into()).into());
        keep(&journal, "4", "k").await;
        assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0], "2 and 4 wait");
        // So does what is behind one that somebody takes out of the middle.
        keep(&journal, "5", "k").await;
        let middle = Filter { event: Some(2), ..Filter::default() };
        change(&journal, Change::Discard { which: middle, by: "me".into() }).await;
        assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
        drop(journal);
        journal = open(&folder);
        assert_eq!(names(&claim(&journal, "a", 1).await), ["3"]);
        let dead = reader(&folder).list(&only(&[State::Dead]), &Page::default()).unwrap();
        assert_eq!(dead.len(), 1);
        if discard {
            change(&journal, Change::Discard { which: one(first[0].id), by: "me".into() }).await;
        } else {
            // What is behind it has had no effect, so it is not out of order.
            let retry = Change::Retry { which: one(first[0].id), out_of_order: false };
            assert_eq!(change(&journal, retry).await, (vec!["1.0".to_owned()], vec![]));
            let again = claim(&journal, "a", 1).await;
            assert_eq!((names(&again), again[0].used), (vec!["1"], Default::default()));
            journal.end(again[0].id, Outcome::Delivered.into());
        }
        for id in ["4", "5"] {
            let next = claim(&journal, "a", 1).await;
            assert_eq!(names(&next), [id]);
            journal.end(next[0].id, Outcome::Delivered.into());
        }
    }
}

#[tokio::test]
async fn a_dead_letter_that_holds_its_key_does_not_leave_for_want_of_room() {
    let folder = tempfile::tempdir().unwrap();
    let journal =
        SqliteJournal::open(SqliteOptions { max_dead: 1, ..options(&folder) }, Arc::default()).unwrap();
    for id in ["1", "2", "3"] {
        keep(&journal, id, id).await;
    }
    let claimed = claim(&journal, "a", 3).await;
    journal.end(claimed[0].id, Outcome::DeadHoldingKey("first".into()).into());
    journal.end(claimed[1].id, Outcome::Dead("second".into()).into());
    journal.end(claimed[2].id, Outcome::Dead("third".into()).into());
    let left = || -> Vec<String> {
        let rows = reader(&folder).list(&only(&[State::Dead]), &Page::default()).unwrap();
        rows.into_iter().filter_map(|row| row.reason).collect()
    };
    osnl_testkit::wait_until(Duration::from_secs(20), "the others have left", || left() == ["first"]);
}

#[tokio::test]
async fn what_a_guard_holds_waits_with_its_followers_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let mut held = entry("1", "k", false);
    held.deliveries[0].begin = Begin::Held("guard of action a: more than 1 per 10m".into());
    within(append(&journal, held).await).await;
    keep(&journal, "2", "k").await;
    drop(journal);
    let journal = open(&folder);
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
    let rows = reader(&folder).list(&only(&[State::Held]), &Page::default()).unwrap();
    assert_eq!(rows[0].reason.as_deref(), Some("guard of action a: more than 1 per 10m"));
    change(&journal, Change::Release { which: only(&[]) }).await;
    let first = claim(&journal, "a", 1).await;
    assert_eq!((names(&first), first[0].used), (vec!["1"], Default::default()));
    journal.end(first[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(&journal, "a", 1).await), ["2"]);
}

#[tokio::test]
async fn what_was_done_can_be_listed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    let claimed = claim(&journal, "a", 1).await;
    journal.end(claimed[0].id, End::from(Outcome::Delivered).saying("DELETE x: 204"));
    let done = || reader(&folder).list(&only(&[State::Delivered]), &Page::default()).unwrap();
    osnl_testkit::wait_until(Duration::from_secs(20), "it is kept", || done().len() == 1);
    assert_eq!(done()[0].reason.as_deref(), Some("DELETE x: 204"));
}

#[tokio::test]
async fn a_preview_says_what_a_change_would_do_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for id in ["1", "2", "3"] {
        keep(&journal, id, "k").await;
    }
    let before = states(&reader(&folder));
    let discard = || Change::Discard { which: Filter::default(), by: "eve".into() };
    let would = journal.preview(discard()).await.unwrap();
    assert_eq!(would.changed.len(), 3);
    assert_eq!(states(&reader(&folder)), before);
    // Neither what is in memory nor the counts have moved.
    assert_eq!(names(&claim(&journal, "a", 1).await), ["1"]);
    assert_eq!(reader(&folder).count(&Filter::default()).unwrap(), [(State::Waiting, 2), (State::Ready, 1)]);
    assert_eq!(journal.change(discard()).await.unwrap(), would);
}

#[tokio::test]
async fn a_pause_is_kept_until_it_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let pause = |action: &str| Change::Pause { action: action.into() };
    journal.change(pause("a")).await.unwrap();
    let since = journal.paused().borrow().clone();
    journal.change(pause("a")).await.unwrap();
    journal.change(pause("it's %_*")).await.unwrap();
    drop(journal);
    let journal = open(&folder);
    let paused = journal.paused();
    assert_eq!(paused.borrow().keys().collect::<Vec<_>>(), ["a", "it's %_*"]);
    assert_eq!(paused.borrow()["a"], since["a"], "twice is once");
    assert_eq!(reader(&folder).overview().unwrap().paused, *paused.borrow());
    journal.change(Change::Resume { action: "a".into() }).await.unwrap();
    assert_eq!(paused.borrow().keys().collect::<Vec<_>>(), ["it's %_*"]);
}

#[tokio::test]
async fn counts_are_those_of_the_list_whatever_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for (id, key) in [("1", "k"), ("2", "k"), ("3", "l")] {
        keep(&journal, id, key).await;
    }
    let reader = reader(&folder);
    for (filter, expected) in [
        (Filter::default(), 3),
        (only(&[State::Waiting]), 1),
        (Filter { action: Some("b".into()), ..Filter::default() }, 0),
        (Filter { key: Some("k".into()), ..Filter::default() }, 2),
        (Filter { key: Some("k".into()), ..only(&[State::Ready]) }, 1),
        (Filter { after: DeliveryId::parse("1.0"), ..Filter::default() }, 2),
        (one(DeliveryId::parse("3.0").unwrap()), 1),
        (Filter { since: Some(std::time::SystemTime::now()), ..Filter::default() }, 0),
        (Filter { event: Some(2), ..Filter::default() }, 1),
    ] {
        let rows = reader.list(&Filter::default(), &Page::default()).unwrap();
        let all: u64 = reader.count(&filter).unwrap().iter().map(|(_, count)| count).sum();
        assert_eq!(all, expected, "{filter:?}");
        assert_eq!(reader.list(&filter, &Page::default()).unwrap().len() as u64, expected, "{filter:?}");
        assert_eq!(rows.iter().filter(|row| filter.matches(row)).count() as u64, expected, "{filter:?}");
    }
}
