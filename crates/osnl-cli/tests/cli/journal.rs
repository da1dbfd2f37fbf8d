//! `osnl run` on a journal: one daemon per file, places that do not last, and `kill -9`.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use osnl_testkit::{Broker, Notice, Options, Publisher, Sink, wait_until};
use serde_json::json;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

struct Running(Child);

impl Running {
    fn kill(&mut self) {
        // SIGKILL: nothing is said, finished or closed.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
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
         exchange = neutron\ndeclare = create\n[rule:r]\nactions = roles\n\
         [action:roles]\ndriver = k2hr3\napi_url = {api_url}\n",
        home.path().display()
    );
    fs::write(home.path().join("a.conf"), text).unwrap();
}

#[test]
fn a_journal_that_cannot_be_had_ends_the_start_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let refused = |status: i32, expected: &str| {
        let output = osnl(&home).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    let url = "rabbit://127.0.0.1:9/";
    // Temporary folders are below /tmp, unless somebody has put them elsewhere.
    write(&home, url, "http://127.0.0.1:9/", "connection = sqlite:////tmp/osnl-volatile/journal.db");
    refused(78, "name another place, or set allow_volatile = true");
    write(&home, url, "http://127.0.0.1:9/", "allow_volatile = yes");
    fs::write(home.path().join("journal.db"), "not a database, but long enough to be looked at").unwrap();
    refused(78, "is no journal of osnl's");
    fs::remove_file(home.path().join("journal.db")).unwrap();

    let first = Running(osnl(&home).stderr(Stdio::null()).spawn().unwrap());
    wait_until(SOON, "the first has it", || home.path().join("journal.db-wal").exists());
    refused(69, &format!("journal.db: is in use by process {};", first.0.id()));
}

#[test]
fn after_a_kill_everything_that_was_acknowledged_has_its_effect() {
    const EVENTS: usize = 600;
    let home = tempfile::tempdir().unwrap();
    let vhost = Broker::shared().vhost("killed");
    let sink = Sink::start();
    write(&home, &vhost.url(), &sink.url("/v1/role"), "allow_volatile = yes");
    let start = || Running(osnl(&home).stderr(Stdio::null()).spawn().unwrap());
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
    let mut publisher = Publisher::start(&vhost.url(), Options::default());
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
