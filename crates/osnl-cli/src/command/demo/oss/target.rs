//! A stand-in for oss_watcher's target, on 127.0.0.1 only: keeps the addresses that it was sent and that were not
//! released.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::super::requests::Requests;
use super::super::story::Story;
use super::super::voice::Tone;

/// A server that answers as long as the runtime lives.
pub(super) struct DemoTarget {
    port: u16,
    server: Arc<OssServer>,
    _tasks: TaskTracker,
}

struct OssServer {
    story: Arc<Story>,
    fail: u32,
    state: Mutex<Addresses>,
}

#[derive(Default)]
struct Addresses {
    held: BTreeSet<String>,
    asked: u32,
    answered: u32,
    failed: HashSet<String>,
}

impl DemoTarget {
    /// Listens on a free port. Every `fail`th request fails once, 0 for none.
    pub(super) async fn start(fail: u32, story: Arc<Story>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let server = Arc::new(OssServer { story, fail, state: Mutex::default() });
        let (serving, tasks) = (server.clone(), TaskTracker::new());
        let connections = tasks.clone();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                connections.spawn(async move { server.serve(stream).await });
            }
        });
        Ok(Self { port, server, _tasks: tasks })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Addresses that came and have not gone.
    pub(super) fn held(&self) -> Vec<String> {
        self.server.state().held.iter().cloned().collect()
    }

    pub(super) fn answered(&self) -> u32 {
        self.server.state().answered
    }

    pub(super) fn failed(&self) -> usize {
        self.server.state().failed.len()
    }
}

impl OssServer {
    fn state(&self) -> MutexGuard<'_, Addresses> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request after the other, until the client closes or does not speak HTTP.
    async fn serve(&self, stream: TcpStream) {
        let mut requests = Requests::of(stream);
        while let Some(request) = requests.next().await {
            let answer = self.answer(&request.head, &request.body);
            if requests.stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, head: &str, body: &[u8]) -> &'static str {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let key = head.lines().find_map(|line| line.strip_prefix("Idempotency-Key: ")).unwrap_or_default();
        let text = String::from_utf8_lossy(body);
        self.story.line(None, "request", Tone::Plain, &format!("POST {path} {text}"));
        let mut state = self.state();
        state.asked += 1;
        if self.fail > 0 && state.asked.is_multiple_of(self.fail) && state.failed.insert(key.to_owned()) {
            self.story.line(None, "answer", Tone::Bad, "503: made to fail, once (--fail)");
            return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        }
        state.answered += 1;
        let node: Value = serde_json::from_slice(body).unwrap_or_default();
        let ip = node["IP"].as_str().unwrap_or("null").to_owned();
        let told = match path {
            "/some_url" if state.held.insert(ip.clone()) => format!("200: {ip} has come"),
            "/some_url" => format!("200: {ip} was here already"),
            _ if state.held.remove(&ip) => format!("200: {ip} has gone"),
            _ => format!("200: {ip} was not here"),
        };
        self.story.line(None, "answer", Tone::Good, &told);
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    }
}
