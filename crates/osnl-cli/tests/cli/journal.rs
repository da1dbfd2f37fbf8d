//! `osnl run` on a journal: one daemon per file, and volatile places.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use osnl_testkit::wait_until;
use tempfile::TempDir;

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
