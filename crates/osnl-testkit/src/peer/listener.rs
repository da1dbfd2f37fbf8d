use std::io::BufRead as _;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::zygote::Script;
use crate::wait::reached;

const SCRIPT: &str = include_str!("../../python/listener.py");
const START: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct OsloListener {
    received: Arc<Mutex<Vec<Value>>>,
    script: Option<Script>,
    reader: Option<JoinHandle<()>>,
}

impl OsloListener {
    /// Consumes from these pairs of exchange and topic, with a pool or on the Notifier's own queues. `durable` is
    /// `amqp_durable_queues`.
    #[must_use]
    pub fn start(url: &str, targets: &[(&str, &str)], pool: Option<&str>, durable: bool) -> Self {
        let options = json!({"targets": targets, "pool": pool, "durable": durable});
        let script = Script::start(SCRIPT, &[url, &options.to_string()]);
        let lines = script.output().lines();
        let received = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&received);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                gathered.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let listener = Self { received, script: Some(script), reader: Some(reader) };
        let ready = reached(START, &mut || !listener.received.lock().unwrap().is_empty());
        assert!(ready, "oslo.messaging's listener does not start; its output above says why");
        listener.received.lock().unwrap().remove(0);
        listener
    }

    /// Returns the calls of its methods so far, in no particular order because of threads. `payload_json` is the
    /// payload as Python's own text, to the digit.
    #[must_use]
    pub fn received(&self) -> Vec<Value> {
        self.received.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn wait_for(&self, count: usize, deadline: Duration) -> Vec<Value> {
        let enough = reached(deadline, &mut || self.received.lock().unwrap().len() >= count);
        let received = self.received();
        assert!(enough, "waited {deadline:?} for {count} notifications, there are {}", received.len());
        received
    }
}

impl Drop for OsloListener {
    fn drop(&mut self) {
        drop(self.script.take());
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
