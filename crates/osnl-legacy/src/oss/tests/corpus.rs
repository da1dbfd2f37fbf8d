use std::collections::BTreeSet;

use osnl_testkit::fixture;
use serde_json::{Value, json};

use super::super::*;
use super::told;

fn tellings(framed: impl Fn(&Value) -> String) -> Vec<String> {
    let lists = Lists::default();
    let mut lines = Vec::new();
    for file in
        ["captures/nova.json", "captures2/nova.json", "captures/neutron.json", "captures2/neutron.json"]
    {
        let file = fixture::json(&format!("emission/{file}"));
        let mut memory = Memory::default();
        for (case, messages) in file["cases"].as_object().unwrap() {
            for message in messages.as_array().unwrap() {
                let message = fixture::notification(message);
                let Some(event_type) = message["event_type"].as_str() else { continue };
                let happened = told(&mut memory, &framed(&message), &lists);
                let EventReport::Calls(calls) = EventReport::from(happened, event_type, None, &lists) else {
                    continue;
                };
                for PluginInvocation { happened, created } in calls {
                    let sign = if created { "+" } else { "-" };
                    let or_null = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
                    let (ip, id) = (or_null(happened.ip), or_null(happened.instance.id));
                    lines.push(format!("{case} {event_type}: {sign} {ip} {id}"));
                }
            }
        }
    }
    lines
}

#[test]
fn every_recorded_message_means_the_same_in_both_framings() {
    let bare = tellings(Value::to_string);
    let enveloped =
        tellings(|message| json!({"oslo.version": "2.0", "oslo.message": message.to_string()}).to_string());
    assert_eq!(bare, enveloped);
    let events: BTreeSet<&str> =
        bare.iter().filter_map(|line| line.split(": ").next()?.split(' ').next_back()).collect();
    let told: Vec<&str> = events.into_iter().collect();
    assert_eq!(
        told,
        [
            "compute.instance.create.end",
            "compute.instance.delete.end",
            "floatingip.create.end",
            "floatingip.delete.end",
            "floatingip.update.end",
            "instance.create.end",
            "instance.delete.end",
        ]
    );
    assert!(bare.len() < 30, "{bare:#?}");
    for line in &bare {
        assert!(!line.contains(": + null") && !line.contains("+ 172.24.4.174 null"), "{line}");
    }
}
