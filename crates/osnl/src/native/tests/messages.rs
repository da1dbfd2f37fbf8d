use super::{WHOLE, errors, load, warnings};

fn with(section: &str, lines: &str) -> String {
    format!("{WHOLE}[{section}]\n{lines}\n")
}

#[track_caller]
fn check(section: &str, lines: &str, expected: &str) {
    assert_eq!(errors(load(&with(section, lines))), [format!("a.conf:14: [{section}] {expected}")]);
}

#[test]
fn the_whole_is_well() {
    let loaded = load(WHOLE).unwrap();
    assert_eq!(warnings(&loaded), [""; 0]);
}

#[test]
fn unknown_names_are_errors_with_the_nearest() {
    check("action:roles", "api-url = http://h/", "api-url: unknown option; did you mean api_url?");
    check("rule:gone", "pool = x", "pool: unknown option; did you mean [listener:NAME] pool?");
    check(
        "rule:gone",
        "payload. = x",
        "payload.: unknown option; osnl config reference has those of [rule:NAME]",
    );
    check("DEFAULT", "colour = blue", "colour: unknown option; osnl config reference has those of [DEFAULT]");
    check(
        "listener:neutron",
        "event_typ = x",
        "event_typ: unknown option; did you mean [rule:NAME] event_type?",
    );
    check(
        "action:record",
        "api_url = x",
        "api_url: is not an option of the driver dump; k2hr3, k2hr3_register have it",
    );
    let known = "known: [DEFAULT], [values], [journal], [admin], [canary], [oslo_messaging_rabbit], [listener:NAME], [rule:NAME], \
                 [action:NAME], [enrich:NAME]";
    let check = |heading: &str, expected: &str| {
        assert_eq!(
            errors(load(&format!("{WHOLE}[{heading}]\nx = y\n"))),
            [format!("a.conf:13: [{heading}]: {expected}")]
        );
    };
    check("listner:x", &format!("unknown section; {known}; did you mean [listener:x]?"));
    check("Journal", &format!("unknown section; {known}; did you mean [journal]?"));
    check("elsewhere", &format!("unknown section; {known}"));
    check("rule", "needs a name; write [rule:NAME]");
    check("rule:", "has no valid name; use letters, digits, -, _, and .");
    check("rule:a b", "has no valid name; use letters, digits, -, _, and .");
    check("journal:x", "takes no name; write [journal]");
    check(
        "K2hr3",
        "is a section of k2hr3_osnl.conf; osnl config show --k2hr3-osnl FILE converts such a file",
    );
}

#[test]
fn every_wrong_value_says_what_is_allowed() {
    let boolean = "is not a boolean; allowed: true, yes, on, 1, false, no, off, 0, in any case";
    check("DEFAULT", "debug = maybe", &format!("debug: \"maybe\" {boolean}"));
    check(
        "DEFAULT",
        "log_level = warning",
        "log_level: unknown value \"warning\"; allowed: debug, info, warn, error",
    );
    check("DEFAULT", "log_file =", "log_file: is empty; write a path, or remove the line to log to stderr");
    let journals = "write sqlite:///path/to/journal.db, memory://, or remove the line";
    let unknown = format!("connection: is not a journal that osnl knows; {journals}");
    check("journal", "connection = memory", &unknown);
    check("journal", "connection = mysql://h/", &unknown);
    for nothing in ["sqlite://", "sqlite://x.db", "sqlite:///", "sqlite:///x/"] {
        check(
            "journal",
            &format!("connection = {nothing}"),
            &format!("connection: names no file; {journals}"),
        );
    }
    check("journal", "retention = 1y", "retention: \"1y\" is not a duration; write 12h, 7d or 90d");
    check("journal", "retention = 4000d", "retention: \"4000d\" is out of range; allowed: 0 to 3650d");
    let size = "is not a size; write 500MiB, 10GiB or a number of bytes";
    check("journal", "max_size = 10GB", &format!("max_size: \"10GB\" {size}"));
    check("journal", "max_size = 1MiB", "max_size: \"1MiB\" is too small; at least 16MiB");
    check("journal", "max_pending = 0", "max_pending: 0 is out of range; allowed: 1 to 4294967295");
    check("journal", "max_dead = -1", "max_dead: \"-1\" is not a whole number; allowed: 1 to 4294967295");
    check("journal", "allow_volatile = perhaps", &format!("allow_volatile: \"perhaps\" {}", boolean));
    let absolute = "must be an absolute path; write one that begins with /, or remove the line";
    check("DEFAULT", "state_dir = here", &format!("state_dir: {absolute}"));
}

