//! `osnl init`: every sample is a configuration that `osnl check` accepts, and nothing is written over.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::Value;

use crate::harness::{PROMPTLY, Place};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");
const TARGETS: [&str; 9] =
    ["dump", "exec", "file", "http", "k2hr3", "k2hr3_register", "mail", "publish", "syslog"];

/// Runs a command, and returns what it prints.
#[track_caller]
fn run(place: &Place, args: &[&str], status: i32) -> (String, String) {
    let mut osnl = place.run(Path::new(OSNL), args);
    let code = osnl.wait(PROMPTLY).code();
    assert_eq!(code, Some(status), "{args:?}: {}{}", osnl.stdout(), osnl.stderr());
    (osnl.stdout(), osnl.stderr())
}

#[test]
fn check_accepts_the_sample_of_every_service_and_target() {
    let place = Place::new();
    let (events, _) = run(&place, &["events", "--format", "json"], 0);
    let events: Value = serde_json::from_str(&events).unwrap();
    let services: Vec<&str> =
        events.as_array().unwrap().iter().map(|service| service["service"].as_str().unwrap()).collect();
    assert!(services.len() > 10, "{services:?}");
    for target in TARGETS {
        for service in &services {
            let file = format!("{service}-{target}.conf");
            // Of other services each event would become a dead letter.
            if target.starts_with("k2hr3") && !["neutron", "nova"].contains(service) {
                let (_, why) = run(&place, &["init", service, "--target", target, "-o", &file], 2);
                assert!(why.contains(&format!("{target} does not act on events of {service}")), "{why}");
                assert!(!place.path(&file).exists());
                continue;
            }
            let (said, _) = run(&place, &["init", service, "--target", target, "-o", &file], 0);
            assert!(said.starts_with(&format!("{file}: written; ")), "{said}");
            let (checked, warned) = run(&place, &["check", "-c", &file], 0);
            let found = format!("{checked}{warned}");
            assert!(found.contains("is valid") && !found.contains("warning"), "{service} {target}: {found}");
        }
    }
}

#[test]
fn nothing_is_written_over_or_through_a_link() {
    let place = Place::new();
    place.write("there.conf", "kept");
    place.write("victim", "kept");
    symlink(place.path("victim"), place.path("link.conf")).unwrap();
    symlink(place.path("nowhere"), place.path("dangling.conf")).unwrap();
    for file in ["there.conf", "link.conf", "dangling.conf", "none/a.conf", "."] {
        let (said, why) = run(&place, &["init", "nova", "-o", file], 1);
        assert!(said.is_empty() && why.contains("name a file that does not exist yet"), "{file}: {why}");
    }
    assert_eq!((place.read("there.conf"), place.read("victim")), ("kept".to_owned(), "kept".to_owned()));
    assert!(!place.path("nowhere").exists());
    // What is given counts, and the file is its owner's.
    let url = "rabbit://osnl:pa$s@mq1:5671/";
    run(&place, &["init", "nova", "nova", "--transport-url", url, "-o", "new.conf"], 0);
    assert_eq!(fs::metadata(place.path("new.conf")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(place.read("new.conf").contains("transport_url = rabbit://osnl:pa$$s@mq1:5671/"));
    assert!(run(&place, &["check", "-c", "new.conf"], 0).0.contains("mq1:5671"));
    let (_, why) = run(&place, &["init", "nova", "--transport-url", "rabbit://mq/\n[action:x]"], 2);
    assert!(why.contains("a URL has no line end"), "{why}");
    // On standard output, the same text alone.
    let (text, _) = run(&place, &["init", "nova", "--transport-url", url], 0);
    assert_eq!(text, place.read("new.conf"));
}
