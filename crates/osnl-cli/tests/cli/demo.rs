//! `osnl demo`, as somebody runs it who has never seen osnl.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

fn demo(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    // A proxy for everything must not get to see requests to this machine.
    command.env("http_proxy", "http://127.0.0.1:9").env("RUST_LOG", "trace");
    command.arg("demo").args(args).stdin(Stdio::null()).output().unwrap()
}

/// The lines, after checking that it ended well.
fn lines(args: &[&str]) -> Vec<String> {
    let output = demo(args);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{args:?}\n{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    assert!(!text.contains('\x1b'), "colour without a terminal: {text}");
    text.lines().map(str::to_owned).collect()
}

/// What is told about one message: the labels of its lines, in order.
fn labels(lines: &[String], number: usize) -> Vec<&str> {
    let prefix = format!("#{number} ");
    let about = lines.iter().filter_map(|line| line.trim_start().strip_prefix(&prefix));
    about.map(|rest| rest.trim_start().split("  ").next().unwrap().trim()).collect()
}

/// The counts of the summary by their text.
fn summary(lines: &[String]) -> BTreeMap<&str, u64> {
    let from = lines.iter().position(|line| line == "Summary").unwrap() + 1;
    let counts = lines[from..].iter().map_while(|line| line.trim_start().split_once("  "));
    counts.map(|(count, what)| (what, count.parse().unwrap())).collect()
}

#[track_caller]
fn check(args: &[&str], attempts: u64, failed: u64) {
    let lines = lines(args);
    let summary = summary(&lines);
    let expected = BTreeMap::from([
        ("notifications published", 13),
        ("received by osnl; the others reached no queue of ours", 10),
        ("matched no rule", 4),
        ("matched a rule", 5),
        ("unreadable, set aside", 1),
        ("attempts", attempts),
        ("of these failed", failed),
        ("delivered to K2HR3", 4),
        ("asked for nothing", 1),
        ("dead letters", 0),
        ("acknowledged to the broker", 10),
        ("still in a queue", 0),
    ]);
    assert_eq!(summary, expected, "{args:?}\n{}", lines.join("\n"));
    let retries = lines.iter().filter(|line| line.contains(" retry ")).count();
    assert_eq!(retries as u64, failed, "{args:?}\n{}", lines.join("\n"));
    let last: Vec<&String> = lines.iter().rev().take(2).collect();
    assert_eq!(last[1], "K2HR3 held 4 hosts with 6 addresses before, 1 with 1 after.");
    assert!(last[0].contains("nothing was lost"), "{}", last[0]);
}

#[test]
fn everything_is_delivered_however_often_k2hr3_fails() {
    check(&[], 6, 1);
    check(&["--fail", "0"], 5, 0);
    check(&["--fail", "2"], 7, 2);
    check(&["--fail", "1"], 9, 4);
}

#[test]
fn the_way_of_each_kind_of_message_is_told() {
    let lines = lines(&[]);
    let delivered = ["published", "is", "match", "request", "answer", "done", "settled"];
    for (number, expected) in [
        (1, &["published", "is", "unrouted"][..]),
        (2, &["published", "is", "no match", "settled"]),
        (6, &delivered),
        (7, &["published", "is", "match", "done", "settled"]),
        (8, &delivered),
        (
            9,
            &[
                "published",
                "is",
                "match",
                "request",
                "answer",
                "retry",
                "request",
                "answer",
                "done",
                "settled",
            ],
        ),
        (
            10,
            &[
                "published",
                "is",
                "unreadable message cannot be read; set aside; priority is a number, not a text; digest 3e54327247e55ff7",
                "settled",
            ],
        ),
        (13, &delivered),
    ] {
        assert_eq!(labels(&lines, number), expected, "#{number}\n{}", lines.join("\n"));
    }
    let position = |text: &str| {
        lines
            .iter()
            .position(|line| line.contains(text))
            .unwrap_or_else(|| panic!("{text}\n{}", lines.join("\n")))
    };
    position(r#"event_type is "port.create.end", which does not match "^port\.delete\.end$""#);
    position("&cuk=33333333-aaaa-4bbb-8ccc-000000000001&host=%5B%2210.0.0.200%22%5D");
    assert!(lines.iter().any(|line| line == "  #6  answer     204 No Content: forgets 10.0.0.200"));
    assert!(lines.iter().any(|line| line == " #13  answer     204 No Content: forgets 10.0.0.201"));
    position("204 No Content: forgets 10.0.0.32, 2001:db8::32");
    assert!(
        position("#9  retry") < position("#13  published")
            && position("#13  settled") < position("#9  settled"),
        "a retry waits by itself:\n{}",
        lines.join("\n")
    );
}

#[test]
fn the_readme_shows_what_is_printed() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let section = readme.split("## What the demo prints").nth(1).unwrap();
    let sample = section.split("```").nth(1).unwrap();
    let printed = lines(&[]);
    let printed: Vec<String> = printed.iter().map(|line| without_port(line)).collect();
    let mut from = 0;
    for line in sample.lines().skip(1).filter(|line| *line != "...") {
        let rest = &printed[from..];
        let at = rest.iter().position(|printed| *printed == without_port(line));
        from += at.unwrap_or_else(|| panic!("not printed, or not there: {line}\n{}", rest.join("\n"))) + 1;
    }
    assert!(from > 10, "there is no sample in the README");
}

/// The stand-in listens wherever there is a free port.
fn without_port(line: &str) -> String {
    match line.split_once("127.0.0.1:") {
        Some((before, after)) => {
            format!("{before}127.0.0.1{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => line.to_owned(),
    }
}