#[test]
fn every_wrong_value_of_a_listener_says_what_is_allowed() {
    let listener = "listener:neutron";
    check(
        listener,
        "transport_url = amqp://u:hunter2@h/",
        "transport_url: unknown transport \"amqp\"; write rabbit://",
    );
    check(
        listener,
        "transport_url = rabbit://u:hunter2@localhost/?ssl=2",
        "transport_url: ssl has a bad value; allowed: true, yes, on, 1, or false, no, off, 0",
    );
    check(listener, "exchange =", "exchange: is empty; write a name");
    check(listener, "topics = a,,b", "topics: has an empty item; write names with commas between them");
    check(listener, "topics = a, b, a", "topics: names \"a\" twice; name it once");
    check(
        listener,
        &format!("topics = {}", "x".repeat(247)),
        "topics: is too long for the broker; at most 246 bytes",
    );
    check(
        listener,
        "priorities = info, warning",
        "priorities: \"warning\" is not a priority; allowed: audit, debug, info, warn, error, critical, sample",
    );
    check(
        listener,
        "priorities = inof",
        "priorities: \"inof\" is not a priority; allowed: audit, debug, info, warn, error, critical, sample; \
         did you mean info?",
    );
    check(
        listener,
        "declare = pasive",
        "declare: unknown value \"pasive\"; allowed: passive, create; did you mean passive?",
    );
    let boolean = "is not a boolean; allowed: true, yes, on, 1, false, no, off, 0, in any case";
    check(listener, "durable =", &format!("durable: \"\" {boolean}"));
    check(listener, "prefetch = 0", "prefetch: 0 is out of range; allowed: 1 to 65535");
    check(listener, "prefetch = many", "prefetch: \"many\" is not a whole number; allowed: 1 to 65535");
}

#[test]
fn every_wrong_value_of_a_rule_or_an_action_says_what_is_allowed() {
    let rule = "rule:gone";
    check(
        rule,
        "event_type = (",
        "event_type: bad regular expression at character 1: unclosed group; the syntax is that of Python's re",
    );
    check(
        rule,
        "payload.state = [",
        "payload.state: bad regular expression at character 1: unterminated character set; the syntax is that of \
         Python's re",
    );
    check(
        rule,
        "listeners = neutrn",
        "listeners: there is no [listener:neutrn]; there are: neutron; did you mean neutron?",
    );
    check(rule, "actions = mail", "actions: there is no [action:mail]; there are: roles, record");
    check(
        rule,
        "event_type = $nothing",
        "event_type: $nothing names no known option; write $$ where a dollar sign is meant",
    );
    let action = "action:roles";
    check(
        "action:x",
        "driver = k2hr",
        "driver: unknown value \"k2hr\"; allowed: k2hr3, http, dump, exec, file, syslog, publish, mail, k2hr3_register; did you mean k2hr3?",
    );
    check(
        action,
        "api_url = k2hr3/v1",
        "api_url: the scheme must be http or https; begin with http:// or https://",
    );
    check(
        action,
        "timeout = soon",
        "timeout: \"soon\" is not a duration; write 30, 30s, 500ms, 5m, 24h or 7d",
    );
    check(action, "timeout = 0", "timeout: \"0\" is out of range; allowed: 1ms to 2147483s");
    check(action, "max_attempts = 0", "max_attempts: 0 is out of range; allowed: 1 to 4294967295");
    check(
        action,
        "when_exhausted = requeue",
        "when_exhausted: unknown value \"requeue\"; allowed: dead_letter, return",
    );
    check(action, "no_addresses = none", "no_addresses: unknown value \"none\"; allowed: skip, all");
    check(action, "ca_file =", "ca_file: is empty; write the path of a PEM file, or remove the line");
    check(
        "action:record",
        "path =",
        "path: is empty; write the path of a file, or remove the line to write to stdout",
    );
    check(
        "action:record",
        "path = $path",
        "path: a $name in it leads back to the option itself; write $$ where a dollar sign is meant",
    );
}

