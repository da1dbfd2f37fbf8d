use super::hands::{change, one, only};
use super::*;
use crate::query::{Change, Filter, LatestDead, ListPage, RowState};
use crate::{End, Handover, NewDelivery};

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
    assert_eq!(change(&journal, retry(false)).await, (vec!["1.0".to_owned(), "2.0".into()], vec![]));
    let claimed = claim(&journal, "a", 1).await;
    assert_eq!((names(&claimed), claimed[0].used.attempts), (vec!["1"], 0));
    journal.end(claimed[0].id, Outcome::Dead("why".into()).into());
    let second = claim(&journal, "a", 1).await;
    assert_eq!(names(&second), ["2"]);
    journal.end(second[0].id, Outcome::Delivered.into());
    let refused = change(&journal, retry(false)).await;
    assert_eq!(refused.0, [""; 0]);
    assert!(
        refused.1[0].starts_with("1.0: a later delivery of the same resource was delivered"),
        "{refused:?}"
    );
    assert!(reader(&folder).are_all_overtaken("a").unwrap());
    assert_eq!(change(&journal, retry(true)).await, (vec!["1.0".to_owned()], vec![]));
    assert_eq!(names(&claim(&journal, "a", 1).await), ["1"]);
    assert!(!reader(&folder).are_all_overtaken("a").unwrap(), "there is none");
}

/// A later delivery that was only refused, or waits, has had no effect: it goes behind the retried one.
#[tokio::test]
async fn a_later_delivery_without_an_effect_gives_way_to_a_retry() {
    let retry = || Change::Retry { which: only(&[RowState::Dead]), out_of_order: false };
    for (is_claimed, ends) in [(false, None), (true, Some(false)), (true, Some(true))] {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = open(&folder);
        for id in ["1", "2", "3"] {
            keep(&journal, id, "k").await;
        }
        for _ in 0..2 {
            let claimed = claim(&journal, "a", 1).await;
            journal.end(claimed[0].id, Outcome::Dead("why".into()).into());
        }
        let third = claim(&journal, "a", 1).await;
        let id = third[0].id;
        let retried =
            AttemptRetry { due: Instant::now(), used: attempts(1), is_charged: false, answer: "401".into() };
        if !is_claimed {
            let hour = Duration::from_secs(3600);
            journal.retry_at(id, AttemptRetry { due: Instant::now() + hour, ..retried.clone() });
        }
        let outcome = journal.change(retry()).await.unwrap();
        assert!(outcome.refused.is_empty(), "{outcome:?}");
        assert_eq!(
            (outcome.changed.len(), outcome.under_way.len()),
            if is_claimed { (0, 2) } else { (2, 0) }
        );
        if is_claimed {
            assert_eq!(journal.withdrawn("a"), [id], "the loop gives it back, or ends its attempt first");
        }
        match ends {
            Some(true) => journal.end(id, Outcome::Delivered.into()),
            Some(false) => journal.retry_at(id, retried),
            None => {}
        }
        if ends == Some(true) {
            // The attempt that was under way had an effect, so the others stay dead letters.
            assert_eq!(change(&journal, retry()).await.1.len(), 2);
            continue;
        }
        for (n, expected) in ["1", "2", "3"].into_iter().enumerate() {
            if n == 1 {
                drop(journal);
                journal = open(&folder);
            }
            let next = claim(&journal, "a", 1).await;
            assert_eq!(names(&next), [expected]);
            let used = if expected == "3" { 1 } else { 0 };
            assert_eq!(next[0].used.attempts, used, "{expected}");
            journal.end(next[0].id, Outcome::Delivered.into());
        }
    }
}

#[tokio::test]
async fn the_reason_and_the_last_answer_of_the_latest_dead_letter_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    assert_eq!(reader(&folder).latest_dead("a").unwrap(), None);
    let ends = [
        (Outcome::Dead("status 403".into()), Some("status 403")),
        (Outcome::Dead("cannot connect".into()), Some("cannot connect")),
        (Outcome::Dead("max_pending".into()), None),
        (Outcome::DeadHoldingKey("status 400".into()), Some("status 400")),
        (Outcome::Dead("status 403 again".into()), Some("status 403")),
    ];
    for (n, (outcome, cause)) in ends.into_iter().enumerate() {
        let reason = outcome.given_up().unwrap().to_owned();
        keep(&journal, &n.to_string(), &n.to_string()).await;
        let claimed = claim(&journal, "a", 1).await;
        let id = claimed[0].id;
        let answer = cause.map(|_| format!("answer {n}"));
        if let Some(answer) = &answer {
            journal.attempted(id, attempts(1), "an earlier answer");
            journal.attempted(id, attempts(2), answer);
            journal.sent(id, 2, SentRequest { host: Some(format!("h{n}:443")), ..SentRequest::default() });
        }
        journal.end(id, End::from(outcome).caused_by(cause.map(str::to_owned)));
        let dead = || states(&reader(&folder)).iter().filter(|(_, state)| *state == "dead").count();
        osnl_testkit::wait_until(Duration::from_secs(60), "it is kept", || dead() == n + 1);
        // Otherwise some may end within the same millisecond.
        tamper(&journal, "UPDATE delivery SET ended = id WHERE state = 3").await;
        let host = cause.map(|_| format!("h{n}:443"));
        let latest = LatestDead { reason: Some(reason), cause: cause.map(str::to_owned), answer, host };
        assert_eq!(reader(&folder).latest_dead("a").unwrap(), Some(latest));
    }
    assert_eq!(reader(&folder).latest_dead("other").unwrap(), None);
}

