use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{GONE, PORTS, QUEUES};
use crate::oracle::pause_until;
use crate::{BrokerObjects, Notice, OsloPublisher, PublisherOptions, RawMessage};

const PAUSE: Duration = Duration::from_millis(100);
const BURST: u64 = 4;
const LARGE_BURST: u64 = 150;
const LARGE: u32 = 100;
const NAMELESS: u64 = 5;

#[derive(Clone, Copy, Debug)]
pub(super) struct Publication {
    pub(super) event: u64,
    pub(super) port: u32,
    pub(super) has_id: bool,
    pub(super) is_again: bool,
}

pub(super) struct PublisherThread {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Publication>>,
}

impl PublisherThread {
    pub(super) fn start(url: &str, seed: u64) -> Self {
        let over: Arc<AtomicBool> = Arc::default();
        let (url, is_over) = (url.to_owned(), over.clone());
        let thread = std::thread::spawn(move || publish(&url, seed, &is_over));
        Self { over, thread }
    }

    pub(super) fn stop(self) -> Vec<Publication> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the publisher goes on to the end")
    }
}

fn publish(url: &str, seed: u64, over: &AtomicBool) -> Vec<Publication> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut publisher = OsloPublisher::start(url, PublisherOptions { durable: true });
    let mut published = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let next = Instant::now() + PAUSE;
        let burst = if chance.u32(..LARGE) == 0 { LARGE_BURST } else { BURST };
        for _ in 0..burst {
            let event = published.len() as u64 + 1;
            let queue = chance.usize(..QUEUES.len());
            let port = queue as u32 * 1000 + chance.u32(..PORTS);
            let payload = json!({"chaos": event, "port": {"id": format!("port-{port}")}});
            let has_id = !event.is_multiple_of(NAMELESS);
            let exchange = QUEUES[queue];
            let mut publish = || match has_id {
                true => publisher.try_notify(&notice(exchange, &payload)),
                false => publisher.try_raw(&nameless(exchange, &payload)),
            };
            let mut is_again = false;
            while publish().is_err() {
                is_again = true;
                pause_until(Instant::now() + PAUSE);
            }
            published.push(Publication { event, port, has_id, is_again });
        }
        pause_until(next);
    }
    published
}

/// Declares the exchanges as durable, so that they survive the broker with their bindings.
pub(super) fn prepare(url: &str) {
    let mut publisher = OsloPublisher::start(url, PublisherOptions { durable: true });
    for exchange in QUEUES {
        publisher.prepare(&BrokerObjects { exchange: exchange.to_owned(), ..BrokerObjects::default() });
    }
}

fn notice(exchange: &str, payload: &Value) -> Notice {
    let (exchange, event_type) = (exchange.to_owned(), GONE.to_owned());
    Notice { exchange, event_type, payload: payload.clone(), ..Notice::default() }
}

fn nameless(exchange: &str, payload: &Value) -> RawMessage {
    let body = json!({
        "event_type": GONE, "publisher_id": "network.node1", "priority": "INFO",
        "timestamp": "2026-11-20 06:00:00.000000", "payload": payload,
    });
    RawMessage { exchange: exchange.to_owned(), body: body.to_string().into_bytes(), ..RawMessage::default() }
}
