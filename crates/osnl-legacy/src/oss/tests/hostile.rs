//! Messages that a publisher sends to fill the memory, or to stop the daemon. The bounds count bytes, or are seconds
//! where the work was minutes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use osnl_action::Event;
use osnl_core::observe::Observe as _;
use osnl_core::received::{MessageNotes, ReceivedMessage};
use osnl_testkit::hostile;
use serde_json::{Value, json};

use super::super::*;
use super::told;

const PATIENCE: Duration = Duration::from_secs(30);

fn watcher() -> Watcher {
    let mut watched = WatchedActions::default();
    watched.add("a".into(), Lists::default());
    Watcher::new(watched, Vec::new())
}

fn noted(watcher: &Watcher, event_type: &str, payload: &Value) -> (MessageNotes, Vec<String>) {
    let received =
        ReceivedMessage::sample(json!({"event_type": event_type, "payload": payload}).to_string(), false);
    let (noted, keys) = watcher.note(&received, &received.decode().unwrap());
    (noted, keys.into_iter().map(|(_, key)| key).collect())
}

fn instance(id: &str, metadata: Value) -> Value {
    json!({"instance_id": id, "hostname": "web-1", "memory_mb": 1, "metadata": metadata,
        "fixed_ips": [{"address": "10.0.0.7"}]})
}

fn floating_ips(parts: usize, of: impl Fn(usize) -> Value) -> Value {
    json!({"floatingips": (0..parts).map(of).collect::<Vec<_>>()})
}

fn bytes(notes: &MessageNotes) -> usize {
    let row = |change: &RowChange| change.name.len() + change.row.as_ref().map_or(0, String::len);
    notes.happened.as_ref().map_or(0, |text| text.len()) + notes.changes.iter().map(row).sum::<usize>()
}

#[test]
fn no_part_of_a_bulk_request_repeats_the_long_value_of_another() {
    let long = "x".repeat(400_000);
    let of = |n: usize| {
        let device = if n == 0 { long.as_str() } else { "d" };
        json!({"id": n.to_string(), "floating_ip_address": "203.0.113.5", "port_id": format!("p{n}"),
            "port_details": {"device_id": device}})
    };
    // Without details, the port of the first part gives the instance.
    let of_one_port = |n: usize| match n {
        0 => json!({"id": "0", "floating_ip_address": "203.0.113.5", "port_id": "p",
            "port_details": {"device_id": long}}),
        n => json!({"id": n.to_string(), "floating_ip_address": n.to_string(), "port_id": "p"}),
    };
    let of_a_long_port =
        |n: usize| json!({"id": n.to_string(), "port_id": long, "floating_ip_address": long});
    for payload in [floating_ips(1000, of), floating_ips(1000, of_one_port), floating_ips(4, of_a_long_port)]
    {
        let parts = payload["floatingips"].as_array().unwrap().len();
        let (notes, keys) = noted(&watcher(), "floatingip.create.end", &payload);
        let longest = keys.iter().map(String::len).max().unwrap_or_default();
        assert!(longest <= 255, "a key of {longest} bytes");
        assert!(bytes(&notes) < parts * 2000, "{} bytes of notes for {parts} parts", bytes(&notes));
    }
}

#[test]
fn a_bulk_request_about_a_large_instance_repeats_its_metadata_within_a_bound() {
    let watcher = watcher();
    let metadata: serde_json::Map<String, Value> =
        (0..200).map(|n| (format!("key-{n}"), "v".repeat(1000).into())).collect();
    noted(&watcher, "compute.instance.create.end", &instance("vm", metadata.into()));
    let payload = floating_ips(1000, |n| {
        json!({"id": n.to_string(), "floating_ip_address": n.to_string(), "port_id": n.to_string(),
            "port_details": {"device_id": "vm"}})
    });
    let (notes, _) = noted(&watcher, "floatingip.create.end", &payload);
    assert!(bytes(&notes) < 24 << 20, "{} bytes of notes", bytes(&notes));
    let happened: Vec<Occurrence> = serde_json::from_str(&notes.happened.unwrap()).unwrap();
    assert_eq!(happened.len(), 1000);
    assert_eq!(happened[0].instance.metadata.as_ref().unwrap().0.len(), 200);
    assert_eq!(happened[999].instance, KnownInstance { id: Some("vm".into()), ..KnownInstance::default() });
}

