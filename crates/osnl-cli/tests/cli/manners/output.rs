use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use osnl_testkit::Pty;
use serde_json::Value;

use super::OSNL;
use super::rig::Rig;
use super::samples::{Json, SAMPLES, Sample};
use crate::harness::{PROMPTLY, Place};

const CONF: &str = "a.conf";

#[test]
fn every_command_is_good_to_scripts_and_to_people() {
    let rig = Rig::start("manners-output");
    for sample in SAMPLES {
        let call = sample.call(CONF);
        on_a_pipe(&rig, sample, &call);
        to_one_who_has_gone(&rig, sample, &call);
        to_a_full_disk(&rig, sample, &call);
        on_a_terminal(&rig, sample, &call);
    }
}

fn on_a_pipe(rig: &Rig, sample: &Sample, call: &[&str]) {
    let told = rig.execute(call);
    assert_eq!(told.code, Some(sample.status), "{call:?}\n{}{}", told.stdout, told.stderr);
    assert!(!told.stdout.is_empty(), "{call:?} prints nothing");
    for text in [&told.stdout, &told.stderr] {
        assert!(!text.contains('\x1b'), "{call:?} colours a pipe: {text:?}");
        assert!(!text.contains("S3CRET"), "{call:?}: {text}");
    }
    let json = |how: &[&str]| {
        let told = rig.execute(&[call, how].concat());
        assert_eq!(told.code, Some(sample.status), "{call:?} {how:?}\n{}{}", told.stdout, told.stderr);
        assert!(
            !told.stdout.contains('\x1b') && !told.stdout.contains("S3CRET"),
            "{call:?}: {}",
            told.stdout
        );
        told.stdout
    };
    match sample.json {
        Json::None(_) => {}
        Json::One => {
            let text = json(&["--format", "json"]);
            let read: Result<Value, _> = serde_json::from_str(&text);
            assert!(read.is_ok_and(|value| value.is_object()), "{call:?}: {text}");
        }
        Json::Lines => {
            let text = json(&["--format", "json"]);
            assert!(!text.is_empty(), "{call:?}");
            for line in text.lines() {
                let read: Result<Value, _> = serde_json::from_str(line);
                assert!(read.is_ok_and(|value| value.is_object()), "{call:?}: {line}");
            }
        }
    }
}

fn to_one_who_has_gone(rig: &Rig, sample: &Sample, call: &[&str]) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = run(rig, call, writer.into());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(sample.status), "{call:?}: {} {stderr}", output.status);
    for word in ["panicked", "roken pipe", "standard output"] {
        assert!(!stderr.contains(word), "{call:?} complains to one who has gone: {stderr}");
    }
}

fn to_a_full_disk(rig: &Rig, sample: &Sample, call: &[&str]) {
    // No script relies on the demo's output. clap prints the help.
    if sample.command == "demo" || call.contains(&"--help") {
        return;
    }
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = run(rig, call, full.into());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!matches!(output.status.code(), Some(0 | 101) | None), "{call:?}: {} {stderr}", output.status);
    assert!(stderr.contains("standard output: No space left on device"), "{call:?}: {stderr}");
}

fn run(rig: &Rig, call: &[&str], stdout: Stdio) -> Output {
    let mut command = Command::new(OSNL);
    command
        .args(call)
        .current_dir(rig.place.path(""))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

fn on_a_terminal(rig: &Rig, sample: &Sample, call: &[&str]) {
    let shown = |variable: &str| {
        let call = [&[variable, OSNL], call].concat();
        let mut terminal = Pty::start(Path::new("/usr/bin/env"), &call, &rig.place.path(""), (80, 24));
        assert_eq!(terminal.wait(PROMPTLY).code(), Some(sample.status), "{call:?}\n{}", terminal.text());
        terminal.text()
    };
    let coloured = shown("OTHER=1");
    assert_eq!(is_coloured(&coloured), sample.coloured, "{call:?}: {coloured:?}");
    // What has no colours at all has none to lose.
    let variables: &[&str] = if sample.coloured { &["NO_COLOR=1", "TERM=dumb"] } else { &[] };
    for variable in variables {
        let text = shown(variable);
        assert!(!is_coloured(&text), "{call:?} with {variable}: {text:?}");
    }
}

#[test]
fn an_error_is_marked_on_a_terminal_and_plain_elsewhere() {
    let place = Place::new();
    place.write("wrong.conf", "[listener:n]\nexchnge = neutron\n");
    let call = ["check", "-c", "wrong.conf"];
    let mut osnl = place.run(Path::new(OSNL), &call);
    assert_eq!(osnl.wait(PROMPTLY).code(), Some(78));
    assert!(osnl.stderr().starts_with("osnl: error: wrong.conf:1: "), "{}", osnl.stderr());
    for (variable, start) in [
        ("OTHER=1", "osnl: \x1b[38;5;1merror:\x1b[39m wrong.conf:1: "),
        ("NO_COLOR=", "osnl: \x1b[38;5;1merror:\x1b[39m wrong.conf:1: "),
        ("NO_COLOR=1", "osnl: error: wrong.conf:1: "),
        ("TERM=dumb", "osnl: error: wrong.conf:1: "),
    ] {
        let call = [&[variable, OSNL], &call[..]].concat();
        let mut terminal = Pty::start(Path::new("/usr/bin/env"), &call, &place.path(""), (80, 24));
        assert_eq!(terminal.wait(PROMPTLY).code(), Some(78));
        assert!(terminal.text().starts_with(start), "{variable}: {:?}", terminal.text());
    }
}

fn is_coloured(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == ';'));
        end.is_some_and(|end| rest[end..].starts_with('m') && !["", "0"].contains(&&rest[..end]))
    })
}
