//! A journal with a long history: dead letters, and deliveries in shadow, which are done without an attempt.

use std::time::Instant;

use anyhow::{Result, ensure};
use osnl::journal::{Begin, Entry, NewDelivery};
use serde_json::json;

use super::journal::{OPEN, append_all, open, received};

/// Resources of the events, in turn, so that most dead letters have a later event.
const KEYS: u64 = 100_000;
const EACH: u64 = 10_000;

pub(crate) async fn run(file: &str, count: u64, dead: u64) -> Result<()> {
    ensure!(dead <= count, "more dead letters than deliveries");
    let journal = open(file)?;
    let (share, begun) = (count / dead.max(1), Instant::now());
    let is_dead = |n: u64| n.is_multiple_of(share) && n / share <= dead;
    for first in (1..=count).step_by(usize::try_from(EACH)?) {
        let numbers = first..(first + EACH).min(count + 1);
        let entries =
            received(numbers.clone().map(message)).zip(numbers).map(|(received, n)| -> Result<Entry> {
                let begin = if is_dead(n) { Begin::Dead("status 404".to_owned()) } else { Begin::Shadow };
                let notification = received.decode()?;
                let key = osnl_model::resource_key(&notification);
                let delivery = NewDelivery { begin, ..NewDelivery::new("deleted", "earlier", key) };
                Ok(Entry {
                    received: received.into(),
                    notification: notification.into(),
                    deliveries: vec![delivery],
                })
            });
        append_all(&journal, entries.collect::<Result<_>>()?, OPEN).await?;
    }
    println!("{count} deliveries, {dead} of them dead, in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn message(n: u64) -> Vec<u8> {
    let port = format!("00000000-0000-4000-8000-{:012x}", n % KEYS);
    let payload = json!({"port_id": port, "port": {"id": port}});
    json!({
        "event_type": "port.delete.end", "publisher_id": "network.vm", "message_id": format!("m{n}"),
        "priority": "INFO", "timestamp": "2026-11-26 12:00:00.000000", "payload": payload,
    })
    .to_string()
    .into_bytes()
}
