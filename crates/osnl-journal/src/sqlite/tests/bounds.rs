use osnl_config::Bytes;

use super::*;
use crate::End;
use crate::JournalTerms;
use crate::query::{Filter, ListPage, RowState};
use crate::store::claimable::PIECE;

#[tokio::test]
async fn history_leaves_after_its_time_and_its_number_is_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with(options(&folder).bounded(|bounds| bounds.retention = Duration::ZERO));
    keep(&journal, "1", "k").await;
    keep(&journal, "2", "k").await;
    let claimed = claim(&journal, "a", 1).await;
    journal.end(claimed[0].id, Outcome::Delivered.into());
    let left = || states(&reader(&folder));
    osnl_testkit::wait_until(Duration::from_secs(60), "the delivered one has left", || left().len() == 1);
    assert_eq!(left(), [("m2".to_owned(), "ready")]);
    let claimed = claim(&journal, "a", 1).await;
    journal.end(claimed[0].id, Outcome::NothingToDo.into());
    osnl_testkit::wait_until(Duration::from_secs(60), "all have left", || left().is_empty());
    drop(journal);
    let journal = open(&folder);
    keep(&journal, "3", "k").await;
    assert_eq!(claim(&journal, "a", 1).await[0].id.to_string(), "3.0");
    let connection = rusqlite::Connection::open(options(&folder).path).unwrap();
    let events = connection.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(events, 1, "an event leaves with its last delivery");
}

#[tokio::test]
async fn the_oldest_dead_letters_leave_to_a_file_first() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with(options(&folder).bounded(|bounds| bounds.max_dead = 2));
    for n in 0..4 {
        keep(&journal, &n.to_string(), "k").await;
        let claimed = claim(&journal, "a", 1).await;
        journal.end(claimed[0].id, Outcome::Dead(format!("reason {n}")).into());
    }
    let dead = || {
        reader(&folder)
            .list(&Filter { states: vec![RowState::Dead], ..Filter::default() }, &ListPage::default())
    };
    let kept = || dead().unwrap().into_iter().filter_map(|row| row.reason).collect::<Vec<_>>();
    // Two dead letters may be there before the last one is, so that their number proves nothing.
    osnl_testkit::wait_until(Duration::from_secs(60), "two have left", || kept() == ["reason 2", "reason 3"]);
    let path = folder.path().join("journal.db.dead.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|l: &serde_json::Value| l.get("dead_letter").is_some())
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["dead_letter"]["reason"], "reason 0");
    assert_eq!(lines[0]["dead_letter"]["payload"]["device_id"], "k");
    assert!(!text.contains("hunter2"), "{text}");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn dead_letters_of_one_cause_do_not_push_out_those_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with(options(&folder).bounded(|bounds| bounds.max_dead = 4));
    let reasons = ["status 403: no (attempt 6)", "cannot connect: refused (attempt 6)"];
    let flood = (0..6).map(|n| format!("status 400: name {n} is too long (attempt 6)"));
    for (n, reason) in reasons.map(str::to_owned).into_iter().chain(flood).enumerate() {
        keep(&journal, &n.to_string(), &n.to_string()).await;
        let claimed = claim(&journal, "a", 1).await;
        // Only the cause counts, and not the text.
        let cause = ["status 403", "cannot connect", "status 400"][n.min(2)];
        journal.end(claimed[0].id, End::from(Outcome::Dead(reason)).caused_by(Some(cause.into())));
    }
    let dead = || {
        reader(&folder)
            .list(&Filter { states: vec![RowState::Dead], ..Filter::default() }, &ListPage::default())
    };
    let left = || dead().unwrap().into_iter().filter_map(|row| row.reason).collect::<Vec<_>>();
    let flood = |n: usize| format!("status 400: name {n} is too long (attempt 6)");
    let expected = [reasons[0].to_owned(), reasons[1].to_owned(), flood(4), flood(5)];
    // Four dead letters may be there before the last one is, so that their number proves nothing.
    osnl_testkit::wait_until(Duration::from_secs(60), "four have left", || left() == expected);
}

