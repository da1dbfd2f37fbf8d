use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use osnl::control::{
    ControlClient, ControlHandler, ControlRequest, LINES, LONGEST_REQUEST, ReloadResult, SocketPlace, Status,
    Store, socket_path,
};
use osnl::daemon::{Daemon, Reload, ReloadChanges, ReloadRefusal, ReloadScope};
use osnl::journal::memory::{MemoryJournal, MemoryLimits};
use osnl::metrics::Counters;
use osnl::shutdown::Shutdown;
use osnl_admin::answer_on;
use osnl_transport::BoxFuture;
use tempfile::TempDir;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::client::{ask_on, handler};

pub(crate) const SOON: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_millis(1500);
const JSON: &str = "Content-Type: application/json\r\n";

struct TestServer {
    folder: TempDir,
    task: JoinSet<()>,
    stop: CancellationToken,
}

impl TestServer {
    async fn start() -> Self {
        Self::over(handler(&Arc::default())).await
    }

    async fn over(handler: Arc<ControlHandler>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut task, stop) = (JoinSet::new(), CancellationToken::new());
        let place = SocketPlace { state_dir: folder.path().to_owned(), group: None };
        task.spawn(answer_on(place, handler, stop.clone()));
        let server = Self { folder, task, stop };
        let path = server.socket();
        spawn_blocking(move || osnl_testkit::wait_until(SOON, "the socket is there", || path.exists()))
            .await
            .unwrap();
        server
    }

    fn state_dir(&self) -> &Path {
        self.folder.path()
    }

    fn socket(&self) -> PathBuf {
        socket_path(self.state_dir())
    }

    async fn ask(&self, method: &str, path: &str, head: &str, body: &str) -> (u16, String) {
        let stream = tokio::net::UnixStream::connect(self.socket()).await.unwrap();
        ask_on(stream, "osnl", method, path, head, body).await
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
        assert!(!self.socket().exists());
    }
}

/// Looks each second; the time is paused, so that the server's own looks come at once.
async fn wait_until_it_is(there: bool, path: &Path) {
    for _ in 0..60 {
        if path.exists() == there {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{} exists: {}", path.display(), !there);
}

#[tokio::test]
async fn a_socket_that_is_removed_is_made_again() {
    let server = TestServer::start().await;
    tokio::time::pause();
    std::fs::remove_file(server.socket()).unwrap();
    wait_until_it_is(true, &server.socket()).await;
    tokio::time::resume();
    assert_eq!(server.ask("GET", "/api/v1/status", "", "").await.0, 200);
    server.end().await;
}

#[tokio::test]
async fn a_socket_that_cannot_be_made_at_the_start_is_made_later() {
    tokio::time::pause();
    let folder = tempfile::tempdir().unwrap();
    let path = socket_path(folder.path());
    std::fs::write(&path, "").unwrap();
    let place = SocketPlace { state_dir: folder.path().to_owned(), group: None };
    let (mut task, stop) = (JoinSet::new(), CancellationToken::new());
    task.spawn(answer_on(place, handler(&Arc::default()), stop.clone()));
    tokio::time::sleep(Duration::from_secs(30)).await;
    std::fs::remove_file(&path).unwrap();
    wait_until_it_is(true, &path).await;
    stop.cancel();
    task.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn broken_requests_get_an_answer_and_harm_nobody() {
    let server = TestServer::start().await;
    let check = async |method: &str, path: &str, body: &str, code: &str, expected: &str| {
        let (_, answer) = server.ask(method, &format!("/api/v1{path}"), JSON, body).await;
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{path}: {answer}");
        assert!(answer.contains(expected), "{path}: {answer}");
    };
    check("POST", "/reload", "nonsense", "bad-request", "not a JSON object").await;
    check("GET", "/deliveries/x", "", "bad-request", "write it as listed: 17.0").await;
    check("GET", "/deliveries?limit=0", "", "bad-request", "1 to 1000").await;
    check("GET", "/deliveries?state=lost", "", "bad-request", "allowed: ready, running").await;
    check("GET", "/deliveries?since=now", "", "bad-request", "is not a time").await;
    check("GET", "/nothing", "", "not-found", "openapi.json").await;
    check("GET", "/reload", "", "method", "POST").await;
    check("POST", "/reload", &"x".repeat(LONGEST_REQUEST + 1), "bad-request", "longer than 4194304 bytes")
        .await;
    check("POST", "/replay", r#"{"events": []}"#, "unsupported", "into a journal on disk").await;
    let discard = r#"{"filter": {}, "by": "eve"}"#;
    check(
        "POST",
        "/deliveries/discard",
        discard,
        "unsupported",
        "memory:// keeps nothing that could be changed",
    )
    .await;
    check("POST", "/actions/a/pause", r#"{"by": "eve"}"#, "not-found", "no action a").await;
    let (status, answer) = server.ask("GET", "/api/v1/status", "Osnl-Journal: %2Fj.db\r\n", "").await;
    assert!(status == 409 && answer.contains("in memory"), "{answer}");
    // No browser reaches a socket, so there is no page; a monitoring agent reads metrics.
    assert_eq!(server.ask("GET", "/", "", "").await.0, 404);
    assert_eq!(server.ask("GET", "/metrics", "", "").await.0, 200);

    // No HTTP, a client that goes away within its request, and a client that keeps its connection.
    let path = server.socket();
    spawn_blocking(move || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"{\"verb\": \"status\"}\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 400"), "{text}");
        UnixStream::connect(&path).unwrap().write_all(b"GET /api/v1/sta").unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        let get = |target: &str| format!("GET /api/v1/{target} HTTP/1.1\r\nHost: osnl\r\n\r\n");
        stream.write_all((get("nothing") + &get("status")).as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with("HTTP/1.1 404")));
        assert!(lines.any(|line| line.starts_with("HTTP/1.1 200")));
    })
    .await
    .unwrap();
    server.end().await;
}

#[tokio::test]
async fn many_clients_are_answered_and_those_that_say_nothing_keep_nobody_waiting() {
    let server = TestServer::start().await;
    let _silent: Vec<_> = (0..10).map(|_| UnixStream::connect(server.socket()).unwrap()).collect();
    let client = ControlClient::connect(server.state_dir(), SOON).unwrap();
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        asking.spawn(async move {
            for _ in 0..10 {
                let status: Status = client.ask(&ControlRequest::Status { look: false }, None).await.unwrap();
                assert!(status.healthy);
            }
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
    server.end().await;
}

#[tokio::test]
async fn idle_clients_give_way_to_a_command() {
    let server = TestServer::start().await;
    let path = server.socket();
    let silent =
        spawn_blocking(move || (0..400).map(|_| UnixStream::connect(&path).unwrap()).collect::<Vec<_>>());
    let silent = silent.await.unwrap();
    let client = ControlClient::connect(server.state_dir(), Duration::from_secs(3)).unwrap();
    let status: Status = client.ask(&ControlRequest::Status { look: false }, None).await.unwrap();
    assert!(status.healthy);
    // The first ones have ended before their time.
    let read = spawn_blocking(move || {
        let mut first = &silent[0];
        first.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        first.read(&mut [0]).unwrap()
    });
    assert_eq!(read.await.unwrap(), 0);
    server.end().await;
}

struct SlowReload(CancellationToken);

impl Reload for SlowReload {
    fn prepare(
        self: Box<Self>,
        _: ReloadScope,
    ) -> BoxFuture<'static, (Box<dyn Reload>, Result<ReloadChanges, ReloadRefusal>)> {
        Box::pin(async move {
            self.0.cancelled().await;
            (self as Box<dyn Reload>, Ok(ReloadChanges::default()))
        })
    }

    fn commit(&mut self) {}
}

struct SlowDaemon {
    server: TestServer,
    end: CancellationToken,
    shutdown: Shutdown,
    task: JoinSet<bool>,
}

impl SlowDaemon {
    async fn start() -> Self {
        let counters = Arc::<Counters>::default();
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), counters.clone()));
        let (end, shutdown, mut task) = (CancellationToken::new(), Shutdown::new(), JoinSet::new());
        let daemon = Daemon::new(Vec::new(), Vec::new(), journal.clone());
        let daemon = daemon.with_reload(Box::new(SlowReload(end.clone())), counters.clone());
        let store = Store::for_memory(journal, Arc::default());
        let handler = Arc::new(ControlHandler::for_daemon(store, daemon.state(), counters));
        let stop = shutdown.clone();
        task.spawn(async move { daemon.run(&stop, SOON).await.is_ok() });
        Self { server: TestServer::over(handler).await, end, shutdown, task }
    }

    async fn end(mut self) {
        self.end.cancel();
        self.shutdown.drain.cancel();
        assert!(self.task.join_next().await.unwrap().unwrap());
        self.server.end().await;
    }
}

