//! What people see, and what they do to deliveries.

use super::*;
use crate::journal::{Begin, End, Handover, NewDelivery, Retry, Used};

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
    // The one in work is to be given back, and until then the next of its lane does not start.
    let asked = within(journal.change(discard("1.0"))).await.unwrap();
    assert_eq!((asked.changed, asked.under_way), (vec![], vec![claimed[0].id]));
    assert_eq!(journal.withdrawn("a"), [claimed[0].id]);
    // It is told at once, and once.
    assert_eq!(within(journal.claim("a", 1)).await.len(), 0);
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
    journal.end(claimed[0].id, Outcome::Returned.into());
    assert_eq!(names(&claim(&journal, "a", 1).await), ["3"]);
    assert_eq!(journal.withdrawn("a"), []);
    assert_eq!(change(&journal, discard("1.0")).await.0, [""; 0], "twice is once");
    let reader = reader(&folder);
    let row = &reader.list(&one(claimed[0].id), &Page::default()).unwrap()[0];
    assert_eq!((row.state, row.reason.as_deref()), (State::Discarded, Some("discarded by eve")));
}

/// An attempt under way ends first: what it did is what is recorded.
#[tokio::test]
async fn what_is_asked_of_a_delivery_under_way_is_done_unless_it_succeeds() {
    let used = Used { made: 1, ..Used::default() };
    let retry = || Retry { due: Instant::now() + Duration::from_secs(60), used, answer: "no".into() };
    for restart in [false, true] {
        for (outcome, expected) in [
            (Some(Outcome::Delivered), "delivered"),
            (Some(Outcome::NothingToDo), "nothing-to-do"),
            (Some(Outcome::Dead("why".into())), "discarded"),
            (Some(Outcome::DeadHoldingKey("why".into())), "discarded"),
            (Some(Outcome::Returned), "discarded"),
            (None, "discarded"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut journal = open(&folder);
            keep(&journal, "1", "k").await;
            keep(&journal, "2", "k").await;
            let first = claim(&journal, "a", 1).await[0].id;
            let discard = Change::Discard { which: one(first), by: "eve".into() };
            let asked = within(journal.change(discard)).await.unwrap();
            assert_eq!((asked.changed, asked.under_way), (vec![], vec![first]));
            assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0], "the first has not ended");
            assert_eq!(reader(&folder).list(&one(first), &Page::default()).unwrap()[0].state, State::Ready);
            if restart {
                drop(journal);
                journal = open(&folder);
            } else if let Some(outcome) = outcome {
                let end = End::from(outcome).handed_to(Handover::to("b"));
                journal.end(first, end);
            } else {
                journal.retry_at(first, retry());
            }
            assert_eq!(names(&claim(&journal, "a", 1).await), ["2"]);
            assert_eq!(names(&claim(&journal, "b", 0).await), [""; 0], "nothing was given up");
            let expected = if restart { "discarded" } else { expected };
            let row = &reader(&folder).list(&one(first), &Page::default()).unwrap()[0];
            assert_eq!(row.state.name(), expected);
            if expected == "discarded" {
                assert_eq!(row.reason.as_deref(), Some("discarded by eve"));
            }
        }
    }
}

/// Two of a lane are never claimable at once, whoever is taken out of it.
#[tokio::test]
async fn a_retry_out_of_order_and_a_discard_do_not_make_two_of_a_lane_claimable() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for id in ["1", "2", "3"] {
        keep(&journal, id, "k").await;
    }
    let first = claim(&journal, "a", 1).await;
    journal.end(first[0].id, Outcome::Dead("why".into()).into());
    let second = claim(&journal, "a", 1).await;
    change(&journal, Change::Retry { which: one(first[0].id), out_of_order: true }).await;
    let third = one(DeliveryId::parse("3.0").unwrap());
    change(&journal, Change::Discard { which: third, by: "me".into() }).await;
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
    journal.end(second[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(&journal, "a", 1).await), ["1"]);
}

