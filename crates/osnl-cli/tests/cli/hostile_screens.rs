//! No text of a publisher, a tenant or a target acts on a terminal: screens in every form, errors,
//! and the log.

use osnl_model::is_dangerous;
use osnl_testkit::{RawMessage, Reply, wait_until};
use serde_json::json;

use crate::reloading::{LISTENER, Rig, SOON};

const EVIL: &str = "\u{1b}]0;owned\u{7}\u{1b}[31m\r\n\u{85}\u{9b}2J\u{202e}\u{2028}\u{2066}\u{7f}";

fn body(event_type: &str) -> String {
    let name = format!("{event_type}{EVIL}");
    json!({"message_id": name, "publisher_id": name, "event_type": name, "priority": "INFO", "timestamp": EVIL,
        "_context_project_id": EVIL, "payload": {"port": {"id": EVIL, "name": EVIL, EVIL: [EVIL]}}})
    .to_string()
}

#[test]
fn what_others_say_acts_on_no_terminal() {
    let mut rig = Rig::start("hostile-screens");
    let rule = "[rule:r]\nevent_type = ^port\nactions = hook\n";
    let action = "[action:hook]\ndriver = http\nurl = SINK/{{ payload.port.name }}\nfinal = 400\n";
    rig.sink.script(vec![Reply::StatusWith {
        status: 400,
        headers: vec![("Content-Type".to_owned(), "text/plain".to_owned())],
        body: EVIL.as_bytes().to_vec(),
    }]);
    rig.write(&[LISTENER, rule, action]);
    rig.reload(0);
    rig.listening("neutron");
    let unread = body("port.cut").replacen('}', "", 1);
    for body in [body("port.x"), unread, body("other")] {
        rig.publisher.raw(&RawMessage { body: body.into(), ..RawMessage::default() });
    }
    wait_until(SOON, "one is dead, one is unread, and one matched nothing", || {
        let unmatched = rig.ask(&["explain", "--unmatched"]).1;
        rig.status()["journal"]["quarantined"] == 1
            && rig.target("hook")["dead"] == 1
            && unmatched.contains("owned")
    });
    let (_, list, _) = rig.ask(&["deliveries", "list"]);
    let id = list.lines().nth(1).and_then(|line| line.split_whitespace().next()).unwrap().to_owned();
    let replayed = format!("port.x{EVIL}");
    let commands: [&[&str]; 9] = [
        &["status"],
        &["deliveries", "list"],
        &["deliveries", "show", &id],
        &["quarantine", "list"],
        &["quarantine", "show", "1"],
        &["quarantine", "retry", "1"],
        &["explain", "--journal"],
        &["explain", "--unmatched"],
        &["replay", "--event-type", &replayed],
    ];
    let mut shown = 0;
    for command in commands {
        for more in [&[][..], &["--format", "json"]] {
            let (_, out, err) = rig.ask(&[command, more].concat());
            for text in [&out, &err] {
                let found = text.chars().find(|c| *c != '\n' && is_dangerous(*c));
                assert_eq!(found, None, "{command:?} {more:?}: {}", text.escape_debug());
            }
            shown += usize::from(out.contains("owned"));
        }
    }
    assert!(shown >= 10, "the screens show what was said: {shown}");
    let log = rig.log();
    assert!(
        log.contains("owned") && !log.contains(|c| c != '\n' && is_dangerous(c)),
        "{}",
        log.escape_debug()
    );
}
