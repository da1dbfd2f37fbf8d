//! The status of a daemon that hangs, or whose broker is unreachable. No broker is needed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use osnl_testkit::{Guard, signal, wait_until};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

struct Rig {
    home: TempDir,
    daemon: Child,
}

impl Rig {
    fn start(journal: &str) -> Self {
        let home = crate::private_folder().unwrap();
        let text = format!(
            "[DEFAULT]\nstate_dir = {0}\n[journal]\n{journal}\n[listener:nova]\ntransport_url = rabbit://127.0.0.1:1/\n\
             exchange = nova\npool = osnl\n[rule:r]\nactions = log\n[action:log]\ndriver = file\npath = {0}/log.jsonl\n",
            home.path().display(),
        );
        fs::write(home.path().join("a.conf"), text).unwrap();
        let daemon = command(&home, &["run", "-c", "a.conf"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let rig = Self { home, daemon };
        wait_until(SOON, "it answers", || rig.say(&["reload", "-c", "a.conf"]).status.success());
        rig
    }

    fn say(&self, args: &[&str]) -> Output {
        command(&self.home, args).output().unwrap()
    }

    fn signal(&self, name: &str) {
        signal(self.daemon.id(), name);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn command(home: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command.env_clear().env("HOME", home.path()).current_dir(home.path()).stdin(Stdio::null()).args(args);
    command
}

#[test]
fn a_hung_daemon_is_named_by_every_command_that_asks_it() {
    let rig = Rig::start("allow_volatile = yes");
    let process = rig.daemon.id();
    let commands: [&[&str]; 9] = [
        &["status"],
        &["status", "--format", "json"],
        &["status", "--format", "live"],
        &["reload"],
        &["deliveries", "list"],
        &["deliveries", "show", "17.0"],
        &["deliveries", "retry", "--all"],
        &["actions", "pause", "log"],
        &["quarantine", "list"],
    ];
    rig.signal("STOP");
    for args in commands {
        let begun = Instant::now();
        let output = rig.say(&[args, &["-c", "a.conf", "--timeout", "300ms"]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{args:?}: {said}");
        let expected = format!(
            "osnl: error: osnl (process {process}) holds the journal but has not answered for 300ms. It may be hung: \
             systemctl status osnl; kill -ABRT {process}. A signal has stopped it; to let it go on: kill -CONT {process}\n"
        );
        assert_eq!(said, expected, "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{args:?}");
    }
    let plug_in = rig.say(&["status", "-c", "a.conf", "--timeout", "300ms", "--format", "nagios"]);
    let said = String::from_utf8(plug_in.stdout).unwrap();
    assert!(
        said.starts_with(&format!("OSNL CRITICAL - osnl (process {process}) holds the journal")),
        "{said}"
    );
    assert_eq!(plug_in.status.code(), Some(2));
    rig.signal("CONT");
    wait_until(SOON, "it answers again", || rig.say(&["reload", "-c", "a.conf"]).status.success());
    // A change that was reported as failed must not happen later.
    let status = String::from_utf8(rig.say(&["status", "-c", "a.conf"]).stdout).unwrap();
    assert!(!status.contains("paused"), "{status}");
}

/// A process that accepts no connection fills its queue, and a connect would wait for ever.
#[test]
fn a_daemon_that_accepts_no_connection_any_more_is_named_too() {
    let rig = Rig::start("connection = memory://");
    rig.signal("STOP");
    let socket = rig.home.path().join("control.sock");
    let mut waiting = Vec::new();
    loop {
        let socket = socket.clone();
        let (sender, connected) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(std::os::unix::net::UnixStream::connect(socket)));
        match connected.recv_timeout(Duration::from_secs(2)) {
            Ok(stream) => waiting.push(stream.unwrap()),
            Err(_) => break,
        }
    }
    let output = rig.say(&["status", "-c", "a.conf", "--timeout", "1s"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("osnl has not answered for 1 s at "), "{said}");
    assert!(said.contains("It may be hung: systemctl status osnl"), "{said}");
    rig.signal("CONT");
}

#[test]
fn a_listener_that_cannot_connect_has_its_reason_in_every_form() {
    let mut rig = Rig::start("allow_volatile = yes");
    let json = || -> serde_json::Value {
        serde_json::from_slice(&rig.say(&["status", "-c", "a.conf", "--format", "json"]).stdout).unwrap()
    };
    wait_until(SOON, "an attempt has failed", || json()["listeners"][0]["attempts"].is_number());
    let status = json();
    let (listener, incident) = (&status["listeners"][0], &status["incidents"][0]);
    assert_eq!(
        (&listener["state"], &incident["kind"]),
        (&"connecting".into(), &"listener-connecting".into())
    );
    assert!(incident["why"].as_str().unwrap().contains("refused"), "{incident}");
    assert_eq!((&incident["subject"], &incident["to_do"]), (&"listener nova".into(), &listener["remedy"]));
    assert!(incident["to_do"].as_str().unwrap().starts_with("check host and port in transport_url; "));
    // While an attempt is under way, no next attempt is named.
    wait_until(SOON, "the text names the next attempt", || {
        let text = String::from_utf8(rig.say(&["status", "-c", "a.conf"]).stdout).unwrap();
        text.contains("\n!    nova: not connected for ") && text.contains("osnl tries again in")
    });
    let plug_in = rig.say(&["status", "-c", "a.conf", "--format", "nagios"]);
    let said = String::from_utf8(plug_in.stdout).unwrap();
    assert!(said.starts_with("OSNL WARNING - nova: not connected for "), "{said}");
    assert!(said.contains(" | listeners=0;;;0;1 queue_messages=U;;;0 "), "{said}");
    assert_eq!(plug_in.status.code(), Some(1));
    // What restarts an unhealthy container must not restart this daemon.
    let live = |rig: &Rig| rig.say(&["status", "-c", "a.conf", "--format", "live"]);
    let during = live(&rig);
    assert_eq!(during.status.code(), Some(0), "{during:?}");
    assert!(during.stdout.starts_with(b"the daemon answers: "), "{during:?}");
    rig.signal("TERM");
    rig.daemon.wait().unwrap();
    let after = live(&rig);
    assert_eq!(after.status.code(), Some(69), "{after:?}");
    // The journal that a stopped daemon leaves is an answer for people alone.
    assert_ne!(rig.say(&["status", "-c", "a.conf"]).status.code(), Some(69));
}

#[test]
fn a_plug_in_without_a_daemon_is_critical_and_without_a_configuration_unknown() {
    let home = crate::private_folder().unwrap();
    let ask = |conf: &str, text: &str| {
        fs::write(home.path().join(conf), text).unwrap();
        let output = command(&home, &["status", "--format", "nagios", "-c", conf]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let sections = "[listener:nova]\ntransport_url = rabbit://127.0.0.1:1/\nexchange = nova\npool = osnl\n\
                    [rule:r]\nactions = log\n[action:log]\ndriver = dump\n";
    let stopped = format!("[DEFAULT]\nstate_dir = {}/a|b\n{sections}", home.path().display());
    for (conf, text, code, begin) in [
        ("a.conf", &*stopped, 2, "OSNL CRITICAL - "),
        ("b.conf", "[DEFAULT]\nlog|level = x\n", 3, "OSNL UNKNOWN - "),
    ] {
        let (found, said) = ask(conf, text);
        assert_eq!(found, Some(code), "{said}");
        assert!(said.starts_with(begin) && said.lines().count() == 1 && !said.contains('|'), "{said}");
    }
}

#[test]
fn watching_goes_on_over_a_hang_and_ctrl_c_ends_it_well() {
    let rig = Rig::start("allow_volatile = yes");
    let arguments = ["status", "-c", "a.conf", "--watch", "--interval", "100ms", "--timeout", "300ms"];
    let mut watching = command(&rig.home, &arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    assert!(first.ends_with('Z') && first.len() == "2026-11-20T06:41:53Z".len(), "{first}");
    let mut await_line = |part: &str| assert!(lines.any(|line| line.contains(part)), "{part}");
    await_line("!    nova: not connected");
    rig.signal("STOP");
    await_line("!!   osnl (process ");
    rig.signal("CONT");
    await_line("!    nova: not connected");
    signal(watching.id(), "INT");
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}

#[test]
fn watching_ends_with_its_reader() {
    let folder = crate::private_folder().unwrap();
    let arguments = ["status", "--state-dir", "nowhere", "--watch", "--interval", "100ms"];
    let mut watching = command(&folder, &arguments).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let _guard = Guard::over(&[watching.id()], None);
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("no daemon answers")));
    drop(lines);
    wait_until(SOON, "it ends", || watching.try_wait().unwrap().is_some());
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}
