use std::time::Duration;

use super::{WHOLE, load};
use crate::delivery::{BatchLimits, DeliverySettings, WhenExhausted};
use crate::native::{CallRequest, DocEntry, Preview};

/// Each driver has its own defaults for the options of every action.
#[test]
fn every_action_has_the_delivery_options_with_the_defaults_of_its_driver() {
    let settings = |more: &str| {
        let loaded = load(&format!("{WHOLE}{more}")).unwrap();
        [0, 1].map(|n| loaded.conf.actions[n].delivery())
    };
    let said = |s: &DeliverySettings| {
        let policy = (s.policy.max_attempts.get(), s.policy.initial.as_secs(), s.policy.max.as_secs());
        (s.concurrency, s.timeout.as_secs(), policy, s.when_exhausted)
    };
    let [k2hr3, dump] = settings("");
    assert_eq!(said(&k2hr3), (16, 30, (6, 1, 60), WhenExhausted::DeadLetter));
    assert_eq!(said(&dump), (1, 60, (1, 1, 60), WhenExhausted::DeadLetter));
    let [_, dump] = settings(
        "timeout = 5s\nmax_attempts = 3\nretry_interval = 2m\nwhen_exhausted = return\nconcurrency = 4\n",
    );
    assert_eq!(said(&dump), (4, 5, (3, 1, 120), WhenExhausted::Return));
}

#[test]
fn defaults_are_shown_and_explained_as_the_driver_has_them() {
    let loaded = load(WHOLE).unwrap();
    let document = loaded.document();
    let shown = |section: &str, option: &str| {
        let section = document.sections.iter().find(|found| found.heading == section).unwrap();
        section.entries.iter().find(|entry| entry.option == option).map(|DocEntry { text, .. }| text.clone())
    };
    for (option, k2hr3, dump) in [
        ("timeout", Some("30s"), Some("60s")),
        ("concurrency", Some("16"), Some("1")),
        ("max_attempts", Some("6"), Some("1")),
        ("retry_interval", Some("60s"), Some("60s")),
        ("verify", Some("true"), None),
        ("path", None, None),
    ] {
        let found = [shown("action:roles", option), shown("action:record", option)];
        assert_eq!(found, [k2hr3, dump].map(|text| text.map(str::to_owned)), "{option}");
    }
    let explained = |conf: &str| {
        let explained = load(conf).unwrap().conf.explain();
        let lines = explained.lines().skip_while(|line| !line.starts_with("action "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let roles = [
        "action roles",
        "  effect     DELETE http://k2hr3/v1/role, on the deletion of a port or an instance",
        "  down       no connection, 429, 503 with Retry-After: the target is down; its deliveries wait and don't age",
        "  temporary  408, 425, 5xx (503 only without Retry-After), timeouts, 401, 407: retried for up to 1d after the first attempt, then a dead letter",
        "  refusals   other statuses: at most 6 attempts, then a dead letter",
        "  timeout    30 s per attempt; pauses between attempts 1 s to 60 s",
        "  events     port.delete.end, instance.delete.end, compute.instance.delete.end; for other events nothing is called",
        "  ports      a deleted port without addresses is skipped",
        "  guard      none; recommended for an action that deletes: guard = 100 per 10m",
    ];
    let record = ["action record", "  effect     writes each event to stdout, one line of JSON each"];
    assert_eq!(explained(WHOLE), [&roles[..], &record].concat());
    let more = format!("{WHOLE}concurrency = 3\n");
    assert_eq!(explained(&more), [&roles[..], &record, &["  parallel   at most 3 attempts"]].concat());
}

#[test]
fn what_means_success_is_explained_without_what_retry_and_final_have() {
    let check = |lines: &str, expected: &str| {
        let text = format!("{WHOLE}[action:h]\ndriver = http\nurl = http://h/\n{lines}\n");
        let explained = load(&text).unwrap().conf.explain();
        let line = explained.lines().find_map(|line| line.strip_prefix("  success    "));
        assert_eq!(line, Some(expected), "{lines}\n{explained}");
    };
    check("", "status 2xx");
    check("retry = 429", "status 2xx");
    check("retry = 202, 429, 5xx", "status 200-201, 203-299");
    check("retry = 202\nfinal = 207", "status 200-201, 203-206, 208-299; final 207");
    check("success = 200\nretry = 202", "status 200");
}

#[test]
fn numbers_of_a_check_have_the_form_of_the_other_screens() {
    let text =
        WHOLE.replace("[action:roles]", "[action:roles]\ntimeout = 10m\nretry_interval = 2h\nbatch = 1000");
    let explained = load(&text).unwrap().conf.explain();
    for line in [
        "1,000,000 pending deliveries per action, 10,000 dead letters",
        "  timeout    10 min per attempt; pauses between attempts 1 s to 2 h",
        "  batch      up to 1,000 events in one call",
    ] {
        assert!(explained.contains(line), "{line}\n{explained}");
    }
    for pause in ["0s", "1s"] {
        let text = WHOLE.replace("[action:roles]", &format!("[action:roles]\nretry_interval = {pause}"));
        let explained = load(&text).unwrap().conf.explain();
        assert!(explained.contains("; pauses between attempts 1 s\n"), "{pause}\n{explained}");
    }
}

#[test]
fn calls_of_several_events_and_their_pace_are_read_and_explained() {
    let loaded = load(&format!("{WHOLE}batch = 50\nrate = 100 per 10m\n")).unwrap();
    let delivery = loaded.conf.actions[1].delivery();
    assert_eq!(delivery.batch, BatchLimits { most: 50, ..BatchLimits::default() });
    assert_eq!(delivery.rate.map(|rate| rate.to_string()).as_deref(), Some("100 per 10m"));
    let explained = loaded.conf.explain();
    for line in ["  batch      up to 50 events in one call", "  rate       at most 100 calls per 10m"] {
        assert!(explained.lines().any(|found| found == line), "{explained}");
    }
}

#[test]
fn the_driver_makes_the_preview() {
    let conf = load(WHOLE).unwrap().conf;
    let notification = osnl_model::Notification {
        event_type: Some("compute.instance.delete.end".to_owned()),
        payload: serde_json::json!({"instance_id": "11111111-2222-3333-4444-555555555555"}),
        ..Default::default()
    };
    let wanted = CallRequest { notification: &notification, rule: "gone", resource: None, asks: &[] };
    let url = "http://k2hr3/v1/role?extra=openstack-auto-v1&cuk=11111111-2222-3333-4444-555555555555";
    let Preview::Request { method, url: found, headers, body } = conf.actions[0].preview(&wanted) else {
        panic!()
    };
    assert_eq!((method.as_str(), headers.len(), body), ("DELETE", 0, None));
    assert!(found.starts_with(url), "{found}");
    assert_eq!(conf.actions[1].preview(&wanted), Preview::Line { to: "stdout".to_owned() });
    let other = osnl_model::Notification {
        event_type: Some("compute.instance.update".to_owned()),
        ..notification.clone()
    };
    let wanted = CallRequest { notification: &other, ..wanted };
    let why = "compute.instance.update is not the deletion of a port or an instance (events = deletions)"
        .to_owned();
    assert_eq!(conf.actions[0].preview(&wanted), Preview::Nothing { why });
    assert_eq!(conf.actions[0].delivery().timeout, Duration::from_secs(30));
}
