use std::time::Duration;

use osnl_config::Finding;

use super::{WHOLE, errors, load, warnings};
use crate::delivery::{DeliveryLimits, OnDead};
use crate::explain::{ExplainedEvent, Explainer};
use crate::journal::JournalTerms;
use crate::native::Preview;
use crate::rule::{KeySource, Mode};

#[test]
fn what_is_given_up_goes_to_another_action() {
    let more = "when = payload.x == 1\non_failure = chat\n[action:chat]\ndriver = dump\n";
    let explained = load(&format!("{WHOLE}{more}")).unwrap().conf.explain();
    for line in ["  if         payload.x == 1", "  on failure each dead letter is also handed to chat"] {
        assert!(explained.lines().any(|found| found == line), "{line}\n{explained}");
    }
}

#[test]
fn a_pattern_for_a_path_with_brackets_is_told_with_dots() {
    let more = "payload.port.fixed_ips[0].ip_address = ^10\ncontext.a['b'] = x\npayload.x[y] = x\npayload.port.id = x\n";
    let text = WHOLE.replace("[rule:gone]\n", &format!("[rule:gone]\n{more}"));
    let told = warnings(&load(&text).unwrap());
    let mends: Vec<&str> = told.iter().filter_map(|said| Some(said.split_once("; write ")?.1)).collect();
    assert_eq!(mends, ["payload.port.fixed_ips.0.ip_address", "context.a.b"], "{told:?}");
}

#[test]
fn a_name_that_no_event_has_is_told_at_each_option_that_reads_it() {
    let rule = "when = context.projectid == \"p\" and context.user == \"u\"\nkey = context.nosuch\n\
                context.request_ids.0 = x\ncontext.roles.0 = x\ncontext.traceparent = ^00\n\
                payload.port.data_plane_status = ACTIVE\n";
    // The trial on sample events tells of a name of the payload without a default.
    let action = "[action:web]\ndriver = http\nurl = https://h/{{ context.user_nam }}\n\
                  query.a = {{ payload.port.nosuch|default(\"-\") }}\nquery.b = {{ payload.prot.id|default(\"-\") }}\n\
                  query.c = {{ payload.message|default(\"-\") }}\nquery.d = {{ payload.port.gone }}\n\
                  query.e = {{ payload.port.trunk_details|default(\"-\") }}\n";
    let text = WHOLE.replace("[rule:gone]\n", &format!("[rule:gone]\n{rule}")).replace(", record", ", web");
    let check = |text: &str, expected: &[&str]| {
        let told = load(&format!("{text}{action}")).unwrap().never_sent();
        let told = told.iter().map(|warning| {
            let Finding { option, problem, suggestion, .. } = &warning.0;
            let name = problem.split(' ').next_back().unwrap_or_default();
            format!("{} {name} {}", option.as_deref().unwrap_or("-"), suggestion.as_deref().unwrap_or("-"))
        });
        assert_eq!(told.collect::<Vec<_>>(), expected);
    };
    check(
        &text,
        &[
            "when context.projectid context.project_id",
            "key context.nosuch -",
            "context.request_ids.0 context.request_ids context.request_id",
            "url context.user_nam context.user_name",
            "query.a payload.port.nosuch -",
            "query.b payload.prot.id payload.port.id",
        ],
    );
    // A service that the catalogue does not have may send any field.
    check(&text.replace("exchange = neutron", "exchange = ours"), &[]);
}

#[test]
fn a_condition_that_no_bulk_request_meets_is_told() {
    let check = |event_type: &str, condition: &str, expected: &[&str]| {
        let rule = format!("event_type = {event_type}\n{condition}\n");
        let told = load(&WHOLE.replace("event_type = ^port\\.delete\\.end$\n", &rule)).unwrap().never_sent();
        let of_bulk =
            told.iter().filter(|warning| warning.0.problem.contains("payload.ports and no payload.port,"));
        let options: Vec<&str> = of_bulk.filter_map(|warning| warning.0.option.as_deref()).collect();
        assert_eq!(options, expected, "{event_type} {condition}");
    };
    let when = "when = payload.port.name == \"x\"";
    check("^port\\.create", when, &["when"]);
    check("^port\\.", "payload.port.name = ^x", &["payload.port.name"]);
    check("^port\\.update", when, &[]);
    check("^port\\.", "when = payload.port.name | default(\"x\") == \"x\"", &[]);
    check("^port\\.", "when = event_type.startswith(\"port.u\") and payload.port.name == \"x\"", &[]);
    check("^network\\.", "when = payload.network.name == \"x\"", &[]);
    check("^port\\.create", "when = payload.port.nmae == \"x\"", &[]);
}

