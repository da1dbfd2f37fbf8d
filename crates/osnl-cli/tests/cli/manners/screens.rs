//! The screens of an operator, kept as files beside the tests.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use osnl_testkit::Pty;
use regex::Regex;

use super::OSNL;
use super::rig::Rig;
use crate::harness::PROMPTLY;
use crate::snapshot::{is_as_kept, is_updated, kept, look_until};

/// Replaces values that differ from run to run. Column widths depend on these values, so columns
/// become two blanks apart.
fn normal(rig: &Rig, text: &str) -> String {
    let folder = rig.place.path("").display().to_string();
    let text = text.replace(folder.trim_end_matches('/'), "PLACE");
    let text = text.replace(&rig.vhost.url(), "rabbit://BROKER").replace(rig.vhost.name(), "VHOST");
    let mut text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    for (pattern, kind) in [
        // Milliseconds from a second on.
        (r"(, after|the last took) \d+\.\d s", "$1 N ms"),
        (r"took \d+\.\d s", "took N s"),
        // Whether the temporary folder survives a restart depends on the machine.
        (r"(?m)^  place .*\n", ""),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "WHEN"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"RabbitMQ [\d.]+, cluster [^ \n]+", "RabbitMQ N, cluster NODE"),
        (r"process \d+", "process PID"),
        (r"digest [0-9a-f]+", "digest DIGEST"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "MESSAGE-ID"),
        (r"\b[0-9a-f]{32}\b", "UNIQUE-ID"),
        (r"\b\d+ bytes", "N bytes"),
        (
            r"(?m)^(  cmdb  down)(?:, tried in \d+ \w+)?(  .*?)  [01]  0  0  http",
            "$1, tried in N s$2  0  0  0  http",
        ),
        (r"\b(attempts|failures) \d+,", "$1 N,"),
        (r"osnl tries again (now|in \d+ \w+)", "osnl tries again in N s"),
        (r"\b(in|out) (-|\d+\.\d/s)", "$1 N/s"),
        (r"   \(in, out: [^)]+\)", ""),
        (
            r"(\.\d+  )(running|ready|retrying|waiting: target down|target down)(, (next attempt )?(now|in \d+ s))?  ",
            "${1}target down  ",
        ),
        (r"\d+ (running|ready|retrying)\b", "N retrying"),
        (
            r"0 deliveries would be (\w+)\n1 delivery running: it changes when its attempt ends, unless the attempt succeeds: ",
            "1 delivery would be $1: ",
        ),
        (r"(after|took) \d+ ms", "$1 N ms"),
        (r"after \d+ failed attempts?", "after N failed attempts"),
        (r"\b\d+(\.\d+)? (KiB|MiB)", "SIZE"),
        (r"in \d+\.\d+ s", "in N s"),
        (r"\b\d+ (s|min|h|d)\b", "N s"),
        // A delivery may come in the second in which its target fails, or before.
        (r"(target is down for N s; \d+ waits?), the oldest N s", "$1"),
        (r"(by|of|user) root\b", "$1 USER"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, kind).into_owned();
    }
    let columns = Regex::new(r"(\S) {2,}").unwrap();
    columns.replace_all(&text, "$1  ").into_owned()
}

fn screen(rig: &Rig, args: &[&str]) -> String {
    let conf: &[&str] = if args[0] == "events" { &[] } else { &["-c", "a.conf"] };
    let told = rig.execute(&[args, conf].concat());
    let ended = told.code.map_or("a signal".to_owned(), |code| code.to_string());
    let mut text = format!("$ osnl {}\n{}", args.join(" "), told.stdout);
    if !told.stderr.is_empty() {
        text.push_str(&format!("--- on standard error\n{}", told.stderr));
    }
    text.push_str(&format!("--- ends with {ended}\n"));
    normal(rig, &text)
}

#[track_caller]
fn shows(rig: &Rig, name: &str, args: &[&str]) {
    is_as_kept(&format!("screen-{name}"), &screen(rig, args));
}

/// Only for a command that changes nothing.
#[track_caller]
fn settles(name: &str, look: impl Fn() -> String) {
    let name = format!("screen-{name}");
    is_as_kept(&name, &look_until(look, |text| is_updated() || *text == kept(&name)));
}

