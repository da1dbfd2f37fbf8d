use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use osnl_config::Kind;

use super::super::*;
use super::{load, warnings, with};

const DEFAULT: &str = "DEFAULT";
const ON: &str = "oslo_messaging_notifications";
const K2HR3: &str = "k2hr3";

fn check(group: &str, lines: &str, expected: &str) {
    let error = load(&with(group, lines)).expect_err(lines);
    assert_eq!(error.to_string(), format!("k.conf:2: [{group}] {expected}"));
}

#[test]
fn every_wrong_value_says_what_is_allowed() {
    let levels = "allowed: debug, info, warn, warning, error";
    check(
        DEFAULT,
        "debug_level = critical",
        &format!("debug_level: unknown value \"critical\"; {levels}, notset"),
    );
    check(
        DEFAULT,
        "debug_level = Info",
        &format!("debug_level: unknown value \"Info\"; {levels}, notset; did you mean info?"),
    );
    check(
        DEFAULT,
        "debug_level = debug # x",
        &format!(
            "debug_level: unknown value \"debug # x\"; {levels}, notset; a comment needs a line of its own"
        ),
    );
    check(
        DEFAULT,
        "libs_debug_level = notset",
        &format!("libs_debug_level: unknown value \"notset\"; {levels}"),
    );
    check(DEFAULT, "log_file =", "log_file: is empty; write sys.stderr or the path of a file");
    let boolean = "is not a boolean; allowed: true, yes, on, 1, false, no, off, 0, in any case";
    check(ON, "allow_requeue = perhaps", &format!("allow_requeue: \"perhaps\" {boolean}"));
    check(ON, "allow_requeue =", &format!("allow_requeue: \"\" {boolean}"));
    check(ON, "executor = blocking", "executor: unknown value \"blocking\"; allowed: threading, eventlet");
    for option in ["topic", "exchange", "pool"] {
        check(ON, &format!("{option} ="), &format!("{option}: is empty; write a name or remove the line"));
    }
    check(
        ON,
        &format!("topic = {}", "x".repeat(251)),
        "topic: is too long for the broker; at most 250 bytes",
    );
    check(ON, &format!("pool = {}", "x".repeat(256)), "pool: is too long for the broker; at most 255 bytes");
    let pairs = "allowed: name:value,name:value";
    check(
        ON,
        "context = a:x{1,2}",
        &format!(
            "context: \"a:x{{1,2}}\" has a part without `:` (a comma always begins a new part); {pairs}"
        ),
    );
    check(
        ON,
        "metadata = :x",
        &format!("metadata: \":x\" has a part without a name before its `:`; {pairs}"),
    );
    check(ON, "payload = a:x,a:y", &format!("payload: \"a:x,a:y\" has the same name twice; {pairs}"));
    check(
        ON,
        "pool = $nothing",
        "pool: $nothing names no known option; write $$ where a dollar sign is meant",
    );
    check(
        ON,
        "event_type = ^a$b",
        "event_type: $b names no known option; write $$ where a dollar sign is meant",
    );
    check(
        ON,
        "pool = $pool",
        "pool: $pool leads back to the option itself; write $$ where a dollar sign is meant",
    );
    check(
        ON,
        "pool = $payload\npayload = a:b",
        "pool: $payload names a list of pairs, which is not a string; write $$ where a dollar sign is meant",
    );
}

#[test]
fn every_wrong_transport_url_says_what_is_allowed() {
    let known = "known: rabbit, kombu";
    check(
        ON,
        "transport_url = carrierpigeon://h/",
        &format!("transport_url: unknown transport \"carrierpigeon\"; {known}"),
    );
    check(
        ON,
        "transport_url = rabit://h/",
        &format!("transport_url: unknown transport \"rabit\"; {known}; did you mean rabbit://?"),
    );
    check(
        ON,
        "transport_url = kafka://h/",
        &format!("transport_url: transport \"kafka\" is not supported by this build; {known}"),
    );
    check(ON, "transport_url = amqp://h/", "transport_url: unknown transport \"amqp\"; write rabbit://");
    check(
        ON,
        "transport_url = rabbit://u:p@h/?heartbeat=1",
        "transport_url: \"heartbeat\" is an option of another client library; write heartbeat_timeout_threshold",
    );
    check(
        ON,
        "pool = $transport_url",
        "pool: $transport_url names a secret, which only a secret option may repeat; write $$ where a dollar sign is meant",
    );
    check(
        ON,
        "transport_url = rabbit://u:pa$word@h/",
        "transport_url: $… names no known option; write $$ where a dollar sign is meant",
    );
}