#[test]
fn all_of_it_is_read_explained_and_shown_again() {
    let more = "\
[rule:gone]
mode = shadow
key = payload.port.network_id
guard = 20 per 1m
[action:roles]
guard = 100 per 600s
retry_max_age = 24h
hold_max = 2d
on_dead = hold_key
on_full = dead_letter
max_dead_age = 90d
";
    let loaded = load(&format!("{WHOLE}{more}")).unwrap();
    assert_eq!(warnings(&loaded), [""; 0]);
    let (rule, action) = (&loaded.conf.rules[0], &loaded.conf.actions[0]);
    assert_eq!(rule.rule.mode, Mode::Shadow);
    assert_eq!(rule.rule.key, KeySource::parse("payload.port.network_id").unwrap());
    let hours = |n: u64| Some(Duration::from_secs(n * 3600));
    let limits = DeliveryLimits { max_age: hours(24), hold_max: hours(48), on_dead: OnDead::HoldKey };
    assert_eq!(
        (action.delivery.limits, action.terms),
        (limits, JournalTerms { overflows: true, max_dead_age: hours(90 * 24) })
    );
    let rates = [rule.guard, action.guard].map(|rate| rate.unwrap().to_string());
    assert_eq!(rates, ["20 per 1m", "100 per 10m"]);
    assert!(loaded.document().reads_back());
    let explained = loaded.conf.explain();
    for line in [
        "  shadow     deliveries are only recorded, nothing is called",
        "  order      by payload.port.network_id",
        "  guard      20 per 1m; more waits for release",
        "  down       no connection, 429, 503 with Retry-After: the target is down; its deliveries wait and don't age",
        "  temporary  408, 425, 5xx (503 only without Retry-After), timeouts, 401, 407: retried for up to 1d after the first attempt, then a dead letter",
        "  waiting    at most 2d while the target is down, then dead letters",
        "  dead       the next deliveries of the resource wait",
        "  dead       discarded after 90d",
        "  full       deliveries beyond max_pending become dead letters",
        "  guard      100 per 10m; more waits for release",
    ] {
        assert!(explained.lines().any(|found| found == line), "{line}\n{explained}");
    }
    // Only actions that delete should have a guard.
    let plain = load(WHOLE).unwrap().conf.explain();
    assert_eq!(plain.matches("guard ").count(), 2, "{plain}");
    assert!(
        plain.contains("  guard      none; recommended for an action that deletes: guard = 100 per 10m"),
        "{plain}"
    );
}

#[test]
fn the_explanation_shows_no_pattern_for_a_secret() {
    let more =
        "payload.admin_pass = p1\npayload.key = p2\npayload.server.admin_pass = p3\npayload.name = p4\n";
    let text = WHOLE.replace("[rule:gone]\n", &format!("[rule:gone]\n{more}"));
    let explained = load(&text).unwrap().conf.explain();
    let conditions = explained.lines().filter(|line| line.contains(" matches "));
    let shown: Vec<&str> = conditions.filter_map(|line| Some(line.split_once("payload.")?.1)).collect();
    assert_eq!(
        shown,
        ["admin_pass matches ***", "key matches ***", "name matches p4", "server.admin_pass matches ***"]
    );
}

#[test]
fn the_explanation_shows_no_condition_that_reads_a_secret() {
    let loaded = |when: &str| {
        let text = WHOLE.replace("[rule:gone]\n", &format!("[rule:gone]\nwhen = {when}\n"));
        load(&format!("{text}when = {when}\n")).unwrap()
    };
    let check = |when: &str, expected: &str| {
        let explained = loaded(when).conf.explain();
        for word in ["and", "if"] {
            let line = format!("  {word:<10} {expected}");
            assert!(explained.lines().any(|found| found == line), "{line}\n{explained}");
        }
    };
    check("payload.admin_pass == \"S3CRET\" and payload.n == 1", "***");
    check(
        "payload.keypair_name == \"k\"\n  and payload.n == 1",
        "payload.keypair_name == \"k\" and payload.n == 1",
    );

    let always = |when: &str| warnings(&loaded(when)).join("\n");
    let warned = always("payload.admin_pass == \"S3CRET\" or \"S3CRET\"");
    assert!(warned.contains("the constant ***;") && !warned.contains("S3CRET"), "{warned}");
    let warned = always("payload.key_name == \"k\" or \"l\"");
    assert!(warned.contains("the constant \"l\";"), "{warned}");
}

