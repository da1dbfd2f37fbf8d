//! A stand-in for the target, on 127.0.0.1 only: an inventory of hosts with a REST interface.
//!
//! | request | answer |
//! | --- | --- |
//! | `PUT /api/hosts/ID` with name and addresses, `DELETE /api/hosts/ID` | 204; repeating is safe |
//! | no host named | 400 |
//! | another route | 404 |
//!
//! Every Nth request fails once, in one of three ways that a seed chooses (`inventory.rs`).

mod inventory;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use self::inventory::{Inventory, StandInFault};
pub(super) use self::inventory::{StandInHost, StandInHosts};
use super::printer::Tone;
use super::requests::{DemoRequest, Requests};
use super::story::Story;

const PATH: &str = "/api/hosts";

const LATE: Duration = Duration::from_secs(10);

pub(super) struct StandIn {
    url: String,
    at_first: (usize, usize),
    server: Arc<StandInServer>,
}

struct StandInServer {
    story: Arc<Story>,
    fail: u32,
    inventory: Mutex<Inventory>,
}

#[derive(Debug, PartialEq, Eq)]
enum HostRequest {
    Put { id: String, name: String, addresses: Vec<String> },
    Delete(String),
    Incomplete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StandInAnswer {
    NoContent,
    BadRequest,
    NotFound,
    Fails(StandInFault),
}

impl StandIn {
    /// Listens on a free port of 127.0.0.1. Every `fail`th request fails once, 0 for none; `seed`
    /// chooses the kind of failure.
    pub(super) async fn start(
        hosts: StandInHosts,
        (fail, seed): (u32, u64),
        story: &Arc<Story>,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port on 127.0.0.1")?;
        let url = format!("http://{}{}", listener.local_addr()?, PATH);
        let inventory = Inventory::new(hosts, fail, seed);
        let at_first = inventory.size();
        let server = Arc::new(StandInServer { story: story.clone(), fail, inventory: Mutex::new(inventory) });
        let (serving, connections) = (server.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                connections.spawn(async move { server.serve(stream).await });
            }
        });
        Ok(Self { url, at_first, server })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn at_first(&self) -> (usize, usize) {
        self.at_first
    }

    pub(super) fn size(&self) -> (usize, usize) {
        self.server.inventory().size()
    }

    pub(super) fn hosts(&self) -> StandInHosts {
        self.server.inventory().hosts().clone()
    }

    pub(super) fn added(&self) -> usize {
        self.server.inventory().added()
    }
}

impl StandInServer {
    /// Answers one request, and closes the connection. On a kept connection the HTTP client would
    /// repeat an unanswered request by itself, and the demo would show no failure.
    async fn serve(&self, stream: TcpStream) {
        let mut requests = Requests::new(stream);
        let Some(request) = requests.next().await else { return };
        let answer = self.answer(&request);
        if answer == StandInAnswer::Fails(StandInFault::Late) {
            // The client times out and closes the connection before this answer.
            let _ = tokio::time::timeout(LATE, requests.stream.read_u8()).await;
        }
        let _ = requests.stream.write_all(answer.bytes()).await;
    }

    fn answer(&self, request: &DemoRequest) -> StandInAnswer {
        let (method, target) = request.line().unwrap_or_default();
        let wanted = read(method, target, &request.body);
        let number = match &wanted {
            Some(HostRequest::Put { id, .. } | HostRequest::Delete(id)) => self.story.under_way(id),
            Some(HostRequest::Incomplete) | None => None,
        };
        let line = format!("{method} {target} {}", String::from_utf8_lossy(&request.body));
        self.story.line(number, "request", Tone::Plain, line.trim_end());
        let (answer, effect) = match wanted {
            None => (StandInAnswer::NotFound, "no such route".to_owned()),
            Some(HostRequest::Incomplete) => (StandInAnswer::BadRequest, "no host".to_owned()),
            Some(wanted) => {
                let fault = self.inventory().fault(&format!("{method} {target}"));
                match fault {
                    None => (StandInAnswer::NoContent, self.carry_out(wanted)),
                    // The change is made although the client times out, so the retry finds its work
                    // done.
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

    fn carry_out(&self, wanted: HostRequest) -> String {
        match wanted {
            HostRequest::Put { id, name, addresses } => {
                let known = self.inventory().hosts().contains_key(&id);
                self.inventory().put(&id, &name, &addresses);
                let verb = if known { "already lists" } else { "lists" };
                format!("{verb} {name} at {}", addresses.join(", "))
            }
            HostRequest::Delete(id) => {
                let forgotten = self.inventory().forget(&id);
                match forgotten.is_empty() {
                    true => "nothing to remove".to_owned(),
                    false => format!("removes {}", forgotten.join(", ")),
                }
            }
            HostRequest::Incomplete => "no host".to_owned(),
        }
    }

    fn inventory(&self) -> MutexGuard<'_, Inventory> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
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

fn read(method: &str, target: &str, body: &[u8]) -> Option<HostRequest> {
    let id = target.strip_prefix(PATH)?.strip_prefix('/').unwrap_or_default().to_owned();
    match method {
        "PUT" | "DELETE" if id.is_empty() => Some(HostRequest::Incomplete),
        "DELETE" => Some(HostRequest::Delete(id)),
        "PUT" => {
            let host: Value = serde_json::from_slice(body).unwrap_or_default();
            let Some(name) = host["name"].as_str() else { return Some(HostRequest::Incomplete) };
            let addresses = host["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
            let addresses = addresses.iter().filter_map(|address| Some(address.as_str()?.to_owned()));
            Some(HostRequest::Put { id, name: name.to_owned(), addresses: addresses.collect() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_reads_the_requests_of_its_api_only() {
        let put =
            HostRequest::Put { id: "a".into(), name: "web-1".into(), addresses: vec!["10.0.0.1".into()] };
        let body = r#"{"name": "web-1", "addresses": ["10.0.0.1", null]}"#;
        for (method, target, body, expected) in [
            ("PUT", "/api/hosts/a", body, Some(put)),
            ("PUT", "/api/hosts/a", "{", Some(HostRequest::Incomplete)),
            ("DELETE", "/api/hosts/a", "", Some(HostRequest::Delete("a".into()))),
            ("DELETE", "/api/hosts/", "", Some(HostRequest::Incomplete)),
            ("GET", "/api/hosts/a", "", None),
            ("DELETE", "/v1/role?cuk=a", "", None),
        ] {
            assert_eq!(read(method, target, body.as_bytes()), expected, "{method} {target}");
        }
    }
}