#[test]
fn every_wrong_value_about_k2hr3_says_what_is_allowed() {
    let number = "is not a whole number; allowed: digits, with a sign before them if need be";
    check(K2HR3, "timeout_seconds = soon", &format!("timeout_seconds: \"soon\" {number}"));
    check(K2HR3, "retries = x", &format!("retries: \"x\" {number}"));
    check(
        K2HR3,
        "max_retries = 99999999999",
        "max_retries: 99999999999 is out of range; allowed: 0 to 4294967295",
    );
    let seconds = "2147483 seconds";
    check(
        K2HR3,
        "timeout_seconds = 0",
        &format!("timeout_seconds: 0 is out of range; allowed: 1 to {seconds}"),
    );
    check(
        K2HR3,
        "timeout_seconds = -5",
        &format!("timeout_seconds: -5 is out of range; allowed: 1 to {seconds}"),
    );
    check(
        K2HR3,
        "retry_interval_seconds = -1",
        &format!("retry_interval_seconds: -1 is out of range; allowed: 0 to {seconds}"),
    );
    let url = |text: &str, expected: &str| {
        check(K2HR3, &format!("api_url = {text}"), &format!("api_url: {expected}"));
    };
    url("https//localhost/v1/role", "the scheme must be http or https; begin with http:// or https://");
    url("http:///v1", "the host is missing; write its name or address after ://");
    url(
        "http://a b/",
        "the host is neither a name nor an address; a name has letters, digits, dots and dashes; an IPv6 address is written in brackets, without a zone",
    );
    url("http://h:0/", "the port is not valid; write a number from 1 to 65535");
    url("http://u:p@h/", "user information is not allowed; remove the part before the @ of the host");
    url("http://h/#f", "a fragment is not allowed; leave out the # and what follows");
    let encoded = "write spaces, control and non-ASCII characters percent-encoded (a space is %20)";
    url("http://h/a b", &format!("the path has a character that a URL can't have; {encoded}"));
    url("http://h/?a b", &format!("the query has a character that a URL can't have; {encoded}"));
}

#[test]
fn a_bad_regular_expression_is_shown_with_its_place() {
    let text = with("oslo_messaging_notifications", "event_type = ^port(\\.delete\ncontext = a:b,tenant:^(x");
    let error = load(&text).expect_err("two bad patterns").to_string();
    let expected = "k.conf:2: [oslo_messaging_notifications] event_type: bad regular expression at character 6: unclosed group; the syntax is that of Python's re\n\
                 k.conf:3: [oslo_messaging_notifications] context: bad regular expression for \"tenant\" at character 2: unclosed group; the syntax is that of Python's re";
    assert_eq!(error, expected);
}

#[test]
fn a_bad_transport_url_names_the_part() {
    let check = |url: &str, expected: &str| {
        let error = load(&with("oslo_messaging_notifications", &format!("transport_url = {url}")));
        let begin = "k.conf:2: [oslo_messaging_notifications] transport_url: bad transport URL: ";
        assert_eq!(error.expect_err(url).to_string(), format!("{begin}{expected}"));
    };
    check(
        "rabbit://u:secret@h:port/",
        "invalid port of host 1: not a number up to 65535 (in a password, write / as %2F, @ as %40, ? as %3F, # as %23 and a comma as %2C); write rabbit://user:password@host:port/vhost",
    );
    check(
        "h:5672",
        "invalid scheme: the URL must begin like rabbit://; write rabbit://user:password@host:port/vhost",
    );
    for url in
        ["rabbit://u:1/secret@h/", "rabbit://u:1?secret@h/", "rabbit://u:1#secret@h/", "rabbit://h/a@b"]
    {
        check(
            url,
            "there is an @ after the hosts; in a password write / as %2F, ? as %3F and # as %23; elsewhere write @ as %40",
        );
    }
}

