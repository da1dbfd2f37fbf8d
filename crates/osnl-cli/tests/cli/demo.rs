#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Output, Stdio};

use osnl_testkit::{Broker, signal};
use serde_json::Value;

fn demo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    // A proxy for all hosts must not see requests to this machine.
    command.env("http_proxy", "http://127.0.0.1:9").env("RUST_LOG", "trace").env_remove("NO_COLOR");
    command.arg("demo").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(args: &[&str]) -> Output {
    demo(args).output().unwrap()
}

fn lines(args: &[&str]) -> Vec<String> {
    let output = output(args);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{args:?}\n{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    assert!(!text.contains('\x1b'), "colour without a terminal: {text}");
    text.lines().map(str::to_owned).collect()
}

fn steps(args: &[&str]) -> (Vec<Value>, Value) {
    let lines = lines(&[&["--format", "json"], args].concat());
    let mut objects: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = objects.pop().unwrap();
    for step in &objects {
        let complete =
            step["at"].is_f64() && ["by", "what", "text"].iter().all(|name| step[name].is_string());
        assert!(complete, "{step}");
    }
    (objects, last["summary"].clone())
}

#[track_caller]
fn check(args: &[&str], fails: impl Fn(u64, u64) -> bool) {
    let (steps, summary) = steps(args);
    let count = |name: &str| summary[name].as_u64().unwrap();
    let told = |label: &str| steps.iter().filter(|step| step["what"] == label).count() as u64;
    for (name, label) in [
        ("published", "published"),
        ("matched", "match"),
        ("unmatched", "no match"),
        ("unreadable", "unreadable"),
        ("attempts", "request"),
        ("delivered", "done"),
    ] {
        assert_eq!(count(name), told(label), "{args:?} {name}\n{summary}");
    }
    assert_eq!(count("acknowledged"), told("settled") + told("no match"), "{summary}");
    assert_eq!(count("acknowledged"), count("received"), "{summary}");
    assert_eq!(count("published"), count("received") + told("unrouted"), "{summary}");
    assert_eq!(count("received"), count("unmatched") + count("matched") + count("unreadable"), "{summary}");
    assert_eq!(count("attempts"), count("delivered") + count("failed"), "{summary}");
    assert_eq!((count("dead"), count("waiting")), (0, 0), "{summary}");
    assert_eq!((&summary["ok"], &summary["ended"]), (&true.into(), &"settled".into()), "{summary}");
    assert!(summary["per_second"]["published"].as_f64().unwrap() > 0.0, "{summary}");
    assert!(fails(count("attempts"), count("failed")), "{args:?}\n{summary}");
}

#[test]
fn everything_is_delivered_however_often_the_target_fails() {
    check(&[], |_, failed| failed > 0);
    check(&["--fail", "0", "--count", "60"], |requests, failed| requests > 5 && failed == 0);
    check(&["--fail", "1", "--count", "25"], |requests, failed| requests == 2 * failed);
    check(&["--fail", "4", "--seed", "12", "--count", "60"], |requests, failed| {
        failed > 0 && failed <= requests / 4
    });
    check(&["--count", "1", "--rate", "5"], |_, _| true);
    check(&["--count", "2000", "--rate", "20000", "--fail", "0"], |requests, _| requests > 100);
}

#[test]
fn the_same_seed_tells_the_same_and_another_seed_another() {
    let told = |args: &[&str]| -> Vec<String> {
        let lines = lines(args);
        lines.iter().filter(|line| !line.contains("; took ")).map(|line| without_port(line)).collect()
    };
    let first = told(&[]);
    assert_eq!(first, told(&[]));
    assert_ne!(first, told(&["--seed", "11"]));
}

#[test]
fn the_way_of_each_kind_of_message_is_told() {
    let (steps, _) = steps(&["--count", "100", "--fail", "2"]);
    let text = steps.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let numbers = |what: &str, said: &str| -> Vec<&Value> {
        let said =
            steps.iter().filter(|step| step["what"] == what && step["text"].as_str().unwrap().contains(said));
        said.map(|step| &step["message"]).collect()
    };
    let retried = "published match request answer retry request answer done settled";
    for (what, said, expected) in [
        ("published", "(keystone: ", "published unrouted"),
        ("published", "compute.instance.update", "published no_match"),
        ("published", "a body that cannot be read", "published unreadable settled"),
        ("answer", "503 Service Unavailable", retried),
        ("answer", "no answer, the connection is closed", retried),
        ("answer", "no answer in time", retried),
    ] {
        let numbers = numbers(what, said);
        assert!(!numbers.is_empty(), "{said}\n{text}");
        for number in numbers {
            let labels = steps.iter().filter(|step| step["message"] == *number);
            let labels: Vec<_> =
                labels.map(|step| step["what"].as_str().unwrap().replace(' ', "_")).collect();
            assert_eq!(labels.join(" "), expected, "#{number}\n{text}");
        }
    }
    for (what, said) in [
        ("no match", r#"event_type is "compute.instance.update", which does not match"#),
        ("match", "rule instances"),
        ("match", "rule instances-versioned"),
        ("request", "PUT /api/hosts/"),
        ("request", r#" {"name": ""#),
        ("request", "DELETE /api/hosts/"),
        ("answer", "204 No Content: lists "),
        ("answer", "204 No Content: removes 10.0.0."),
        ("done", "delivered PUT http://127.0.0.1:"),
    ] {
        assert!(!numbers(what, said).is_empty(), "{what}: {said}\n{text}");
    }
    let late = numbers("answer", "no answer in time")[0];
    let again = [numbers("answer", ": nothing to remove"), numbers("answer", ": already lists")].concat();
    assert!(again.contains(&late), "what was done is not done twice: #{late}\n{text}");

    let at = |what: &str, number: u64| {
        let of = |step: &Value| step["what"] == what && step["message"] == number;
        steps.iter().position(of).unwrap()
    };
    let retried = numbers("retry", "")[0].as_u64().unwrap();
    assert!(at("published", retried + 1) < at("settled", retried), "a retry waits by itself\n{text}");
}

#[test]
fn the_default_shows_each_kind_of_end_in_a_screen_of_lines() {
    let printed = lines(&[]);
    let text = printed.join("\n");
    for label in ["unrouted", "no match", "match", "request", "answer", "retry", "done", "settled"] {
        assert!(text.contains(&format!("  {label:<10} ")), "{label}\n{text}");
    }
    assert!(printed.len() <= 60, "{} lines\n{text}", printed.len());
}

#[test]
fn wrong_use_is_said_and_no_password_with_it() {
    for (args, status, said) in [
        (&["--count", "0"][..], 2, "--count"),
        (&["--rate", "0"], 2, "a number from 0.01"),
        (&["--rate", "fast"], 2, "a number from 0.01"),
        (&["--format", "xml"], 2, "json"),
        (&["--transport-url", "kafka://u:topsecret@127.0.0.1:1/"], 1, "kafka"),
        (&["--transport-url", "topsecret"], 1, "--transport-url"),
        (&["--transport-url", "rabbit://u:topsecret@127.0.0.1:1/"], 1, "127.0.0.1:1"),
    ] {
        let output = output(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}\n{stderr}");
        assert!(stderr.contains(said) && !stderr.contains("topsecret"), "{args:?}\n{stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_signal_ends_it_with_a_summary() {
    for name in ["INT", "TERM", "HUP"] {
        let mut child = demo(&["--rate", "0.1"]).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut told = String::new();
        while !told.contains("  published  ") {
            assert_ne!(stdout.read_line(&mut told).unwrap(), 0, "it ended by itself");
        }
        signal(child.id(), name);
        stdout.read_to_string(&mut told).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        assert!(told.lines().last().unwrap().contains("Interrupted"), "{name}: {told}");
    }
}

#[test]
fn a_real_broker_carries_it_and_is_left_as_it_was() {
    let vhost = Broker::shared().vhost("demo");
    let before = vhost.list_exchanges().len();
    let (_, summary) = steps(&["--transport-url", &vhost.url(), "--rate", "500", "--count", "80"]);
    assert_eq!((&summary["ok"], &summary["published"]), (&true.into(), &80.into()), "{summary}");
    assert!(summary["delivered"].as_u64().unwrap() > 5, "{summary}");
    assert!(vhost.list_queues().is_empty(), "{:?}", vhost.list_queues());
    assert_eq!(vhost.list_exchanges().len(), before, "{:?}", vhost.list_exchanges());
}

#[test]
fn the_readme_shows_what_is_printed() {
    let printed = lines(&[]);
    let printed: Vec<String> = printed.iter().map(|line| without_port(line)).collect();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let section = text.split("`osnl demo` prints").nth(1).unwrap();
    let sample = section.split("```").nth(1).unwrap();
    let mut from = 0;
    for line in sample.lines().skip(1).filter(|line| *line != "...") {
        let rest = &printed[from..];
        let at = rest.iter().position(|printed| *printed == without_port(line));
        from += 1 + at.unwrap_or_else(|| panic!("not printed, or not there: {line}\n{}", rest.join("\n")));
    }
    assert!(from > 10, "README.md has no sample");
}

fn without_port(line: &str) -> String {
    match line.split_once("127.0.0.1:") {
        Some((before, after)) => {
            format!("{before}127.0.0.1{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => line.to_owned(),
    }
}