#[test]
fn a_shown_configuration_has_neither_pattern_nor_condition_on_a_secret() {
    let rule = "when = payload.key == 'S3CRET'\npayload.admin_pass = ^S3CRET\npayload.key_name = ^k$\n";
    let text = WHOLE.replace("[rule:gone]\n", &format!("[rule:gone]\n{rule}"));
    let web = "[action:web]\ndriver = http\nurl = http://127.0.0.1/\nreply_status = 200 if reply.token == 'S3CRET' else 500\n";
    let document = load(&format!("{text}when = payload.admin_pass == 'S3CRET'\n{web}")).unwrap().document();
    for shown in [document.text(false), format!("{:?}", document.hidden())] {
        assert!(!shown.contains("S3CRET") && shown.contains("^k$"), "{shown}");
    }
    assert_eq!(document.text(false).matches(" = ***\n").count(), 4);
    assert_eq!(document.text(true).matches("S3CRET").count(), 4);
    assert!(document.reads_back());
}

#[test]
fn explain_says_which_action_is_not_asked_and_why() {
    let loaded = load(&format!("{WHOLE}when = payload.x == 2\n")).unwrap();
    let event = osnl_model::Notification {
        event_type: Some("port.delete.end".to_owned()),
        payload: serde_json::json!({"x": 1}),
        ..osnl_model::Notification::default()
    };
    let trace = Explainer::new(&loaded.conf).trace(ExplainedEvent::from_notification(event));
    let effects = trace.rules[0].ruling.effects();
    let why: Vec<(&str, Option<&str>)> = effects
        .iter()
        .map(|effect| match &effect.would {
            Preview::NotAsked { why } => (&*effect.action, Some(why.as_str())),
            _ => (&*effect.action, None),
        })
        .collect();
    assert_eq!(why, [("roles", None), ("record", Some("when is false: payload.x is 1"))]);
}

#[test]
fn the_explanation_says_which_journal_forgets_the_order_of_events() {
    let actions = "actions = roles, record\n";
    let text = WHOLE.replace(actions, &format!("{actions}order_by_event_time = true\n"));
    for (journal, expected) in [
        ("", "older than one before it becomes a dead letter\n"),
        ("[journal]\nconnection = memory://\n", "a dead letter; with memory://, a restart forgets the times"),
    ] {
        let explained = load(&format!("{text}{journal}")).unwrap().conf.explain();
        assert!(explained.contains(expected), "{explained}");
    }
}