/// That a delivery waits for no lane is its own, however often it is opened again.
#[tokio::test]
async fn what_waits_for_nobody_does_so_after_a_release_a_retry_and_a_move() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for (id, begin) in
        [("1", Begin::Held("guard".into())), ("2", Begin::Held("guard".into())), ("3", Begin::Live)]
    {
        let mut entry = entry(id, "k", false);
        (entry.deliveries[0].ordered, entry.deliveries[0].begin) = (false, begin);
        within(append(&journal, entry).await).await;
    }
    change(&journal, Change::Release { which: Filter::default() }).await;
    for claimed in claim(&journal, "a", 3).await {
        journal.end(claimed.id, Outcome::Dead("why".into()).into());
    }
    change(&journal, Change::Retry { which: Filter::default(), out_of_order: false }).await;
    let which = Filter { action: Some("a".into()), ..Filter::default() };
    change(&journal, Change::Hold { which: which.clone(), why: "me".into() }).await;
    change(&journal, Change::Move { which, to: "b".into() }).await;
    change(&journal, Change::Release { which: Filter::default() }).await;
    assert_eq!(claim(&journal, "b", 3).await.len(), 3);
}

/// Lanes are numbers: two that share one are of the actions that their rows say.
#[tokio::test]
async fn lanes_of_two_actions_that_share_a_number_send_nothing_to_the_wrong_target() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    keep(&journal, "2", "k").await;
    tamper(
        &journal,
        "UPDATE delivery SET action = 'b' WHERE id >> 16 = 2; \
                      UPDATE tally SET count = 0; \
                      INSERT OR REPLACE INTO tally VALUES ('a', 1, 1), ('b', 0, 1)",
    )
    .await;
    claim(&journal, "b", 0).await;
    let first = claim(&journal, "a", 1).await;
    journal.end(first[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
    let second = claim(&journal, "b", 1).await;
    assert_eq!((names(&second), &*second[0].event.action), (vec!["2"], "b"));
    let tally = reader(&folder).tally().unwrap();
    let tally: Vec<_> = tally.iter().map(|t| (t.action.as_str(), t.state.name(), t.count)).collect();
    assert_eq!(tally, [("a", "delivered", 1), ("b", "ready", 1)]);
}

/// However long the history, a change is made in bites beside which others are served.
#[tokio::test]
async fn a_large_change_is_made_in_bites_and_appends_go_on_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    tamper(&journal, "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 3501) \
        INSERT INTO event (id, identity, received, redelivered, deliveries, listener, queue, exchange, routing_key, body) \
        SELECT n, n, 0, 0, 1, 'l', 'q', 'x', 'r', CAST('{}' AS BLOB) FROM n; \
        INSERT INTO delivery (id, rule, action, key, state, ended, reason) \
        SELECT id << 16, 'r', 'a', 'k' || id, 3, 1, 'why' FROM event WHERE id > 1; \
        INSERT INTO tally VALUES ('a', 3, 3500)").await;
    // Further events get numbers behind these.
    drop(journal);
    let journal = open(&folder);
    let retry = |out_of_order| Change::Retry { which: only(&[State::Dead]), out_of_order };
    let would = within(journal.preview(retry(false))).await.unwrap();
    assert_eq!(would.changed.len(), 3500);
    let mut changing = journal.changing(retry(false), false);
    let mut bites = 0;
    while let Some(changed) = within(changing.next()).await.unwrap() {
        bites += 1;
        assert!(changed.changed.len() <= 1000);
        // Committed before the next bite begins.
        keep(&journal, &format!("beside {bites}"), "other").await;
    }
    assert!(bites >= 4, "{bites}");
    let tally = reader(&folder).tally().unwrap();
    assert!(!tally.iter().any(|tally| tally.state == State::Dead), "{tally:?}");
}

