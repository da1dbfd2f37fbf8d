//! Refusals at the start that need a broker or a folder, by the exact text; `fixtures/errors` has
//! those of values and files. Exit status 1, one line each, no password, no panic.

use osnl_testkit::{Broker, closed_port};

use crate::harness::{Place, conf};

const PASSWORD: &str = "hunter2";

#[track_caller]
fn said(text: impl AsRef<[u8]>, flags: &[&str]) -> String {
    let place = Place::new();
    place.write("k.conf", text);
    said_in(&place, &[&["-c", "k.conf"], flags].concat())
}

#[track_caller]
fn said_in(place: &Place, args: &[&str]) -> String {
    let mut osnl = place.osnl(args);
    let (code, stderr) = osnl.refused();
    assert_eq!(code, Some(1), "{args:?}\n{stderr}");
    assert_eq!(osnl.stdout(), "", "{args:?}");
    for word in [PASSWORD, "panicked"] {
        assert!(!stderr.contains(word), "{word} in\n{stderr}");
    }
    stderr
}

fn lines(expected: &[&str]) -> String {
    expected.iter().map(|line| format!("k2hr3-osnl: error: {line}\n")).collect()
}

#[test]
fn options_of_the_query_that_are_none() {
    let vhost = Broker::shared().vhost("query");
    for (query, expected) in [
        ("ssl=2", "ssl has a bad value; allowed: true, yes, on, 1, or false, no, off, 0"),
        ("ssl=1&ssl=0", "ssl is given more than once in the query; write it once"),
        (
            "heartbeat_timeout_treshold=5",
            "unknown option \"heartbeat_timeout_treshold\"; known are those of [oslo_messaging_rabbit], as osnl config reference has them; did you \
             mean heartbeat_timeout_threshold?",
        ),
    ] {
        let url = format!("{}?{query}", vhost.url());
        let said = said(conf(&url, "http://127.0.0.1:9/", ""), &["-d", "error"]);
        let place = "k.conf:2: [oslo_messaging_notifications] transport_url";
        assert_eq!(said, lines(&[&format!("{place}: {expected}")]));
    }
    assert_eq!(vhost.list_queues(), [], "it has logged in");
}

#[test]
fn a_log_file_that_cannot_be_written() {
    let place = Place::new();
    let url = format!("rabbit://osnl:hunter2@127.0.0.1:{}/", closed_port());
    place.write("k.conf", conf(&url, "http://h/", "[DEFAULT]\nlog_file = nowhere/osnl.log"));
    let next = "name another one with log_file or -f, or give this user write access";
    let missing = format!("log file nowhere/osnl.log: No such file or directory; {next}");
    assert_eq!(said_in(&place, &["-c", "k.conf"]), lines(&[&missing]));
    let folder = format!("log file .: Is a directory; {next}");
    assert_eq!(said_in(&place, &["-c", "k.conf", "-f", "."]), lines(&[&folder]));
}

#[test]
fn a_login_or_virtual_host_that_the_broker_refuses() {
    let broker = Broker::shared();
    let vhost = Broker::shared().vhost("refused");
    let host = format!("127.0.0.1:{}", broker.port());
    let check = |url: &str, expected: &str| {
        for flags in [&[][..], &["-d", "debug", "-l", "debug"]] {
            let said = said(conf(url, "http://127.0.0.1:9/", ""), flags);
            // The log also has the start, and lines of the client's own thread, so errors are
            // filtered.
            let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("k2hr3-osnl: ")).collect();
            let expected = format!("k2hr3-osnl: error: k.conf: refused by the broker: {expected}");
            assert_eq!(errors, [expected], "{said}");
        }
    };
    check(
        &vhost.url().replace("guest:guest", "guest:hunter2"),
        &format!(
            "{host}: login refused for user \"guest\": 403 ACCESS_REFUSED - Login was refused using authentication \
             mechanism AMQPLAIN. For details see the broker logfile."
        ),
    );
    check(
        &vhost.url().replace(vhost.name(), "no-such-host"),
        &format!(
            "{host}: virtual host \"no-such-host\" refused: 530 NOT_ALLOWED - vhost no-such-host not found"
        ),
    );
}