#[tokio::test]
async fn unreadable_messages_are_kept_with_their_bytes_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with(options(&folder).bounded(|bounds| bounds.max_dead = 2));
    for n in 0..4_u8 {
        let receipt =
            journal.set_aside(ReceivedMessage::sample(vec![0xff, n], false), format!("no text {n}"));
        assert_eq!(within(receipt).await, Settle::Acknowledge);
    }
    // The redelivered message is kept already.
    within(journal.set_aside(ReceivedMessage::sample(vec![0xff, 3], true), "no text 3".into())).await;
    let kept = reader(&folder).unreadable(0, 10).unwrap();
    let kept: Vec<_> = kept.iter().map(|one| (&one.received.body[..], one.reason.as_str())).collect();
    assert_eq!(kept, [(&[0xff, 2][..], "no text 2"), (&[0xff, 3][..], "no text 3")]);
    let left = archived(&folder);
    assert_eq!(left, [("no text 0".to_owned(), vec![0xff, 0]), ("no text 1".to_owned(), vec![0xff, 1])]);
    let mode = std::os::unix::fs::MetadataExt::mode(
        &std::fs::metadata(folder.path().join("journal.db.quarantine.jsonl")).unwrap(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

fn archived(folder: &TempDir) -> Vec<(String, Vec<u8>)> {
    use base64::Engine as _;
    let text = std::fs::read_to_string(folder.path().join("journal.db.quarantine.jsonl")).unwrap();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let body = base64::prelude::BASE64_STANDARD.decode(line["body_base64"].as_str().unwrap());
        (line["reason"].as_str().unwrap().to_owned(), body.unwrap())
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn a_queue_that_floods_the_quarantine_pushes_out_its_own_messages() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with(options(&folder).bounded(|bounds| bounds.max_dead = 4));
    let queues = [("l", "quiet"), ("other", "flood")].into_iter().chain([("l", "flood"); 6]);
    for (n, (listener, queue)) in queues.enumerate() {
        let mut received = ReceivedMessage::sample(vec![0xff, n as u8], false);
        (received.origin.listener, received.origin.queue) = (listener.into(), queue.into());
        within(journal.set_aside(received, n.to_string())).await;
    }
    let kept = || reader(&folder).unreadable(0, 10).unwrap();
    osnl_testkit::wait_until(Duration::from_secs(60), "four have left", || kept().len() == 4);
    let reasons: Vec<_> = kept().into_iter().map(|one| one.reason).collect();
    assert_eq!(reasons, ["0", "1", "6", "7"]);
    let left: Vec<_> = archived(&folder).into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(left, ["2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_message_that_was_cut_leaves_a_trace_and_no_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with(options(&folder).bounded(|bounds| bounds.max_dead = 1));
    let long = vec![b'['; osnl_core::quarantine::LONGEST_WHOLE + 1];
    for body in [long, b"{".to_vec()] {
        within(journal.set_aside(ReceivedMessage::sample(body, false), "why".into())).await;
    }
    let left = || reader(&folder).unreadable(0, 10).unwrap().len() == 1;
    osnl_testkit::wait_until(Duration::from_secs(60), "one has left", left);
    let text = std::fs::read_to_string(folder.path().join("journal.db.dead.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(line["unreadable"]["bytes"], osnl_core::quarantine::LONGEST_WHOLE + 1);
    assert!(!folder.path().join("journal.db.quarantine.jsonl").exists());
}

#[tokio::test]
async fn what_is_known_of_objects_does_not_fill_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with(options(&folder).bounded(|bounds| bounds.max_size = Some(Bytes(1 << 20))));
    for n in 0..20 {
        keep(&journal, &n.to_string(), &n.to_string()).await;
        for claimed in claim(&journal, "a", 1).await {
            let objects = vec![(format!("port:{n}"), "x".repeat(100_000))];
            let learnt = LearntFacts { objects, ..LearntFacts::default() };
            within(journal.enriched(claimed.id, &Default::default(), learnt)).await;
            journal.end(claimed.id, Outcome::Delivered.into());
        }
    }
    within(async { while journal.known("port:0").await.is_some() {} }).await;
    wait_for(&journal, JournalState::takes_entries).await;
    assert!(journal.known("port:19").await.is_some());
}

#[tokio::test]
async fn at_its_size_history_leaves_first_and_then_the_intake_stops() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with(options(&folder).bounded(|bounds| bounds.max_size = Some(Bytes(1 << 20))));
    let large = |n: usize| entry(&n.to_string(), &format!("{n}{}", "x".repeat(20_000)), false);
    let mut n = 0;
    // Bodies of 20 kB and keys of the same length: about twenty entries fill the file.
    while journal.state().borrow().takes_entries() {
        assert!(n < 2000, "it never becomes full");
        let mut permit = match within(futures_util::future::select(
            journal.reserve(&["a".into()], 1),
            Box::pin(wait_for(&journal, |state| !state.takes_entries())),
        ))
        .await
        {
            futures_util::future::Either::Left((permit, _)) => permit,
            futures_util::future::Either::Right(_) => break,
        };
        // An append under way when the file becomes full waits.
        let full = wait_for(&journal, |state| !state.takes_entries());
        within(futures_util::future::select(journal.append(&mut permit, large(n)), Box::pin(full))).await;
        n += 1;
        if n <= 10 {
            for claimed in claim(&journal, "a", 1).await {
                let learnt = LearntFacts {
                    objects: vec![("port:p".to_owned(), "{}".to_owned())],
                    ..LearntFacts::default()
                };
                within(journal.enriched(claimed.id, &Default::default(), learnt)).await;
                journal.end(claimed.id, Outcome::Delivered.into());
            }
        }
    }
    let full = wait_for(&journal, |state| !state.takes_entries()).await;
    assert!(matches!(&full, JournalState::Full { reason, .. } if reason.contains("max_size")), "{full:?}");
    let done = Filter { states: vec![RowState::Delivered], ..Filter::default() };
    assert_eq!(reader(&folder).list(&done, &ListPage::default()).unwrap(), [], "history left first");
    assert_eq!(
        journal.known("port:p").await.as_deref(),
        Some("{}"),
        "what is known of objects makes no room"
    );
    while !journal.state().borrow().takes_entries() {
        let claims = within(futures_util::future::select(
            journal.claim("a", ClaimLimits::in_order(10)),
            Box::pin(wait_for(&journal, JournalState::takes_entries)),
        ));
        if let futures_util::future::Either::Left((claimed, _)) = claims.await {
            claimed.into_iter().for_each(|claimed| journal.end(claimed.id, Outcome::Delivered.into()));
        }
    }
    within(append(&journal, large(n)).await).await;
}

#[tokio::test]
async fn a_burst_does_not_grow_the_file_beyond_its_size() {
    const SIZE: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let journal = open_with(options(&folder).bounded(|bounds| bounds.max_size = Some(Bytes(SIZE))));
    let mut permit = within(journal.reserve(&["a".into()], 60)).await;
    let receipts: Vec<_> = (0..60)
        .map(|n| {
            let mut new = entry(&n.to_string(), &n.to_string(), false);
            let received = Arc::make_mut(&mut new.received);
            received.body = [&received.body[..], &vec![b' '; 100_000]].concat().into();
            journal.append(&mut permit, new)
        })
        .collect();
    let full = wait_for(&journal, |state| !state.takes_entries()).await;
    assert!(matches!(full, JournalState::Full { .. }), "{full:?}");
    let mut taken: Vec<String> = Vec::new();
    while taken.len() < 60 {
        let length = std::fs::metadata(folder.path().join("journal.db")).unwrap().len();
        assert!(length < 2 * SIZE, "{length} bytes with {} delivered", taken.len());
        let some = within(journal.claim("a", ClaimLimits::in_order(10))).await;
        taken.extend(names(&some).into_iter().map(str::to_owned));
        some.into_iter().for_each(|claimed| journal.end(claimed.id, Outcome::Delivered.into()));
    }
    let expected: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    assert_eq!(taken, expected);
    for receipt in receipts {
        assert_eq!(within(receipt).await, Settle::Acknowledge);
    }
}

#[tokio::test]
async fn a_backlog_is_not_in_memory_and_comes_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let count = 4 * PIECE;
    let mut receipts = Vec::new();
    for n in 0..count {
        receipts.push(append(&journal, entry(&n.to_string(), &n.to_string(), false)).await);
    }
    for receipt in receipts {
        within(receipt).await;
    }
    let mut seen = Vec::new();
    while seen.len() < count {
        let claimed = within(journal.claim("a", ClaimLimits::in_order(100))).await;
        let known = journal.shared.claimable.known("a").len();
        assert!(known <= 2 * PIECE + 200, "{known} in memory");
        seen.extend(names(&claimed).into_iter().map(str::to_owned).collect::<Vec<_>>());
        claimed.iter().for_each(|claimed| journal.end(claimed.id, Outcome::Delivered.into()));
    }
    let expected: Vec<_> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn an_action_that_overflows_makes_dead_letters_and_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let counters: Arc<Counters> = Arc::default();
    let terms =
        ActionTerms::from([("a".into(), JournalTerms { overflows: true, ..JournalTerms::default() })]);
    let options = SqliteOptions { terms, ..options(&folder).bounded(|bounds| bounds.max_pending = 2) };
    let journal = SqliteJournal::open(options, counters.clone()).unwrap();
    for id in ["1", "2", "3", "4"] {
        keep(&journal, id, id).await;
    }
    let claimed = claim(&journal, "a", 2).await;
    assert_eq!(names(&claimed), ["1", "2"]);
    assert_eq!(counters.dead.get(), 2);
    let dead = Filter { states: vec![RowState::Dead], ..Filter::default() };
    let rows = reader(&folder).list(&dead, &ListPage::default()).unwrap();
    let reason = "max_pending is reached (on_full = dead_letter)";
    assert!(rows.iter().all(|row| row.reason.as_deref() == Some(reason)), "{rows:?}");
    journal.end(claimed[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0]);
    keep(&journal, "5", "5").await;
    assert_eq!(names(&claim(&journal, "a", 1).await), ["5"]);
}

#[tokio::test]
async fn a_dead_letter_that_is_too_old_is_discarded_and_the_next_of_its_key_begins() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for (action, id) in [("a", "1"), ("a", "2"), ("b", "3")] {
        let mut entry = entry(id, "k", false);
        entry.deliveries[0].action = action.into();
        within(append(&journal, entry).await).await;
    }
    for action in ["a", "b"] {
        let first = claim(&journal, action, 1).await.remove(0).id;
        journal.end(first, Outcome::DeadHoldingKey("refused".to_owned()).into());
    }
    assert_eq!(names(&claim(&journal, "a", 0).await), [""; 0], "the dead letter holds the key");
    let terms = JournalTerms { max_dead_age: Some(Duration::ZERO), ..JournalTerms::default() };
    journal.set_terms(ActionTerms::from([("a".into(), terms)]));
    assert_eq!(names(&claim(&journal, "a", 1).await), ["2"]);
    let rows = reader(&folder).list(&Filter::default(), &ListPage::default()).unwrap();
    let ended: Vec<_> = rows
        .iter()
        .filter(|row| row.state != RowState::Ready)
        .map(|row| (&*row.action, row.state, row.reason.as_deref()))
        .collect();
    let discarded = ("a", RowState::Discarded, Some("discarded by max_dead_age (0s)"));
    assert!(ended.contains(&discarded), "{ended:?}");
    assert!(ended.contains(&("b", RowState::Dead, Some("refused"))), "without a term it stays: {ended:?}");
}

#[test]
fn a_journal_takes_half_of_what_is_free_and_ten_gib_at_most() {
    const GIB: u64 = 1 << 30;
    for (free, own, expected) in [
        (0, 0, 0),
        (3 * GIB, 0, 3 * GIB / 2),
        // On a full disk, an existing journal is still used.
        (0, 3 * GIB, 3 * GIB / 2),
        (20 * GIB, 0, 10 * GIB),
        (21 * GIB, 0, 10 * GIB),
        (u64::MAX, GIB, 10 * GIB),
    ] {
        assert_eq!(writer::default_size(free, own), expected, "{free} {own}");
    }
}

#[tokio::test]
async fn everything_claimable_comes_though_what_is_claimed_was_changed_behind_its_back() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let count = 2 * PIECE + 9;
    let mut receipts = Vec::new();
    for n in 0..count {
        receipts.push(append(&journal, entry(&n.to_string(), &n.to_string(), false)).await);
    }
    for receipt in receipts {
        within(receipt).await;
    }
    let mut claimed = Vec::new();
    while claimed.len() < 16 {
        claimed.extend(within(journal.claim("a", ClaimLimits::in_order(16 - claimed.len()))).await);
    }
    tamper(&journal, "UPDATE delivery SET state = 6, lane = NULL WHERE id >> 16 <= 16").await;
    let mut seen = claimed.len();
    while seen < count {
        let some = within(journal.claim("a", ClaimLimits::in_order(100))).await;
        seen += some.len();
        some.iter().for_each(|claimed| journal.end(claimed.id, Outcome::Delivered.into()));
    }
}