/// A message that waits returns to its queue each 15 minutes, and a delivery limit drops it in the end.
#[test]
fn a_wait_that_a_delivery_limit_cuts_off_is_refused() {
    let with = |limit: &str, wait: &str| {
        let own = format!("pool = osnl\nqueue_type = quorum\n{limit}");
        let text = WHOLE.replace("pool = osnl\n", &own);
        load(&format!("{text}{wait}[journal]\nconnection = memory://\n"))
    };
    let same = |found: Vec<String>, expected: &[&str]| {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    };
    let check = |limit: &str, wait: &str, expected: &[&str]| same(errors(with(limit, wait)), expected);
    let lost = "hold_max: the wait may not end: memory:// returns a message each 15m, and the queue of [listener:neutron] \
                drops it after 2 (delivery_limit); allowed: less than 45m, no delivery_limit,";
    check("delivery_limit = 2\n", "hold_max = 45m\n", &[lost]);
    check("delivery_limit = 2\n", "hold_max = 44m\n", &[]);
    check("", "hold_max = 45m\n", &[]);
    check("delivery_limit = 2\n", "rate = 1 per 45m\n", &["rate: the wait may not end"]);
    check("delivery_limit = 2\n", "rate = 1 per 44m\n", &[]);
    check("arguments = x-delivery-limit=2\n", "rate = 1 per 45m\n", &["rate: the wait may not end"]);
    check("arguments = x-delivery-limit=-1\n", "rate = 1 per 45m\n", &[]);
    let each_host = "on_failure = hook\n[action:hook]\ndriver = http\nurl = {{ payload.callback }}\nhost_rate = 1 per 45m\n";
    check("delivery_limit = 2\n", each_host, &["host_rate: the wait may not end"]);
    let mail = "on_failure = admins\n[action:admins]\ndriver = mail\nserver = mail.example.com\nfrom = a@example.com\n\
                to = b@example.com\n";
    let waits = |wait: &str| format!("{mail}{wait}\n");
    check(
        "delivery_limit = 2\n",
        &waits("wait_for_recipients = 45m"),
        &["wait_for_recipients: the wait may"],
    );
    check("delivery_limit = 2\n", &waits("wait_for_recipients = 44m"), &[]);
    check(
        "delivery_limit = 0\n",
        &waits("wait_for_recipients = 1m\ndigest = 15m"),
        &["digest: the wait may"],
    );
    // Only an action with a target waits for one.
    let warned = |limit: &str, wait: &str, expected: &[&str]| {
        let url = "api_url = http://k2hr3/v1/role\n";
        let own = format!("pool = osnl\nqueue_type = quorum\n{limit}");
        let text = WHOLE.replace("pool = osnl\n", &own).replace(url, &format!("{url}{wait}"));
        same(warnings(&load(&format!("{text}[journal]\nconnection = memory://\n")).unwrap()), expected);
    };
    let endless = "hold_max: a delivery may wait longer for a target that is down: memory:// returns a message each 15m";
    let retried = "retry_max_age: a delivery may be retried for longer than its message stays: memory://";
    warned("delivery_limit = 2\n", "", &[endless, retried]);
    warned("delivery_limit = 2\n", "hold_max = 44m\nretry_max_age = none\n", &[retried]);
    warned("delivery_limit = 2\n", "hold_max = 44m\nretry_max_age = 44m\n", &[]);
    warned("", "", &[]);
}