#[test]
fn all_errors_come_at_once_in_the_order_of_lines() {
    let error = load("timeout = 1\n[k2hr3]\ntimeout_seconds = soon\nnonsense\napi_url = x\n[DEFAULT]\nlog_file = $debug_level$max_retries\n").expect_err("five errors");
    assert_eq!(
        error.to_string(),
        "parse error, \
         k.conf:1: the option is before the first section; write the line `[name]` of its section above it\n\
         k.conf:3: [k2hr3] timeout_seconds: \"soon\" is not a whole number; allowed: digits, with a sign before them if need be\n\
         k.conf:4: the line has neither `=` nor `:`; write `name = value`; a comment starts with # in column 1, a continued value with a space\n\
         k.conf:5: [k2hr3] api_url: the scheme must be http or https; begin with http:// or https://\n\
         k.conf:7: [DEFAULT] log_file: $max_retries names no known option; write $$ where a dollar sign is meant"
    );
    assert!(matches!(error, ConfError::Syntax(_)));
    let text = "[oslo_messaging_notifications]\nallow_requeue = x\npool = $allow_requeue\n";
    let error = load(text).expect_err("one error and one that follows from it").to_string();
    let second = error.lines().nth(1).unwrap();
    assert_eq!(
        second,
        "k.conf:3: [oslo_messaging_notifications] pool: $allow_requeue names an option whose own value is wrong; correct that one"
    );
}

#[test]
fn every_warning() {
    let check = |group: &str, lines: &str, expected: &[&str]| {
        let loaded = load(&with(group, lines)).expect(lines);
        let expected: Vec<String> = expected.iter().map(|line| format!("k.conf:{line}")).collect();
        assert_eq!(warnings(&loaded), expected, "{lines}");
    };
    check(
        "Default",
        "debug_level = debug",
        &["1: [Default]: is not [DEFAULT], ignored; write it in capitals"],
    );
    check("k2hr", "x = y", &["1: [k2hr]: unknown section, ignored; did you mean [k2hr3]?"]);
    check(
        "DEFAULT",
        "api_url = x",
        &["2: [DEFAULT] api_url: unknown option, ignored; did you mean [k2hr3] api_url?"],
    );
    check(
        "DEFAULT",
        "Log_File = x",
        &["2: [DEFAULT] Log_File: unknown option, ignored; did you mean log_file?"],
    );
    check("DEFAULT", "u:p@h = x", &["2: [DEFAULT] u: unknown option, ignored"]);
    check("DEFAULT", "p@h,u:p = x", &["2: [DEFAULT]: unknown option, ignored"]);
    check(
        "DEFAULT",
        "log_file = sys.stdout",
        &["2: [DEFAULT] log_file: the log goes to a file of that name; sys.stderr is the only stream"],
    );
    check(
        "DEFAULT",
        "log_file = a # b",
        &[
            "2: [DEFAULT] log_file: the # and what follows belong to the value; a comment needs a line of its own",
        ],
    );
    const ON: &str = "oslo_messaging_notifications";
    check(
        ON,
        "transport_url =",
        &[
            "2: [oslo_messaging_notifications] transport_url: is blank, which means guest at rabbit://localhost; name the broker or remove the line",
        ],
    );
    check(
        ON,
        "event_type =",
        &[
            "2: [oslo_messaging_notifications] event_type: is empty, so every message matches; remove the line to get the default",
        ],
    );
    let broken = "the name has spaces around it or line breaks in it, and is used as it is; write it after the `=`, on one line";
    check(
        ON,
        "exchange =\n  neutron\ntopic = \" t \"\npool = a\n b",
        &[
            &format!("2: [{ON}] exchange: {broken}"),
            &format!("4: [{ON}] topic: {broken}"),
            &format!("5: [{ON}] pool: {broken}"),
        ],
    );
    const URL: &str = "api_url = http://h/\n";
    let check = |lines: &str, expected: &[&str]| check("k2hr3", &format!("{URL}{lines}"), expected);
    check(
        "max_retries = 1\nretries = 2",
        &["4: [k2hr3] retries: ignored, because max_retries is set too (k.conf:3); leave one of them out"],
    );
    check(
        "retries = -2",
        &["3: [k2hr3] retries: a negative number acts as 0; write 0 to make each call once"],
    );
    check(
        "timeout_seconds =",
        &["3: [k2hr3] timeout_seconds: is blank, the default 30 is used; write a number or remove the line"],
    );
    check(
        "api_url = http://h/?a=b",
        &[
            "3: [k2hr3] api_url: the query is kept and parameters follow it with \"&\"; k2hr3_osnl sent a second \"?\"",
        ],
    );
}

