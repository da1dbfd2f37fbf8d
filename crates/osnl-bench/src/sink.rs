//! A cheap target: HTTP/1.1 with keep-alive, a thread per connection, 204 to everything.
//!
//! The first line of output is the port. Each further line answers a line of input:
//!
//! | question | answer |
//! | --- | --- |
//! | `reset` | `ok`, after forgetting all requests |
//! | `wait COUNT SECONDS` | `SEEN FIRST LAST` after `COUNT` requests, or when the time is up |
//! | `pause MILLISECONDS` | `ok`; each answer is delayed, on each connection by itself |
//! | `fail SHARE` | `ok`; requests about each `SHARE`th instance get 503 and are not counted; 0: none |
//! | `failed` | the number of these 503 answers |
//! | `order` | `KEYS WRONG`: instances, and requests after one with a larger number for the same instance |
//! | `times` | `NUMBER:TIME …`: the arrival of the request about each message |

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::clock::now;
use crate::messages;

#[derive(Default)]
struct Board {
    state: Mutex<State>,
    enough: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<(u64, u128)>,
    wanted: usize,
    /// The largest number in an address, by the number of the instance.
    latest: HashMap<u64, u64>,
    wrong: usize,
    pause: Duration,
    failing: u64,
    failed: u64,
}

pub(crate) fn run() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    let seen = Arc::new(Board::default());
    let recorder = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let seen = Arc::clone(&recorder);
            // The error of one connection must not end the target.
            std::thread::spawn(move || serve(stream, &seen));
        }
    });
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(&line?, &seen)?);
    }
    Ok(())
}

fn answer(question: &str, seen: &Board) -> Result<String> {
    let words: Vec<&str> = question.split_whitespace().collect();
    let mut state = seen.lock();
    Ok(match words[..] {
        ["reset"] => {
            state.requests.clear();
            state.latest.clear();
            state.wrong = 0;
            "ok".to_owned()
        }
        ["wait", count, seconds] => {
            state.wanted = count.parse().context("count")?;
            let limit = Duration::from_secs(seconds.parse().context("seconds")?);
            let waiting = |state: &mut State| state.requests.len() < state.wanted;
            let (state, _) =
                seen.enough.wait_timeout_while(state, limit, waiting).unwrap_or_else(PoisonError::into_inner);
            let time = |request: Option<&(u64, u128)>| request.map_or(0, |(_, time)| *time);
            let requests = &state.requests;
            format!("{} {} {}", requests.len(), time(requests.first()), time(requests.last()))
        }
        ["pause", milliseconds] => {
            state.pause = Duration::from_millis(milliseconds.parse().context("milliseconds")?);
            "ok".to_owned()
        }
        ["fail", share] => {
            (state.failing, state.failed) = (share.parse().context("share")?, 0);
            "ok".to_owned()
        }
        ["failed"] => state.failed.to_string(),
        ["order"] => format!("{} {}", state.latest.len(), state.wrong),
        ["times"] => state.requests.iter().fold(String::new(), |mut line, (n, time)| {
            let _ = write!(line, "{n}:{time} ");
            line
        }),
        _ => bail!("no question: {question}"),
    })
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_at(&self) -> Option<Instant> {
        Some(self.lock().pause).filter(|pause| !pause.is_zero()).map(|pause| Instant::now() + pause)
    }

    fn record(&self, head: &[u8]) -> bool {
        let number = find(head, b"cuk=").and_then(|at| messages::number_of(&head[at + 4..]));
        let address = find(head, b"10.").and_then(|at| messages::number_in_address(&head[at..]));
        let mut state = self.lock();
        if number.is_some_and(|number| state.failing > 0 && number.is_multiple_of(state.failing)) {
            state.failed += 1;
            return false;
        }
        if let (Some(key), Some(address)) = (number, address) {
            let latest = state.latest.entry(key).or_default();
            let late = address < *latest;
            *latest = address.max(*latest);
            state.wrong += usize::from(late);
        }
        state.requests.push((number.unwrap_or(u64::MAX), now()));
        if state.requests.len() == state.wanted {
            self.enough.notify_all();
        }
        true
    }
}

fn serve(mut stream: TcpStream, seen: &Board) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = find(&buffer, b"\r\n\r\n") {
                break end + 4;
            }
            let mut more = [0; 4096];
            let read = stream.read(&mut more)?;
            if read == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&more[..read]);
        };
        let answer_at = seen.answer_at();
        let is_success = seen.record(&buffer[..head]);
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let close = text.contains("\r\nconnection: close\r\n");
        let length = text
            .split_once("\r\ncontent-length:")
            .and_then(|(_, rest)| rest.split("\r\n").next()?.trim().parse().ok())
            .unwrap_or(0);
        while buffer.len() < head + length {
            let mut more = [0; 4096];
            let read = stream.read(&mut more)?;
            if read == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&more[..read]);
        }
        buffer.drain(..head + length);
        if let Some(at) = answer_at {
            let (never, condition) = (Mutex::new(()), Condvar::new());
            let mut guard = never.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(left) = at.checked_duration_since(Instant::now()) {
                guard =
                    condition.wait_timeout(guard, left).map_or_else(|e| e.into_inner().0, |(guard, _)| guard);
            }
        }
        let answer: &[u8] = if is_success {
            b"HTTP/1.1 204 No Content\r\n\r\n"
        } else {
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        };
        stream.write_all(answer)?;
        if close {
            return Ok(());
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
