use osnl_testkit::{Notice, Reply, wait_until};
use serde_json::Value;

use crate::reloading::{LISTENER, Rig, SOON, instance, notice};

/// Goes on with the section `[journal]` of the rig.
const BODIES: &str = "keep_unmatched_bodies = yes\n";
const MEMORY: &str = "connection = memory://\n";
const RULE: &str = "[rule:r]\nevent_type = ^port\\.delete\\.end$\nactions = roles, copy\n";
const ACTIONS: &str = "[action:roles]\ndriver = k2hr3\napi_url = SINK\nmax_attempts = 1\n\
                       [action:copy]\ndriver = http\nmethod = POST\nurl = SINK/copy\n";

fn refusing(name: &str, sections: &[&str], status: u16) -> Rig {
    let rig = Rig::with(name, sections);
    rig.sink.reply_when(move |request| (!request.target.contains("/copy")).then_some(Reply::Status(status)));
    rig
}

fn publish_unmatched(rig: &mut Rig) {
    let event_type = "port.update.end".to_owned();
    rig.publisher.notify_all(&[Notice { event_type, ..notice(1, 2) }]);
}

/// Returns the kinds of the entries, those of deliveries with their action and their state.
fn kinds(history: &Value) -> Vec<String> {
    let entries = history["entries"].as_array().unwrap();
    let text = |entry: &Value| {
        let words = ["kind", "action", "state"].map(|member| entry[member].as_str().unwrap_or_default());
        words.join(" ").trim_end().to_owned()
    };
    entries.iter().map(text).collect()
}

#[test]
fn a_history_is_in_the_order_of_time_and_outlives_the_daemon() {
    let mut rig = refusing("history", &[BODIES, LISTENER, RULE, ACTIONS], 409);
    let history = format!("history {}", instance(1));
    rig.publish([(1, 1), (2, 1)]);
    publish_unmatched(&mut rig);
    wait_until(SOON, "both deliveries have ended", || {
        let (_, text, _) = rig.ask(&["history", &instance(1)]);
        ["dead", "delivered", "no rule matched"].iter().all(|word| text.contains(word))
    });
    let (_, text, _) = rig.ask(&["history", &instance(1)]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("TIME ") && lines[1].contains("received"), "{text}");
    assert!(lines[1].contains("port.delete.end, message "), "{text}");
    assert!(lines[2].contains("matched") && lines[2].contains("rule r"), "{text}");
    let dead = lines.iter().find(|line| line.contains(" dead ")).unwrap_or_else(|| panic!("{text}"));
    assert!(dead.contains("roles") && dead.contains("409"), "{text}");
    assert_eq!(lines.len(), 8, "{text}");

    let found = rig.json(&history);
    let mut sorted = kinds(&found);
    sorted.sort();
    let expected = [
        "attempt-failed roles",
        "ended copy delivered",
        "ended roles dead",
        "matched copy",
        "matched roles",
        "not-matched",
        "received",
    ];
    assert_eq!(sorted, expected, "{found:#}");
    let times: Vec<&str> =
        found["entries"].as_array().unwrap().iter().map(|entry| entry["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{found:#}");
    assert!(found["entries"][0]["message_id"].is_string(), "{found:#}");
    let limited = rig.json(&format!("{history} --limit 1"));
    assert_eq!(limited["more"], 1, "{limited:#}");

    let unknown = "nothing is known about \"web-9\"";
    rig.check(&[
        ("history web-9", 1, unknown),
        ("history web-9", 1, "ended deliveries are kept for 7 d (retention)"),
        ("history web-9 --state-dir state", 1, unknown),
    ]);
    rig.end("TERM");
    assert_eq!(kinds(&rig.json(&history)), kinds(&found));
    rig.check(&[
        ("history web-9", 1, "kept for 7 d (retention)"),
        ("history web-9 --state-dir state", 1, "kept for the retention of [journal]"),
    ]);
}

#[test]
fn a_history_in_memory_has_the_open_deliveries() {
    let actions = ACTIONS.replace("max_attempts = 1\n", "");
    let mut rig = refusing("history-memory", &[MEMORY, LISTENER, RULE, &actions], 503);
    rig.publish([(1, 1)]);
    publish_unmatched(&mut rig);
    wait_until(SOON, "the delivery is attempted and the other message is seen", || {
        let (_, text, _) = rig.ask(&["history", &instance(1)]);
        text.contains("now ") && text.contains("503") && text.contains("1 message that matched no rule")
    });
    let found = rig.json(&format!("history {}", instance(1)));
    let kinds = kinds(&found);
    assert_eq!(kinds[..2], ["received", "matched roles"], "{found:#}");
    assert!(kinds[2].starts_with("pending roles"), "{found:#}");
    rig.check(&[("history web-9", 1, "memory:// keeps no ended deliveries")]);
    rig.end("TERM");
    rig.check(&[("history web-9", 69, "its journal is in memory, of which nothing is left")]);
}