#[test]
fn the_screens_of_a_daemon_and_of_its_file() {
    let mut rig = Rig::start("manners-screens");
    settles("status", || screen(&rig, &["status"]));
    settles("deliveries-list", || screen(&rig, &["deliveries", "list"]));
    fits(&rig, "status", &["status"]);
    fits(&rig, "deliveries-list", &["deliveries", "list"]);
    shows(&rig, "deliveries-list-none", &["deliveries", "list", "--rule", "nobody"]);
    settles("deliveries-list-page", || screen(&rig, &["deliveries", "list", "--limit", "1"]));
    settles("deliveries-show", || screen(&rig, &["deliveries", "show", "1.0"]));
    shows(&rig, "deliveries-show-none", &["deliveries", "show", "99.0"]);
    settles("deliveries-retry-dry-run", || {
        screen(&rig, &["deliveries", "retry", "--state", "dead", "--dry-run"])
    });
    settles("deliveries-discard-dry-run", || {
        screen(&rig, &["deliveries", "discard", "--action", "cmdb", "--dry-run"])
    });
    settles("deliveries-discard-asks", || screen(&rig, &["deliveries", "discard", "--action", "cmdb"]));
    shows(&rig, "deliveries-which", &["deliveries", "retry"]);
    settles("deliveries-release-dry-run", || {
        screen(&rig, &["deliveries", "release", "--action", "cmdb", "--dry-run"])
    });
    shows(&rig, "deliveries-move-nowhere", &["deliveries", "move", "--action", "cmdb", "--to", "nobody"]);
    settles("deliveries-move-dry-run", || {
        screen(&rig, &["deliveries", "move", "--action", "cmdb", "--to", "audit", "--dry-run"])
    });
    shows(&rig, "quarantine-list", &["quarantine", "list"]);
    fits(&rig, "quarantine-list", &["quarantine", "list"]);
    shows(&rig, "quarantine-list-none", &["quarantine", "list", "--queue", "nobody"]);
    shows(&rig, "quarantine-show", &["quarantine", "show", "1"]);
    shows(&rig, "quarantine-show-none", &["quarantine", "show", "99"]);
    shows(&rig, "quarantine-export", &["quarantine", "export", "1", "-o", "unread"]);
    let unread = rig.place.path("unread");
    assert!(std::fs::read_to_string(&unread).unwrap().ends_with(r#""adminPass": "S3CRET""#));
    assert_eq!(std::fs::metadata(&unread).unwrap().permissions().mode() & 0o777, 0o600);
    shows(&rig, "quarantine-export-again", &["quarantine", "export", "1", "-o", "unread"]);
    shows(&rig, "quarantine-retry", &["quarantine", "retry", "--all"]);
    shows(&rig, "quarantine-discard-dry-run", &["quarantine", "discard", "--reason", "JSON", "--dry-run"]);
    shows(&rig, "quarantine-discard-asks", &["quarantine", "discard", "--reason", "JSON"]);
    shows(&rig, "quarantine-which", &["quarantine", "discard"]);
    shows(&rig, "check", &["check"]);
    settles("check-connect", || screen(&rig, &["check", "--connect"]));
    shows(&rig, "config-show", &["config", "show"]);
    shows(&rig, "explain-file", &["explain", "event.json"]);
    shows(&rig, "explain-journal", &["explain", "--id", "1"]);
    shows(&rig, "explain-unmatched", &["explain", "--unmatched"]);
    settles("explain-counts", || screen(&rig, &["explain", "--counts"]));
    settles("replay-shadow", || screen(&rig, &["replay", "--id", "1"]));
    shows(&rig, "replay-asks", &["replay", "--id", "1", "--live"]);
    shows(&rig, "replay-live", &["replay", "event.json", "--rule", "forget-ports", "--live", "--yes"]);
    rig.wait("roles", "done", 2);
    shows(&rig, "test", &["test"]);
    shows(&rig, "events-none", &["events", "port.delte.end"]);
    shows(&rig, "send", &["send", "--listener", "neutron", "--keep-ids", "event.json"]);
    rig.wait("roles", "done", 3);
    settles("queues", || screen(&rig, &["queues", "--pause", "100ms"]));
    shows(&rig, "reload-same", &["reload"]);
    let conf = rig.conf();
    rig.place.write("a.conf", conf.replace("max_attempts = 1", "max_attempts = 2"));
    shows(&rig, "reload-done", &["reload"]);
    rig.place.write("a.conf", conf.replace("max_attempts = 1", "max_attemps = 1"));
    shows(&rig, "reload-refused", &["reload"]);
    settles("status-not-reloaded", || screen(&rig, &["status"]));
    shows(&rig, "check-wrong", &["check"]);
    rig.place.write("a.conf", &conf);
    assert_eq!(rig.execute(&["reload", "-c", "a.conf"]).code, Some(0));
    rig.stop();
    shows(&rig, "status-stopped", &["status"]);
    shows(&rig, "reload-stopped", &["reload"]);
    shows(&rig, "deliveries-retry", &["deliveries", "retry", "1.0"]);
    shows(&rig, "deliveries-discard", &["deliveries", "discard", "1.0"]);
    shows(&rig, "quarantine-list-stopped", &["quarantine", "list"]);
    shows(&rig, "quarantine-discard", &["quarantine", "discard", "1", "2"]);
    shows(&rig, "quarantine-list-empty", &["quarantine", "list"]);
}

#[track_caller]
fn fits(rig: &Rig, name: &str, args: &[&str]) {
    settles(&format!("{name}-80"), || narrow_screen(rig, args));
}

fn narrow_screen(rig: &Rig, args: &[&str]) -> String {
    let call = [&["NO_COLOR=1", OSNL], args, &["-c", "a.conf"]].concat();
    let mut terminal = Pty::start(Path::new("/usr/bin/env"), &call, &rig.place.path(""), (80, 24));
    assert!(terminal.wait(PROMPTLY).code().is_some(), "{}", terminal.text());
    let text = terminal.text().replace("\r\n", "\n");
    let tables = text.lines().filter(|line| !line.starts_with('!') && !line.contains("journal.db"));
    for line in tables {
        assert!(line.chars().count() <= 80, "{args:?}: {line}\n{text}");
    }
    normal(rig, &text)
}

#[test]
fn the_end_of_the_demo() {
    let rig = Rig::start("manners-demo");
    let told = rig.execute(&["demo"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let end: Vec<&str> = told.stdout.lines().rev().take(6).collect();
    let end: Vec<&str> = end.into_iter().rev().collect();
    is_as_kept("screen-demo-end", &normal(&rig, &format!("{}\n", end.join("\n"))));
}
