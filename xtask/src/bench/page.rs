use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::commands::history;
use super::effort::Effort;
use super::stage::Stage;
use super::table::{Table, quantile};

/// The accepted p99 of each search, in ms.
const MOST_MS: f64 = 20.0;
const REQUESTS: usize = 200;
const TOKEN: &str = "the-token-of-the-bench";

pub(super) fn searches(stage: &Stage, effort: Effort) -> Result<()> {
    let count = effort.history;
    let (state, dead) = history(stage, "page", count)?;
    let queue = stage.queue()?;
    let (process, port) = queue.consume_with_page(&state, TOKEN)?;
    queue.wait_for_consumer();
    let title = format!(
        "(page) first byte with {count} deliveries, {dead} of them dead; wanted: p99 {MOST_MS} ms at most"
    );
    let mut table = Table::new(&title, &["page", "requests", "p50 ms", "p99 ms", "max ms"]);
    let mut slow = Vec::new();
    for (name, path) in pages(count) {
        let mut times = Vec::new();
        for _ in 0..REQUESTS {
            times.push(first_byte(port, &path).with_context(|| path.clone())?);
        }
        let cells = [0.5, 0.99, 1.0].map(|share| format!("{:.1}", quantile(&times, share)));
        table.row(&[&[name.to_owned(), times.len().to_string()][..], &cells].concat());
        if quantile(&times, 0.99) > MOST_MS {
            slow.push(name);
        }
    }
    drop(process);
    table.print();
    std::fs::remove_dir_all(&state)?;
    ensure!(slow.is_empty(), "beyond {MOST_MS} ms at p99: {}", slow.join(", "));
    Ok(())
}

fn pages(count: u64) -> Vec<(&'static str, String)> {
    let middle = count / 2 + 1;
    let key = format!("00000000-0000-4000-8000-{:012x}", 5000);
    let search = |query: String| format!("/deliveries?{query}");
    vec![
        ("overview", "/".to_owned()),
        ("no filter", "/deliveries".to_owned()),
        ("oldest first", search("order=oldest".to_owned())),
        ("one of the oldest pages", search(format!("after={}.0", count / 100))),
        ("state dead", search("state=dead".to_owned())),
        ("state discarded: none", search("state=discarded".to_owned())),
        ("a resource in ten places", search(format!("about={key}"))),
        ("a message", search(format!("about=m{middle}"))),
        ("an unknown name", search("about=nothing-has-this-name".to_owned())),
        ("a rule: all", search("rule=deleted".to_owned())),
        ("an event type: all", search("event_type=port.delete.end".to_owned())),
        ("status 404", search("status=404".to_owned())),
        ("status 5xx: none", search("status=5xx".to_owned())),
        ("an action", "/actions/earlier".to_owned()),
        ("an action and a state", search("action=earlier&state=dead".to_owned())),
        ("a delivery by its number", search(format!("about={middle}.0"))),
        ("a delivery", format!("/deliveries/{middle}.0")),
    ]
}

fn first_byte(port: u16, path: &str) -> Result<f64> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("the admin endpoint")?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    let took = begin.elapsed().as_secs_f64() * 1e3;
    let mut rest = String::new();
    stream.read_to_string(&mut rest)?;
    ensure!(rest.starts_with("TTP/1.1 200"), "{}", rest.lines().next().unwrap_or_default());
    Ok(took)
}
