use std::sync::Arc;

use super::super::*;
use super::bodies;
use osnl_core::observe::Observe as _;
use osnl_core::received::ReceivedMessage;

fn noted(watcher: &Watcher, body: &str) -> (usize, Vec<String>) {
    let received = ReceivedMessage::sample(body.to_owned(), false);
    let notification = received.decode().unwrap();
    let (noted, keys) = watcher.note(&received, &notification);
    let happened: Vec<Occurrence> = serde_json::from_str(&noted.happened.unwrap()).unwrap();
    (happened.len(), keys.into_iter().map(|(_, key)| key).collect())
}

#[test]
fn a_release_is_ordered_by_the_instance_that_it_leaves() {
    let action: Arc<str> = "a".into();
    let watched = |action: &Arc<str>| {
        let mut watched = WatchedActions::default();
        watched.add(action.clone(), Lists::default());
        watched
    };
    let watcher = Watcher::new(watched(&action), Vec::new());
    assert!(watcher.serves("a") && !watcher.serves("b"));
    let vm = "33333333-aaaa-4bbb-8ccc-000000000001".to_owned();
    let of = |case: &str| bodies("captures/neutron.json", case).pop().unwrap();
    assert_eq!(noted(&watcher, &of("floatingip_update_associate")), (1, vec![vm.clone()]));
    assert_eq!(noted(&watcher, &of("floatingip_update_description_only")), (0, vec![]));
    watcher.watch(watched(&"b".into()));
    assert!(watcher.serves("b") && !watcher.serves("a"));
    assert_eq!(noted(&watcher, &of("floatingip_update_disassociate")), (1, vec![vm]));
}

/// A dead letter that the broker gives back calls its own action alone, by these notes.
#[test]
fn notes_of_the_transport_stay_with_the_message() {
    let mut received = ReceivedMessage::sample(
        bodies("captures/neutron.json", "floatingip_update_associate").remove(0),
        false,
    );
    received.noted.is_again = true;
    let (noted, _) = Watcher::default().note(&received, &received.decode().unwrap());
    assert!(noted.is_again);
}

#[test]
fn of_a_bulk_request_each_part_is_told_of_itself() {
    let body = r#"{"event_type": "port.create.end", "message_id": "m", "priority": "INFO", "publisher_id": "p",
        "timestamp": "2026-11-20 05:05:29.989704", "payload": {"ports": [
        {"id": "p1", "device_id": "i1", "device_owner": "compute:nova", "fixed_ips": [{"ip_address": "10.0.0.1"}]},
        {"id": "p2", "device_id": "r1", "device_owner": "network:router_gateway", "fixed_ips": [{"ip_address": "10.0.0.2"}]},
        {"id": "p3", "device_id": "i3", "device_owner": "compute:nova", "fixed_ips": [{"ip_address": "10.0.0.3"}]}]}}"#;
    let lists = Lists { creation: vec!["port.create.end".to_owned()], deletion: Vec::new() };
    let happened = super::told(&mut Memory::default(), body, &lists);
    let check = |resource: u32, expected: Option<&str>| match EventReport::from(
        happened.clone(),
        "port.create.end",
        Some(resource),
        &lists,
    ) {
        EventReport::Calls(calls) => {
            let ips: Vec<_> = calls.iter().map(|call| call.happened.ip.as_deref()).collect();
            assert_eq!(ips, [expected], "{resource}");
        }
        EventReport::Nothing(why) => {
            assert_eq!(expected, None, "{why}");
            assert_eq!(why, "the port belongs to network:router_gateway, not to an instance");
        }
    };
    check(0, Some("10.0.0.1"));
    check(1, None);
    check(2, Some("10.0.0.3"));
}
