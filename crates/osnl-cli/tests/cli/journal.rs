//! `osnl run` on a journal: one daemon per file, volatile places, and `kill -9`.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Sink, wait_until};
use tempfile::TempDir;

use crate::reloading::{asked, notice};

const SOON: Duration = Duration::from_secs(60);

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
    let notices = |rounds: std::ops::Range<usize>| -> Vec<Notice> {
        rounds.flat_map(|round| (0..INSTANCES).map(move |n| notice(n, round))).collect()
    };
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&notices(0..ROUNDS / 2));
    sink.wait_for(INSTANCES * ROUNDS / 4, SOON);
    assert!(sink.requests().iter().all(|r| r.target.starts_with("/first")), "the second stands by");
    first.kill();
    publisher.notify_all(&notices(ROUNDS / 2..ROUNDS));
    let rounds = |path: &str| asked(&sink, |target| target.starts_with(path));
    wait_until(SOON, "the second has taken over", || {
        let second = rounds("/second");
        second.len() == INSTANCES && second.values().all(|rounds| rounds.last() == Some(&(ROUNDS - 1)))
    });
    for found in rounds("/second").values() {
        assert!(found.is_sorted(), "in order: {found:?}");
    }
    // Events that the killed daemon has acknowledged are in its journal, and have their effect
    // after its restart.
    let again = start(&homes[0]);
    let all = |found: &Vec<usize>| BTreeSet::from_iter(found).len() == ROUNDS;
    wait_until(SOON, "nothing is missing", || rounds("/").values().all(all));
    drop((again, second));
}
