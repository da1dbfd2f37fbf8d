//! What is refused, by the exact text: what is wrong, file and line, and what to do next. Exit status 1, one
//! line each, no password, no panic.

use osnl_testkit::Broker;

use crate::harness::{Place, closed_port, conf};

/// In every file below; never to be seen.
const PASSWORD: &str = "hunter2";

/// Runs on `k.conf`, which is refused, and gives what it said.
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

/// The lines of `expected`, each as the program says them.
fn lines(expected: &[&str]) -> String {
    expected.iter().map(|line| format!("k2hr3-osnl: error: {line}\n")).collect()
}

#[test]
fn a_path_that_is_no_file_that_can_be_read() {
    let place = Place::new();
    place.write("k.conf", "");
    std::fs::create_dir(place.path("folder")).unwrap();
    let check = |path: &str, expected: &str| {
        assert_eq!(said_in(&place, &["-c", path]), lines(&[expected]));
    };
    check("missing.conf", "path must exist, not missing.conf; create the file or name another one with -c");
    check("folder", "path must be a regular file, not folder; name a file with -c");
    check("/dev/null", "path must be a regular file, not /dev/null; name a file with -c");
    check(
        "k.conf/below.conf",
        "path must be a readable regular file, not k.conf/below.conf: Not a directory; \
         let this user read it",
    );
}

#[test]
fn a_file_that_does_not_follow_the_syntax() {
    let check = |text: &[u8], expected: &[&str]| assert_eq!(said(text, &[]), lines(expected));
    check(
        b"[DEFAULT]\n\nlog_file = \xe9\n",
        &["parse error, k.conf:3: the line is not UTF-8; save the file as UTF-8"],
    );
    check(
        b"api_url = http://h/\n[k2hr3]\nno separator\n",
        &[
            "parse error, k.conf:1: the option stands before the first section; write the line `[name]` of its \
             section above it",
            "k.conf:3: the line has neither `=` nor `:`; write `name = value`; a comment starts with # in column \
             1, a continued value with a blank",
        ],
    );
}

#[test]
fn several_wrong_values_at_once() {
    let text = "[oslo_messaging_notifications]\ntransport_url = rabbit://osnl:hunter2@h:x/\nallow_requeue = perhaps\n\
                executor = blocking\n[k2hr3]\ntimeout_seconds = soon\nmax_retries = 1.5\n\
                api_url = https//localhost/v1/role\n[DEFAULT]\ndebug_level = loud\n";
    assert_eq!(
        said(text, &[]),
        lines(&[
            "k.conf:2: [oslo_messaging_notifications] transport_url: bad transport URL: invalid port of host 1: not a \
             number up to 65535 (in a password, write / as %2F, @ as %40, ? as %3F, # as %23 and a comma as %2C); \
             write rabbit://user:password@host:port/vhost",
            "k.conf:3: [oslo_messaging_notifications] allow_requeue: \"perhaps\" is not a boolean; allowed: true, \
             yes, on, 1, false, no, off, 0, in any case",
            "k.conf:4: [oslo_messaging_notifications] executor: \"blocking\" is not one of the known words; \
             allowed: threading, eventlet",
            "k.conf:6: [k2hr3] timeout_seconds: \"soon\" is not a whole number; allowed: digits, with a sign before \
             them if need be",
            "k.conf:7: [k2hr3] max_retries: \"1.5\" is not a whole number; allowed: digits, with a sign before them \
             if need be",
            "k.conf:8: [k2hr3] api_url: the scheme must be http or https; begin with http:// or https://",
            "k.conf:10: [DEFAULT] debug_level: \"loud\" is not one of the known words; allowed: debug, info, warn, \
             warning, error, notset",
        ])
    );
}

/// One wrong option each, in line 2.
#[test]
fn one_wrong_value_names_the_part_that_is_wrong() {
    let check = |group: &str, line: &str, expected: &str| {
        let rest = if group == "k2hr3" { "" } else { "[k2hr3]\napi_url = http://h/\n" };
        let option = line.split(' ').next().unwrap();
        let expected = format!("k.conf:2: [{group}] {option}: {expected}");
        assert_eq!(said(format!("[{group}]\n{line}\n{rest}"), &[]), lines(&[&expected]));
    };
    const ON: &str = "oslo_messaging_notifications";
    let python = "the syntax is that of Python's re";
    check(
        ON,
        "event_type = ^port(\\.delete",
        &format!("bad regular expression at character 6: unclosed group; {python}"),
    );
    check(
        ON,
        "payload = kind:a,state:[z",
        &format!("bad regular expression for \"state\" at character 1: unterminated character set; {python}"),
    );
    let known = "known: rabbit, kombu";
    check(ON, "transport_url = amqp://osnl:hunter2@h/", "unknown transport \"amqp\"; write rabbit://");
    let meant =
        "unknown transport \"amqps\"; write rabbit://...?ssl=1, which is what oslo.messaging calls it";
    check(ON, "transport_url = amqps://osnl:hunter2@h/", meant);
    check(
        ON,
        "transport_url = kafka://osnl:hunter2@h/",
        &format!("transport \"kafka\" is not supported yet; {known}"),
    );
    check(
        ON,
        "transport_url = rabit://osnl:hunter2@h/",
        &format!("unknown transport \"rabit\"; {known}; did you mean rabbit://?"),
    );
    check(ON, "transport_url = pigeon://osnl:hunter2@h/", &format!("unknown transport \"pigeon\"; {known}"));
    check(
        ON,
        "transport_url = rabbit://osnl:hunter2/x@h/",
        "bad transport URL: invalid port of host 1: not a number up to 65535 (in a password, write / as %2F, @ as \
         %40, ? as %3F, # as %23 and a comma as %2C); write rabbit://user:password@host:port/vhost",
    );
    check(ON, "topic =", "is empty; write a name or remove the line");
    const K2HR3: &str = "k2hr3";
    check(K2HR3, "api_url = ftp://h/", "the scheme must be http or https; begin with http:// or https://");
    check(
        K2HR3,
        "api_url = http://osnl:hunter2@h/",
        "user information is not allowed; leave out what stands before the @ of the host",
    );
    check(K2HR3, "api_url = http://h:port/", "the port is no port number; write a number from 1 to 65535");
    check(K2HR3, "api_url = http:///v1/role", "the host is missing; write its name or address behind ://");
    check(K2HR3, "api_url = http://h/#x", "a fragment is not allowed; leave out the # and what follows");
    check(K2HR3, "timeout_seconds = 0", "0 is out of range; allowed: 1 to 2147483 seconds");
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
    let next = "name another one with log_file or -f, or let this user write it";
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
            // Among log lines: that it starts, and, from the client's own thread to the very end, its own.
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
