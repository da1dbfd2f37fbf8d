use serde_json::{Value, json};

use super::super::*;
use super::{bodies, told};

const VM: &str = "33333333-aaaa-4bbb-8ccc-000000000001";
const NEUTRON: &str = "captures/neutron.json";
const NOVA: &str = "captures/nova.json";

fn end(file: &str, case: &str) -> String {
    bodies(file, case).pop().unwrap()
}

fn with(body: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut message: Value = serde_json::from_str(body).unwrap();
    if let Some(inner) = message["oslo.message"].as_str() {
        message = serde_json::from_str(inner).unwrap();
    }
    message["_unique_id"] = json!(fastrand::u64(..).to_string());
    change(&mut message);
    message.to_string()
}

fn lines(memory: &mut Memory, body: &str) -> Vec<String> {
    let lists = Lists::default();
    let message: Value = serde_json::from_str(body).unwrap();
    let inner = message["oslo.message"].as_str().map(|text| serde_json::from_str::<Value>(text).unwrap());
    let event_type = inner.as_ref().unwrap_or(&message)["event_type"].as_str().unwrap().to_owned();
    let line = |one: Occurrence| {
        let sign = if lists.created(&event_type, one.what).unwrap() { "+" } else { "-" };
        let text = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
        let line = format!("{sign} {} {}", text(one.ip), text(one.instance.hostname.or(one.instance.id)));
        if one.not.is_some() { format!("({line})") } else { line }
    };
    told(memory, body, &lists).into_iter().map(line).collect()
}

fn check(steps: &[(String, &[&str])]) {
    let mut memory = Memory::default();
    let mut kept = Vec::<(String, String)>::new();
    for (n, (body, expected)) in steps.iter().enumerate() {
        let mut restarted = Memory::default();
        assert_eq!(restarted.restore(kept.clone()), 0);
        assert_eq!(lines(&mut restarted, body), *expected, "step {n} after a restart");
        let message = osnl_model::Notification::decode(body.as_bytes()).unwrap();
        let told = Memory::clone_of(&kept).interpret(&message, None, &Lists::default());
        for RowChange { name, row } in told.changes {
            kept.retain(|(known, _)| *known != name);
            kept.extend(row.map(|row| (name, row)));
        }
        assert_eq!(lines(&mut memory, body), *expected, "step {n}");
        assert_eq!(lines(&mut memory, body), *expected, "step {n} again");
    }
}

impl Memory {
    fn clone_of(kept: &[(String, String)]) -> Self {
        let mut memory = Self::default();
        memory.restore(kept.to_vec());
        memory
    }
}

#[test]
fn a_listed_name_covers_both_forms_of_nova() {
    let both = ["compute.instance.create.end", "instance.create.end"];
    for name in both {
        let lists = Lists { creation: vec![name.to_owned()], deletion: Vec::new() };
        for event_type in both {
            let created = lists.created(event_type, What::Instance);
            assert_eq!((lists.has(event_type), created), (true, Some(true)), "{name} {event_type}");
        }
        assert!(!lists.has("compute.instance.delete.end") && !lists.has("port.create.end"));
    }
}

#[test]
fn the_form_of_nova_that_has_the_address_is_told_whichever_is_first() {
    let legacy = end(NOVA, "legacy_compute_instance_create_end");
    let bare = with(&legacy, |m| drop(m["payload"].as_object_mut().unwrap().remove("fixed_ips")));
    let versioned = end(NOVA, "instance_create_end");
    let mut memory = Memory::default();
    let said = [bare, versioned, legacy].map(|body| lines(&mut memory, &body).concat());
    let [bare, told, again] = &said;
    assert!(bare.starts_with("(+ null ") && told.starts_with("+ 10."), "{said:?}");
    assert!(again.starts_with("(+ "), "{said:?}");
}

#[test]
fn a_port_s_deletion_by_its_id_alone_has_its_address() {
    let names = |name: &str| vec![name.to_owned()];
    let lists = Lists { creation: names("port.create.end"), deletion: names("port.delete.end") };
    let created = json!({"event_type": "port.create.end", "payload": {"port": {"id": "p", "device_id": VM,
        "device_owner": "compute:nova", "fixed_ips": [{"ip_address": "10.0.0.7"}]}}});
    let deleted = json!({"event_type": "port.delete.end", "payload": {"port_id": "p"}});
    let mut memory = Memory::default();
    for body in [created, deleted] {
        let happened = told(&mut memory, &body.to_string(), &lists);
        let [Occurrence { ip, instance, not: None, .. }] = &happened[..] else { panic!("{happened:?}") };
        assert_eq!((ip.as_deref(), instance.id.as_deref()), (Some("10.0.0.7"), Some(VM)), "{body}");
    }
}

