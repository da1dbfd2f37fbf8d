//! `osnl run` on a journal: one daemon per file, volatile places, and `kill -9`.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Sink, wait_until};
use serde_json::json;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

struct DaemonRun(Child);

impl DaemonRun {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for DaemonRun {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn osnl(home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command.env_clear().env("HOME", home.path()).current_dir(home.path()).stdin(Stdio::null());
    command.args(["run", "-c", "a.conf"]).stdout(Stdio::null());
    command
}

fn write(home: &TempDir, transport_url: &str, api_url: &str, journal: &str) {
    let text = format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\n{journal}\n[listener:neutron]\ntransport_url = {transport_url}\n\
         exchange = neutron\ndeclare = create\npool = osnl\n[rule:r]\nactions = roles\n\
         [action:roles]\ndriver = k2hr3\napi_url = {api_url}\n",
        home.path().display()
    );
    fs::write(home.path().join("a.conf"), text).unwrap();
}

#[test]
fn a_journal_that_cannot_be_had_ends_the_start_with_the_reason() {
    let home = crate::private_folder().unwrap();
    let refused = |status: i32, expected: &str| {
        let output = osnl(&home).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    let url = "rabbit://127.0.0.1:9/";
    // Temporary folders are usually below /tmp, but TMPDIR may name another.
    write(&home, url, "http://127.0.0.1:9/", "connection = sqlite:////tmp/osnl-volatile/journal.db");
    refused(78, "name another place, or set allow_volatile = true");
    write(&home, url, "http://127.0.0.1:9/", "allow_volatile = yes");
    fs::write(home.path().join("journal.db"), "not a database, but long enough to be looked at").unwrap();
    refused(78, "is not a journal of osnl");
    fs::remove_file(home.path().join("journal.db")).unwrap();

    let first = DaemonRun(osnl(&home).stderr(Stdio::null()).spawn().unwrap());
    wait_until(SOON, "the first has it", || home.path().join("journal.db-wal").exists());
    let pid = first.0.id();
    refused(69, &format!("journal.db: is in use by process {pid};"));
    // The lock also covers the files beside the journal.
    write(&home, url, "http://127.0.0.1:9/", "connection = memory://");
    refused(69, &format!("[DEFAULT] state_dir: {} is in use by process {pid};", home.path().display()));
}

/// The old programs keep no state and can run side by side.
#[test]
fn in_the_default_folder_the_second_daemon_keeps_no_state() {
    let home = crate::private_folder().unwrap();
    write(&home, "rabbit://127.0.0.1:9/", "http://127.0.0.1:9/", "connection = memory://");
    let text = fs::read_to_string(home.path().join("a.conf")).unwrap();
    let (_, text) = text.split_once("\n[journal]").unwrap();
    fs::write(home.path().join("a.conf"), format!("[journal]{text}")).unwrap();
    let state = home.path().join("state");
    let start = |log: &str| {
        let log = fs::File::create(home.path().join(log)).unwrap();
        DaemonRun(osnl(&home).env("STATE_DIRECTORY", &state).stderr(log).spawn().unwrap())
    };
    let first = start("first");
    wait_until(SOON, "the first answers", || state.join("control.sock").exists());
    let before = fs::read(state.join("in-hand")).unwrap();
    let mut second = start("second");
    let said = || fs::read_to_string(home.path().join("second")).unwrap();
    wait_until(SOON, "the second runs", || {
        said().contains("no state is kept") && said().contains("osnl runs")
    });
    assert!(said().contains(&format!("is in use by process {}", first.0.id())), "{}", said());
    assert!(second.0.try_wait().unwrap().is_none());
    second.kill();
    assert_eq!(fs::read(state.join("in-hand")).unwrap(), before);
}

#[test]
fn after_a_kill_everything_that_was_acknowledged_has_its_effect() {
    const EVENTS: usize = 600;
    let home = crate::private_folder().unwrap();
    let vhost = Broker::shared().vhost("killed");
    let sink = Sink::start();
    write(&home, &vhost.url(), &sink.url("/v1/role"), "allow_volatile = yes");
    let start = || DaemonRun(osnl(&home).stderr(Stdio::null()).spawn().unwrap());
    let mut daemon = start();
    wait_until(SOON, "the queue is there", || vhost.list_queues().iter().any(|queue| queue.consumers == 1));
    let instance = |n: usize| format!("12345678-1234-5678-1234-{n:012}");
    let notices: Vec<Notice> = (0..EVENTS)
        .map(|n| Notice {
            exchange: "neutron".to_owned(),
            topic: "notifications".to_owned(),
            publisher_id: "network.node1".to_owned(),
            event_type: "port.delete.end".to_owned(),
            payload: json!({"port": {"device_id": instance(n), "device_owner": "compute:nova",
                                     "fixed_ips": [{"ip_address": "10.0.0.1"}]}}),
            ..Notice::default()
        })
        .collect();
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&notices);
    for seen in [50, 200, 350] {
        sink.wait_for(seen, SOON);
        daemon.kill();
        daemon = start();
    }
    let expected: BTreeSet<String> = (0..EVENTS).map(instance).collect();
    let done = || -> usize {
        let targets: String = sink.requests().into_iter().map(|request| request.target + "\n").collect();
        expected.iter().filter(|id| targets.contains(*id)).count()
    };
    wait_until(Duration::from_secs(60), "all have their effect", || done() == EVENTS);
    drop(daemon);
}

#[test]
fn of_two_daemons_on_one_queue_the_second_takes_over_and_the_order_stays() {
    const INSTANCES: usize = 20;
    const ROUNDS: usize = 30;
    let homes = [crate::private_folder().unwrap(), tempfile::tempdir().unwrap()];
    let vhost = Broker::shared().vhost("standby");
    let sink = Sink::start();
    for (home, path) in homes.iter().zip(["/first", "/second"]) {
        write(home, &vhost.url(), &sink.url(path), "allow_volatile = yes");
    }
    let start = |home: &TempDir| DaemonRun(osnl(home).stderr(Stdio::null()).spawn().unwrap());
    let consumers = |n: u64| {
        wait_until(SOON, "they consume", || vhost.list_queues().iter().any(|queue| queue.consumers == n));
    };
    let mut first = start(&homes[0]);
    consumers(1);
    let second = start(&homes[1]);
    consumers(2);
    let instance = |n: usize| format!("12345678-1234-5678-1234-{n:012}");
    let notices = |rounds: std::ops::Range<usize>| -> Vec<Notice> {
        let of = |round: usize| (0..INSTANCES).map(move |n| (round, n));
        let events = rounds.flat_map(of);
        let notice = |(round, n)| Notice {
            exchange: "neutron".to_owned(),
            topic: "notifications".to_owned(),
            publisher_id: "network.node1".to_owned(),
            event_type: "port.delete.end".to_owned(),
            payload: json!({"port": {"device_id": instance(n), "device_owner": "compute:nova",
                                     "fixed_ips": [{"ip_address": format!("10.0.0.{round}")}]}}),
            ..Notice::default()
        };
        events.map(notice).collect()
    };
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&notices(0..ROUNDS / 2));
    sink.wait_for(INSTANCES * ROUNDS / 4, SOON);
    assert!(sink.requests().iter().all(|r| r.target.starts_with("/first")), "the second stands by");
    first.kill();
    publisher.notify_all(&notices(ROUNDS / 2..ROUNDS));
    // The rounds of each instance are in order; a repeated request counts once.
    let rounds = |path: &str, n: usize| -> Vec<usize> {
        let of = |target: &str| -> Option<usize> {
            let here = target.starts_with(path) && target.contains(&instance(n));
            here.then(|| target.split("10.0.0.").nth(1)?.split('%').next()?.parse().ok()).flatten()
        };
        let mut found: Vec<usize> = sink.requests().iter().filter_map(|r| of(&r.target)).collect();
        found.dedup();
        found
    };
    let last = |path: &str| (0..INSTANCES).all(|n| rounds(path, n).last() == Some(&(ROUNDS - 1)));
    wait_until(SOON, "the second has taken over", || last("/second"));
    for n in 0..INSTANCES {
        let found = rounds("/second", n);
        assert!(found.is_sorted(), "in order: {found:?}");
    }
    // Events that the killed daemon has acknowledged are in its journal, and have their effect
    // after its restart.
    let again = start(&homes[0]);
    let all = |n: usize| -> BTreeSet<usize> {
        rounds("/first", n).into_iter().chain(rounds("/second", n)).collect()
    };
    wait_until(SOON, "nothing is missing", || (0..INSTANCES).all(|n| all(n).len() == ROUNDS));
    drop((again, second));
}

