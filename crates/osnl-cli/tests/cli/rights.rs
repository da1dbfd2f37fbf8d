//! Commands of a user other than root and the daemon's, and of a member of `control_group`. Only
//! root can become other users.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use osnl_testkit::{signal, wait_until};

use crate::harness::{Place, SOON, osnl_of_any_user};

const DAEMON: u32 = 65531;
const MEMBER: u32 = 65534;
const GROUP: u32 = 65533;

struct Rig {
    place: Place,
    daemon: Option<Child>,
    _broker: Option<TcpListener>,
}

struct Answer {
    code: Option<i32>,
    text: String,
}

impl Rig {
    fn start(default: &str) -> Self {
        let place = Place::new();
        let user = fs::metadata(place.path("")).unwrap().uid();
        assert_eq!(user, 0, "only root can become other users: run this test as root");
        fs::set_permissions(place.path(""), Permissions::from_mode(0o711)).unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut rig = Self { place, daemon: None, _broker: None };
        fs::create_dir(rig.state()).unwrap();
        fs::set_permissions(rig.state(), Permissions::from_mode(0o700)).unwrap();
        chown(rig.state(), Some(DAEMON), Some(GROUP)).unwrap();
        let port = silent.local_addr().unwrap().port();
        rig.place.write(
            "a.conf",
            format!(
                "[DEFAULT]\nstate_dir = {}\n{default}[journal]\nallow_volatile = yes\n[listener:neutron]\n\
                 transport_url = rabbit://guest:guest@127.0.0.1:{port}/\nexchange = neutron\npool = osnl\n\
                 [rule:r]\nactions = audit\n[action:audit]\ndriver = file\npath = {}\n",
                rig.state().display(),
                rig.state().join("audit.jsonl").display()
            ),
        );
        let mut command = rig.command(DAEMON, &["run", "-c", "a.conf"]);
        rig.daemon = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        wait_until(SOON, "the daemon answers", || {
            rig.ask(0, &["status", "-c", "a.conf"]).text.contains("process")
        });
        rig._broker = Some(silent);
        rig
    }

    fn state(&self) -> PathBuf {
        self.place.path("state")
    }

    fn command(&self, user: u32, args: &[&str]) -> Command {
        let mut command = osnl_of_any_user();
        command.env_clear().current_dir(self.place.path("")).stdin(Stdio::null()).args(args);
        command.uid(user).gid(if user == 0 { 0 } else { GROUP });
        command
    }

    fn ask(&self, user: u32, args: &[&str]) -> Answer {
        let output = self.command(user, args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        Answer { code: output.status.code(), text: String::from_utf8(text).unwrap() }
    }

    #[track_caller]
    fn expect(&self, args: &[&str], code: i32, words: &[&str]) {
        let state = self.state();
        let dir = ["--state-dir", state.to_str().unwrap()];
        let place = if args.contains(&"--state-dir") { &dir[..] } else { &["-c", "a.conf"] };
        let args: Vec<&str> = args.iter().filter(|arg| **arg != "--state-dir").copied().collect();
        let answer = self.ask(MEMBER, &[&args, place].concat());
        assert_eq!(answer.code, Some(code), "{args:?}: {}", answer.text);
        for word in words {
            assert!(answer.text.contains(word), "{args:?}: {word:?} is not in {}", answer.text);
        }
        for lie in ["there is no journal", "write access"] {
            assert!(!answer.text.contains(lie), "{args:?}: {}", answer.text);
        }
    }

    fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            signal(daemon.id(), "TERM");
            daemon.wait().unwrap();
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
fn another_user_is_told_that_the_folder_is_closed() {
    let rig = Rig::start("");
    let closed = format!("this user may not look into {} (mode 0700, user {DAEMON})", rig.state().display());
    let said = [&*closed, "as root or as the daemon's user"];
    for args in [
        &["status"][..],
        &["status", "--state-dir"],
        &["deliveries", "list"],
        &["deliveries", "list", "--state-dir"],
        &["quarantine", "list"],
        &["actions", "list"],
        &["reload"],
        &["reload", "--state-dir"],
        &["replay", "--since", "1h"],
    ] {
        rig.expect(args, 69, &said);
    }
    rig.expect(&["status"], 69, &["whether a daemon runs is not known", "control_group"]);
    rig.expect(&["status", "--format", "nagios"], 3, &["OSNL UNKNOWN - this user may not look into"]);
}

#[test]
fn a_member_of_the_group_reads_with_the_configuration() {
    let mut rig = Rig::start(&format!("control_group = {GROUP}\n"));
    for place in [&[][..], &["--state-dir"]] {
        rig.expect(&[&["status"], place].concat(), 1, &["process ", "neutron: not connected"]);
        rig.expect(&[&["deliveries", "list"], place].concat(), 0, &[]);
        rig.expect(&[&["quarantine", "list"], place].concat(), 0, &[]);
        rig.expect(&[&["actions", "pause", "audit"], place].concat(), 69, &["may only read"]);
    }
    let journal = rig.state().join("journal.db");
    let closed = format!("this user may not use {} (mode 0600, user {DAEMON})", journal.display());
    rig.expect(&["replay", "--since", "1h"], 69, &[&closed]);
    rig.stop();
    rig.expect(
        &["deliveries", "list"],
        69,
        &["no daemon answers at ", &closed, "as root or as the daemon's user"],
    );
    let answer = rig.ask(MEMBER, &["status", "-c", "a.conf", "--format", "nagios"]);
    assert!(answer.code == Some(2) && answer.text.contains("no daemon answers"), "{}", answer.text);
}

/// A mode that a person or another program has opened is no membership.
#[test]
fn a_stranger_reads_nothing_though_the_mode_of_the_socket_is_wrong() {
    let rig = Rig::start(&format!("control_group = {GROUP}\n"));
    fs::set_permissions(rig.state(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(rig.state().join("control.sock"), Permissions::from_mode(0o666)).unwrap();
    for args in [&["status", "-c", "a.conf"][..], &["deliveries", "list", "-c", "a.conf"]] {
        let output = rig.command(MEMBER, args).gid(MEMBER).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            !matches!(output.status.code(), Some(0 | 1)) && !text.contains("neutron"),
            "{args:?}: {text}"
        );
    }
    rig.expect(&["status"], 1, &["process ", "neutron: not connected"]);
}

/// A container or a cron job may have neither HOME nor the other variables.
#[test]
fn a_user_without_a_home_is_told_to_set_state_dir() {
    let place = Place::new();
    fs::set_permissions(place.path(""), Permissions::from_mode(0o711)).unwrap();
    let is_root = fs::metadata(place.path("")).unwrap().uid() == 0;
    let check = |head: &str, code: i32, words: &str| {
        place.write(
            "a.conf",
            format!(
                "{head}\n[listener:n]\ntransport_url = rabbit://u:p@127.0.0.1/\nexchange = neutron\npool = osnl\n\
                 [rule:r]\nactions = d\n[action:d]\ndriver = dump\npath = /tmp/d\n"
            ),
        );
        let mut command = osnl_of_any_user();
        command.env_clear().current_dir(place.path("")).args(["check", "-c", "a.conf"]);
        if is_root {
            command.uid(MEMBER).gid(MEMBER);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            output.status.code() == Some(code) && text.contains(words),
            "{head}: {:?} {text}",
            output.status
        );
    };
    check("", 78, "STATE_DIRECTORY, XDG_STATE_HOME, and HOME are not set; set state_dir in [DEFAULT]");
    check("[DEFAULT]\nstate_dir = /var/lib/osnl-test", 0, "");
    check("[journal]\nconnection = memory://", 0, "");
}
