use osnl_core::rule::{GuardHold, GuardKind, GuardName};

use super::*;
use crate::query::{Change, Filter, HeldBy, ListPage, Phase, RecentDelivery, RowState};
use crate::{AttemptRetry, Begin, End, Handover, Pause, PauseNote, UsedLimits};

pub(super) fn only(states: &[RowState]) -> Filter {
    Filter { states: states.to_vec(), ..Filter::default() }
}

pub(super) fn one(id: DeliveryId) -> Filter {
    Filter { ids: vec![id], ..Filter::default() }
}

pub(super) async fn change(journal: &SqliteJournal, change: Change) -> (Vec<String>, Vec<String>) {
    let changed = within(journal.change(change)).await.unwrap();
    let ids = changed.changed.iter().map(ToString::to_string).collect();
    (ids, changed.refused.into_iter().map(|(id, why)| format!("{id}: {why}")).collect())
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
    let asked = within(journal.change(discard("1.0"))).await.unwrap();
    assert_eq!((asked.changed, asked.under_way), (vec![], vec![claimed[0].id]));
    assert_eq!(journal.withdrawn("a"), [claimed[0].id]);
    // The waiting claim is answered at once, and only once.
    assert_eq!(within(journal.claim("a", ClaimLimits::in_order(1))).await.len(), 0);
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
    journal.end(claimed[0].id, Outcome::Returned.into());
    assert_eq!(names(&claim(&journal, "a", 1).await), ["3"]);
    assert_eq!(journal.withdrawn("a"), []);
    assert_eq!(change(&journal, discard("1.0")).await.0, [""; 0], "twice is once");
    let reader = reader(&folder);
    let row = &reader.list(&one(claimed[0].id), &ListPage::default()).unwrap()[0];
    assert_eq!((row.state, row.reason.as_deref()), (RowState::Discarded, Some("discarded by eve")));
}

#[tokio::test]
async fn what_is_asked_of_a_delivery_under_way_is_done_unless_it_succeeds() {
    let used = UsedLimits { made: 1, ..UsedLimits::default() };
    let retry = || AttemptRetry {
        due: Instant::now() + Duration::from_secs(60),
        used,
        is_charged: false,
        answer: "no".into(),
    };
    for restart in [false, true] {
        for (outcome, expected) in [
            (Some(Outcome::Delivered), "delivered"),
            (Some(Outcome::NothingToDo), "no action needed"),
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
            assert_eq!(
                reader(&folder).list(&one(first), &ListPage::default()).unwrap()[0].state,
                RowState::Ready
            );
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
            let row = &reader(&folder).list(&one(first), &ListPage::default()).unwrap()[0];
            assert_eq!(Phase::word_of(row.state), expected);
            if expected == "discarded" {
                assert_eq!(row.reason.as_deref(), Some("discarded by eve"));
            }
        }
    }
}

/// Lanes are numbers: two lanes with one number keep the actions of their rows.
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
    let tally: Vec<_> = tally.iter().map(|t| (t.action.as_str(), Phase::word_of(t.state), t.count)).collect();
    assert_eq!(tally, [("a", "delivered", 1), ("b", "ready", 1)]);
}

/// Opens a journal with one delivery that is ready, and 3,500 dead letters of other resources.
async fn open_with_dead_letters(folder: &TempDir) -> SqliteJournal {
    let journal = open(folder);
    keep(&journal, "1", "k").await;
    tamper(&journal, "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 3501) \
        INSERT INTO event (id, identity, received, redelivered, deliveries, listener, queue, exchange, routing_key, body) \
        SELECT n, n, 0, 0, 1, 'l', 'q', 'x', 'r', CAST('{}' AS BLOB) FROM n; \
        INSERT INTO delivery (id, rule, action, key, state, ended, reason) \
        SELECT id << 16, 'r', 'a', 'k' || id, 3, 1, 'why' FROM event WHERE id > 1; \
        INSERT INTO tally VALUES ('a', 3, 3500)").await;
    drop(journal);
    open(folder)
}

#[tokio::test]
async fn deliveries_are_claimed_and_end_between_the_batches_of_a_large_change() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with_dead_letters(&folder).await;
    let discard = Change::Discard { which: only(&[RowState::Dead]), by: "eve".into() };
    let (mut changing, mut batches) = (journal.changing(discard, true), 0);
    let change = async {
        while within(changing.next()).await.unwrap().is_some() {
            batches += 1;
        }
    };
    let mut delivered = 0;
    let deliver = async {
        loop {
            for claimed in journal.claim("a", ClaimLimits::in_order(1)).await {
                journal.end(claimed.id, Outcome::Delivered.into());
                delivered += 1;
            }
            keep(&journal, &format!("beside {delivered}"), "other").await;
        }
    };
    tokio::select! {
        () = change => {}
        () = deliver => {}
    }
    assert!(delivered >= batches - 1, "{delivered} in the rests of {batches} batches");
}

#[tokio::test]
async fn a_large_change_is_made_in_batches_and_appends_go_on_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with_dead_letters(&folder).await;
    let retry = |out_of_order| Change::Retry { which: only(&[RowState::Dead]), out_of_order };
    let would = within(journal.preview(retry(false))).await.unwrap();
    assert_eq!(would.changed.len(), 3500);
    let mut changing = journal.changing(retry(false), false);
    let mut batches = 0;
    while let Some(changed) = within(changing.next()).await.unwrap() {
        batches += 1;
        assert!(changed.changed.len() <= 1000);
        keep(&journal, &format!("beside {batches}"), "other").await;
    }
    assert!(batches >= 4, "{batches}");
    let tally = reader(&folder).tally().unwrap();
    assert!(!tally.iter().any(|tally| tally.state == RowState::Dead), "{tally:?}");
}

