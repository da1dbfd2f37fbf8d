//! The cost of being observed: one scrape of a large configuration, a scrape each second, and clients that are slow.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::sections::{Effort, paced_by, spread};
use super::stage::{Queue, Stage};
use super::table::{Table, median, quantile};

/// The large configuration.
const RULES: usize = 1000;
const ACTIONS: usize = 100;
/// The bounds.
const MOST_MS: f64 = 5.0;
const MOST_BYTES: usize = 300 * 1024;
const MOST_CPU: f64 = 0.005;
/// The endpoint answers the same text again for 200 ms.
const APART: Duration = Duration::from_millis(250);
const SCRAPES: usize = 40;
/// Clients that never finish a request.
const SLOW: usize = 200;
/// Messages per second.
const RATE: u64 = 1000;

/// Scrapes alone, then deliveries beside slow clients.
pub(super) fn observed(stage: &Stage, effort: Effort) -> Result<()> {
    scrapes(stage, effort)?;
    slow_clients(stage, effort)
}

fn scrapes(stage: &Stage, effort: Effort) -> Result<()> {
    let queue = stage.queue()?;
    let (process, port) = queue.consume_observed(RULES, ACTIONS)?;
    queue.wait_for_consumer();
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..SCRAPES {
        pause(APART);
        let begin = Instant::now();
        bytes = scrape(port)?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let span = Duration::from_secs(effort.paced * 3);
    let idle = {
        let before = process.cpu()?;
        pause(span);
        process.cpu()? - before
    };
    let before = process.cpu()?;
    let end = Instant::now() + span;
    while Instant::now() < end {
        scrape(port)?;
        pause(Duration::from_secs(1));
    }
    let scraped = process.cpu()? - before;
    let share = scraped.saturating_sub(idle).as_secs_f64() / span.as_secs_f64();

    let title = format!("(admin) /metrics with {RULES} rules and {ACTIONS} actions");
    let mut table = Table::new(&title, &["", "wanted", "found"]);
    let wanted = |unit: &str, most: f64| format!("{most} {unit} at most");
    let row = |table: &mut Table, what: &str, wanted: String, found: String| {
        table.row(&[what.to_owned(), wanted, found])
    };
    row(&mut table, "a scrape, ms", wanted("ms", MOST_MS), spread(&times, 2));
    row(&mut table, "its text", wanted("KiB", 300.0), format!("{:.0} KiB", bytes as f64 / 1024.0));
    let (share_text, idle_text) =
        (format!("{:.2} %", share * 1e2), format!("{:.2} %", idle.as_secs_f64() / span.as_secs_f64() * 1e2));
    row(&mut table, "a scrape each second, of a core", wanted("%", MOST_CPU * 1e2), share_text);
    row(&mut table, "without scrapes, of a core", String::new(), idle_text);
    table.print();
    let middle = median(&times);
    ensure!(middle < MOST_MS, "a scrape takes {middle:.2} ms");
    ensure!(bytes < MOST_BYTES, "a scrape has {bytes} bytes");
    ensure!(share < MOST_CPU, "a scrape each second takes {:.2} % of a core", share * 1e2);
    Ok(())
}

fn slow_clients(stage: &Stage, effort: Effort) -> Result<()> {
    let columns = ["", "rounds", "p50 (min–max)", "p99 (min–max)"];
    let title = format!("(admin) from publishing to the request at {RATE} msg/s, ms");
    let mut table = Table::new(&title, &columns);
    let count = RATE * effort.paced;
    let mut found = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for _ in 0..effort.rounds {
        for (clients, (middle, most)) in [0, SLOW].into_iter().zip(&mut found) {
            let mut slow = None;
            let start = |queue: &Queue<'_>| {
                let (process, port) = queue.consume_observed(1, 1)?;
                slow = Some(SlowClients::start(port, clients));
                Ok(process)
            };
            let (waits, _) = paced_by(stage, "osnl run", start, RATE, count)?;
            drop(slow);
            middle.push(quantile(&waits, 0.5));
            most.push(quantile(&waits, 0.99));
        }
    }
    for (clients, (middle, most)) in [0, SLOW].into_iter().zip(&found) {
        let name = format!("{clients} slow clients of the endpoint");
        table.row(&[name, middle.len().to_string(), spread(middle, 2), spread(most, 2)]);
    }
    table.print();
    Ok(())
}

/// Lets a span of time pass that is measured.
fn pause(span: Duration) {
    let end = Instant::now() + span;
    while let Some(rest) = end.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
        thread::park_timeout(rest);
    }
}

/// Answers the length of the text.
fn scrape(port: u16) -> Result<usize> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("the admin endpoint")?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no answer")?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..head]));
    Ok(answer.len() - head - 4)
}

/// Clients that send a byte of a request now and then, and connect again when they are closed.
struct SlowClients {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SlowClients {
    fn start(port: u16, clients: usize) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let thread = (clients > 0).then(|| {
            let ends = ends.clone();
            thread::spawn(move || {
                let mut open: Vec<Option<TcpStream>> = (0..clients).map(|_| None).collect();
                while !ends.load(Ordering::Relaxed) {
                    for client in &mut open {
                        let is_open = client.as_mut().is_some_and(|stream| stream.write_all(b"G").is_ok());
                        if !is_open {
                            *client = TcpStream::connect(("127.0.0.1", port)).ok();
                        }
                    }
                    pause(Duration::from_millis(200));
                }
            })
        });
        Self { ends, thread }
    }
}

impl Drop for SlowClients {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
