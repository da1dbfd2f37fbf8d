//! Messages that a publisher sends to fill the memory, or to stop the daemon. The bounds count bytes, or are seconds
//! where the work was minutes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use osnl_actions::Event;
use osnl_core::observe::Observe as _;
use osnl_core::received::ReceivedMessage;
use serde_json::{Value, json};

use super::super::*;

const PATIENCE: Duration = Duration::from_secs(8);

fn watcher() -> Watcher {
    let mut watched = WatchedActions::default();
    watched.add("a".into(), Lists::default());
    Watcher::new(watched, Vec::new())
}

fn floating_ips(parts: usize, of: impl Fn(usize) -> Value) -> Value {
    json!({"floatingips": (0..parts).map(of).collect::<Vec<_>>()})
}

#[test]
fn many_keys_of_metadata_are_read_and_reported_in_linear_time() {
    let mut text = String::from("{");
    (0..100_000).for_each(|n| write!(text, "\"{n:08x}\":0,").unwrap());
    text.push_str("\"\":0,\"00000001\":1}");
    let begun = Instant::now();
    let metadata: OrderedMap = serde_json::from_str(&text).unwrap();
    assert_eq!((metadata.0.len(), metadata.get("00000001")), (100_001, Some(&json!(1))));
    let form = NodeForm { keys: DetailKeys::Flattened, ..NodeForm::default() };
    let instance = KnownInstance { metadata: Some(metadata), ..KnownInstance::default() };
    let happened = Occurrence { what: What::Instance, ip: None, port: None, instance, part: None, not: None };
    let text = BodyForm::Json.text(&form.node_detail(&happened)).unwrap();
    assert!(text.contains(r#""00000001": 1, "#) && text.len() > 1_000_000);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

/// The notes are read once for all deliveries of a message.
#[test]
fn a_delivery_of_a_bulk_request_reads_its_own_notes() {
    const PARTS: u32 = 3000;
    let payload = floating_ips(PARTS as usize, |n| {
        json!({"id": n.to_string(), "floating_ip_address": n.to_string(), "port_id": n.to_string(),
            "port_details": {"device_id": format!("vm-{n}")}})
    });
    let body = json!({"event_type": "floatingip.create.end", "payload": payload}).to_string();
    let mut received = ReceivedMessage::sample(body, false);
    let notification = Arc::new(received.decode().unwrap());
    let without = Arc::new(received.clone());
    received.noted = watcher().note(&received, &notification).0;
    let received = Arc::new(received);
    let begun = Instant::now();
    for received in [received, without] {
        for part in 0..PARTS {
            let mut event = Event::new(received.clone(), notification.clone(), "r", "a");
            event.resource = Some(part);
            let EventReport::Calls(calls) = EventReport::of(&event, &Lists::default()) else {
                panic!("{part}")
            };
            let ips: Vec<_> = calls.iter().map(|call| call.happened.ip.clone().unwrap()).collect();
            assert_eq!((ips, calls[0].happened.part), (vec![part.to_string()], Some(part)));
        }
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}
