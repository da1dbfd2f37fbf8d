//! Every recorded configuration file without a broker: an accepted file keeps the daemon running, a
//! refused file has its line in the error.

use osnl_testkit::{closed_port, fixture, wait_until};

use crate::harness::{PROMPTLY, Place, SOON};

type Expectation = Result<(), &'static [&'static str]>;

const FILES: [(&str, Expectation); 15] = [
    ("01-minimal-neutron", Ok(())),
    ("02-nova-versioned", Ok(())),
    ("03-nova-legacy", Ok(())),
    // k2hr3_osnl needs another module for this file too.
    ("04-kafka-requeue-default", Err(&["3: [oslo_messaging_notifications] transport_url: "])),
    ("05-several-hosts-vhost", Ok(())),
    ("06-all-options-documented", Ok(())),
    ("07-all-options-registered", Ok(())),
    ("08-empty", Ok(())),
    ("09-unknown-keys", Ok(())),
    ("10-bad-debug-level", Ok(())),
    (
        "11-bad-types",
        Err(&[
            "3: [oslo_messaging_notifications] allow_requeue: ",
            "7: [k2hr3] timeout_seconds: ",
            "8: [k2hr3] requeue_on_error: ",
        ]),
    ),
    ("12-bad-no-section", Err(&["1: the option is before the first section", "3: the line has neither"])),
    // k2hr3_osnl started with this file and lost every message.
    ("13-bad-api-url", Err(&["6: [k2hr3] api_url: "])),
    ("14-bad-transport", Err(&["2: [oslo_messaging_notifications] transport_url: "])),
    ("15-syntax-corners", Ok(())),
];

#[test]
fn every_recorded_file_stays_up_or_is_refused_with_its_line() {
    let recorded = fixture::json("k2hr3/conf/expected.json");
    let recorded = recorded["files"].as_object().unwrap();
    let names: Vec<String> = FILES.iter().map(|(name, _)| format!("{name}.conf")).collect();
    assert!(recorded.keys().eq(&names), "{:?}", recorded.keys());
    for (name, expected) in FILES {
        check(name, expected);
    }
}

#[track_caller]
fn check(name: &str, expected: Expectation) {
    let place = Place::new();
    let file = format!("{name}.conf");
    place.write(&file, without_broker(&fixture::text(&format!("k2hr3/conf/{file}"))));
    // The flag raises a lower level of the file, so that attempts to connect are logged.
    let mut osnl = place.osnl(&["-c", &file, "-d", "info"]);
    let log = || osnl.stderr() + &place.read("osnl-test.log");
    match expected {
        Ok(()) => {
            wait_until(SOON, &format!("{name} to try to connect"), || log().contains("cannot listen"));
            assert!(osnl.is_running(), "{name}");
            osnl.signal("INT");
            assert_eq!(osnl.wait(PROMPTLY).code(), Some(0), "{name}\n{}", osnl.stderr());
        }
        Err(places) => {
            let (code, stderr) = osnl.refused();
            assert_eq!(code, Some(1), "{name}\n{stderr}");
            assert_eq!(stderr.lines().count(), places.len(), "{name}\n{stderr}");
            for (line, place) in stderr.lines().zip(places) {
                assert!(line.starts_with("k2hr3-osnl: error: "), "{name}\n{stderr}");
                assert!(line.contains(&format!("{file}:{place}")), "{name} lacks {place}\n{stderr}");
            }
        }
    }
    let said = osnl.stderr() + &place.read("osnl-test.log");
    for word in ["hunter2", "p@ss:rd", "p%40ss%3Ard", "panicked"] {
        assert!(!said.contains(word), "{name}: {word} in\n{said}");
    }
}

fn without_broker(text: &str) -> String {
    let port = format!(":{}", closed_port());
    let mut text = text.replace("osnl:secret@", "osnl:hunter2@");
    for known in [":5671", ":5672", ":5673"] {
        text = text.replace(known, &port);
    }
    if !text.contains("transport_url") {
        // A broker may listen at the default port.
        text.push_str(&format!(
            "[oslo_messaging_notifications]\ntransport_url = rabbit://guest:guest@127.0.0.1{port}/\n"
        ));
    }
    text
}
