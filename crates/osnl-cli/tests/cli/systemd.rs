use std::fs::{self, Permissions};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use osnl_testkit::{Notice, OsloPublisher, PublisherOptions, Sink};
use serde_json::json;

use crate::daemon::{Case, Daemon, SOON, Way};

const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/systemd/k2hr3_osnl.service");
const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/systemd/osnl.service");
const INSTANCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/systemd/osnl@.service");
const THEIRS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/k2hr3/systemd/k2hr3_osnl.service");
const PROGRAM: &str = "/usr/bin/k2hr3_osnl";
const MANUAL_PROGRAM: &str = "/usr/local/bin/k2hr3_osnl";
const MANUAL_CONF: &str = "/usr/local/etc/k2hr3/k2hr3_osnl.conf";
const NOBODY: u32 = 65534;

fn settings(unit: &str) -> Vec<(String, String, String)> {
    let text = fs::read_to_string(unit).unwrap();
    let mut section = String::new();
    let mut settings = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            assert!(["Unit", "Service", "Install"].contains(&name), "{line}");
            name.clone_into(&mut section);
        } else {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("no setting: {line}"));
            assert!(!section.is_empty(), "before any section: {line}");
            assert!(!line.ends_with('\\') && value.trim() == value, "{line}");
            settings.push((section.clone(), name.to_owned(), value.to_owned()));
        }
    }
    settings
}

#[track_caller]
fn setting(unit: &str, section: &str, name: &str) -> String {
    let found: Vec<_> = settings(unit).into_iter().filter(|(s, n, _)| s == section && n == name).collect();
    assert_eq!(found.len(), 1, "{name} in [{section}]");
    found[0].2.clone()
}

#[test]
fn our_unit_is_compatible_ready_in_time_and_patient_at_the_end() {
    let service = |name| setting(OURS, "Service", name);
    let theirs = setting(THEIRS, "Service", "ExecStart");
    assert_eq!(
        service("ExecStart"),
        theirs.replace("/usr/local/bin/", "/usr/bin/").replace("/usr/local", "")
    );
    assert_eq!(service("Type"), "notify");
    assert_eq!(service("Restart"), "on-failure");
    assert!(
        service("TimeoutStopSec").parse::<u64>().unwrap() > 30,
        "the drain's deadline and what follows it"
    );
    assert_eq!(setting(OURS, "Unit", "After"), "network-online.target");
    assert_eq!(setting(OURS, "Unit", "Wants"), "network-online.target");
    assert_eq!(setting(OURS, "Install", "WantedBy"), "multi-user.target");
    for name in ["NoNewPrivileges", "PrivateTmp", "ProtectHome"] {
        assert_eq!(service(name), "yes", "{name}");
    }
    assert_eq!(service("ProtectSystem"), "strict");
    assert_eq!(service("CapabilityBoundingSet"), "");
    let families = service("RestrictAddressFamilies");
    for family in ["AF_INET", "AF_INET6", "AF_UNIX"] {
        assert!(families.split(' ').any(|allowed| allowed == family), "{family}: broker, K2HR3, systemd");
    }
}

#[test]
fn both_units_run_as_a_user_of_their_own_and_leave_nothing_behind() {
    for (unit, user) in [(OURS, "k2hr3"), (RUN, "osnl")] {
        let service = |name| setting(unit, "Service", name);
        assert_eq!((service("User").as_str(), service("Group").as_str()), (user, user));
        assert_eq!(service("RemoveIPC"), "yes");
        assert_eq!((service("LimitCORE").as_str(), service("UMask").as_str()), ("0", "0077"));
        assert_eq!(service("MemoryMax"), "1G", "the sum in docs/troubleshooting.md");
        for directory in ["ConfigurationDirectory", "LogsDirectory", "StateDirectory"] {
            assert_eq!(service(directory), user, "{directory}");
        }
        assert_eq!(service("StateDirectoryMode"), "0700");
        assert_eq!((service("PrivateUsers").as_str(), service("ProcSubset").as_str()), ("yes", "pid"));
        let all = settings(unit);
        let filters: Vec<&str> = all
            .iter()
            .filter(|(_, name, _)| name == "SystemCallFilter")
            .map(|(_, _, value)| value.as_str())
            .collect();
        assert_eq!(filters, ["@system-service", "~@privileged @resources"]);
        assert!(!all.iter().any(|(_, name, _)| name == "DynamicUser"), "a user that files can be given to");
        let name = Path::new(unit).file_stem().unwrap().to_str().unwrap();
        let users = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/sysusers.d");
        let users = fs::read_to_string(format!("{users}/{name}.conf")).unwrap();
        let line = users.lines().find(|line| !line.starts_with('#')).unwrap();
        assert!(line.starts_with(&format!("u {user} - \"")), "{line}");
    }
    let text = fs::read_to_string(RUN).unwrap();
    assert!(text.matches("#LoadCredential=").count() >= 5, "an example for each kind of secret");
}

