use crate::explain::try_actions;
use crate::native::{Sources, load_texts};

fn tried(rule: &str, action: &str) -> (Vec<String>, Vec<String>) {
    tried_of("nova", rule, action)
}

fn tried_of(exchange: &str, rule: &str, action: &str) -> (Vec<String>, Vec<String>) {
    let text = format!(
        "[listener:l]\ntransport_url = rabbit://u:p@mq/\nexchange = {exchange}\npool = p\n\
         topics = notifications, versioned_notifications\n[rule:r]\nactions = hook\n{rule}\n[action:hook]\n{action}\n"
    );
    let loaded = load_texts(&[("a.conf".to_owned(), text)], &Sources::default()).unwrap();
    let trial = try_actions(&loaded);
    assert_eq!(trial.left_out, 0, "{rule}");
    (
        trial.warnings.iter().map(ToString::to_string).collect(),
        trial.hopeless.iter().map(ToString::to_string).collect(),
    )
}

const DELETED: &str = "event_type = ^compute\\.instance\\.delete\\.end$";
const HTTP: &str = "driver = http\nurl = http://h/";

#[test]
fn every_driver_is_tried() {
    for (action, option) in [
        (
            "driver = file\npath = /tmp/osnl-tried\nformat = template\ntemplate = {{ payload.nope }}",
            "template",
        ),
        ("driver = syslog\nserver = udp://127.0.0.1:514\nmessage = {{ payload.nope }}", "message"),
        (
            "driver = mail\nserver = 127.0.0.1\nfrom = a@b.example\nto = a@b.example\nsubject = {{ payload.nope }}",
            "subject",
        ),
        (
            "driver = publish\ntransport_url = rabbit://u:p@mq/\nexchange = {{ payload.nope }}\ntopic = t",
            "exchange",
        ),
        ("driver = http\nurl = http://h/{{ payload.nope }}", "url"),
        ("driver = http\nurl = http://h/\nquery.a = {{ payload.nope }}", "query.a"),
    ] {
        let (warnings, hopeless) = tried(DELETED, action);
        assert_eq!(hopeless, ["hook"], "{action}: {warnings:?}");
        assert!(
            warnings[0].contains(&format!("[action:hook] {option}: every event would")),
            "{action}: {warnings:?}"
        );
    }
    let (warnings, hopeless) = tried(DELETED, "driver = k2hr3\napi_url = http://h/v1/role");
    assert_eq!((warnings.len(), hopeless), (0, Vec::new()), "{warnings:?}");
}

#[test]
fn an_example_is_not_held_against_what_it_cannot_know() {
    let lacks = format!("{HTTP}\nbody = {{\"a\": \"{{{{ payload.nope }}}}\"}}");
    for (rule, action) in [
        // Each case has another tenant, another state, or a condition on the missing field itself.
        ("when = payload.nope is defined", lacks.as_str()),
        ("when = payload.nope == \"x\"", &lacks),
        ("payload.nope = x", &lacks),
        ("enabled = false", &lacks),
        ("when = event_type == \"not.of.nova\"", &lacks),
        (DELETED, &format!("{lacks}\nwhen = payload.nope is defined")),
        // The keys of contexts depend on the service.
        (DELETED, &format!("{HTTP}\nbody = {{\"a\": \"{{{{ context.acme_id }}}}\"}}")),
    ] {
        assert_eq!(tried(rule, action), (Vec::new(), Vec::new()), "{rule} {action}");
    }
    // Other events have other values, which does not help the template.
    for rule in
        ["when = payload.tenant_id == \"1\" and payload.state != \"deleted\"", "payload.tenant_id = ^1$"]
    {
        let (_, hopeless) = tried(&format!("{DELETED}\n{rule}"), &lacks);
        assert_eq!(hopeless, ["hook"], "{rule}");
    }
}

#[test]
fn a_field_of_an_extension_that_a_cloud_may_load_makes_no_dead_letter() {
    let check = |field: &str, expected: &[&str]| {
        let action = format!("{HTTP}\nquery.a = {{{{ payload.port.{field} }}}}");
        let (warnings, hopeless) = tried_of("neutron", "event_type = ^port\\.delete\\.end$", &action);
        assert_eq!(hopeless, expected, "{warnings:?}");
    };
    check("trunk_details.trunk_id", &[]);
    check("data_plane_status", &[]);
    check("nope", &["hook"]);
}

#[test]
fn the_action_of_on_failure_has_a_failure() {
    let with = |template: &str| {
        let last = format!("[action:last]\n{HTTP}\nbody = {{\"a\": \"{{{{ {template} }}}}\"}}");
        tried(DELETED, &format!("{HTTP}\non_failure = last\n{last}"))
    };
    assert_eq!(with("failure.reason"), (Vec::new(), Vec::new()));
    assert_eq!(with("failure.nope").1, ["last"]);
}

#[test]
fn the_work_is_bounded_and_what_is_left_out_is_counted() {
    use std::fmt::Write as _;
    let mut text = "[listener:l]\ntransport_url = rabbit://u:p@mq/\nexchange = nova\npool = p\n".to_owned();
    for n in 0..400 {
        write!(text, "[rule:r{n}]\nactions = a{n}\n[action:a{n}]\ndriver = dump\n").unwrap();
    }
    let loaded = load_texts(&[("a.conf".to_owned(), text)], &Sources::default()).unwrap();
    let trial = try_actions(&loaded);
    assert_eq!(trial.tried, super::MOST);
    assert!(trial.left_out > 0);
}