/// What has had an effect since the deliveries were looked up counts too.
#[tokio::test]
async fn an_effect_that_comes_while_dead_letters_are_retried_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for id in ["1", "2"] {
        keep(&journal, id, "k").await;
    }
    let first = claim(&journal, "a", 1).await;
    journal.end(first[0].id, Outcome::Dead("why".into()).into());
    let second = claim(&journal, "a", 1).await;
    let hold = Change::Hold { which: one(second[0].id), why: "me".into() };
    change(&journal, hold).await;
    journal.end(second[0].id, Outcome::Returned.into());
    // Behind the others, so that it is in a later bite.
    tamper(&journal, "WITH RECURSIVE n (n) AS (SELECT -1001 UNION ALL SELECT n + 1 FROM n WHERE n < -1) \
        INSERT INTO delivery (id, rule, action, key, state, ended, reason) \
        SELECT (1 << 16) + n, 'r', 'c', 'k', 3, 1, 'why' FROM n; \
        INSERT INTO event SELECT 0, 0, received, 0, 0, 1001, listener, queue, exchange, routing_key, content_type, \
        content_encoding, compression, NULL, NULL, NULL, body, NULL FROM event WHERE id = 1; \
        INSERT INTO tally VALUES ('c', 3, 1001)").await;
    let retry = Change::Retry { which: only(&[State::Dead]), out_of_order: false };
    let mut changing = journal.changing(retry, false);
    assert!((1..=1000).contains(&within(changing.next()).await.unwrap().unwrap().changed.len()));
    change(&journal, Change::Release { which: one(second[0].id) }).await;
    let second = claim(&journal, "a", 1).await;
    journal.end(second[0].id, Outcome::Delivered.into());
    let mut refused = Vec::new();
    while let Some(rest) = within(changing.next()).await.unwrap() {
        refused.extend(rest.refused.into_iter().map(|(id, why)| format!("{id}: {why}")));
    }
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].starts_with("1.0: 2.0 of the same resource came later"), "{refused:?}");
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
    let moved = within(journal.change(to_b())).await.unwrap();
    assert_eq!((moved.changed.len(), moved.under_way), (1, vec![running[0].id]));
    assert_eq!(names(&claim(&journal, "b", 1).await), ["3"]);
    drop(journal);
    // The second went before; the first follows now that nobody has it.
    let journal = open(&folder);
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
    // One is under way by now.
    let changed = journal.change(discard()).await.unwrap();
    assert_eq!(
        (changed.under_way, changed.changed),
        (would.changed[..1].to_vec(), would.changed[1..].to_vec())
    );
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

/// What a guard remembers after a restart is what it decided, not what is said about the delivery since.
#[tokio::test]
async fn what_a_guard_decided_is_kept_whatever_becomes_of_the_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let (told, released) = mpsc::channel();
    journal.on_release(Box::new(move |row| told.send((row.key.clone(), row.has_passed)).unwrap()));
    let begin = |held: bool| if held { Begin::Held("guard of rule r: x".into()) } else { Begin::Live };
    for (id, held) in [("1", true), ("2", true), ("3", true), ("4", false), ("5", false)] {
        let mut new = entry(id, id, false);
        new.deliveries[0].begin = begin(held);
        if id == "5" {
            // Without a key, its message and resource stand for it.
            new.deliveries[0].key = None;
        }
        within(append(&journal, new).await).await;
    }
    let of = |id: &str| one(DeliveryId::parse(&format!("{id}.0")).unwrap());
    change(&journal, Change::Discard { which: of("1"), by: "eve".into() }).await;
    change(&journal, Change::Release { which: of("2") }).await;
    let claimed = claim(&journal, "a", 3).await;
    for claimed in claimed {
        let says = End::from(Outcome::Delivered).saying("guard of the gate: 204");
        journal.end(claimed.id, says);
    }
    claim(&journal, "a", 0).await;
    assert_eq!(released.try_iter().collect::<Vec<_>>(), [("2".to_owned(), true)]);
    let seen = |since| {
        let mut seen = Vec::new();
        let visit = |row: Recent| seen.push((row.key, row.has_passed));
        reader(&folder).recent(since, visit).unwrap();
        seen
    };
    let expected = [("1", false), ("2", true), ("3", false), ("4", true), ("5#0", true)];
    assert_eq!(seen(std::time::UNIX_EPOCH), expected.map(|(key, passed)| (key.to_owned(), passed)));
    assert_eq!(seen(std::time::SystemTime::now() + Duration::from_secs(1)), []);
}

/// However many there were, only those since the moment are looked at, and each with its own event.
#[tokio::test]
async fn the_recent_deliveries_are_those_since_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for n in 0..40_u64 {
        let mut new = entry(&n.to_string(), &format!("k{n}"), false);
        Arc::make_mut(&mut new.received).origin.received =
            std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 + 100 * n);
        if n % 3 == 0 {
            new.deliveries.push(NewDelivery::new("s", "b", None));
        }
        within(append(&journal, new).await).await;
    }
    for n in [0, 1, 17, 39, 40] {
        let since = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 + 100 * n);
        let mut seen = Vec::new();
        reader(&folder).recent(since, |row| seen.push((row.action, row.key))).unwrap();
        let mut expected = Vec::new();
        for n in n..40 {
            expected.push(("a".to_owned(), format!("k{n}")));
            if n % 3 == 0 {
                expected.push(("b".to_owned(), format!("{n}#0")));
            }
        }
        assert_eq!(seen, expected, "{n}");
    }
}
