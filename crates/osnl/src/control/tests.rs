//! The socket and the handler, with a daemon that has nothing to do.

mod quarantine;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::daemon::DaemonState;
use crate::journal::memory::{MemoryJournal, MemoryLimits};

const SOON: std::time::Duration = std::time::Duration::from_secs(20);

struct TestServer {
    task: JoinSet<()>,
    stop: CancellationToken,
}

fn handler() -> Arc<ControlHandler> {
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), Arc::default()));
    Arc::new(ControlHandler::of_daemon(
        Store::Memory(journal, Arc::default()),
        Arc::new(DaemonState::new(&[], &[])),
        Arc::default(),
    ))
}

impl TestServer {
    async fn start(state_dir: &Path) -> Self {
        let serving = Self::begin(state_dir);
        let path = state_dir.to_owned();
        blocking(move || {
            osnl_testkit::wait_until(std::time::Duration::from_secs(10), "the socket answers", || {
                ControlClient::connect(&path, SOON).is_ok()
            });
        })
        .await;
        serving
    }

    fn begin(state_dir: &Path) -> Self {
        let (mut task, stop) = (JoinSet::new(), CancellationToken::new());
        task.spawn(ControlSocket::new(state_dir.to_owned(), handler()).run(stop.clone()));
        Self { task, stop }
    }

    async fn end(mut self) {
        self.stop.cancel();
        while self.task.join_next().await.is_some() {}
    }
}

async fn blocking<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(what).await.unwrap()
}

/// Sends bytes as they are, and reads one line.
async fn say(state_dir: &Path, bytes: Vec<u8>) -> Value {
    let path = socket_path(state_dir);
    blocking(move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    })
    .await
}

#[tokio::test]
async fn the_socket_is_ours_alone_and_goes_with_us() {
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().join("made/here");
    let serving = TestServer::start(&state_dir).await;
    let path = socket_path(&state_dir);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&state_dir)), (0o600, 0o700));
    serving.end().await;
    assert!(!path.exists());
    assert_eq!(std::fs::read_dir(&state_dir).unwrap().count(), 0);
}

/// Issue 19: between `bind` and `chmod` any user could connect.
#[tokio::test]
async fn a_socket_has_its_mode_before_it_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _socket = bind_private(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(bind_private(&path).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    let long = folder.path().join("x".repeat(200));
    assert_eq!(bind_private(&long).unwrap_err().kind(), std::io::ErrorKind::InvalidFilename);
}

#[tokio::test]
async fn one_that_nobody_answers_is_replaced_and_one_that_answers_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_path(folder.path());
    // What a daemon that was killed leaves.
    drop(UnixListener::bind(&path).unwrap());
    let first = TestServer::start(folder.path()).await;
    let mut second = TestServer::begin(folder.path());
    // It runs without, and ends here only because it has nothing to do.
    second.task.join_next().await.unwrap().unwrap();
    assert!(say(folder.path(), b"{\"v\": 1, \"verb\": \"status\"}\n".to_vec()).await["ok"].is_object());
    // Another has taken the name meanwhile: it is not ours to remove.
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    first.end().await;
    assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(socket_path(folder.path()), "a file of somebody's").unwrap();
    let mut refused = TestServer::begin(folder.path());
    refused.task.join_next().await.unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(socket_path(folder.path())).unwrap(), "a file of somebody's");
}

#[tokio::test]
async fn a_folder_whose_path_is_longer_than_an_address_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let state_dir = folder.path().join("d".repeat(90)).join("e".repeat(90));
    let serving = TestServer::start(&state_dir).await;
    let asked = state_dir.clone();
    let answer = blocking(move || {
        ControlClient::connect(&asked, SOON).unwrap().ask(&ControlRequest::Status {}, None).unwrap()
    })
    .await;
    assert_eq!(answer["running"], true);
    // A second daemon finds that the place is taken, by the same way round.
    let mut second = TestServer::begin(&state_dir);
    second.task.join_next().await.unwrap().unwrap();
    serving.end().await;
    assert!(!socket_path(&state_dir).exists());
}

