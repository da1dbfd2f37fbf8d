//! The bounds of dead letters and of the quarantine.

use super::*;

/// A member with room for five dead letters.
fn bounded(stage: &Stage, name: &str, folder: &std::path::Path) -> PostgresJournal {
    let archive = Some(folder.join(name));
    PostgresJournal::open(Options { max_dead: 5, archive, ..stage.options(name) }, Arc::default()).unwrap()
}

/// Returns the lines of what has left by this member.
fn left(folder: &std::path::Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.dead.jsonl"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn look(stage: &Stage, members: &[&PostgresJournal]) {
    for _ in 0..3 {
        stage.pass(Duration::from_secs(1));
        for member in members {
            within(member.look()).await;
        }
    }
}

#[tokio::test]
async fn dead_letters_beyond_the_bound_leave_by_their_owners_into_files() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (bounded(&stage, "a", folder.path()), bounded(&stage, "b", folder.path()));
    look(&stage, &[&a, &b]).await;
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
                // The first one holds its lane, and stays.
                let is_first = names(std::slice::from_ref(&claimed)) == ["0"];
                let outcome = if is_first { Outcome::DeadHoldingKey } else { Outcome::Dead };
                member.end(claimed.id, outcome("no".into()).into());
            }
        }
        within(member.look()).await;
    }
    assert_eq!(stage.tally(), "3|16");
    look(&stage, &[&a, &b]).await;
    assert_eq!(stage.tally(), "3|5");
    let (by_a, by_b) = (left(folder.path(), "a"), left(folder.path(), "b"));
    assert!(!by_a.is_empty() && !by_b.is_empty(), "{by_a:?} {by_b:?}");
    assert_eq!(by_a.len() + by_b.len(), 11);
    assert!(by_a.iter().all(|line| line.contains("\"reason\":\"no\"")), "{by_a:?}");
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_arrival"), "5");
    // Of the action with most of them; what holds its lane stays.
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_delivery WHERE action = 'rare'"), "2");
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_delivery WHERE lane IS NOT NULL"), "1");
}

#[tokio::test]
async fn messages_beyond_the_bound_leave_the_quarantine_the_oldest_first() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let a = bounded(&stage, "a", folder.path());
    let set_aside = async |text: &str| {
        let receipt = a.set_aside(ReceivedMessage::sample(text.to_owned(), false), "no".into());
        assert_eq!(within(receipt).await, Settle::Acknowledge);
    };
    for n in 0..7 {
        set_aside(&format!("message {n}")).await;
    }
    look(&stage, &[&a]).await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_unreadable"), "5");
    let gone = left(folder.path(), "a");
    let digest = |n: usize| ReceivedMessage::sample(format!("message {n}"), false).digest().to_string();
    assert!(gone.len() == 2 && gone[0].contains(&digest(0)) && gone[1].contains(&digest(1)), "{gone:?}");

    // Where nothing can be written, nothing leaves.
    std::fs::remove_dir_all(folder.path()).unwrap();
    set_aside("one more").await;
    look(&stage, &[&a]).await;
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_unreadable"), "6");
}