#[test]
fn all_errors_come_at_once_in_the_order_of_lines() {
    let text = "\
nonsense
[listener:a]
[listener:b]
transport_url = rabbit://u:hunter2@localhost/
exchange = nova
colour = blue
[rule:r]
listeners = cells
[action:x]
driver = k2hr3
timeout = 1 year
";
    assert_eq!(
        errors(load(text)),
        [
            "a.conf:1: the line has neither `=` nor `:`; write `name = value`; a comment starts with # in column 1, \
             a continued value with a space",
            "a.conf:2: [listener:a] transport_url: is not set; write rabbit://user:password@host:port/vhost",
            "a.conf:2: [listener:a] exchange: is not set; write the service's, such as neutron, nova or openstack, or read a queue as it is: queue = NAME",
            "a.conf:2: [listener:a] pool: is not set; write a queue name that no other team on this broker uses, such as pool = osnl-TEAM",
            "a.conf:3: [listener:b] pool: is not set; write a queue name that no other team on this broker uses, such as pool = osnl-TEAM",
            "a.conf:6: [listener:b] colour: unknown option; osnl config reference has those of [listener:NAME]",
            "a.conf:7: [rule:r] actions: is not set; name the sections [action:NAME] that it calls",
            "a.conf:8: [rule:r] listeners: there is no [listener:cells]; there are: a, b",
            "a.conf:9: [action:x] api_url: is not set; write the URL of your role API, https://host/v1/role",
            "a.conf:11: [action:x] timeout: \"1 year\" is not a duration; write 30, 30s, 500ms, 5m, 24h or 7d",
        ]
    );
    assert_eq!(
        errors(load("[DEFAULT]\n")),
        ["listener", "action", "rule"].map(|kind| format!("a.conf: there is no [{kind}:NAME]; write one"))
    );
    assert_eq!(
        errors(load(&format!("{WHOLE}[action:x]\n"))),
        [
            "a.conf:13: [action:x] driver: is not set; allowed: k2hr3, http, dump, exec, file, syslog, publish, mail, k2hr3_register"
        ]
    );
    let shared =
        "[listener:n]\ntransport_url = rabbit://other@localhost:5672/\nexchange = nova\npool = osnl\n";
    assert_eq!(
        errors(load(&format!("{WHOLE}{shared}"))),
        ["a.conf:16: [listener:n] pool: [listener:neutron] uses this queue of this broker already; \
          give each listener a pool of its own"]
    );
}

#[test]
fn two_things_of_one_name_are_refused() {
    assert_eq!(
        errors(load(&with("action:roles", "driver = dump"))),
        [
            "a.conf:10: [action:roles] api_url: is not an option of the driver dump; k2hr3, k2hr3_register have it",
            "a.conf:13: [action:roles]: is also in line 8, with another driver; rename one of them",
        ]
    );
}

#[test]
fn what_other_programs_call_an_option_is_known() {
    for (section, written, meant) in [
        ("action:roles", "retries", "max_attempts"),
        ("action:roles", "retry_delay", "retry_interval"),
        ("action:roles", "retry_initial", "retry_interval"),
        ("action:roles", "retry_timeout", "retry_max_age"),
        ("action:roles", "dead_letter", "on_failure"),
        ("listener:neutron", "prefetch_count", "prefetch"),
        ("rule:gone", "condition", "when"),
        ("listener:neutron", "broker", "transport_url"),
    ] {
        let said = errors(load(&with(section, &format!("{written} = 5"))));
        assert_eq!(
            said,
            [format!("a.conf:14: [{section}] {written}: unknown option; did you mean {meant}?")]
        );
    }
}