#[test]
fn an_instance_is_locked_in_as_the_daemon_of_the_packages() {
    let shared = |unit: &str| -> Vec<_> {
        let is_own =
            |name: &str| ["Description", "ExecStart", "ExecReload", "StateDirectory"].contains(&name);
        settings(unit).into_iter().filter(|(_, name, _)| !is_own(name)).collect()
    };
    assert_eq!(shared(INSTANCE), shared(RUN));
}

#[test]
fn systemd_accepts_our_unit() {
    is_accepted(OURS, "k2hr3_osnl.service", PROGRAM);
}

#[test]
fn systemd_accepts_the_unit_of_osnl_run() {
    is_accepted(RUN, "osnl.service", "/usr/bin/osnl");
    let of = |unit: &str| -> Vec<_> {
        let same = |(_, name, _): &(String, String, String)| {
            ["Capability", "NoNewPrivileges", "Private", "Protect", "Restrict"]
                .iter()
                .any(|group| name.starts_with(group))
        };
        settings(unit).into_iter().filter(same).collect()
    };
    assert_eq!(of(RUN), of(OURS), "locked in as the other");
}

#[track_caller]
fn is_accepted(path: &str, name: &str, program: &str) {
    let folder = crate::private_folder().unwrap();
    let unit = folder.path().join(name);
    let verify = |text: &str| {
        fs::write(&unit, text.replace(program, env!("CARGO_BIN_EXE_osnl"))).unwrap();
        let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output();
        output.expect("cannot run systemd-analyze; cargo xtask setup installs it")
    };
    let text = fs::read_to_string(path).unwrap();
    let output = verify(&text);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains(name), "{said}");
    let wrong = verify(&text.replace("ProtectClock", "ProtectClok"));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("ProtectClok"), "it finds what is wrong");
}

#[test]
#[expect(clippy::print_stdout, reason = "which of the two was tested")]
fn the_manuals_own_unit_works_but_for_the_paths() {
    let way = Way::closed("manual-unit");
    way.open();
    let case = Case::new(&way.url(), "http://127.0.0.1:9/v1/role", "");
    // Another user must reach the program; the build's folder may be private.
    fs::set_permissions(case.folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = case.path("k2hr3_osnl");
    fs::copy(env!("CARGO_BIN_EXE_osnl"), &program).unwrap();

    let exec = setting(THEIRS, "Service", "ExecStart");
    let mut words = exec.split(' ');
    assert_eq!(words.next(), Some(MANUAL_PROGRAM));
    let mut command = Command::new(&program);
    command.args(words.map(|word| if word == MANUAL_CONF { case.path("conf") } else { word.into() }));
    command.env_clear().current_dir(setting(THEIRS, "Service", "WorkingDirectory"));
    command.stderr(fs::File::create(case.path("stderr")).unwrap());
    let environment = setting(THEIRS, "Service", "Environment");
    let (name, value) = environment.split_once('=').unwrap();
    command.env(name, value);
    assert_eq!(setting(THEIRS, "Service", "User"), "nobody");
    assert_eq!(setting(THEIRS, "Service", "Group"), "nobody");
    let root = fs::metadata(case.folder.path()).unwrap().uid() == 0;
    if root {
        command.uid(NOBODY).gid(NOBODY);
    }
    println!("runs as {}", if root { "nobody" } else { "oneself: only root can become nobody" });

    let mut daemon = Daemon::start(&mut command);
    case.wait_for("stderr", " Starting\n");
    let id = daemon.child().id();
    assert_eq!(fs::metadata(format!("/proc/{id}")).unwrap().uid() == NOBODY, root);
    daemon.stop();
    assert!(case.read("stderr").contains(" Stopping\n"));
}

pub(crate) struct Manager(UnixDatagram);

impl Manager {
    pub(crate) fn bind(path: &Path) -> Self {
        let manager = Self(UnixDatagram::bind(path).unwrap());
        manager.0.set_read_timeout(Some(SOON)).unwrap();
        manager
    }

    #[track_caller]
    pub(crate) fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let read = self.0.recv(&mut bytes).expect("systemd is told");
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    }

    #[track_caller]
    pub(crate) fn news(&self) -> String {
        std::iter::repeat_with(|| self.next()).find(|told| told != "WATCHDOG=1").unwrap()
    }

    #[track_caller]
    pub(crate) fn is_silent_for(&self, time: Duration) {
        self.0.set_read_timeout(Some(time)).unwrap();
        let end = Instant::now() + SOON;
        while self.0.recv(&mut [0; 4096]).is_ok() {
            assert!(Instant::now() < end, "there are signs of life");
        }
        self.0.set_read_timeout(Some(SOON)).unwrap();
    }
}

