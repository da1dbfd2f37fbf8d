//! A stand-in for the target, on 127.0.0.1 only: keeps hosts and answers the requests of its [`Scenario`].
//!
//! | request | answer |
//! | --- | --- |
//! | a host that is, or all or some addresses of one that goes | 204; repeating is safe, as with K2HR3 |
//! | no host named | 400 |
//! | another route | 404 |
//!
//! Every Nth request fails once, in one of three ways that a seed chooses (`roles.rs`). The hosts of K2HR3 register
//! themselves here without HTTP: that scenario is about their end.

mod roles;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use self::roles::{Roles, StandInFault};
pub(super) use self::roles::{StandInHost, StandInHosts};
use super::requests::{DemoRequest, Requests};
use super::scenario::{HostRequest, Scenario};
use super::story::Story;
use super::voice::Tone;

/// The delay of a late answer: longer than the demo's delivery waits for any.
const LATE: Duration = Duration::from_secs(10);

/// A server that answers as long as the runtime lives.
pub(super) struct StandIn {
    url: String,
    at_first: (usize, usize),
    server: Arc<StandInServer>,
}

struct StandInServer {
    scenario: Scenario,
    story: Arc<Story>,
    fail: u32,
    roles: Mutex<Roles>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StandInAnswer {
    NoContent,
    BadRequest,
    NotFound,
    Fails(StandInFault),
}

impl StandIn {
    /// Listens on a free port of 127.0.0.1. Every `fail`th request fails once, 0 for none; how, `seed` says.
    ///
    /// # Errors
    /// There is no free port.
    pub(super) async fn start(
        scenario: Scenario,
        hosts: StandInHosts,
        (fail, seed): (u32, u64),
        story: &Arc<Story>,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port on 127.0.0.1")?;
        let url = format!("http://{}{}", listener.local_addr()?, scenario.path());
        let roles = Roles::new(hosts, fail, seed);
        let at_first = roles.size();
        let server =
            Arc::new(StandInServer { scenario, story: story.clone(), fail, roles: Mutex::new(roles) });
        let (serving, connections) = (server.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                connections.spawn(async move { server.serve(stream).await });
            }
        });
        Ok(Self { url, at_first, server })
    }

    /// The URL of its list of hosts.
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
    pub(super) fn hosts(&self) -> StandInHosts {
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
            &format!("{name} at {}", addresses.join(", ")),
        );
        self.server.roles().register(cuk, name, addresses);
    }

    /// The last answer, if that was a failure.
    pub(super) fn failing(&self) -> Option<&'static str> {
        self.server.roles().failing().map(StandInFault::text)
    }
}

impl StandInServer {
    /// Answers one request, and closes: on a connection that is kept, the client would repeat a request that was not
    /// answered by itself, and no failure would be seen.
    async fn serve(&self, stream: TcpStream) {
        let mut requests = Requests::of(stream);
        let Some(request) = requests.next().await else { return };
        let answer = self.answer(&request);
        if answer == StandInAnswer::Fails(StandInFault::Late) {
            // The client gives up and closes before anything is sent.
            let _ = tokio::time::timeout(LATE, requests.stream.read_u8()).await;
        }
        let _ = requests.stream.write_all(answer.bytes()).await;
    }

    fn answer(&self, request: &DemoRequest) -> StandInAnswer {
        let (method, target) = request.line().unwrap_or_default();
        let wanted = self.scenario.read(method, target, &request.body);
        let number = match &wanted {
            Some(HostRequest::Put { id, .. } | HostRequest::Delete { id, .. }) => self.story.under_way(id),
            Some(HostRequest::Incomplete) | None => None,
        };
        let line = format!("{method} {target} {}", String::from_utf8_lossy(&request.body));
        self.story.line(number, "request", Tone::Plain, line.trim_end());
        let (answer, effect) = match wanted {
            None => (StandInAnswer::NotFound, "no such route".to_owned()),
            Some(HostRequest::Incomplete) => (StandInAnswer::BadRequest, "no host".to_owned()),
            Some(wanted) => {
                let fault = self.roles().fault(&format!("{method} {target}"));
                match fault {
                    None => (StandInAnswer::NoContent, self.carry_out(wanted)),
                    // Done, and the client does not learn it: the next attempt finds it done.
                    Some(StandInFault::Late) => {
                        (StandInAnswer::Fails(StandInFault::Late), self.carry_out(wanted))
                    }
                    Some(fault @ (StandInFault::Unavailable | StandInFault::Reset)) => {
                        (StandInAnswer::Fails(fault), format!("made to fail, once (--fail {})", self.fail))
                    }
                }
            }
        };
        self.story.line(number, "answer", Tone::Plain, &format!("{}: {effect}", answer.status()));
        answer
    }

    /// Does what is asked, and tells what changed.
    fn carry_out(&self, wanted: HostRequest) -> String {
        match wanted {
            HostRequest::Put { id, name, addresses } => {
                let known = self.roles().hosts().contains_key(&id);
                self.roles().register(&id, &name, &addresses);
                let verb = if known { "already lists" } else { "lists" };
                format!("{verb} {name} at {}", addresses.join(", "))
            }
            HostRequest::Delete { id, addresses } => {
                let forgotten = self.roles().forget(&id, addresses.as_deref());
                match forgotten.is_empty() {
                    true => "nothing to remove".to_owned(),
                    false => format!("removes {}", forgotten.join(", ")),
                }
            }
            HostRequest::Incomplete => "no host".to_owned(),
        }
    }

    fn roles(&self) -> MutexGuard<'_, Roles> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StandInAnswer {
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
            Self::NoContent => b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            Self::BadRequest => b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            Self::NotFound => b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            Self::Fails(StandInFault::Unavailable) => {
                b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            }
            Self::Fails(StandInFault::Reset | StandInFault::Late) => b"",
        }
    }
}
