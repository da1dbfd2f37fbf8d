//! `/readyz` while the database is down, silent, or cut off for one daemon only; `/livez` always
//! answers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use osnl_testkit::{FaultyProxy, NetworkFault, Postgres, RestartableProgram, wait_until};
use serde_json::Value;

use crate::stage::{SOON, Stage};

const ADMIN: (&str, &str) = ("[journal]", "[admin]\nlisten = 127.0.0.1:0\n[journal]");
/// The time-out of the probes in `packaging/kubernetes`.
const PROBE: Duration = Duration::from_secs(5);

fn address(daemon: &RestartableProgram) -> String {
    daemon.wait_for("the admin endpoint listens", 1, SOON);
    let output = daemon.output();
    let line = output.lines().find(|line| line.contains("the admin endpoint listens")).unwrap();
    let (_, behind) = line.split_once("127.0.0.1:").unwrap();
    let port: String = behind.chars().take_while(char::is_ascii_digit).collect();
    format!("127.0.0.1:{port}")
}

#[track_caller]
fn get(address: &str, path: &str) -> (u16, String) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(began.elapsed() < PROBE, "{path} after {:?}", began.elapsed());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[track_caller]
fn unready(address: &str) -> String {
    let mut body = String::new();
    wait_until(SOON, "the daemon not to be ready", || {
        assert_eq!(get(address, "/livez"), (200, "ok\n".to_owned()));
        let (status, found) = get(address, "/readyz");
        body = found;
        status == 503
    });
    let found: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&found["ready"], &found["journal"]["ready"]), (&false.into(), &false.into()), "{body}");
    assert_eq!(found["journal"]["state"], "failed", "{body}");
    let incidents = found["incidents"].to_string();
    assert!(incidents.contains("the journal is unusable"), "{body}");
    found["journal"]["reason"].as_str().unwrap().to_owned()
}

#[track_caller]
fn ready(address: &str) {
    wait_until(SOON, "the daemon to be ready", || {
        assert_eq!(get(address, "/livez").0, 200);
        get(address, "/readyz").0 == 200
    });
    let found: Value = serde_json::from_str(&get(address, "/readyz").1).unwrap();
    assert_eq!((&found["ready"], &found["journal"]["reason"]), (&true.into(), &Value::Null), "{found}");
}

#[test]
fn a_daemon_without_its_database_is_alive_and_not_ready() {
    let mut server = Postgres::start(true);
    let mut stage = Stage::new("readiness", &server.database());
    let daemon = stage.daemon_with("a", &[ADMIN]);
    let address = address(&daemon);
    ready(&address);

    server.quit();
    let reason = unready(&address);
    assert!(reason.contains("osnl tries each second"), "{reason}");
    stage.publish(0..2);
    stage.wait_for_queue(2);
    assert_eq!(get(&address, "/readyz").0, 503);
    assert_eq!(get(&address, "/metrics").0, 200);
    server.start_again();
    ready(&address);
    stage.wait_for_all(0..2);

    // A read-only database cannot keep events.
    server.set("default_transaction_read_only", Some("on"));
    unready(&address);
    server.set("default_transaction_read_only", None);
    ready(&address);
}

#[test]
fn a_daemon_that_alone_is_cut_off_from_the_database_is_alone_not_ready() {
    let server = Postgres::start(true);
    let database = server.database();
    let network = FaultyProxy::before(server.port());
    let stage = Stage::new("readiness-alone", &database);
    let (port, own) = (server.port().to_string(), network.port().to_string());
    let through = database.replace(&format!(":{port}/"), &format!(":{own}/"));
    let first =
        stage.daemon_with("a", &[ADMIN, ("connection = DATABASE", &format!("connection = {through}"))]);
    let second = stage.daemon_with("b", &[ADMIN]);
    let (first, second) = (address(&first), address(&second));
    // With a stall, connections are open but get no answer.
    for fault in [NetworkFault::Stall, NetworkFault::Refuse] {
        ready(&first);
        network.set(fault);
        if fault == NetworkFault::Refuse {
            network.cut();
        }
        let reason = unready(&first);
        assert!(reason.contains(&format!(":{own}")), "{reason}");
        ready(&second);
        network.set(NetworkFault::None);
    }
    ready(&first);
}