#[tokio::test]
async fn broken_requests_get_an_answer_and_harm_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let serving = TestServer::start(folder.path()).await;
    let check = async |bytes: &[u8], code: &str, expected: &str| {
        let answer = say(folder.path(), bytes.to_vec()).await;
        assert_eq!((&answer["v"], &answer["error"]["code"]), (&json!(1), &json!(code)), "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    };
    check(b"\n", "bad-request", "not a JSON object").await;
    check(b"\xff\xfe\n", "bad-request", "not a JSON object").await;
    check(b"{\"v\": 1, \"verb\": \"reload\"}\n", "bad-request", "missing field `by`").await;
    check(b"{\"v\": 1, \"verb\": \"show\", \"id\": \"x\"}\n", "bad-request", "write it as listed: 17.0")
        .await;
    check(b"{\"v\": 1, \"verb\": \"list\", \"limit\": 0}\n", "bad-request", "1 to 1000").await;
    let states = b"{\"v\": 1, \"verb\": \"list\", \"filter\": {\"states\": [\"lost\"]}}\n";
    check(states, "bad-request", "allowed: arrived, ready, running").await;
    let since = b"{\"v\": 1, \"verb\": \"list\", \"filter\": {\"since\": \"now\"}}\n";
    check(since, "bad-request", "\"now\" is not a time").await;
    check(&vec![b'x'; LONGEST_REQUEST + 1], "bad-request", "longer than 4194304 bytes").await;
    let replay = b"{\"v\": 1, \"verb\": \"replay\", \"events\": [], \"by\": \"eve\"}\n";
    check(replay, "unsupported", "into a journal on disk").await;
    let discard = b"{\"v\": 1, \"verb\": \"discard\", \"filter\": {}, \"by\": \"eve\"}\n";
    check(discard, "unsupported", "memory:// keeps nothing that could be changed").await;
    check(
        b"{\"v\": 1, \"verb\": \"pause\", \"action\": \"a\", \"by\": \"eve\"}\n",
        "not-found",
        "no action a",
    )
    .await;
    let other = b"{\"v\": 1, \"verb\": \"status\", \"journal\": \"/j.db\"}\n";
    check(other, "other-journal", "in memory").await;

    // A client that goes away in the middle, and one that keeps its connection after a mistake.
    let path = socket_path(folder.path());
    blocking(move || {
        UnixStream::connect(&path).unwrap().write_all(b"{\"v\": 1, \"ver").unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"nonsense\n{\"v\": 1, \"verb\": \"status\"}\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0]["error"].is_object() && lines[1]["ok"].is_object());
    })
    .await;
    serving.end().await;
}

#[tokio::test]
async fn many_clients_are_answered_and_those_that_say_nothing_keep_nobody_waiting() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let serving = TestServer::start(folder.path()).await;
    let path = folder.path().to_owned();
    blocking(move || {
        let _silent: Vec<_> = (0..10).map(|_| ControlClient::connect(&path, SOON).unwrap()).collect();
        // More than are served at once: the others wait for their turn.
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || {
                    let mut client = ControlClient::connect(&path, SOON).unwrap();
                    for _ in 0..10 {
                        let status: Status = client.ask_for(&ControlRequest::Status {}, None).unwrap();
                        assert!(status.healthy);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    })
    .await;
    serving.end().await;
}

/// Issue 46: the oldest idle client gives way, however many there are.
#[tokio::test]
async fn idle_clients_give_way_to_a_command() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let serving = TestServer::start(folder.path()).await;
    let path = folder.path().to_owned();
    blocking(move || {
        let connect = |_| UnixStream::connect(socket_path(&path)).unwrap();
        let silent: Vec<UnixStream> = (0..400).map(connect).collect();
        let patience = std::time::Duration::from_secs(3);
        let mut client = ControlClient::connect(&path, patience).unwrap();
        let status: Status = client.ask_for(&ControlRequest::Status {}, None).unwrap();
        assert!(status.healthy);
        // The first ones have ended before their time.
        let mut first = &silent[0];
        first.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
        assert_eq!(first.read(&mut [0]).unwrap(), 0);
    })
    .await;
    serving.end().await;
}

/// 18.1: the time-out bounds silence. What takes longer is waited for as long as there are signs of life.
#[tokio::test]
async fn a_request_that_takes_longer_than_the_patience_gets_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Arc::new(DaemonState::new(&[], &[]));
    let mut inbox = daemon.inbox().unwrap();
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), Arc::default()));
    let handler =
        Arc::new(ControlHandler::of_daemon(Store::Memory(journal, Arc::default()), daemon, Arc::default()));
    let (mut task, stop) = (JoinSet::new(), CancellationToken::new());
    task.spawn(ControlSocket::new(folder.path().to_owned(), handler).run(stop.clone()));
    let path = folder.path().to_owned();
    let patience = std::time::Duration::from_millis(700);
    let asking = spawn_blocking(move || {
        osnl_testkit::wait_until(SOON, "the socket answers", || {
            ControlClient::connect(&path, patience).is_ok()
        });
        let mut client = ControlClient::connect(&path, patience).unwrap();
        let begun = std::time::Instant::now();
        let answer = client.ask(&ControlRequest::Reload { by: "eve".to_owned() }, None);
        (answer, begun.elapsed())
    });
    // Both are under way until the other client has had ten signs of life.
    let path = socket_path(folder.path());
    let watching = spawn_blocking(move || {
        osnl_testkit::wait_until(SOON, "the socket is there", || path.exists());
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(b"{\"v\": 1, \"verb\": \"reload\", \"by\": \"eve\"}\n").unwrap();
        let mut signs = [0; 10];
        stream.read_exact(&mut signs).unwrap();
        assert_eq!(signs, [b' '; 10]);
    });
    let reloads = [inbox.recv().await.unwrap(), inbox.recv().await.unwrap()];
    watching.await.unwrap();
    drop((reloads, inbox));
    let (answer, took) = asking.await.unwrap();
    let Err(AskError::Refused(refusal)) = answer else { panic!("{answer:?}") };
    assert!(refusal.message.contains("the daemon is ending"), "{refusal}");
    assert!(took > patience * 2, "{took:?}");
    stop.cancel();
    while task.join_next().await.is_some() {}
}
