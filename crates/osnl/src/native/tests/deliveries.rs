use std::sync::Arc;
use std::time::Duration;

use super::{WHOLE, errors, load, warnings};
use crate::delivery::{DeliveryLimits, OnDead};
use crate::explain::{Content, ExplainedEvent, Ruling, explain};
use crate::native::OverflowPolicy;
use crate::native::Preview;
use crate::rule::{KeySource, Mode};

#[track_caller]
fn refused(section: &str, line: &str, expected: &str) {
    let text = format!("{WHOLE}[{section}]\n{line}\n");
    assert_eq!(errors(load(&text)), [format!("a.conf:14: [{section}] {expected}")]);
}

#[test]
fn every_wrong_value_says_what_is_allowed() {
    let rule = "rule:gone";
    refused(
        rule,
        "mode = shadw",
        "mode: unknown value \"shadw\"; allowed: live, shadow; did you mean shadow?",
    );
    refused(rule, "mod = shadow", "mod: unknown option; did you mean mode?");
    for key in ["port.id", "payload.", "payload.port..id", "Resource"] {
        let problem = format!(
            "key: \"{key}\" names nothing to order by; allowed: resource, none, or a path such as \
                               payload.port.network_id or context.project_id"
        );
        refused(rule, &format!("key = {key}"), &problem);
    }
    for section in [rule, "action:roles"] {
        for rate in ["many", "100", "100/10m", "100 per"] {
            let problem =
                "is not a rate; write 100 per 10m: at most this many different resources within that time";
            refused(section, &format!("guard = {rate}"), &format!("guard: \"{rate}\" {problem}"));
        }
        let problem = "is out of range; allowed: 1 to 1000000 per 1s to 7d";
        refused(section, "guard = 0 per 10m", &format!("guard: \"0 per 10m\" {problem}"));
    }
    let action = "action:record";
    let duration = "is not a duration; write 30, 30s, 500ms, 5m, 24h or 7d";
    for option in ["retry_max_age", "hold_max"] {
        refused(action, &format!("{option} = soon"), &format!("{option}: \"soon\" {duration}"));
        let range = "is out of range; allowed: 1s to 2147483s";
        refused(action, &format!("{option} = 0"), &format!("{option}: \"0\" {range}"));
    }
    refused(action, "retry_maxage = 1h", "retry_maxage: unknown option; did you mean retry_max_age?");
    let known = "allowed: release_key, hold_key; did you mean hold_key?";
    refused(action, "on_dead = hold-key", &format!("on_dead: unknown value \"hold-key\"; {known}"));
    let known = "allowed: stop_intake, dead_letter; did you mean dead_letter?";
    refused(action, "on_full = dead-letter", &format!("on_full: unknown value \"dead-letter\"; {known}"));
    refused(action, "on_ful = x", "on_ful: unknown option; did you mean on_full?");
}

#[test]
fn what_needs_a_journal_that_keeps_is_refused_without_one() {
    let text = |more: &str| format!("[journal]\nconnection = memory://\n{WHOLE}{more}\n");
    let check = |more: &str, expected: &str| {
        assert_eq!(errors(load(&text(more))), [format!("a.conf:16: {expected}")]);
    };
    let guard = "guard: memory:// can't hold deliveries for an operator; remove it, or set sqlite:// in [journal] \
                 connection";
    check("[rule:gone]\nguard = 1 per 1m", &format!("[rule:gone] {guard}"));
    check("[action:roles]\nguard = 1 per 1m", &format!("[action:roles] {guard}"));
    check(
        "[action:roles]\non_dead = hold_key",
        "[action:roles] on_dead: memory:// keeps no dead letter that could hold its key; remove it, or set sqlite:// \
         in [journal] connection",
    );
    let loaded = load(&text("[action:roles]\non_full = dead_letter")).unwrap();
    assert_eq!(
        warnings(&loaded),
        [
            "a.conf:16: [action:roles] on_full: has no effect for memory://, where the broker keeps what waits; \
          remove it, or set sqlite:// in [journal] connection"
        ]
    );
}

