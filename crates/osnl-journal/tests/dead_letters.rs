//! The memory for archiving dead letters. The peak counts for a process, so this test is a program of its
//! own.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use osnl_core::received::ReceivedMessage;
use osnl_journal::sqlite::{SqliteJournal, SqliteOptions};
use osnl_journal::{Begin, Entry, Journal as _, NewDelivery};

const LETTERS: usize = 40;
/// Two decoded messages and their masked copies take less; those of a batch ten times as much.
const MOST: usize = 200 << 20;

fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("kilobytes") << 10
}

#[tokio::test]
async fn dead_letters_leave_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let options = SqliteOptions::new(&path).bounded(|bounds| bounds.allow_volatile = true);
    let journal = SqliteJournal::open(options.clone(), Arc::default()).unwrap();
    let objects = vec![r#"{"":0}"#; 37_000].join(",");
    for n in 0..LETTERS {
        let body = format!(r#"{{"_unique_id": "{n}", "event_type": "e", "payload": [{objects}]}}"#);
        let received = ReceivedMessage::sample(body, false);
        let notification = received.decode().unwrap();
        let mut dead = NewDelivery::new("r", "a", Some(n.to_string()));
        dead.begin = Begin::Dead("why".to_owned());
        let entry = Entry {
            received: Arc::new(received),
            notification: Arc::new(notification),
            deliveries: vec![dead],
        };
        let mut permit = journal.reserve(&["a".into()], 1).await;
        journal.append(&mut permit, entry).await;
    }
    drop(journal);
    let before = peak();
    let journal = SqliteJournal::open(options.bounded(|bounds| bounds.max_dead = 0), Arc::default()).unwrap();
    let archive = folder.path().join("journal.db.dead.jsonl");
    let lines = || fs::read_to_string(&archive).unwrap_or_default().lines().count();
    osnl_testkit::wait_until(Duration::from_secs(60), "they have left", || lines() == LETTERS);
    drop(journal);
    assert!(peak() - before < MOST, "{} MiB", (peak() - before) >> 20);
}
