use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use osnl_testkit::{Pty, RawMessage, Reply};

use super::OSNL;
use super::rig::{CallResult, Rig};
use super::samples::SAMPLES;
use super::tree;
use crate::harness::{PROMPTLY, Place, SOON};
use crate::reloading::{self, LISTENER, RULE};

fn execute(place: &Place, args: &[&str]) -> CallResult {
    // A daemon of this machine must not answer.
    let state = format!("STATE_DIRECTORY={}", place.path("nobody").display());
    let mut osnl = place.run(Path::new("/usr/bin/env"), &[&[&*state, OSNL], args].concat());
    let code = osnl.wait(PROMPTLY).code();
    CallResult { code, stdout: osnl.stdout(), stderr: osnl.stderr() }
}

#[test]
fn wrong_use_is_2_and_says_where_to_look() {
    let place = Place::new();
    for node in tree::all() {
        let words = node.words();
        let told = execute(&place, &[&words[..], &["--nonsense"]].concat());
        assert_eq!((told.code, &*told.stdout), (Some(2), ""), "osnl {}: {}", node.name, told.stderr);
        for part in ["--nonsense", "Usage: osnl", "--help"] {
            assert!(told.stderr.contains(part), "osnl {}: no {part} in\n{}", node.name, told.stderr);
        }
        if node.below.is_empty() && node.has("--format") {
            let told = execute(&place, &[&words[..], &["--format", "yam"]].concat());
            assert_eq!((told.code, &*told.stdout), (Some(2), ""), "osnl {}", node.name);
            assert!(told.stderr.contains("[possible values: "), "osnl {}: {}", node.name, told.stderr);
        }
        if !node.below.is_empty() && !tree::ALSO_ALONE.contains(&&*node.name) {
            let told = execute(&place, &words);
            assert_eq!(told.code, Some(2), "osnl {} alone", node.name);
            let heading = if node.name.is_empty() { "Set up:" } else { "Commands:" };
            assert!(told.stderr.contains(heading), "osnl {} alone says what there is", node.name);
        }
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_78_and_a_daemon_that_is_not_there_69() {
    let place = Place::new();
    place.write("wrong.conf", "[listener:n]\nexchnge = neutron\n");
    place.write("event.json", super::rig::notice("port.delete.end", 3).to_string());
    let complains = |told: &CallResult, status: i32, call: &[&str], part: &str| {
        assert_eq!((told.code, &*told.stdout), (Some(status), ""), "{call:?}: {}", told.stderr);
        assert!(told.stderr.contains(part), "{call:?}: no {part} in\n{}", told.stderr);
        assert!(told.stderr.starts_with("osnl"), "{call:?}: {}", told.stderr);
        assert!(!told.stderr.contains("[y/N]"), "{call:?} asks: {}", told.stderr);
    };
    let mut called = 0;
    for sample in SAMPLES.iter().filter(|sample| sample.is_configured() && sample.command != "run") {
        for (conf, part) in [("none.conf", "none.conf"), ("wrong.conf", "did you mean exchange")] {
            let call = sample.call(conf);
            complains(&execute(&place, &call), 78, &call, part);
            called += 1;
        }
        if sample.node().has("--state-dir") {
            let name: Vec<&str> = sample.command.split_whitespace().collect();
            let call = [&name[..], sample.args, &["--state-dir", "nowhere"]].concat();
            complains(&execute(&place, &call), 69, &call, "nowhere");
        }
    }
    assert!(called > 40, "the sweep has shrunk: {called}");
    for (call, status) in [
        (&["run", "-c", "none.conf"][..], 78),
        (&["run", "-c", "wrong.conf"], 78),
        (&["k2hr3-osnl", "-c", "none.conf"], 1),
        (&["oss-watcher", "--config-file", "none.conf"], 1),
    ] {
        let told = execute(&place, call);
        assert_eq!(told.code, Some(status), "{call:?}: {}", told.stderr);
    }
}

/// A script reads the status also where it has closed standard error, as `2>&1 | head` does, or its disk is full.
#[test]
fn the_exit_status_does_not_depend_on_standard_error() {
    let place = Place::new();
    place.write("wrong.conf", "[listener:n]\nexchnge = neutron\n");
    place.write("event.json", super::rig::notice("port.delete.end", 3).to_string());
    let without_stderr = |args: &[&str], stderr: Stdio| {
        let mut command = Command::new(OSNL);
        command.args(args).current_dir(place.path("")).env("STATE_DIRECTORY", place.path("nobody"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).status().unwrap().code()
    };
    // With all of standard error these end with 78, as the test above says; a help ends with 0.
    let configured = SAMPLES.iter().filter(|sample| sample.is_configured());
    let configured = configured
        .map(|sample| (sample.call("wrong.conf"), Some(if sample.command == "run" { 0 } else { 78 })));
    let others = [
        &["statsu"][..],
        &["status", "--format", "yam"],
        &["deliveries", "show", "--state-dir", "nowhere", "1.0"],
        &["k2hr3-osnl", "-c", "none.conf"],
        &["oss-watcher", "--config-file", "none.conf"],
        &["send", "--transport-url", "nonsense", "event.json"],
        &["demo", "--transport-url", "nonsense://h"],
        &["explain", "-c", "wrong.conf", "none.json"],
        &["quarantine", "discard"],
    ]
    .map(|call| (call.to_vec(), execute(&place, call).code));
    let calls: Vec<(Vec<&str>, Option<i32>)> = configured.chain(others).collect();
    assert!(calls.len() > 30, "the sweep has shrunk: {}", calls.len());
    for (call, expected) in calls {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        for (stderr, name) in [(Stdio::from(writer), "closed"), (full.into(), "full")] {
            assert_eq!(without_stderr(&call, stderr), expected, "{call:?} with a {name} standard error");
        }
    }
}

#[test]
fn nothing_asks_where_nobody_answers_and_no_is_the_default_elsewhere() {
    let mut rig = Rig::start("manners-asks");
    let asking: [&[&str]; 3] = [
        &["deliveries", "discard", "--state", "dead", "-c", "a.conf"],
        &["replay", "event.json", "--rule", "forget-ports", "--live", "-c", "a.conf"],
        &["verify", "roles", "--kind", "port", "--ids", "ids.txt", "--live", "-c", "a.conf"],
    ];
    for call in asking {
        let told = rig.execute(call);
        assert_eq!((told.code, &*told.stdout), (Some(2), ""), "{call:?}: {}", told.stderr);
        assert!(told.stderr.contains("--yes") && !told.stderr.contains("[y/N]"), "{call:?}: {}", told.stderr);
        for answer in ["\r", "n\r", "maybe\r", "\x04"] {
            let mut terminal = Pty::start(Path::new(OSNL), call, &rig.place.path(""), (100, 24));
            osnl_testkit::wait_until(PROMPTLY, "a question", || terminal.text().contains("[y/N]"));
            terminal.type_in(answer);
            assert_eq!(terminal.wait(PROMPTLY).code(), Some(1), "{call:?} {answer:?}: {}", terminal.text());
        }
        let mut terminal = Pty::start(Path::new(OSNL), call, &rig.place.path(""), (100, 24));
        osnl_testkit::wait_until(PROMPTLY, "a question", || terminal.text().contains("[y/N]"));
        terminal.type_in("\x03");
        assert_eq!(terminal.wait(PROMPTLY).code(), Some(130), "{call:?}: {}", terminal.text());
        // Raw mode would outlive the program.
        for (signal, status) in [("TERM", 143), ("HUP", 129)] {
            let mut terminal = Pty::start(Path::new(OSNL), call, &rig.place.path(""), (100, 24));
            osnl_testkit::wait_until(PROMPTLY, "a question", || terminal.text().contains("[y/N]"));
            assert!(!terminal.has_its_modes(), "the question does not read keys");
            terminal.signal(signal);
            assert_eq!(terminal.wait(PROMPTLY).code(), Some(status), "{call:?}: {}", terminal.text());
            assert!(terminal.has_its_modes(), "{call:?} {signal}: {}", terminal.text());
        }
    }
    rig.wait("roles", "dead", 1);
    for call in asking {
        let mut terminal = Pty::start(Path::new(OSNL), call, &rig.place.path(""), (100, 24));
        osnl_testkit::wait_until(PROMPTLY, "a question", || terminal.text().contains("[y/N]"));
        terminal.type_in("y\r");
        assert_eq!(terminal.wait(PROMPTLY).code(), Some(0), "{call:?}: {}", terminal.text());
    }
    rig.stop();
}

#[test]
fn a_release_of_deletions_names_them_and_asks() {
    let action = "guard = 1 per 1h\n[action:roles]\ndriver = http\nurl = SINK\nmethod = DELETE\n";
    let mut rig = reloading::Rig::with("manners-release", &[LISTENER, RULE, action]);
    rig.publish([(1, 1), (2, 2), (3, 3)]);
    osnl_testkit::wait_until(SOON, "two wait for release", || {
        rig.target("roles")["for_release"] == 2 && rig.target("roles")["done"] == 1
    });
    let calls = format!("2 × DELETE {} (action roles)", rig.sink.url("/v1/role"));
    for call in ["deliveries release --all", "deliveries release --action roles"] {
        let refusal = format!("nothing was released: add --yes to release 2 deliveries, which calls {calls}");
        rig.check(&[(call, 2, &refusal)]);
        rig.check(&[(&format!("{call} --dry-run"), 0, &format!("\n  calls {calls}\n"))]);
    }
    let ask = |answer: &str| {
        let mut terminal = asking(&rig, "deliveries release --action roles -c a.conf");
        let question = format!("release 2 deliveries? osnl then calls {calls}");
        assert!(terminal.text().contains(&question), "{question}: {}", terminal.text());
        terminal.type_in(answer);
        terminal.wait(PROMPTLY).code()
    };
    assert_eq!(ask("n\r"), Some(1));
    assert_eq!((rig.sink.requests().len(), &rig.target("roles")["for_release"]), (1, &2.into()));
    assert_eq!(ask("y\r"), Some(0));
    osnl_testkit::wait_until(SOON, "both are called", || rig.sink.requests().len() == 3);

    rig.publish([(4, 4)]);
    osnl_testkit::wait_until(SOON, "one waits", || rig.target("roles")["for_release"] == 1);
    let mut terminal = asking(&rig, "deliveries release --all -c a.conf");
    rig.publish([(5, 5)]);
    osnl_testkit::wait_until(SOON, "another waits", || rig.target("roles")["for_release"] == 2);
    terminal.type_in("y\r");
    assert_eq!(terminal.wait(PROMPTLY).code(), Some(0), "{}", terminal.text());
    assert!(terminal.text().contains("1 delivery released"), "{}", terminal.text());
    osnl_testkit::wait_until(SOON, "one is called", || rig.sink.requests().len() == 4);
    assert_eq!(rig.target("roles")["for_release"], 1);
}

#[test]
fn a_yes_is_for_what_the_question_named() {
    let action = "[action:roles]\ndriver = k2hr3\napi_url = SINK\nretry_interval = 1s\n";
    let mut rig = reloading::Rig::with("manners-yes", &[LISTENER, RULE, action]);
    rig.sink.reply_with(Reply::Status(400));
    rig.publish([(1, 1)]);
    let dead = |rig: &reloading::Rig, count: u64| {
        osnl_testkit::wait_until(SOON, "dead letters", || rig.target("roles")["dead"] == count);
    };
    dead(&rig, 1);
    rig.sink.reply_with(Reply::Status(503));
    rig.publish([(2, 2)]);
    osnl_testkit::wait_until(SOON, "its first attempt", || rig.sink.requests().len() >= 2);

    let mut terminal = asking(&rig, "deliveries discard --state dead -c a.conf");
    assert!(terminal.text().contains("discard 1 delivery?"), "{}", terminal.text());
    rig.sink.reply_with(Reply::Status(400));
    dead(&rig, 2);
    terminal.type_in("y\r");
    osnl_testkit::wait_until(PROMPTLY, "a second question", || {
        terminal.text().contains("discard 2 deliveries?")
    });
    terminal.type_in("n\r");
    assert_eq!(terminal.wait(PROMPTLY).code(), Some(1), "{}", terminal.text());
    assert_eq!(rig.target("roles")["dead"], 2);

    let text = "not JSON".to_owned().into_bytes();
    let unreadable = |rig: &mut reloading::Rig, count: u64| {
        let (exchange, routing_key) = ("neutron".to_owned(), "notifications.info".to_owned());
        rig.publisher.raw(&RawMessage { exchange, routing_key, body: text.clone(), ..RawMessage::default() });
        osnl_testkit::wait_until(SOON, "the quarantine", || rig.status()["journal"]["quarantined"] == count);
    };
    unreadable(&mut rig, 1);
    let mut terminal = asking(&rig, "quarantine discard --all -c a.conf");
    unreadable(&mut rig, 2);
    terminal.type_in("y\r");
    assert_eq!(terminal.wait(PROMPTLY).code(), Some(0), "{}", terminal.text());
    assert_eq!(rig.status()["journal"]["quarantined"], 1);
}

fn asking(rig: &reloading::Rig, call: &str) -> Pty {
    let call: Vec<&str> = call.split(' ').collect();
    let terminal = Pty::start(Path::new(OSNL), &call, rig.home.path(), (200, 24));
    osnl_testkit::wait_until(PROMPTLY, "a question", || terminal.text().contains("[y/N]"));
    terminal
}

#[test]
fn ctrl_c_ends_what_only_looks_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rabbit://guest:guest@127.0.0.1:{}/", silent.local_addr().unwrap().port());
    let place = Place::new();
    place.write(
        "a.conf",
        format!(
            "[listener:n]\ntransport_url = {url}\nexchange = neutron\npool = osnl\n[rule:r]\nactions = d\n\
             [action:d]\ndriver = dump\npath = d\n"
        ),
    );
    place.write("event.json", super::rig::notice("port.delete.end", 3).to_string());
    // A command killed by the signal has 130 in a shell; a command that handles the signal exits
    // with 130.
    let calls: [&[&str]; 4] = [
        &["check", "--connect", "--timeout", "60s", "-c", "a.conf"],
        &["tap", &url],
        &["queues", "--timeout", "60s", "-c", "a.conf"],
        &["send", "--transport-url", &url, "event.json"],
    ];
    for call in calls {
        let mut osnl = place.run(Path::new(OSNL), call);
        let _knocked = silent.accept().unwrap();
        osnl.signal("INT");
        let status = osnl.wait(PROMPTLY);
        assert!(by_interrupt(status) || status.code() == Some(69), "{call:?}: {status} {}", osnl.stderr());
        assert!(!osnl.stderr().contains("panicked"), "{call:?}: {}", osnl.stderr());
    }
}

fn by_interrupt(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(2) || status.code() == Some(130)
}

#[test]
fn ctrl_c_once_drains_a_daemon_and_twice_aborts_it() {
    let mut rig = Rig::start("manners-interrupts");
    rig.stop();
    let start = |rig: &Rig| {
        let daemon = rig.place.run(Path::new(OSNL), &["run", "-c", "a.conf"]);
        daemon.listening()
    };
    let mut once = start(&rig);
    once.signal("INT");
    assert_eq!(once.wait(PROMPTLY).code(), Some(0), "{}", once.stderr());
    rig.sink.reply_with(Reply::Hang);
    let mut twice = start(&rig);
    let before = rig.sink.requests().len();
    rig.publish("port.delete.end", 7);
    rig.sink.wait_for(before + 1, PROMPTLY);
    twice.signal("INT");
    twice.wait_for("SIGINT");
    assert!(twice.is_running(), "the attempt under way may yet be answered");
    let told = rig.execute(&["status", "-c", "a.conf"]);
    assert!(told.code == Some(1) && told.stdout.contains("!    osnl is stopping for "), "{told:?}");
    assert!(
        told.stdout.contains("do   a second SIGTERM ends it at once; 1 running attempt is finished first"),
        "{told:?}"
    );
    assert!(!told.stdout.contains("!    neutron: "), "{told:?}");
    twice.signal("INT");
    assert_eq!(twice.wait(PROMPTLY).code(), Some(130), "{}", twice.stderr());
}

#[test]
fn a_question_waits_for_whoever_is_asked_only() {
    // Without a terminal and input, each command must end by itself. Those that read a configuration do so above.
    let place = Place::new();
    for sample in SAMPLES.iter().filter(|sample| !sample.is_configured()) {
        let call = sample.call("none.conf");
        let told = execute(&place, &call);
        assert!(told.code.is_some(), "{call:?}");
        assert!(!told.stderr.contains("[y/N]") && !told.stdout.contains("[y/N]"), "{call:?}: {told:?}");
    }
}