/// Later deliveries may have been pruned, so that nothing proves the order of the retry.
#[tokio::test]
async fn a_dead_letter_from_before_history_left_is_retried_only_out_of_order() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for (id, key) in [("1", "k"), ("2", "held"), ("3", "k")] {
        keep(&journal, id, key).await;
    }
    for claimed in claim(&journal, "a", 2).await {
        let why = "why".to_owned();
        let is_second = claimed.key.as_deref() == Some("held");
        let outcome = if is_second { Outcome::DeadHoldingKey(why) } else { Outcome::Dead(why) };
        journal.end(claimed.id, outcome.into());
    }
    let third = claim(&journal, "a", 1).await;
    journal.end(third[0].id, Outcome::Delivered.into());
    drop(journal);
    let journal = open_with(options(&folder).bounded(|bounds| bounds.retention = Duration::ZERO));
    let left = || states(&reader(&folder)).len();
    osnl_testkit::wait_until(Duration::from_secs(60), "the delivered one has left", || left() == 2);
    keep(&journal, "4", "new").await;
    // The clock was ahead when the first arrived.
    tamper(&journal, "UPDATE event SET received = 1 << 50 WHERE message_id = 'm1'").await;
    let fourth = claim(&journal, "a", 1).await;
    journal.end(fourth[0].id, Outcome::Dead("why".into()).into());
    let retry = |out_of_order| Change::Retry { which: only(&[RowState::Dead]), out_of_order };
    let (changed, refused) = change(&journal, retry(false)).await;
    // Nothing has passed the delivery that holds its lane, and nothing was pruned since the last arrived.
    assert_eq!(changed, ["2.0", "4.0"]);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].starts_with("1.0: deliveries that ended since it came have left"), "{refused:?}");
    assert_eq!(change(&journal, retry(true)).await.0, ["1.0"]);
}

/// One message may make tens of thousands of deliveries, and each may be given up.
#[tokio::test]
async fn a_fallback_delivery_has_a_number_though_its_event_has_65535() {
    let check = async |first: u32, is_last: bool, given: &[&str], next: &str| {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        let of =
            |n: u32| NewDelivery { resource: Some(n), ..NewDelivery::new("r", "a", Some(n.to_string())) };
        let many = Entry { deliveries: (0..first).map(of).collect(), ..entry("1", "k", false) };
        within(append(&journal, many).await).await;
        tamper(&journal, "UPDATE event SET deliveries = 65535").await;
        if !is_last {
            keep(&journal, "2", "k").await;
        }
        let claimed = claim(&journal, "a", given.len().max(1)).await;
        let of_first = claimed.into_iter().filter(|one| one.id.to_string().starts_with("1."));
        for claimed in of_first.take(2) {
            let end = End::from(Outcome::Dead("no".into()));
            journal.end(claimed.id, end.handed_to(Handover::to("b")));
        }
        keep(&journal, "3", "late").await;
        let ids = |all: &[ClaimedDelivery]| all.iter().map(|one| one.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&claim(&journal, "b", given.len()).await), given);
        let found = reader(&folder)
            .list(&Filter::default(), &ListPage { limit: 10_000, ..ListPage::default() })
            .unwrap();
        assert!(
            found.iter().any(|row| row.id.to_string() == next && row.message_id.as_deref() == Some("m3"))
        );
        assert_eq!(found.iter().filter(|row| row.action == "b").count(), given.len());
    };
    check(2048, false, &["1.65535", "2.0"], "4.0").await;
    // An older osnl has reserved no numbers, so there is room only behind the last event.
    check(1, true, &["1.65535"], "3.0").await;
    check(1, false, &[], "3.0").await;
}

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
    // Placed behind the other rows, in a later batch.
    tamper(&journal, "WITH RECURSIVE n (n) AS (SELECT -1001 UNION ALL SELECT n + 1 FROM n WHERE n < -1) \
        INSERT INTO delivery (id, rule, action, key, state, ended, reason) \
        SELECT (1 << 16) + n, 'r', 'c', 'k', 3, 1, 'why' FROM n; \
        INSERT INTO event SELECT 0, 0, received, 0, 0, 1001, listener, queue, exchange, routing_key, content_type, \
        content_encoding, compression, NULL, NULL, NULL, body, NULL FROM event WHERE id = 1; \
        INSERT INTO tally VALUES ('c', 3, 1001)").await;
    let retry = Change::Retry { which: only(&[RowState::Dead]), out_of_order: false };
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
    assert!(
        refused[0].starts_with("1.0: a later delivery of the same resource was delivered"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_dead_letter_that_holds_its_key_does_not_leave_for_want_of_room() {
    let folder = tempfile::tempdir().unwrap();
    let journal =
        SqliteJournal::open(options(&folder).bounded(|bounds| bounds.max_dead = 1), Arc::default()).unwrap();
    for id in ["1", "2", "3"] {
        keep(&journal, id, id).await;
    }
    let claimed = claim(&journal, "a", 3).await;
    journal.end(claimed[0].id, Outcome::DeadHoldingKey("first".into()).into());
    journal.end(claimed[1].id, Outcome::Dead("second".into()).into());
    journal.end(claimed[2].id, Outcome::Dead("third".into()).into());
    let left = || -> Vec<String> {
        let rows = reader(&folder).list(&only(&[RowState::Dead]), &ListPage::default()).unwrap();
        rows.into_iter().filter_map(|row| row.reason).collect()
    };
    osnl_testkit::wait_until(Duration::from_secs(60), "the others have left", || left() == ["first"]);
}
