use std::sync::Arc;

use clap::Parser as _;
use osnl::journal::sqlite::SqliteJournal;
use osnl::journal::{Entry, Journal as _, NewDelivery};
use osnl::received::ReceivedMessage;

use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    pick: PickArgs,
}

async fn keep(options: &SqliteOptions, events: usize) {
    let journal = SqliteJournal::open(options.clone(), Arc::default()).unwrap();
    let text = r#"{"event_type": "port.delete.end", "payload": {}}"#;
    for saved in saved::read(&format!("{text}\n").repeat(events)).unwrap() {
        let received = ReceivedMessage::from(saved);
        let notification = Arc::new(received.decode().unwrap());
        let deliveries = vec![NewDelivery::new("ports", "audit", None)];
        let mut permit = journal.reserve(&["audit".into()], 1).await;
        let entry = Entry { received: Arc::new(received), notification, deliveries };
        journal.append(&mut permit, entry).await;
    }
    journal.close().await;
}

#[tokio::test]
async fn an_event_that_is_pruned_meanwhile_hides_none_beyond_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        SqliteOptions::new(folder.path().join("journal.db")).bounded(|bounds| bounds.allow_volatile = true);
    keep(&options, 5).await;
    let journal = SqliteReader::open(&options.path).unwrap();
    for (arguments, left) in [(&["osnl"][..], 3), (&["osnl", "--id", "2", "--id", "1"], 0)] {
        let Line { pick } = Line::parse_from(arguments);
        let numbers = pick.numbers(&journal, 2, false).unwrap();
        assert_eq!(numbers, [1, 2].into());
        assert_eq!(pick.count(&journal, &numbers, u64::MAX).unwrap(), left, "{arguments:?}");
        assert_eq!(pick.count(&journal, &numbers, 2).unwrap(), left.min(2), "{arguments:?}");
    }
    let Line { pick } = Line::parse_from(["osnl"]);
    let numbers = pick.numbers(&journal, 2, false).unwrap();
    let writer = rusqlite::Connection::open(&options.path).unwrap();
    writer.execute_batch("DELETE FROM delivery WHERE id >> 16 = 1; DELETE FROM event WHERE id = 1").unwrap();
    assert_eq!(events(&journal, &numbers).unwrap().len(), 1);
    assert_eq!(pick.count(&journal, &numbers, u64::MAX).unwrap(), 3, "3 to 5 are left");
}