/// With `memory://` the broker gets a message back that waits longer than it may stay.
#[test]
fn a_rate_below_a_window_in_the_time_of_a_stay_is_warned_of() {
    let check = |own: &str, options: &str, expected: &[&str]| {
        let text = WHOLE.replace("pool = osnl\n", own).replace("roles, record", "record");
        let text = format!("{text}{options}[journal]\nconnection = memory://\n");
        let found = warnings(&load(&text).unwrap());
        let ours = ["rate: ", "host_rate: ", "digest: "];
        let found: Vec<&str> =
            found.iter().filter_map(|line| line.split_once("] ").map(|(_, rest)| rest)).collect();
        let found: Vec<&str> =
            found.into_iter().filter(|line| ours.iter().any(|option| line.starts_with(option))).collect();
        assert_eq!(found.len(), expected.len(), "{own} {options} {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    };
    let pool = "pool = osnl\n";
    let slow = "rate: 200 messages (prefetch) take about 20m at 100 per 10m, but memory:// returns a message to its queue \
                each 15m; set rate to at least 200 per 15m, prefetch to at most 150, or sqlite:// in [journal] connection";
    check(pool, "rate = 100 per 10m\n", &[slow]);
    check(pool, "rate = 200 per 15m\n", &[]);
    check(pool, "rate = 1 per 1s\n", &[]);
    check("pool = osnl\nprefetch = 150\n", "rate = 100 per 10m\n", &[]);
    check(pool, "rate = 100 per 10m\nbatch = 2\n", &[]);
    let none = "take about 200h at 1 per 1h, but memory:// returns a message to its queue each 15m; set rate to at least \
                200 per 15m, or sqlite://";
    check(pool, "rate = 1 per 1h\n", &[none]);
    let limited = "pool = osnl\nqueue_type = quorum\ndelivery_limit = 3\n";
    let dropped = "each 15m, and the queue of [listener:neutron] drops it after 3 (delivery_limit); set rate";
    check(limited, "rate = 100 per 10m\n", &[dropped]);
    let services = "pool =\nqueue_type = quorum\n";
    let dropped =
        ", and RabbitMQ 4 drops it after 20 by default (the quorum queue of [listener:neutron]); set rate";
    check(services, "rate = 100 per 10m\n", &[dropped]);
    let each_host = "on_failure = hook\n[action:hook]\ndriver = http\nurl = {{ payload.callback }}\n";
    let slow = "host_rate: 200 messages for one host (prefetch) take about";
    check(pool, &format!("{each_host}host_rate = 10 per 1m\n"), &[slow]);
    let mail = "on_failure = admins\n[action:admins]\ndriver = mail\nserver = mail.example.com\nfrom = a@example.com\n\
                to = b@example.com\n";
    let waits = "digest: a message waits longer than it may stay unacknowledged: memory:// returns a message to its \
                 queue each 15m; set digest to at most 15m, or sqlite://";
    check(pool, &format!("{mail}digest = 16m\n"), &[waits]);
    check(pool, &format!("{mail}digest = 15m\n"), &[]);
}

#[test]
fn a_wait_for_a_host_that_an_event_names_and_that_never_answers_is_warned_of() {
    let check = |options: &str, expected: &[&str]| {
        let text = format!("{WHOLE}on_failure = hook\n[action:hook]\ndriver = http\n{options}");
        let found = warnings(&load(&text).unwrap());
        let found: Vec<&str> =
            found.iter().filter_map(|line| Some(line.split_once("[action:hook] hold_max: ")?.1)).collect();
        assert_eq!(found.len(), expected.len(), "{options} {found:?}");
        assert!(found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected)), "{found:?}");
    };
    let (host, memory) = ("url = {{ payload.callback }}\n", "[journal]\nconnection = memory://\n");
    check(host, &[]);
    let endless = "deliveries to a host that never answers wait without an end; set it to the longest time";
    check(&format!("{host}retry_max_age = none\n"), &[endless]);
    check(&format!("{host}{memory}"), &["messages to hosts that never answer fill the window (prefetch)"]);
    check(&format!("{host}hold_max = 10m\nretry_max_age = none\n{memory}"), &[]);
    check(&format!("url = http://hook/\nretry_max_age = none\n{memory}"), &[]);
}

/// A message that waits for the rate of one action has a place in the window of all.
#[test]
fn a_rate_that_keeps_the_window_of_other_actions_full_is_warned_of() {
    let check = |actions: &str, options: &str, expected: Option<&str>| {
        let text = WHOLE.replace("actions = roles, record\n", actions);
        let found = warnings(&load(&format!("{text}{options}[journal]\nconnection = memory://\n")).unwrap());
        let found: Vec<&String> = found.iter().filter(|line| line.contains("] rate: ")).collect();
        assert_eq!(found.len(), usize::from(expected.is_some()), "{actions} {options} {found:?}");
        let is_expected = found.iter().zip(expected).all(|(found, expected)| found.ends_with(expected));
        assert!(is_expected, "{found:?}");
    };
    let slow = "200 messages (prefetch) take about 15m at 200 per 15m; while they fill the window of [listener:neutron], \
                events of action roles wait; set rate to at least 200 per 1m, a listener with another pool for its \
                rules, or sqlite:// in [journal] connection";
    let both = "actions = roles, record\n";
    check(both, "rate = 200 per 15m\n", Some(slow));
    check(both, "rate = 200 per 1m\n", None);
    check(both, "rate = 10 per 1m\nbatch = 20\n", None);
    let other = "actions = record\n[rule:other]\nevent_type = ^router\\.\nactions = roles\n";
    check(other, "rate = 200 per 15m\n", Some(slow));
    check(&format!("{other}mode = shadow\n"), "rate = 200 per 15m\n", None);
    check("actions = record\n", "rate = 200 per 15m\n", None);
    let fallback = "on_failure = hook\n[action:hook]\ndriver = http\nurl = http://h/\n";
    check("actions = record\n", &format!("rate = 200 per 15m\n{fallback}"), None);
    let returned = "take about 20m at 100 per 10m, but memory:// returns a message to its queue each 15m; while they fill \
                    the window of [listener:neutron], events of action roles wait; set rate to at least 200 per 1m, or \
                    sqlite:// in [journal] connection";
    check(both, "rate = 100 per 10m\n", Some(returned));
}