#[test]
fn check_names_what_waits_for_an_action_that_is_gone() {
    let home = crate::private_folder().unwrap();
    let vhost = Broker::shared().vhost("orphans");
    let url = vhost.url();
    write(&home, &url, "http://127.0.0.1:9/v1/role", "allow_volatile = yes");
    let mut daemon = DaemonRun(osnl(&home).stderr(Stdio::null()).spawn().unwrap());
    wait_until(SOON, "the queue is there", || vhost.list_queues().iter().any(|queue| queue.consumers == 1));
    OsloPublisher::start(&url, PublisherOptions::default()).notify_all(&[Notice {
        exchange: "neutron".to_owned(),
        topic: "notifications".to_owned(),
        event_type: "port.delete.end".to_owned(),
        payload: json!({"port": {"device_id": "12345678-1234-5678-1234-000000000001",
                                 "fixed_ips": [{"ip_address": "10.0.0.1"}]}}),
        ..Notice::default()
    }]);
    let check = |conf: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        command.env_clear().env("HOME", home.path()).current_dir(home.path());
        let output = command.args(["check", "-c", conf]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let renamed = fs::read_to_string(home.path().join("a.conf")).unwrap().replace("roles", "other");
    fs::write(home.path().join("b.conf"), renamed).unwrap();
    let said = "warning: orphaned: 1 deliveries in the journal wait for [action:roles]";
    wait_until(SOON, "it is in the journal", || check("b.conf").contains(said));
    daemon.kill();
    assert!(check("b.conf").contains(said));
    assert!(!check("a.conf").contains("orphaned"));
}
