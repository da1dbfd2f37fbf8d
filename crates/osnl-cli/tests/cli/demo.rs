//! `osnl demo`, as a newcomer runs it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Output, Stdio};

use osnl_testkit::{Broker, signal};
use serde_json::Value;

fn demo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    // A proxy for everything must not get to see requests to this machine.
    command.env("http_proxy", "http://127.0.0.1:9").env("RUST_LOG", "trace").env_remove("NO_COLOR");
    command.arg("demo").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(args: &[&str]) -> Output {
    demo(args).output().unwrap()
}

/// The lines, after checking that it ended well.
fn lines(args: &[&str]) -> Vec<String> {
    let output = output(args);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{args:?}\n{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    assert!(!text.contains('\x1b'), "colour without a terminal: {text}");
    text.lines().map(str::to_owned).collect()
}

/// Returns the labels of the lines about one message, in order.
fn labels(lines: &[String], number: &str) -> Vec<String> {
    let prefix = format!("#{number} ");
    let about = lines.iter().filter_map(|line| line.trim_start().strip_prefix(&prefix));
    about
        .map(|rest| {
            let (_, rest) = rest.trim_start().split_once(' ').unwrap();
            let rest = rest.trim_start();
            let rest = if rest.starts_with("unreadable") { "unreadable" } else { rest };
            rest.split("  ").next().unwrap().trim().to_owned()
        })
        .collect()
}

/// The numbers of the messages whose lines say this.
fn numbers<'a>(lines: &'a [String], text: &str) -> Vec<&'a str> {
    let lines = lines.iter().filter(|line| line.contains(text));
    lines.map(|line| line.trim_start().trim_start_matches('#').split(' ').next().unwrap()).collect()
}

/// The counts of the summary by their text.
fn summary(lines: &[String]) -> BTreeMap<&str, u64> {
    let from = lines.iter().position(|line| line == "Summary").unwrap() + 1;
    let counts = lines[from..].iter().map_while(|line| line.trim_start().split_once("  "));
    counts.map(|(count, what)| (what, count.parse().unwrap())).collect()
}

#[track_caller]
fn check(args: &[&str], fails: impl Fn(u64, u64) -> bool) {
    let lines = lines(args);
    let count = summary(&lines);
    let text = lines.join("\n");
    let told =
        |label: &str| lines.iter().filter(|line| line.contains(&format!("  {label:<10} "))).count() as u64;
    for (what, label) in [
        ("notifications published", "published"),
        ("acknowledged to the broker", "settled"),
        ("matched a rule", "match"),
        ("matched no rule", "no match"),
        ("unreadable: quarantined", "unreadable"),
    ] {
        assert_eq!(count[what], told(label), "{what}\n{text}");
    }
    assert_eq!(
        count["received by osnl; no queue of osnl is bound to the others"],
        count["acknowledged to the broker"]
    );
    let delivered = count.iter().find(|(what, _)| what.starts_with("delivered to ")).map(|(_, count)| *count);
    let delivered = delivered.unwrap();
    let failed = count.iter().find(|(what, _)| what.starts_with("attempts failed")).map(|(_, count)| *count);
    let failed = failed.unwrap();
    assert_eq!(count["matched a rule"], delivered + count["needed no action"], "{text}");
    let asked = count["attempts"] - count["needed no action"];
    assert_eq!(asked, told("request"), "{text}");
    assert_eq!(asked, delivered + failed, "{text}");
    assert_eq!((count["dead letters"], count["still in the queue of the broker"]), (0, 0), "{text}");
    assert!(fails(asked, failed), "{args:?}\n{text}");
    assert!(lines.last().unwrap().contains("Nothing was lost"), "{text}");
}

#[test]
fn everything_is_delivered_however_often_the_target_fails() {
    for scenario in ["webhook", "k2hr3"] {
        let check = |args: &[&str], fails: fn(u64, u64) -> bool| {
            check(&[&["--scenario", scenario], args].concat(), fails);
        };
        check(&["--fail", "0"], |requests, failed| requests > 5 && failed == 0);
        check(&["--fail", "1", "--count", "25"], |requests, failed| requests == 2 * failed);
        check(&["--fail", "4", "--seed", "12"], |requests, failed| failed > 0 && failed <= requests / 4);
    }
    check(&["--count", "1", "--rate", "5"], |_, _| true);
    check(&["--count", "2000", "--rate", "20000", "--fail", "0"], |requests, _| requests > 100);
}

