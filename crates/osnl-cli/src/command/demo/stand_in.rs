//! A stand-in for K2HR3's role API: `DELETE /v1/role?cuk=…&host=[…]`, answered as K2HR3 answers it.
//!
//! | request | answer |
//! | --- | --- |
//! | a host's addresses, some of them, or (without `host`) all | 204, and they are forgotten |
//! | an unknown host or address | 204, as from K2HR3: repeating is safe |
//! | no `cuk` | 400 |
//! | anything else | 404 |
//!
//! It speaks just enough HTTP/1.1 for requests without a body, on 127.0.0.1 only.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::recording::Host;
use super::story::{Story, Tone};

const PATH: &str = "/v1/role";
/// Longer heads end the connection.
const MAX_HEAD: usize = 16 * 1024;

/// Addresses by instance.
type Hosts = BTreeMap<String, Vec<String>>;

/// A server that answers as long as the runtime lives.
pub(super) struct StandIn {
    url: String,
    at_first: (usize, usize),
    role: Arc<Role>,
}

struct Role {
    story: Arc<Story>,
    /// Every how many requests one fails; 0 for never.
    fail: u32,
    state: Mutex<State>,
}

struct State {
    hosts: Hosts,
    requests: u32,
    /// Request targets that have failed: none fails twice.
    failed: HashSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    NoContent,
    BadRequest,
    NotFound,
    Unavailable,
}

impl StandIn {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn start(
        hosts: &[Host],
        fail: u32,
        story: &Arc<Story>,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port on 127.0.0.1")?;
        let url = format!("http://{}{PATH}", listener.local_addr()?);
        let hosts: Hosts = hosts.iter().map(|host| (host.cuk.clone(), host.addresses.clone())).collect();
        let at_first = (hosts.len(), hosts.values().map(Vec::len).sum());
        let state = Mutex::new(State { hosts, requests: 0, failed: HashSet::new() });
        let role = Arc::new(Role { story: story.clone(), fail, state });
        let (server, connections) = (role.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let role = server.clone();
                connections.spawn(async move { role.serve(stream).await });
            }
        });
        Ok(Self { url, at_first, role })
    }

    /// What is written as `api_url`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How many hosts and addresses there were.
    pub(super) fn at_first(&self) -> (usize, usize) {
        self.at_first
    }

    /// What it holds now.
    pub(super) fn hosts(&self) -> Hosts {
        self.role.lock().hosts.clone()
    }
}

impl Role {
    /// Answers one request after the other, until the client closes or does not speak HTTP.
    async fn serve(&self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        loop {
            let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
                match stream.read_buf(&mut buffer).await {
                    Ok(1..) if buffer.len() <= MAX_HEAD => continue,
                    Ok(_) | Err(_) => return,
                }
            };
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head);
            let mut words = head.lines().next().unwrap_or_default().split(' ');
            let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
            let answer = self.answer(method, target);
            if stream.write_all(answer.bytes()).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, target: &str) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameter = |name: &str| {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
            Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        let cuk = parameter("cuk").unwrap_or_default();
        let number = self.story.under_way(&cuk);
        self.story.line(number, "request", Tone::Plain, &format!("{method} {target}"));
        let (answer, effect) = if (method, path) != ("DELETE", PATH) {
            (Answer::NotFound, "no such route".to_owned())
        } else if cuk.is_empty() {
            (Answer::BadRequest, "no cuk".to_owned())
        } else if self.lock().fails(target, self.fail) {
            (Answer::Unavailable, format!("made to fail, once (--fail {})", self.fail))
        } else {
            let forgotten = self.lock().forget(&cuk, parameter("host").as_deref());
            let effect = if forgotten.is_empty() {
                "nothing to forget".to_owned()
            } else {
                format!("forgets {}", forgotten.join(", "))
            };
            (Answer::NoContent, effect)
        };
        self.story.line(number, "answer", Tone::Plain, &format!("{}: {effect}", answer.status()));
        answer
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a request; whether it is one of those that fail.
    fn fails(&mut self, target: &str, every: u32) -> bool {
        self.requests += 1;
        every > 0 && self.requests.is_multiple_of(every) && self.failed.insert(target.to_owned())
    }

    /// Forgets addresses of a host: those of the JSON list `host`, without it all. Gives them.
    fn forget(&mut self, cuk: &str, host: Option<&str>) -> Vec<String> {
        let Some(addresses) = self.hosts.get_mut(cuk) else { return Vec::new() };
        let asked: Option<Vec<String>> =
            host.map(|host| serde_json::from_str(host).unwrap_or_else(|_| vec![host.to_owned()]));
        let (forgotten, kept): (Vec<String>, Vec<String>) = addresses
            .drain(..)
            .partition(|address| asked.as_ref().is_none_or(|asked| asked.contains(address)));
        if kept.is_empty() {
            self.hosts.remove(cuk);
        } else {
            *addresses = kept;
        }
        forgotten
    }
}

impl Answer {
    fn status(self) -> &'static str {
        match self {
            Self::NoContent => "204 No Content",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::Unavailable => "503 Service Unavailable",
        }
    }

    /// The whole answer. 204 has no length, the others have no body.
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::NoContent => b"HTTP/1.1 204 No Content\r\n\r\n",
            Self::BadRequest => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            Self::NotFound => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            Self::Unavailable => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        }
    }
}