#[test]
fn what_is_given_up_goes_to_another_action_and_not_round_in_a_circle() {
    let said = |more: &str| match load(&format!("{WHOLE}{more}")) {
        Ok(loaded) => warnings(&loaded),
        Err(all) => errors(Err(all)),
    };
    let other = "[action:chat]\ndriver = dump\n";
    assert_eq!(said("on_failure = roles\n"), [""; 0]);
    // An action that only `on_failure` names is used.
    let whole = format!("on_failure = chat\n{other}");
    assert_eq!(said(&whole), [""; 0]);
    assert_eq!(
        said(other),
        ["a.conf:13: [action:chat]: no enabled rule uses it; name it in the actions of a rule"]
    );
    let at = "a.conf:13: [action:record] on_failure:";
    assert_eq!(
        said("on_failure = role\n"),
        [format!("{at} there is no [action:role]; there are: roles, record; did you mean roles?")]
    );
    assert_eq!(
        said("on_failure = record\n"),
        [format!("{at} is this action itself; name another one, or remove it")]
    );
    assert_eq!(
        said("on_failure = record, roles\n"),
        [format!("{at} names several actions; name one; that one may have an on_failure too")]
    );
    assert_eq!(
        said(&format!("on_failure = chat\n{other}on_failure = record\n")),
        [
            format!("{at} forms a cycle: record, chat, record; remove one of them"),
            "a.conf:16: [action:chat] on_failure: forms a cycle: chat, record, chat; remove one of them"
                .to_owned()
        ]
    );
    let explained = load(&format!("{WHOLE}when = payload.x == 1\n{whole}")).unwrap().conf.explain();
    for line in ["  if         payload.x == 1", "  on failure each dead letter is also handed to chat"] {
        assert!(explained.lines().any(|found| found == line), "{line}\n{explained}");
    }
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
";
    let loaded = load(&format!("{WHOLE}{more}")).unwrap();
    assert_eq!(warnings(&loaded), [""; 0]);
    let (rule, action) = (&loaded.conf.rules[0], &loaded.conf.actions[0]);
    assert_eq!(rule.rule.mode, Mode::Shadow);
    assert_eq!(rule.rule.key, KeySource::parse("payload.port.network_id").unwrap());
    let hours = |n: u64| Some(Duration::from_secs(n * 3600));
    let limits = DeliveryLimits { max_age: hours(24), hold_max: hours(48), on_dead: OnDead::HoldKey };
    assert_eq!((action.delivery.limits, action.on_full), (limits, OverflowPolicy::DeadLetter));
    let rates = [rule.guard, action.guard].map(|rate| rate.unwrap().to_string());
    assert_eq!(rates, ["20 per 1m", "100 per 10m"]);
    assert!(loaded.document().reads_back());
    let explained = loaded.conf.explain();
    for line in [
        "  shadow     deliveries are only recorded, nothing is called",
        "  order      by payload.port.network_id",
        "  guard      20 per 1m; more is held until an operator releases it",
        "  down       no connection, 429, 503 with Retry-After: the target is held; its deliveries wait and don't age",
        "  temporary  408, 425, 5xx (503 only without Retry-After), timeouts: retried for up to 1d after the first attempt, then a dead letter",
        "  held       for at most 2d, then dead letters",
        "  dead       the next deliveries of the resource wait",
        "  full       deliveries beyond max_pending become dead letters",
        "  guard      100 per 10m; more is held until an operator releases it",
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
fn explain_says_which_action_is_not_asked_and_why() {
    let loaded = load(&format!("{WHOLE}when = payload.x == 2\n")).unwrap();
    let event = osnl_model::Notification {
        event_type: Some("port.delete.end".to_owned()),
        payload: serde_json::json!({"x": 1}),
        ..osnl_model::Notification::default()
    };
    let subject = ExplainedEvent {
        content: Content::Whole(Arc::new(event)),
        listener: None,
        exchange: None,
        routing_key: None,
        received: None,
        read: None,
        asked: Vec::new(),
    };
    let verdicts = explain(&loaded.conf, &subject, None);
    let Ruling::Fires(effects) = &verdicts[0].ruling else { panic!("{verdicts:?}") };
    let why: Vec<(&str, Option<&str>)> = effects
        .iter()
        .map(|effect| match &effect.would {
            Preview::NotAsked { why } => (&*effect.action, Some(why.as_str())),
            _ => (&*effect.action, None),
        })
        .collect();
    assert_eq!(why, [("roles", None), ("record", Some("when is false: payload.x is 1"))]);
}