fn reload(socket: &Path) -> impl Iterator<Item = String> + use<> {
    let mut stream = UnixStream::connect(socket).unwrap();
    let head = format!(
        "POST /api/v1/reload HTTP/1.1\r\nHost: osnl\r\nAccept: {LINES}\r\n{JSON}Content-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    BufReader::new(stream).lines().map(Result::unwrap)
}

/// 18.1: the time-out bounds silence, and a request may take longer while the daemon sends lines.
#[tokio::test]
async fn a_request_that_takes_longer_than_the_patience_gets_its_answer() {
    let daemon = SlowDaemon::start().await;
    let client = ControlClient::connect(daemon.server.state_dir(), PATIENCE).unwrap();
    let begun = Instant::now();
    let (path, end) = (daemon.server.socket(), daemon.end.clone());
    // Another client has the same wait, and ends both waits after sixteen lines.
    let watching = spawn_blocking(move || {
        // An empty line is a chunk of one byte.
        let mut lines = reload(&path).filter(|line| line == "1");
        assert!(lines.next().is_some());
        // Silent clients do not end a request under way.
        let silent: Vec<_> = (0..200).map(|_| UnixStream::connect(&path).unwrap()).collect();
        assert_eq!(lines.take(15).count(), 15);
        end.cancel();
        silent
    });
    let request = ControlRequest::Reload { by: "eve".to_owned() };
    let (done, silent) = tokio::join!(client.ask::<ReloadResult>(&request, None), watching);
    let done = done.unwrap();
    assert!(done.reloaded && begun.elapsed() > PATIENCE * 2, "{done:?} after {:?}", begun.elapsed());
    drop(silent.unwrap());
    daemon.end().await;
}

#[tokio::test]
async fn a_client_too_many_is_told_to_come_again() {
    let daemon = SlowDaemon::start().await;
    let path = daemon.server.socket();
    let busy = spawn_blocking(move || {
        let mut busy: Vec<_> = (0..64).map(|_| reload(&path)).collect();
        assert!(busy.iter_mut().all(|lines| lines.next().unwrap() == "HTTP/1.1 200 OK"));
        busy
    });
    let busy = busy.await.unwrap();
    let (status, answer) = daemon.server.ask("GET", "/api/v1/status", "", "").await;
    assert!(status == 503 && answer.contains("ask again in a moment"), "{status} {answer}");
    drop(busy);
    daemon.end().await;
}