#[test]
fn the_same_seed_tells_the_same_and_another_seed_another() {
    let told = |args: &[&str]| -> Vec<String> {
        let lines = lines(args);
        lines.iter().filter(|line| !line.starts_with("Took ")).map(|line| without_port(line)).collect()
    };
    let first = told(&[]);
    assert_eq!(first, told(&[]));
    assert_ne!(first, told(&["--seed", "11"]));
}

#[test]
fn the_way_of_each_kind_of_message_is_told() {
    let lines = lines(&["--scenario", "k2hr3"]);
    let text = lines.join("\n");
    for (said, expected) in [
        ("is         keystone: ", "published is unrouted"),
        ("published  port.create.end", "published is no_match settled"),
        ("nothing to do: the port belongs to no instance", "published is match done settled"),
        ("a body that cannot be read", "published is unreadable settled"),
        ("answer     503 ", "published is match request answer retry request answer done settled"),
        (
            "answer     no answer, the connection",
            "published is match request answer retry request answer done settled",
        ),
        (
            "answer     no answer in time",
            "published is match request answer retry request answer done settled",
        ),
    ] {
        let numbers = numbers(&lines, said);
        assert!(!numbers.is_empty(), "{said}\n{text}");
        for number in numbers {
            let labels: Vec<String> =
                labels(&lines, number).iter().map(|label| label.replace(' ', "_")).collect();
            assert_eq!(labels.join(" "), expected, "#{number}\n{text}");
        }
    }
    for said in [
        r#"event_type is "port.create.end", which does not match "^port\.delete\.end$""#,
        "&host=%5B%2210.0.0.",
        "204 No Content: removes 10.0.0.",
        "rule instance-deleted\n",
        "rule instance-deleted-versioned\n",
        "  registers  ",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    let late = numbers(&lines, "no answer in time: removes")[0];
    let again = format!("{:>4}  target  answer     204 No Content: nothing to remove", format!("#{late}"));
    assert!(lines.contains(&again), "what was done is not done twice: {again}\n{text}");
    let retried = numbers(&lines, "  retry ")[0];
    let position = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    let next = retried.parse::<u32>().unwrap() + 1;
    assert!(
        position(&format!("#{next}  cloud   published")) < position(&format!("#{retried}  osnl    settled")),
        "a retry waits by itself\n{text}"
    );
}

#[test]
fn a_webhook_lists_the_servers_that_exist() {
    let text = lines(&[]).join("\n");
    for said in [
        "osnl    request    PUT /api/hosts/",
        r#" {"name": ""#,
        "target  answer     204 No Content: lists ",
        "osnl    request    DELETE /api/hosts/",
        "target  answer     204 No Content: removes 10.0.0.",
        "target  answer     503 ",
        "osnl    retry      ",
        "osnl    done       delivered PUT http://127.0.0.1:",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
}

/// The last line, which is all that a script looks at.
fn json_summary(text: &str) -> Value {
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, events) = objects.split_last().unwrap();
    for event in events {
        assert!(
            event["at"].is_f64()
                && event["by"].is_string()
                && event["what"].is_string()
                && event["text"].is_string(),
            "{event}"
        );
    }
    let published = events.iter().filter(|event| event["what"] == "published").count();
    assert_eq!(last["summary"]["published"], published, "{text}");
    last["summary"].clone()
}

#[test]
fn json_ends_with_one_summary() {
    let output = output(&["--format", "json", "--count", "40"]);
    assert_eq!(output.status.code(), Some(0));
    let summary = json_summary(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(
        (&summary["ok"], &summary["ended"], &summary["seed"]),
        (&true.into(), &"settled".into(), &4.into())
    );
    let number = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!(
        number("received"),
        number("unmatched") + number("matched") + number("unreadable"),
        "{summary}"
    );
    assert!(summary["per_second"]["published"].as_f64().unwrap() > 0.0, "{summary}");
    assert!(number("failed") > 0 && number("dead") == 0 && number("waiting") == 0, "{summary}");
}

#[test]
fn wrong_use_is_said_and_no_password_with_it() {
    for (args, status, said) in [
        (&["--count", "0"][..], 2, "--count"),
        (&["--rate", "0"], 2, "a number from 0.01"),
        (&["--rate", "fast"], 2, "a number from 0.01"),
        (&["--format", "xml"], 2, "json"),
        (&["--screen", "10x10"], 2, "at least 72x18"),
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
fn a_screen_is_drawn_and_given_back_at_every_end() {
    const ENTER: &str = "\x1b[?1049h\x1b[?25l";
    const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
    let screen = ["--screen", "100x30", "--rate", "400", "--fail", "0"];
    let told = output(&screen);
    assert_eq!(told.status.code(), Some(0));
    let told = String::from_utf8(told.stdout).unwrap();
    let (pictures, after) = told.strip_prefix(ENTER).unwrap().split_once(LEAVE).unwrap();
    let last = pictures.rsplit("\x1b[H").next().unwrap();
    for said in ["cloud: 60 events", " stand-ins ", " inventory: ", " osnl "] {
        assert!(last.contains(said), "{said}\n{last}");
    }
    assert!(last.split("\r\n").count() == 30, "{last}");
    assert!(after.contains("60  notifications published") && after.contains("Nothing was lost"), "{after}");

    for name in ["INT", "TERM", "HUP"] {
        let mut child = demo(&["--screen", "100x30", "--rate", "1"]).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        // The first picture is complete with the first line that only the end of one has.
        let mut told = Vec::new();
        while !told.ends_with(b"\x1b[J") {
            assert_ne!(stdout.read_until(b'J', &mut told).unwrap(), 0, "it ended by itself");
        }
        signal(child.id(), name);
        stdout.read_to_end(&mut told).unwrap();
        let told = String::from_utf8(told).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        let (_, after) = told.split_once(LEAVE).unwrap_or_else(|| panic!("{name}: {told}"));
        assert!(!after.contains(ENTER) && after.contains("Interrupted"), "{name}: {after}");
    }
}

#[test]
fn a_real_broker_carries_it_and_is_left_as_it_was() {
    let vhost = Broker::shared().vhost("demo");
    let before = vhost.list_exchanges().len();
    let output =
        output(&["--transport-url", &vhost.url(), "--format", "json", "--rate", "500", "--count", "80"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let summary = json_summary(&String::from_utf8(output.stdout).unwrap());
    assert_eq!((&summary["ok"], &summary["published"]), (&true.into(), &80.into()), "{summary}");
    assert!(summary["delivered"].as_u64().unwrap() > 5, "{summary}");
    assert!(vhost.list_queues().is_empty(), "{:?}", vhost.list_queues());
    assert_eq!(vhost.list_exchanges().len(), before, "{:?}", vhost.list_exchanges());
}

#[test]
fn the_page_shows_what_is_printed() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/demo.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split("## What it prints").nth(1).unwrap();
    let sample = section.split("```").nth(1).unwrap();
    let printed = lines(&[]);
    let printed: Vec<String> = printed.iter().map(|line| without_port(line)).collect();
    let mut from = 0;
    for line in sample.lines().skip(1).filter(|line| *line != "...") {
        let rest = &printed[from..];
        let at = rest.iter().position(|printed| *printed == without_port(line));
        from += at.unwrap_or_else(|| panic!("not printed, or not there: {line}\n{}", rest.join("\n"))) + 1;
    }
    assert!(from > 10, "there is no sample on the page");
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

/// The folder of a service that runs on the machine is not the demo's, also for root.
#[test]
fn a_demo_keeps_nothing_in_the_folder_of_a_service() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = crate::private_folder().unwrap();
    let (state, temporary) = (folder.path().join("state"), folder.path().join("tmp"));
    for path in [&state, &temporary] {
        std::fs::create_dir(path).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
    command.args(["demo", "--scenario", "oss"]).env_clear().stdin(Stdio::null());
    command.env("STATE_DIRECTORY", &state).env("TMPDIR", &temporary).env("HOME", folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for path in [&state, &temporary] {
        let left: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, Vec::<std::ffi::OsString>::new());
    }
}