#[test]
fn of_two_bodies_under_one_message_id_each_is_told_of_itself() {
    let lists = Lists { creation: vec!["port.create.end".to_owned()], deletion: Vec::new() };
    let mut memory = Memory::default();
    for (port, expected) in [("p1", "10.0.0.1"), ("p2", "10.0.0.2"), ("p1", "10.0.0.1")] {
        let created = json!({"event_type": "port.create.end", "message_id": "m", "payload": {"port": {"id": port,
            "device_id": VM, "device_owner": "compute:nova", "fixed_ips": [{"ip_address": expected}]}}});
        let happened = told(&mut memory, &created.to_string(), &lists);
        let [Occurrence { ip, not: None, .. }] = &happened[..] else { panic!("{happened:?}") };
        assert_eq!(ip.as_deref(), Some(expected), "{created}");
    }
}

#[test]
fn a_floating_ip_s_life_is_told_and_nothing_else() {
    let create = end(NOVA, "instance_create_end");
    let associate = end(NEUTRON, "floatingip_update_associate");
    let to = |port: &str, device: &str, revision: i64| {
        with(&associate, |m| {
            let ip = &mut m["payload"]["floatingip"];
            ip["port_id"] = json!(port);
            ip["port_details"]["device_id"] = json!(device);
            ip["revision_number"] = json!(revision);
        })
    };
    let start = bodies(NEUTRON, "floatingip_update_associate").remove(0);
    let older = to("22222222-aaaa-4bbb-8ccc-000000000009", "older", 0);
    let router = with(&associate, |m| {
        m["payload"]["floatingip"]["revision_number"] = json!(9);
        m["payload"]["floatingip"]["port_details"]["device_owner"] = json!("network:router_gateway");
    });
    check(&[
        (create, &["+ 10.0.0.7 web-1"]),
        (end(NEUTRON, "floatingip_create_unassociated"), &[]),
        (start, &[]),
        (associate.clone(), &["+ 172.24.4.174 web-1"]),
        (end(NEUTRON, "floatingip_update_description_only"), &[]),
        (older, &[]),
        (
            to("22222222-aaaa-4bbb-8ccc-000000000002", "other", 3),
            &["- 172.24.4.174 web-1", "+ 172.24.4.174 other"],
        ),
        (end(NEUTRON, "floatingip_update_disassociate"), &["- 172.24.4.174 other"]),
        (end(NEUTRON, "floatingip_update_description_while_free"), &[]),
        (router, &["(+ 172.24.4.174 null)"]),
    ]);
}

#[test]
fn the_deletion_of_a_port_or_of_the_floating_ip_releases_it() {
    let associate = end(NEUTRON, "floatingip_update_associate");
    check(&[
        (associate.clone(), &["+ 172.24.4.174 33333333-aaaa-4bbb-8ccc-000000000001"]),
        (
            end(NEUTRON, "port_delete_with_floatingip"),
            &["- 172.24.4.174 33333333-aaaa-4bbb-8ccc-000000000001"],
        ),
        (end(NEUTRON, "floatingip_update_disassociate"), &[]),
    ]);
    let delete = |port: Value| {
        with(&associate, |m| {
            m["event_type"] = json!("floatingip.delete.end");
            m["payload"]["floatingip"]["port_id"] = port;
        })
    };
    check(&[
        (associate.clone(), &["+ 172.24.4.174 33333333-aaaa-4bbb-8ccc-000000000001"]),
        (delete(Value::Null), &["- 172.24.4.174 33333333-aaaa-4bbb-8ccc-000000000001"]),
        (delete(Value::Null), &[]),
        (end(NEUTRON, "floatingip_update_disassociate"), &[]),
    ]);
    check(&[(delete(json!("p")), &["- 172.24.4.174 33333333-aaaa-4bbb-8ccc-000000000001"])]);
    let created = end("captures2/neutron.json", "floatingip_create_associated_by_member");
    check(&[(created, &["+ 203.0.113.62 5b8572f7-c9f4-4344-98b3-1f7a6ef4fcb6"])]);
}

#[test]
fn the_first_update_that_is_seen_may_be_a_description() {
    let start = bodies(NEUTRON, "floatingip_update_description_only").remove(0);
    check(&[
        (start, &[]),
        (end(NEUTRON, "floatingip_update_description_only"), &[]),
        (
            end(NEUTRON, "floatingip_update_disassociate"),
            &["- 172.24.4.174 33333333-aaaa-4bbb-8ccc-000000000001"],
        ),
    ]);
}

