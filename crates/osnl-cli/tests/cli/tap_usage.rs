//! `osnl tap` without a broker: its help, and what it refuses before it connects.

use std::path::Path;

use crate::harness::{PROMPTLY, Place};

fn run(place: &Place, args: &[&str]) -> (Option<i32>, String, String) {
    let args: Vec<&str> = ["tap"].iter().chain(args).copied().collect();
    let mut osnl = place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &args);
    (osnl.wait(PROMPTLY).code(), osnl.stdout(), osnl.stderr())
}

#[test]
fn the_help_says_what_it_is_about() {
    let (code, help, stderr) = run(&Place::new(), &["--help"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for expected in [
        "Usage: osnl tap [OPTIONS] [URL]",
        "Examples:\n  osnl tap rabbit://openstack:secret@mq1:5672/ -e nova --priority info --body",
        "Ends with 0 when something was shown, 1 when nothing was, 69 when",
        "--body ",
        "secrets masked",
        "10000]",
    ] {
        assert!(help.contains(expected), "{expected} in\n{help}");
    }
}

#[test]
fn wrong_usage_is_2_and_a_configuration_that_cannot_be_used_78() {
    let place = Place::new();
    place.write(
        "two.conf",
        "[listener:a]\ntransport_url = rabbit://u:S3CRET@127.0.0.1:9/\nexchange = nova\n\
         [listener:b]\npool = b\ntransport_url = rabbit://u:S3CRET@127.0.0.1:9/\nexchange = nova\n\
         [rule:r]\nlisteners = a, b\nevent_type = x\nactions = d\n[action:d]\ndriver = dump\npath = d\n",
    );
    let check = |args: &[&str], status: i32, expected: &str| {
        let (code, stdout, stderr) = run(&place, args);
        assert_eq!((code, stdout.as_str()), (Some(status), ""), "{args:?}\n{stderr}");
        assert!(stderr.contains(expected), "{expected} in\n{stderr}");
        assert!(!stderr.contains("S3CRET"), "{stderr}");
    };
    check(&["--for", "soon"], 2, "a number with a unit: 500ms, 30s, 5m, 24h, 7d");
    check(&["--for", "0"], 2, "a number with a unit");
    check(&["--count", "0"], 2, "0 is not in 1..");
    check(&["--event-type", "port("], 2, "unclosed group (at position 4)");
    check(&["--max-body", "1KiB"], 2, "write a size from 4 KiB to 128 MiB, such as 16MiB");
    check(&["--body", "--raw"], 2, "cannot be used with");
    check(&["--rates", "--check"], 2, "cannot be used with");
    check(&["rabbit://a", "--transport-url", "rabbit://b"], 2, "cannot be used with");
    check(&["--listener", "a", "rabbit://u:S3CRET@b"], 2, "cannot be used with");
    check(&["guest:S3CRET@localhost"], 78, "osnl tap: error: the transport URL: invalid scheme");
    check(&["amqp://u:S3/CRET@localhost"], 78, "the transport URL: invalid port of host 1");
    check(&["kafka://u:S3CRET@localhost/"], 78, "unknown transport \"kafka\"; known: rabbit, kombu");
    check(&["file:///nonexistent/url"], 78, "the URL's file: there is no file /nonexistent/url");
    check(&["--exchange", "", "rabbit://"], 78, "the default exchange has no name to bind to");
    check(&["--save", "nowhere/s.jsonl"], 78, "--save nowhere/s.jsonl: No such file");
    check(&["-c", "none.conf"], 78, "none.conf");
    check(&["-c", "two.conf"], 78, "several listeners; say which with --listener, or name a broker: a, b");
    check(
        &["-c", "two.conf", "--listener", "c"],
        78,
        "--listener: there is no [listener:c]; there are: a, b",
    );
}
