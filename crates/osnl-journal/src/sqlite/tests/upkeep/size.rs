//! The disk space of an event: measured here, multiplied in the book.

use super::*;
use crate::{Entry, NewDelivery};

/// The size of a body in KiB, and the file's bytes for an event with one ended delivery.
const BYTES: [(usize, u64); 5] = [(1, 1524), (2, 4300), (4, 4764), (16, 17_090), (64, 66_244)];
const EVENTS: usize = 300;

fn event(n: usize, size: usize) -> Entry {
    let id = format!("00000000-0000-4000-8000-{n:012x}");
    let body = |more: usize| {
        format!(
            r#"{{"_unique_id": "{n:032x}", "message_id": "{id}", "event_type": "port.delete.end", "publisher_id": "network.node1", "priority": "INFO", "payload": {{"port_id": "{id}", "name": "{}"}}}}"#,
            "x".repeat(more)
        )
    };
    let received = ReceivedMessage::sample(body(size - body(0).len()), false);
    assert_eq!(received.body.len(), size);
    let notification = received.decode().unwrap();
    let deliveries = vec![NewDelivery::new("forget-ports", "a", Some(id))];
    Entry { received: Arc::new(received), notification: Arc::new(notification), deliveries }
}

async fn measured(size: usize) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let used = |folder: &TempDir| {
        let reader = reader(folder);
        let pragma =
            |name: &str| reader.0.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        (pragma("page_count") - pragma("freelist_count")).unsigned_abs() * pragma("page_size").unsigned_abs()
    };
    let empty = used(&folder);
    for n in 0..EVENTS {
        drop(append(&journal, event(n, size)).await);
    }
    let mut ended = 0;
    while ended < EVENTS {
        for claimed in within(journal.claim("a", ClaimLimits::in_order(64))).await {
            journal.end(claimed.id, Outcome::Delivered.into());
            ended += 1;
        }
    }
    journal.close().await;
    (used(&folder) - empty) / EVENTS as u64
}

fn shown(bytes: u64) -> String {
    let mib = bytes as f64 / 1_048_576.0;
    let (value, unit) = match mib {
        0.0..1024.0 => (mib, "MiB"),
        1024.0..1_048_576.0 => (mib / 1024.0, "GiB"),
        _ => (mib / 1_048_576.0, "TiB"),
    };
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

fn grouped(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}

#[tokio::test]
async fn an_event_takes_the_disk_that_the_book_says() {
    for (kib, expected) in BYTES {
        let bytes = measured(kib * 1024).await;
        let off = bytes.abs_diff(expected);
        assert!(off * 100 <= expected * 3, "a body of {kib} KiB takes {bytes} bytes, not {expected}");
    }
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/backup.md")).unwrap();
    for events in [1000, 10_000, 100_000, 1_000_000_u64] {
        let cells = BYTES.map(|(_, bytes)| shown(events * 7 * bytes));
        let row = format!("| {} | {} |", grouped(events), cells.join(" | "));
        assert!(page.contains(&row), "docs/backup.md lacks {row}");
    }
}