#[test]
fn a_comment_behind_a_value_is_named_where_the_value_is_refused() {
    let said = errors(load(&with("rule:gone", "actions = roles # the first")));
    let comment = "the # and what follows belong to the value: a comment needs a line of its own";
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with(&format!("there are: roles, record; {comment}")), "{said:?}");
}

#[test]
fn every_warning() {
    let check = |lines: &str, expected: &[&str]| {
        let loaded = load(&format!("{WHOLE}{lines}\n")).unwrap_or_else(|errors| panic!("{lines}: {errors}"));
        let expected: Vec<String> = expected.iter().map(|warning| format!("a.conf:{warning}")).collect();
        assert_eq!(warnings(&loaded), expected, "{lines}");
    };
    check(
        "[action:roles]\nno_addresses = all",
        &[
            "14: [action:roles] no_addresses: a deleted port without addresses asks K2HR3 to forget every address \
           of its instance; skip is the safe choice",
        ],
    );
    check(
        "[action:record]\npath = /var/log/a\n  max_attempts = 3",
        &[
            "15: [action:record] path: this line begins with a space, so it belongs to path; to set max_attempts, begin it in column 1",
        ],
    );
    check(
        "[action:idle]\ndriver = dump",
        &["13: [action:idle]: no enabled rule uses it; name it in the actions of a rule"],
    );
    check(
        "[rule:gone]\nenabled = false",
        &[
            "1: [listener:neutron]: no enabled rule uses it, so it is not started; name it in the listeners of a rule",
            "8: [action:roles]: no enabled rule uses it; name it in the actions of a rule",
            "11: [action:record]: no enabled rule uses it; name it in the actions of a rule",
        ],
    );
    check(
        "[rule:gone]\nmetadata.id = x\npayload.port.id = x\npayload.nova_object.name = x",
        &[
            "14: [rule:gone] metadata.id: no message has this key in its metadata, so the rule never matches; known: message_id, timestamp",
        ],
    );
    check(
        "[listener:neutron]\nexchange =\n  neutron\npool = a # b",
        &[
            "13: [listener:neutron]: is also in line 1, and both are one section; these options are used: exchange, pool; rename one of them, or merge them",
            "14: [listener:neutron] exchange: the name has spaces around it or line breaks in it, and is used as it is; write it after the `=`, on one line",
            "16: [listener:neutron] pool: the # and what follows belong to the value; a comment needs a line of its own",
        ],
    );
}

#[test]
fn no_output_holds_the_password() {
    for lines in [
        "[listener:neutron]\ntransport_url = rabbit://u:hunter2@h:port/",
        "[listener:neutron]\ntransport_url = rabbit://u:hunter2/x@localhost/",
        "[listener:neutron]\ntransport_url = pigeon://u:hunter2@h/",
        "[listener:neutron]\ntransport_url = rabbit://u:p$hunter2@localhost/",
        "[listener:neutron]\npool = $transport_url",
        "[rule:gone]\nlisteners = rabbit://u:hunter2@localhost/",
        "[rule:gone]\nevent_type = (rabbit://u:hunter2@localhost/",
        "[rule:gone]\ntransport_url = rabbit://u:hunter2@localhost/",
        "[rabbit://u:hunter2@h]\nx = y",
        "rabbit://u:hunter2@h = x",
        "[action:roles]\napi_url = http://u:hunter2@h/",
        "[action:roles]\ntimeout = u:hunter2@h",
        "[journal]\nconnection = mysql://u:hunter2@h/",
        "[action:roles]\ntimeout = 5s",
    ] {
        let said = match load(&format!("{WHOLE}{lines}\n")) {
            Ok(loaded) => format!("{loaded:?} {:?} {}", warnings(&loaded), loaded.conf.explain()),
            Err(errors) => format!("{errors} {errors:?}"),
        };
        assert!(!said.contains("hunter2"), "{lines}\n{said}");
    }
}