/// A deletion without an id once released the address of another instance without an id.
#[test]
fn instances_without_an_id_lend_each_other_nothing() {
    let mut memory = Memory::default();
    let mut report = |event_type: &str, payload: Value| {
        let body = json!({"event_type": event_type, "payload": payload}).to_string();
        let n = osnl_model::Notification::decode(body.as_bytes()).unwrap();
        let EventMeaning { mut happened, changes } = memory.interpret(&n, None, &Lists::default());
        assert_eq!(changes, [], "nothing is remembered");
        happened.pop().unwrap()
    };
    for id in [Value::Null, json!(7), json!({"a": 1}), json!("")] {
        let mut created = instance("", json!({"Owner": "alice"}));
        created["instance_id"] = id.clone();
        let happened = report("compute.instance.create.end", created);
        assert_eq!((happened.ip.as_deref(), &happened.instance.id), (Some("10.0.0.7"), &None), "{id}");
        let happened = report("compute.instance.delete.end", json!({"instance_id": id, "hostname": "other"}));
        let known = KnownInstance { hostname: Some("other".into()), ..KnownInstance::default() };
        assert_eq!((happened.ip, happened.instance), (None, known), "{id}");
    }
}

#[test]
fn metadata_is_kept_up_to_its_bounds() {
    let kept = |metadata: Value| {
        let body = json!({"event_type": "compute.instance.create.end", "payload": instance("vm", metadata)});
        let happened = told(&mut Memory::default(), &body.to_string(), &Lists::default());
        happened[0].instance.metadata.clone().unwrap().0.len()
    };
    let of = |keys: usize, value: &str| -> Value {
        (0..keys).map(|n| (n.to_string(), value.into())).collect::<serde_json::Map<_, _>>().into()
    };
    // Nova's quota, with the longest keys and values in ASCII.
    assert_eq!(kept(of(128, &"v".repeat(510))), 128);
    assert_eq!(kept(of(2000, "v")), 1024);
    let kept = kept(of(400, &"v".repeat(1024)));
    assert!((200..256).contains(&kept), "{kept} KiB");
}