#[test]
fn the_address_of_a_deleted_instance_is_known_from_somewhere() {
    let legacy_create = end(NOVA, "legacy_compute_instance_create_end");
    let legacy_delete = end(NOVA, "legacy_compute_instance_delete_end");
    let (start, end_of) = (end(NOVA, "instance_delete_start"), end(NOVA, "instance_delete_end"));
    check(&[
        (legacy_create.clone(), &["+ 172.24.4.9 web-1"]),
        (legacy_delete.clone(), &["- 172.24.4.9 web-1"]),
    ]);
    check(&[(start, &[]), (end_of.clone(), &["- 10.0.0.7 web-1"])]);
    let port = end("captures2/neutron.json", "port_create_bound_by_admin_like_nova");
    let of_vm = |body: &str, event_type: &str| {
        with(body, |m| {
            m["event_type"] = json!(event_type);
            m["payload"]["port"]["device_id"] = json!(VM);
        })
    };
    check(&[
        (of_vm(&port, "port.create.end"), &[]),
        (of_vm(&port, "port.delete.end"), &[]),
        (legacy_delete.clone(), &["- 10.0.0.29 web-1"]),
    ]);
    check(&[(legacy_delete.clone(), &["- null web-1"])]);
    check(&[
        (legacy_create, &["+ 172.24.4.9 web-1"]),
        (end(NOVA, "instance_create_end"), &["(+ 10.0.0.7 web-1)"]),
        (end_of, &["- 172.24.4.9 web-1"]),
        (legacy_delete, &["(- 172.24.4.9 web-1)"]),
    ]);
}

#[test]
fn both_forms_give_one_node_detail() {
    let form = NodeForm::default();
    let detail = |case: &str, os: Option<&str>| {
        let mut one = told(&mut Memory::default(), &end(NOVA, case), &Lists::default()).remove(0);
        one.ip = None;
        assert_eq!(one.instance.os.as_deref(), os);
        one.instance.os = None;
        BodyForm::Json.text(&form.node_detail(&one)).unwrap()
    };
    let legacy = detail("legacy_compute_instance_create_end", Some("Ubuntu"));
    assert_eq!(detail("instance_create_end", None), legacy);
}

#[test]
fn what_was_not_touched_for_longest_is_forgotten() {
    let associate = end(NEUTRON, "floatingip_update_associate");
    let mut memory = Memory::with_limits(2, usize::MAX);
    assert_eq!(lines(&mut memory, &associate).len(), 1);
    let create = end(NOVA, "instance_create_end");
    let notification = osnl_model::Notification::decode(create.as_bytes()).unwrap();
    let told = memory.interpret(&notification, None, &Lists::default());
    let forgotten: Vec<&str> =
        told.changes.iter().filter(|change| change.row.is_none()).map(|change| &*change.name).collect();
    assert_eq!(forgotten, ["port/c5330e6d-3205-477b-8692-e791283a6bae"]);
}

#[test]
fn the_type_of_an_address_may_follow_from_it() {
    let form = NodeForm {
        constants: Constants { ip_type: IpType::FromAddress, ..Constants::default() },
        ..NodeForm::default()
    };
    let create =
        told(&mut Memory::default(), &end(NOVA, "legacy_compute_instance_create_end"), &Lists::default());
    for (address, expected) in [("10.0.0.7", "Private"), ("203.0.113.5", "Public")] {
        let happened = Occurrence { ip: Some(address.to_owned()), ..create[0].clone() };
        let text = BodyForm::Json.text(&form.node_detail(&happened)).unwrap();
        let node: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(node["IPType"], expected, "{address}");
    }
}

#[test]
fn lists_say_what_counts() {
    let lists = |creation: &[&str], deletion: &[&str]| {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Lists { creation: list(creation), deletion: list(deletion) }
    };
    let program = Lists::default();
    let own = lists(&["port.create.end", "compute.instance.finish_resize.end"], &["instance.delete.end"]);
    for (lists, event_type, what, expected) in [
        (&program, "compute.instance.create.end", What::Instance, Some(true)),
        (&program, "instance.create.end", What::Instance, Some(true)),
        (&program, "instance.delete.end", What::Instance, Some(false)),
        (&program, "compute.instance.delete.start", What::Instance, None),
        (&program, "port.delete.end", What::Released, Some(false)),
        (&program, "port.delete.end", What::Port, None),
        (&program, "floatingip.create.end", What::Allocated, Some(true)),
        (&own, "port.create.end", What::Port, Some(true)),
        (&own, "instance.resize_finish.end", What::Instance, Some(true)),
        (&own, "floatingip.update.end", What::Allocated, None),
        (&own, "instance.delete.end", What::Instance, Some(false)),
    ] {
        assert_eq!(lists.created(event_type, what), expected, "{event_type} {what:?}");
    }
}
