//! A stand-in for K2HR3's role API: `DELETE /v1/role?cuk=…&host=[…]`, answered as K2HR3 answers it.
//!
//! | request | answer |
//! | --- | --- |
//! | a host's addresses, some of them, or (without `host`) all | 204, and they are forgotten |
//! | an unknown host or address | 204, as from K2HR3: repeating is safe |
//! | no `cuk` | 400 |
//! | anything else | 404 |
//!
//! Every Nth request fails once, in one of three ways that a seed chooses (`roles.rs`). Hosts register
//! themselves here without HTTP: the demo is about their end.
//!
//! It speaks just enough HTTP/1.1 for requests without a body, on 127.0.0.1 only.

mod roles;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use self::roles::{Fault, Roles};
pub(super) use self::roles::{Host, Hosts};
use super::story::Story;
use super::voice::Tone;

const PATH: &str = "/v1/role";
/// Longer heads end the connection.
const MAX_HEAD: usize = 16 * 1024;
/// The delay of a late answer: longer than the demo's delivery waits for any.
const LATE: Duration = Duration::from_secs(10);

/// A server that answers as long as the runtime lives.
pub(super) struct StandIn {
    url: String,
    at_first: (usize, usize),
    server: Arc<Server>,
}

struct Server {
    story: Arc<Story>,
    fail: u32,
    roles: Mutex<Roles>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    NoContent,
    BadRequest,
    NotFound,
    Fails(Fault),
}

impl StandIn {
    /// Listens on a free port of 127.0.0.1. Every `fail`th request fails once, 0 for none; how, `seed` says.
    ///
    /// # Errors
    /// There is no free port.
    pub(super) async fn start(
        hosts: Hosts,
        (fail, seed): (u32, u64),
        story: &Arc<Story>,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port on 127.0.0.1")?;
        let url = format!("http://{}{PATH}", listener.local_addr()?);
        let roles = Roles::new(hosts, fail, seed);
        let at_first = roles.size();
        let server = Arc::new(Server { story: story.clone(), fail, roles: Mutex::new(roles) });
        let (serving, connections) = (server.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                connections.spawn(async move { server.serve(stream).await });
            }
        });
        Ok(Self { url, at_first, server })
    }

    /// The value of `api_url`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The numbers of hosts and addresses at the start.
    pub(super) fn at_first(&self) -> (usize, usize) {
        self.at_first
    }

    /// The numbers of hosts and addresses now.
    pub(super) fn size(&self) -> (usize, usize) {
        self.server.roles().size()
    }

    /// The hosts that it holds now, by `cuk`.
    pub(super) fn hosts(&self) -> Hosts {
        self.server.roles().hosts().clone()
    }

    /// Names of hosts that are gone, the last one last.
    pub(super) fn gone(&self) -> Vec<String> {
        self.server.roles().gone().to_vec()
    }

    /// Hosts that registered themselves.
    pub(super) fn registered(&self) -> usize {
        self.server.roles().registered()
    }

    /// A host registers itself, or another address of it.
    pub(super) fn register(&self, cuk: &str, name: &str, addresses: &[String]) {
        self.server.story.line(
            None,
            "registers",
            Tone::Plain,
            &format!("{name} with K2HR3, at {}", addresses.join(", ")),
        );
        self.server.roles().register(cuk, name, addresses);
    }

    /// The last answer, if that was a failure.
    pub(super) fn failing(&self) -> Option<&'static str> {
        self.server.roles().failing().map(Fault::text)
    }
}

impl Server {
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
            match answer {
                Answer::Fails(Fault::Reset) => return,
                Answer::Fails(Fault::Late) => {
                    // The client gives up and closes; nobody reads what would come after that.
                    let _ = tokio::time::timeout(LATE, stream.read_buf(&mut buffer)).await;
                    return;
                }
                Answer::NoContent
                | Answer::BadRequest
                | Answer::NotFound
                | Answer::Fails(Fault::Unavailable) => {}
            }
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
        let forget = || {
            let forgotten = self.roles().forget(&cuk, parameter("host").as_deref());
            if forgotten.is_empty() {
                "nothing to forget".to_owned()
            } else {
                format!("forgets {}", forgotten.join(", "))
            }
        };
        let (answer, effect) = if (method, path) != ("DELETE", PATH) {
            (Answer::NotFound, "no such route".to_owned())
        } else if cuk.is_empty() {
            (Answer::BadRequest, "no cuk".to_owned())
        } else {
            let fault = self.roles().fault(target);
            match fault {
                None => (Answer::NoContent, forget()),
                // Done, and nobody hears of it: the next attempt will find nothing to forget.
                Some(Fault::Late) => (Answer::Fails(Fault::Late), forget()),
                Some(fault @ (Fault::Unavailable | Fault::Reset)) => {
                    (Answer::Fails(fault), format!("made to fail, once (--fail {})", self.fail))
                }
            }
        };
        self.story.line(number, "answer", Tone::Plain, &format!("{}: {effect}", answer.status()));
        answer
    }

    fn roles(&self) -> MutexGuard<'_, Roles> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn status(self) -> &'static str {
        match self {
            Self::NoContent => "204 No Content",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::Fails(fault) => fault.text(),
        }
    }

    /// The whole answer. 204 has no length, the others have no body.
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::NoContent => b"HTTP/1.1 204 No Content\r\n\r\n",
            Self::BadRequest => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            Self::NotFound => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            Self::Fails(Fault::Unavailable) => {
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
            }
            Self::Fails(Fault::Reset | Fault::Late) => b"",
        }
    }
}