#[test]
fn retries_is_another_name_of_max_retries() {
    let check = |lines: &str, expected: u32| {
        let loaded = load(&with("k2hr3", lines)).expect(lines);
        assert_eq!(loaded.conf.k2hr3.max_retries, expected, "{lines}");
    };
    check("", 5);
    check("retries = 3", 3);
    check("max_retries = 2", 2);
    check("max_retries = 2\nretries = 3", 2);
    check("retries = 3\nmax_retries = 2", 2);
    check("retries = -1", 0);
    check("max_retries = -1\nretries = 3", 0);
}

#[test]
fn every_word_of_a_choice_loads() {
    let options =
        schema::SCHEMA.sections.iter().flat_map(|def| def.options.iter().map(|row| (def.kind, row)));
    for (group, option) in options {
        let Kind::Choice(words) = option.kind else { continue };
        for word in words {
            let text = with(group, &format!("{} = {word}", option.name));
            assert!(load(&text).is_ok(), "{} = {word}", option.name);
        }
    }
}

#[test]
fn words_of_the_command_line() {
    let check = |word: &str, expected: Option<Level>| assert_eq!(Level::from_flag(word), expected, "{word}");
    check("debug", Some(Level::Debug));
    check("info", Some(Level::Info));
    check("warn", Some(Level::Warn));
    check("error", Some(Level::Error));
    check("critical", Some(Level::Warn));
    check("warning", None);
    check("notset", None);
    check("", None);
}

#[test]
fn a_path_that_gives_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let check = |path: &Path, expected: &str| {
        assert_eq!(Conf::from_path(path).expect_err(expected).to_string(), expected);
    };
    let missing = at("missing.conf");
    check(
        &missing,
        &format!("path must exist, not {}; create the file or name another one with -c", missing.display()),
    );
    for path in [folder.path(), Path::new("/dev/null")] {
        check(path, &format!("path must be a regular file, not {}; name a file with -c", path.display()));
    }
    let latin = at("latin.conf");
    fs::write(&latin, b"[DEFAULT]\n\nlog_file = \xe9\n").unwrap();
    check(
        &latin,
        &format!("parse error, {}:3: the line is not UTF-8; save the file as UTF-8", latin.display()),
    );
    // A path below a file fails for every user, root included.
    let below = latin.join("below.conf");
    let error = fs::metadata(&below).expect_err("not a folder");
    check(
        &below,
        &format!(
            "path must be a readable regular file, not {}: {error}; let this user read it",
            below.display()
        ),
    );
    let link = at("link.conf");
    fs::write(at("real.conf"), "[k2hr3]\napi_url = http://h/\n").unwrap();
    std::os::unix::fs::symlink(at("real.conf"), &link).unwrap();
    assert_eq!(Conf::from_path(&link).unwrap().warnings, []);
}

#[test]
fn a_file_that_every_user_can_read_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let file = folder.path().join("x.conf");
    let name = file.display().to_string();
    let text = "[oslo_messaging_notifications]\ntransport_url = rabbit://u:hunter2@mq/\n[k2hr3]\napi_url = http://h/\n";
    for (mode, count) in [(0o640, 0), (0o604, 1)] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let warnings = Conf::from_text(&name, text).unwrap().warnings;
        let said = warnings.iter().map(ToString::to_string);
        let said: Vec<_> = said.filter(|said| said.contains("can read this secret; chmod o=")).collect();
        assert!(
            said.len() == count && said.iter().all(|said| said.contains("transport_url")),
            "{mode:o} {said:?}"
        );
    }
}
