//! `[incidents]`: the stage of a night, and the calls of a chat about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use osnl_testkit::{Reply, SinkRequest, wait_until};
use serde_json::{Value, json};

use crate::reloading::{LISTENER, Rig, SOON};

const RULE: &str =
    "[rule:r]\nevent_type = ^port\\.delete\\.end$\nactions = billing, ticket, catalog, pager, dns, chat\n";
const ACTIONS: &str = "\
[action:billing]\ndriver = http\nurl = SINK/billing\nmax_attempts = 1\n\
[action:ticket]\ndriver = http\nurl = SINK/ticket\nmax_attempts = 1\n\
[action:catalog]\ndriver = http\nurl = SINK/catalog\nretry_interval = 1s\n\
[action:pager]\ndriver = http\nurl = SINK/pager\nretry_interval = 1s\n\
[action:dns]\ndriver = http\nurl = SINK/dns\n\
[action:chat]\ndriver = http\nurl = SINK/chat\nretry_interval = 1s\non_failure = mail\n\
body = {\"text\": \"{{ incident.state | default('event') }} {{ incident.resource | default('') }}: {{ incident.what | default('') }} {{ incident.why | default('') }} {{ incident.to_do | default('') }}\"}\n\
[action:mail]\ndriver = http\nurl = SINK/mail\n";
const INCIDENTS: &str = "[incidents]\nactions = chat\nafter = 1s\nseverity = warning\n";

fn answer(request: &SinkRequest, is_night: bool) -> Option<Reply> {
    let action = request.target.rsplit('/').next().unwrap_or_default();
    let status = match action {
        "billing" if is_night => 409,
        "ticket" if is_night => 400,
        "catalog" | "pager" if is_night => 503,
        // The chat takes what is about incidents, and fails for the events of the rule.
        "chat" if is_night && request.body.windows(5).any(|part| part == b"event") => 503,
        _ => 204,
    };
    Some(Reply::Status(status))
}

/// The calls of the chat by incident: beginnings and ends.
fn told(rig: &Rig) -> BTreeMap<String, (usize, usize)> {
    let mut told: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for request in rig.sink.requests().iter().filter(|request| request.target.ends_with("/chat")) {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let text = body["text"].as_str().unwrap();
        let (state, rest) = text.split_once(' ').unwrap();
        let (resource, what) = rest.split_once(": ").unwrap();
        let counts = told.entry(resource.to_owned()).or_default();
        match state {
            "begin" => counts.0 += 1,
            "end" => counts.1 += 1,
            _ => {
                told.remove(resource);
                continue;
            }
        }
        assert!(what.len() > 20, "{text}");
    }
    told
}

#[test]
fn each_cause_of_a_night_begins_and_ends_once_and_none_is_about_the_chat() {
    let mut rig = Rig::with("incidents", &[LISTENER, RULE, ACTIONS, INCIDENTS]);
    let is_night = Arc::new(AtomicBool::new(true));
    let night = is_night.clone();
    rig.sink.reply_when(move |request| answer(request, night.load(Relaxed)));
    assert_eq!(rig.ask(&["actions", "pause", "dns"]).0, Some(0));
    rig.publish((0..4).map(|n| (n, n)));
    let causes = [
        "action-paused/action dns",
        "dead-letters/action billing",
        "dead-letters/action ticket",
        "target-down/action catalog",
        "target-down/action pager",
    ];
    let expected = |counts: (usize, usize)| {
        causes.iter().map(|cause| ((*cause).to_owned(), counts)).collect::<BTreeMap<_, _>>()
    };
    wait_until(SOON, "the beginnings", || told(&rig).len() >= causes.len());
    let has_own = |rig: &Rig| {
        let status = rig.status();
        let incidents = status["incidents"].as_array().cloned().unwrap_or_default();
        incidents.iter().any(|one| one["actions"] == json!(["chat"]))
    };
    wait_until(SOON, "the chat is an incident too", || has_own(&rig));
    // A restart tells nothing twice.
    rig.end("TERM");
    rig.run();
    rig.publish([(5, 5)]);
    is_night.store(false, Relaxed);
    assert_eq!(rig.ask(&["actions", "resume", "dns"]).0, Some(0));
    wait_until(3 * SOON, "the ends", || {
        for target in ["catalog", "pager", "chat"] {
            let _ = rig.ask(&["actions", "probe", target]);
        }
        let _ = rig.ask(&["deliveries", "retry", "--state", "dead"]);
        told(&rig).values().filter(|(_, ends)| *ends > 0).count() >= causes.len()
    });
    assert_eq!(told(&rig), expected((1, 1)), "{}", rig.log());
    let status = rig.status();
    assert_eq!(status["healthy"], true, "{status:#}");
}