#[tokio::test]
async fn deliveries_that_wait_for_release_are_found_by_what_keeps_them_back() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let mut held = entry("1", "k", false);
    held.deliveries[0].begin = Begin::Held(GuardHold::new(GuardName::new(GuardKind::Action, "a"), "1"));
    within(append(&journal, held).await).await;
    keep(&journal, "2", "l").await;
    keep(&journal, "3", "m").await;
    journal.hold_suspects(vec![(DeliveryId::parse("2.0").unwrap().0, 3)]);
    within(journal.close()).await;
    let reader = reader(&folder);
    for (by, expected) in [(HeldBy::Guard, "1.0"), (HeldBy::UnexpectedEnd, "2.0")] {
        let filter = Filter { held_by: Some(by), ..Filter::default() };
        let rows = reader.list(&filter, &ListPage::default()).unwrap();
        assert_eq!(rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>(), [expected]);
        let all = reader.list(&Filter::default(), &ListPage::default()).unwrap();
        assert_eq!(all.iter().filter(|row| filter.matches(row)).count(), 1, "{by:?}");
        let count: u64 = reader.count(&filter).unwrap().iter().map(|(.., count)| count).sum();
        assert_eq!(count, 1, "{by:?}");
    }
}

#[tokio::test]
async fn what_a_guard_holds_waits_with_its_followers_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let mut held = entry("1", "k", false);
    held.deliveries[0].begin =
        Begin::Held(GuardHold::new(GuardName::new(GuardKind::Action, "a"), "more than 1 per 10m"));
    within(append(&journal, held).await).await;
    keep(&journal, "2", "k").await;
    drop(journal);
    let journal = open(&folder);
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
    let rows = reader(&folder).list(&only(&[RowState::Held]), &ListPage::default()).unwrap();
    assert_eq!(rows[0].reason.as_deref(), Some("guard of action a: more than 1 per 10m"));
    change(&journal, Change::Release { which: only(&[]) }).await;
    let first = claim(&journal, "a", 1).await;
    assert_eq!((names(&first), first[0].used), (vec!["1"], Default::default()));
    assert!(first[0].began.is_some(), "it waits for its target from the release on");
    journal.end(first[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(&journal, "a", 1).await), ["2"]);
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
    assert_eq!(names(&claim(&journal, "a", 1).await), ["1"]);
    let counted = reader(&folder).count(&Filter::default()).unwrap();
    assert_eq!(counted, [(RowState::Waiting, Phase::Waiting, 2), (RowState::Ready, Phase::Ready, 1)]);
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
    let note = |by: &str, reason: Option<&str>| PauseNote { by: by.into(), reason: reason.map(Into::into) };
    let pause = |action: &str, note| Change::Pause { action: action.into(), note };
    let moving = note("maria", Some("paused-by a\nits move ends on Monday"));
    journal.change(pause("a", note("eve", None))).await.unwrap();
    let since = journal.paused().borrow()["a"].since;
    journal.change(pause("a", moving.clone())).await.unwrap();
    journal.change(pause("a", note("bob", None))).await.unwrap();
    journal.change(pause("it's %_*", note("eve", None))).await.unwrap();
    drop(journal);
    let journal = open(&folder);
    let paused = journal.paused();
    assert_eq!(paused.borrow().keys().collect::<Vec<_>>(), ["a", "it's %_*"]);
    let known = Pause { since, note: Some(moving) };
    assert_eq!(paused.borrow()["a"], known, "a reason is replaced, and a pause begins once");
    assert_eq!(paused.borrow()["it's %_*"].note, Some(note("eve", None)));
    assert_eq!(reader(&folder).overview().unwrap().paused, *paused.borrow());
    journal.change(Change::Resume { action: "a".into() }).await.unwrap();
    assert_eq!(paused.borrow().keys().collect::<Vec<_>>(), ["it's %_*"]);
    journal.change(pause("a", note("eve", None))).await.unwrap();
    assert_eq!(paused.borrow()["a"].note, Some(note("eve", None)), "the reason has ended with its pause");
}

#[tokio::test]
async fn what_a_guard_decided_is_kept_whatever_becomes_of_the_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let (told, released) = mpsc::channel();
    journal.on_release(Box::new(move |row| told.send((row.key.clone(), row.has_passed)).unwrap()));
    let hold = || GuardHold::new(GuardName::new(GuardKind::Rule, "r"), "x");
    let begin = |held: bool| if held { Begin::Held(hold()) } else { Begin::Live };
    for (id, held) in [("1", true), ("2", true), ("3", true), ("4", false), ("5", false)] {
        let mut new = entry(id, id, false);
        new.deliveries[0].begin = begin(held);
        if id == "5" {
            // Without a key, message and resource replace it.
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
        let visit = |row: RecentDelivery| seen.push((row.key, row.has_passed));
        reader(&folder).recent(since, visit).unwrap();
        seen
    };
    let expected = [("1", false), ("2", true), ("3", false), ("4", true), ("5#0", true)];
    assert_eq!(seen(std::time::UNIX_EPOCH), expected.map(|(key, passed)| (key.to_owned(), passed)));
    assert_eq!(seen(SystemTime::now() + Duration::from_secs(1)), []);
}