#[test]
fn systemd_is_told_what_is_waited_for() {
    let way = Way::closed("notify");
    let sink = Sink::start();
    sink.stop();
    let case = Case::new(&way.url(), &format!("{}\nretry_interval_seconds = 1", sink.url("/v1/role")), "");
    let path = case.path("notify");
    let manager = Manager::bind(&path);
    // A manager that reads nothing for long has a full queue of signs of life, and would not get what is sent once.
    let daemon = Daemon::start(case.command().env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "2000000"));

    let broker = format!("rabbit at {} (virtual host {})", way.address(), way.vhost.name());
    assert_eq!(manager.news(), format!("READY=1\nSTATUS=waiting for {broker}"));
    way.wait_for_tries(1);
    let reason = manager.news();
    assert!(reason.starts_with(&format!("STATUS=waiting for {broker}: ")), "{reason}");
    assert!(!case.read("stderr").contains(" Starting\n"), "not connected");
    way.open();
    let news = std::iter::repeat_with(|| manager.news());
    let listening = news.into_iter().find(|news| !news.starts_with("STATUS=waiting for"));
    assert_eq!(listening, Some(format!("STATUS=listening to {broker}")));
    case.wait_for("stderr", " Starting\n");

    let port = json!({
        "device_id": "12345678-1234-5678-1234-567812345678", "device_owner": "compute:nova",
        "fixed_ips": [{"ip_address": "10.0.0.1"}],
    });
    let notice = Notice { payload: json!({"port": port}), ..Notice::default() };
    OsloPublisher::start(&way.vhost.url(), PublisherOptions::default()).notify(&notice);
    let target = format!("K2HR3 at {}", sink.url("/v1/role"));
    let held = manager.news();
    assert!(
        held.starts_with(&format!("STATUS=listening to {broker}; {target} is down: cannot connect")),
        "{held}"
    );
    sink.restart();
    assert_eq!(manager.news(), format!("STATUS=listening to {broker}"));
    assert_eq!((manager.next(), manager.next()), ("WATCHDOG=1".into(), "WATCHDOG=1".into()));

    daemon.stop();
    assert_eq!(manager.news(), "STOPPING=1\nSTATUS=stopping: waiting for running attempts");
}

#[test]
fn an_abstract_socket_is_told_and_a_dead_one_hurts_nobody() {
    let way = Way::closed("notify-abstract");
    let name = format!("osnl-test-{}", way.vhost.name());
    let manager = Manager(UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap());
    manager.0.set_read_timeout(Some(SOON)).unwrap();
    for (socket, heard) in
        [(format!("@{name}"), true), ("/nonexistent/notify".to_owned(), false), (String::new(), false)]
    {
        let case = Case::new(&way.url(), "http://127.0.0.1:9/v1/role", "");
        let daemon = Daemon::start(case.command().env("NOTIFY_SOCKET", &socket));
        case.wait_for("stderr", "cannot listen");
        if heard {
            assert!(manager.news().starts_with("READY=1\n"), "{socket}");
        }
        daemon.stop();
    }
}
