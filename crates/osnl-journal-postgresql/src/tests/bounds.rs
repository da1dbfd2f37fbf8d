use super::*;

fn bounded(stage: &Stage, name: &str, folder: &std::path::Path) -> PostgresJournal {
    let archive = Some(folder.join(name));
    PostgresJournal::open(
        Options { archive, ..stage.options(name).bounded(|bounds| bounds.max_dead = 5) },
        Arc::default(),
    )
    .unwrap()
}

pub(super) fn left(folder: &std::path::Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.dead.jsonl"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn check_all(stage: &Stage, members: &[&PostgresJournal]) {
    for _ in 0..3 {
        stage.pass(Duration::from_secs(1));
        for member in members {
            within(member.check()).await;
        }
    }
}

#[tokio::test]
async fn dead_letters_beyond_the_bound_leave_by_their_owners_into_files() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (bounded(&stage, "a", folder.path()), bounded(&stage, "b", folder.path()));
    check_all(&stage, &[&a, &b]).await;
    let mut new = Vec::new();
    for n in 0..16 {
        let mut entry = entry(&n.to_string(), &n.to_string(), false);
        if n >= 14 {
            entry.deliveries = vec![NewDelivery::new("r", "rare", Some(n.to_string()))];
        }
        new.push(append(&a, entry).await);
    }
    for receipt in new {
        assert_eq!(within(receipt).await, Settle::Acknowledge);
    }
    for member in [&a, &b] {
        for action in ["a", "rare"] {
            for claimed in claimable(member, action).await {
                // The first dead letter holds its lane, and stays.
                let is_first = names(std::slice::from_ref(&claimed)) == ["0"];
                let outcome = if is_first { Outcome::DeadHoldingKey } else { Outcome::Dead };
                member.end(claimed.id, outcome("no".into()).into());
            }
        }
        within(member.check()).await;
    }
    assert_eq!(stage.tally(), "3|16");
    check_all(&stage, &[&a, &b]).await;
    assert_eq!(stage.tally(), "3|5");
    let (by_a, by_b) = (left(folder.path(), "a"), left(folder.path(), "b"));
    assert!(!by_a.is_empty() && !by_b.is_empty(), "{by_a:?} {by_b:?}");
    assert_eq!(by_a.len() + by_b.len(), 11);
    assert!(by_a.iter().all(|line| line.contains("\"reason\":\"no\"")), "{by_a:?}");
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_arrival"), "5");
    // The action with the most dead letters loses some; a letter that holds its lane stays.
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_delivery WHERE action = 'rare'"), "2");
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_delivery WHERE lane IS NOT NULL"), "1");
}

#[tokio::test]
async fn messages_beyond_the_bound_leave_the_quarantine_with_their_bytes() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let a = bounded(&stage, "a", folder.path());
    let set_aside = async |text: &str, queue: &str| {
        let mut received = ReceivedMessage::sample(text.to_owned(), false);
        received.origin.queue = queue.into();
        let receipt = a.set_aside(received, "no".into());
        assert_eq!(within(receipt).await, Settle::Acknowledge);
    };
    // However many messages of one queue cannot be read, that of the other stays.
    set_aside("quiet", "q1").await;
    for n in 0..6 {
        set_aside(&format!("flood {n}"), "q2").await;
    }
    check_all(&stage, &[&a]).await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_unreadable"), "5");
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_unreadable WHERE queue = 'q1'"), "1");
    let gone = std::fs::read_to_string(folder.path().join("a.quarantine.jsonl")).unwrap();
    let gone: Vec<_> = gone.lines().collect();
    // "flood 0" and "flood 1".
    let bytes = |n: usize| ["Zmxvb2QgMA==", "Zmxvb2QgMQ=="][n];
    assert!(gone.len() == 2 && gone[0].contains(bytes(0)) && gone[1].contains(bytes(1)), "{gone:?}");

    std::fs::remove_dir_all(folder.path()).unwrap();
    set_aside("one more", "q2").await;
    check_all(&stage, &[&a]).await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_unreadable"), "6");
}

/// One message is of a newer osnl and cannot be written; the others leave.
#[tokio::test]
async fn a_message_that_cannot_leave_the_quarantine_keeps_no_other_one() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let a = bounded(&stage, "a", folder.path());
    for n in 0..8 {
        let received = ReceivedMessage::sample(format!("message {n}"), false);
        assert_eq!(within(a.set_aside(received, "no".into())).await, Settle::Acknowledge);
    }
    let oldest = stage.rows("SELECT min(id) FROM osnl_unreadable");
    stage.rows(&format!("UPDATE osnl_unreadable SET extent = 99 WHERE id = {oldest}"));
    check_all(&stage, &[&a]).await;
    assert_eq!(stage.rows("SELECT count(*), min(id) FROM osnl_unreadable"), format!("6|{oldest}"));
    let gone = std::fs::read_to_string(folder.path().join("a.quarantine.jsonl")).unwrap();
    assert_eq!(gone.lines().count(), 2);
}

#[test]
fn a_batch_of_the_quarantine_is_bounded_in_bytes() {
    use crate::bounds::{StoredSize, leaving};
    use osnl_journal::store::shares::{QuarantineBounds, QueueShare};
    let sizes = |received: i64| (0..20).rev().map(move |id| StoredSize { id, stored: 1, received }).collect();
    let check = |received: i64, expected: usize| {
        let share = QueueShare { listener: "l".into(), queue: "q".into(), messages: 50, bytes: 50 };
        let oldest = [(("l".to_owned(), "q".to_owned()), sizes(received))].into();
        let ids = leaving(&QuarantineBounds::of(5), &mut [share], oldest);
        assert_eq!(ids, (0..expected as i64).collect::<Vec<_>>());
    };
    check(100, 20);
    check(4 << 20, 4);
    check(20 << 20, 1);
}