#[test]
fn the_memory_is_bounded_in_bytes_and_so_are_the_rows_that_it_leaves() {
    const MOST: usize = 2 << 20;
    let mut memory = Memory::with_limits(1000, MOST);
    let mut kept = std::collections::BTreeMap::new();
    for n in 0..40 {
        let metadata = json!({"a": "v".repeat(200_000)});
        let body = json!({"event_type": "compute.instance.create.end", "message_id": n.to_string(),
            "payload": instance(&n.to_string(), metadata)});
        let n = osnl_model::Notification::decode(body.to_string().as_bytes()).unwrap();
        for RowChange { name, row } in memory.interpret(&n, None, &Lists::default()).changes {
            match row {
                Some(row) => drop(kept.insert(name, row)),
                None => drop(kept.remove(&name)),
            }
        }
    }
    let text: usize = kept.values().map(String::len).sum();
    assert!((MOST / 2..MOST).contains(&text), "{text} bytes of rows");
    assert!(kept.contains_key("instance/39") && !kept.contains_key("instance/0"), "{:?}", kept.keys());
    // A smaller memory says which rows it has no room for.
    let mut smaller = Memory::with_limits(1000, MOST / 4);
    let rows = kept.len();
    assert_eq!(smaller.restore(kept), 0);
    let n = osnl_model::Notification::decode(br#"{"event_type": "x", "payload": {}}"#).unwrap();
    let gone = smaller.interpret(&n, None, &Lists::default()).changes;
    assert!(gone.iter().all(|change| change.row.is_none()), "{gone:?}");
    assert!(gone.len() > rows / 2 && gone.len() < rows, "{} of {rows}", gone.len());
}

#[test]
fn many_keys_of_metadata_are_read_and_reported_in_linear_time() {
    let mut text = String::from("{");
    (0..100_000).for_each(|n| write!(text, "\"{n:08x}\":0,").unwrap());
    text.push_str("\"\":0,\"00000001\":1}");
    let begun = Instant::now();
    let metadata: OrderedMap = serde_json::from_str(&text).unwrap();
    assert_eq!((metadata.0.len(), metadata.get("00000001")), (100_001, Some(&json!(1))));
    let form = NodeForm { keys: DetailKeys::Flattened, ..NodeForm::default() };
    let instance = KnownInstance { metadata: Some(metadata), ..KnownInstance::default() };
    let happened = Occurrence { what: What::Instance, ip: None, port: None, instance, part: None, not: None };
    let text = BodyForm::Json.text(&form.node_detail(&happened)).unwrap();
    assert!(text.contains(r#""00000001": 1, "#) && text.len() > 1_000_000);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

/// serde_json takes this key for a text of JSON, and begins to count levels anew in the text: texts within texts exceed
/// any stack.
#[test]
fn no_text_of_the_metadata_is_read_as_json_again() {
    let odd = json!({"$serde_json::private::RawValue": "[1]"});
    let payload = instance("vm", json!({"Owner": odd})).to_string();
    let metadata = OrderedMap::at(&payload, &["metadata"]).unwrap();
    assert_eq!(metadata.get("Owner"), Some(&odd));
    let again: OrderedMap = serde_json::from_str(&serde_json::to_string(&metadata).unwrap()).unwrap();
    assert_eq!(again, metadata, "as the journal keeps it");
}

#[test]
fn many_addresses_in_the_answer_of_a_cloud_are_bounded() {
    let begun = Instant::now();
    let of = |kind: &str| -> Vec<Value> {
        let address = |n: usize| json!({"addr": n.to_string(), "OS-EXT-IPS:type": kind});
        (0..50_000).map(address).collect()
    };
    let nics = |networks: Value| asked::nics(&json!({"addresses": networks})).len();
    assert_eq!(nics(json!({"a": of("fixed"), "b": of("floating")})), 1024);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn many_addresses_and_floating_ips_of_a_port_are_bounded() {
    let watcher = watcher();
    let begun = Instant::now();
    let ips: Vec<Value> = (0..100_000).map(|n| json!({"ip_address": n.to_string()})).collect();
    let port =
        json!({"port": {"id": "p", "device_id": "vm", "device_owner": "compute:nova", "fixed_ips": ips}});
    let (notes, _) = noted(&watcher, "port.create.end", &port);
    assert!(bytes(&notes) < 20_000, "{} bytes of notes", bytes(&notes));
    let ports: Vec<Value> = (0..3000)
        .map(|n| {
            json!({"id": n.to_string(), "device_id": "vm", "device_owner": "compute:nova",
            "fixed_ips": [{"ip_address": format!("a{n}")}]})
        })
        .collect();
    let (notes, _) = noted(&watcher, "port.create.end", &json!({"ports": ports}));
    let row = notes.changes.iter().find(|change| change.name == "instance/vm").unwrap().row.clone().unwrap();
    assert!(row.len() < 100_000, "{} bytes of an instance", row.len());
    let payload = floating_ips(
        3000,
        |n| json!({"id": n.to_string(), "floating_ip_address": n.to_string(), "port_id": "p"}),
    );
    noted(&watcher, "floatingip.create.end", &payload);
    let (notes, _) = noted(&watcher, "port.update.end", &json!({"port": {"id": "p", "device_id": "vm"}}));
    assert!(bytes(&notes) < 110_000, "{} bytes of notes", bytes(&notes));
    let addresses: Vec<Value> =
        (0..2000).map(|n| json!({"address": n.to_string(), "floating_ips": [{"address": "f"}]})).collect();
    let (notes, _) = noted(
        &watcher,
        "compute.instance.create.end",
        &json!({"instance_id": "many", "fixed_ips": addresses}),
    );
    assert!(bytes(&notes) < 100_000, "{} bytes of notes", bytes(&notes));
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn a_delivery_of_a_bulk_request_reads_its_own_notes() {
    const PARTS: u32 = 3000;
    let payload = floating_ips(PARTS as usize, |n| {
        json!({"id": n.to_string(), "floating_ip_address": n.to_string(), "port_id": n.to_string(),
            "port_details": {"device_id": format!("vm-{n}")}})
    });
    let body = json!({"event_type": "floatingip.create.end", "payload": payload}).to_string();
    let mut received = ReceivedMessage::sample(body, false);
    let notification = Arc::new(received.decode().unwrap());
    let without = Arc::new(received.clone());
    received.noted = watcher().note(&received, &notification).0;
    let received = Arc::new(received);
    let begun = Instant::now();
    for received in [received, without] {
        for part in 0..PARTS {
            let mut event = Event::new(received.clone(), notification.clone(), "r", "a");
            event.resource = Some(part);
            let EventReport::Calls(calls) = EventReport::from_event(&event, &Lists::default()) else {
                panic!("{part}")
            };
            let ips: Vec<_> = calls.iter().map(|call| call.happened.ip.clone().unwrap()).collect();
            assert_eq!((ips, calls[0].happened.part), (vec![part.to_string()], Some(part)));
        }
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

/// Each hostile body, as an event of each kind, leaves notes in proportion to its size.
#[test]
fn hostile_bodies_leave_bounded_notes() {
    for event_type in ["compute.instance.create.end", "port.create.end", "floatingip.create.end"] {
        for (name, tree) in hostile::trees(20_000) {
            let wrappers = [
                format!(r#"{{"instance_id": "i", "metadata": {tree}, "fixed_ips": {tree}}}"#),
                format!(r#"{{"floatingips": {tree}, "ports": {tree}}}"#),
            ];
            for payload in wrappers {
                let body = format!(r#"{{"event_type": "{event_type}", "payload": {payload}}}"#);
                let watcher = watcher();
                let received = ReceivedMessage::sample(body.clone(), false);
                let Ok(notification) = received.decode() else { continue };
                let (notes, _) = watcher.note(&received, &notification);
                assert!(bytes(&notes) < 20 * body.len(), "{name}: {} bytes of notes", bytes(&notes));
            }
        }
    }
}
