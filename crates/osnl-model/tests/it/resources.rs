#![expect(clippy::unwrap_used, reason = "a test's helper: what is not there fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use osnl_model::{Notification, Resource, bulk_len, bulk_part, resource_keys, resources};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/emission")
}

fn recorded() -> Vec<(String, Notification)> {
    let mut found = Vec::new();
    for part in ["captures", "captures2"] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder().join(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let name = format!("{part}/{}", file.file_stem().unwrap().to_str().unwrap());
            let text = std::fs::read_to_string(&file).unwrap();
            let read: Value = serde_json::from_str(&text).unwrap();
            for case in read["cases"].as_object().unwrap().values() {
                let messages = case.as_array().or_else(|| case["messages"].as_array()).unwrap();
                for message in messages {
                    let body = message["body_text"].as_str().unwrap();
                    found.push((name.clone(), Notification::decode(body.as_bytes()).unwrap()));
                }
            }
        }
    }
    assert!(found.len() > 900, "{} recorded messages", found.len());
    found
}

fn line(resource: &Resource<'_>) -> String {
    let mut line = format!("{} {}", resource.kind, resource.id.as_deref().unwrap_or("-"));
    if resource.key() != resource.id.as_deref().map(str::to_lowercase) {
        write!(line, " key={}", resource.key().as_deref().unwrap_or("-")).unwrap();
    }
    for (name, value) in [
        ("project", resource.project),
        ("user", resource.user),
        ("name", resource.name),
        ("host", resource.host),
        ("state", resource.state),
    ] {
        if let Some(value) = value {
            write!(line, " {name}={value:?}").unwrap();
        }
    }
    if let Some(addresses) = &resource.addresses {
        let list: Vec<String> = addresses.iter().map(|a| format!("{:?} {}", a.kind, a.address)).collect();
        write!(line, " addresses=[{}]", list.join(", ").to_lowercase()).unwrap();
    }
    for (name, time) in [
        ("created", resource.created_at),
        ("updated", resource.updated_at),
        ("launched", resource.launched_at),
        ("deleted", resource.deleted_at),
    ] {
        if let Some(time) = time {
            write!(line, " {name}={time}").unwrap();
        }
    }
    line
}

fn form(payload: &Value) -> &'static str {
    let keys = payload.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    let mut form = "";
    for key in keys {
        if key.ends_with("_object.name") {
            form = " versioned";
        } else if key == "typeURI" {
            form = " cadf";
        }
    }
    form
}

/// `fixtures/emission/resources.txt` has the view of the first message of each event type, form and
/// file, reviewed by hand. On a difference the test prints the whole file, to replace the fixture
/// if the change is intended.
#[test]
fn recorded_messages_are_about_what_they_were_read_to_be() {
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for (file, n) in recorded() {
        let event = n.event_type.clone().unwrap_or_default();
        if seen.insert((file.clone(), event.clone(), form(&n.payload))) {
            let found = resources(&n);
            writeln!(text, "{file} {event}{}", form(&n.payload)).unwrap();
            for resource in &found {
                writeln!(text, "    {}", line(resource)).unwrap();
            }
        }
    }
    let expected = std::fs::read_to_string(folder().join("resources.txt")).unwrap_or_default();
    if text != expected {
        let found = std::env::temp_dir().join(format!("osnl-resources-{}.txt", std::process::id()));
        std::fs::write(&found, &text).unwrap();
        panic!("differs from fixtures/emission/resources.txt; what was read is in {}", found.display());
    }
}

fn said(resource: &Resource<'_>) -> BTreeMap<String, Value> {
    let view = serde_json::to_value(resource).unwrap();
    let fields = view.as_object().unwrap().clone();
    fields.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn fixed(addresses: &Value) -> BTreeSet<String> {
    let fixed = addresses.as_array().unwrap().iter().filter(|address| address["kind"] == "fixed");
    fixed.map(|address| address["address"].as_str().unwrap().to_owned()).collect()
}

fn in_both_forms(all: &[(String, Notification)]) -> Vec<(String, Resource<'_>, Resource<'_>)> {
    type Views<'a> = (Vec<Resource<'a>>, Vec<Resource<'a>>);
    let mut views: BTreeMap<(String, String), Views<'_>> = BTreeMap::new();
    for (_, n) in all.iter().filter(|(file, _)| file == "captures2/nova") {
        let event = n.event_type.as_deref().unwrap();
        let versioned = form(&n.payload) == " versioned";
        let what = if versioned {
            event.strip_prefix("instance.").map(str::to_owned)
        } else {
            event.strip_prefix("compute.instance.").map(str::to_owned)
        };
        let (Some(what), [resource]) = (what, &resources(n)[..]) else { continue };
        let id = resource.id.clone().unwrap().into_owned();
        let (legacy, new) = views.entry((id, what)).or_default();
        if versioned { new } else { legacy }.push(resource.clone());
    }
    let pairs = views.into_iter().filter(|(_, (legacy, new))| legacy.len() == new.len());
    pairs
        .flat_map(|((_, what), (legacy, new))| {
            legacy.into_iter().zip(new).map(move |(legacy, new)| (what.clone(), legacy, new))
        })
        .collect()
}

#[test]
fn both_forms_of_an_instance_event_give_one_view() {
    let all = recorded();
    let pairs = in_both_forms(&all);
    assert!(pairs.len() > 60, "{} events in both forms", pairs.len());
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    let mut differing: BTreeSet<String> = BTreeSet::new();
    for (what, legacy, new) in pairs {
        let (legacy, new) = (said(&legacy), said(&new));
        for (name, value) in &legacy {
            let Some(other) = new.get(name) else { continue };
            *compared.entry(name.clone()).or_default() += 1;
            let second = |time: &Value| time.as_str().unwrap()[..19].to_owned();
            let same = match name.as_str() {
                "addresses" => fixed(value) == fixed(other),
                name if name.ends_with("_at") => second(value) == second(other),
                _ => value == other,
            };
            if !same {
                differing.insert(format!("{what} {name}: {value} {other}"));
            }
        }
    }
    assert_eq!(differing, BTreeSet::new());
    let all_fields = [
        "addresses",
        "created_at",
        "deleted_at",
        "host",
        "id",
        "kind",
        "launched_at",
        "name",
        "project",
        "state",
        "user",
    ];
    assert_eq!(compared.keys().map(String::as_str).collect::<Vec<_>>(), all_fields, "{compared:?}");
}

#[test]
fn what_has_no_id_yet_is_a_resource_alone_and_in_a_bulk_request() {
    let check = |payload: Value, expected: &[(&str, Option<&str>)]| {
        let n = Notification {
            event_type: Some("port.create.start".to_owned()),
            payload: payload.clone(),
            ..Notification::default()
        };
        let found = resources(&n);
        let found: Vec<(&str, Option<&str>)> = found.iter().map(|found| (&*found.kind, found.name)).collect();
        assert_eq!(found, expected, "{payload}");
    };
    let port = json!({"name": "web", "fixed_ips": []});
    check(json!({"port": port}), &[("port", Some("web"))]);
    check(json!({"ports": [port, {}]}), &[("port", Some("web")), ("port", None)]);
    let tagged = Notification {
        event_type: Some("tag.create.end".to_owned()),
        payload: json!({"obj_resource": "ports", "obj_resource_id": "p", "tags": ["a", "b"]}),
        ..Notification::default()
    };
    assert_eq!((bulk_len(&tagged), bulk_part(&tagged, 0), resources(&tagged).len()), (None, None, 1));
    check(json!({"port": "web"}), &[]);
    check(json!({"name": "web"}), &[]);
}

#[test]
fn keys_are_where_each_service_has_them() {
    let check = |event_type: &str, payload: Value, expected: &[&str]| {
        let n = Notification {
            event_type: Some(event_type.to_owned()).filter(|text| !text.is_empty()),
            payload: payload.clone(),
            ..Notification::default()
        };
        assert_eq!(resource_keys(&n), expected, "{event_type} {payload}");
    };
    check("", json!({"port": {"id": "p", "device_id": "D-1"}, "port_id": "p"}), &["d-1"]);
    check("", json!({"port": {"id": "P", "device_id": ""}, "port_id": "q"}), &["p"]);
    check("x.y", json!({"port": {"id": "p", "device_id": null}}), &["p"]);
    check("port.delete.end", json!({"device_id": "flat", "port_id": "p"}), &["flat"]);
    check("port.delete.start", json!({"port_id": "P"}), &["p"]);
    check("", json!({"port_id": "P"}), &["p"]);
    check(
        "instance.delete.end",
        json!({"nova_object.name": "InstanceActionPayload", "nova_object.data": {"uuid": "U"}}),
        &["u"],
    );
    check("", json!({"nova_object.data": {"uuid": "U"}}), &["u"]);
    check("compute.instance.delete.end", json!({"instance_id": "I"}), &["i"]);
    check("", json!({"instance_id": "I"}), &["i"]);
    check("compute.instance.update", json!({"instance_id": ""}), &[]);
    check(
        "port.create.end",
        json!({"ports": [{"id": "a", "device_id": "d"}, {"id": "b"}, {"id": "c", "device_id": "D"}]}),
        &["d", "b"],
    );
    check(
        "security_group_rule.create.end",
        json!({"security_group_rules": [{"id": "1"}, {"id": "2"}]}),
        &["1", "2"],
    );
    check("policy.create.end", json!({"policies": [{"id": "1"}]}), &["1"]);
    check("port.create.start", json!({"port": {"name": "no id yet"}}), &[]);
    check("port.update.start", json!({"port": {"name": "n"}, "id": "P"}), &["p"]);
    check(
        "floatingip.update.end",
        json!({"floatingip": {"id": "f", "port_details": {"device_id": "d"}}}),
        &["d"],
    );
    check("floatingip.update.end", json!({"floatingip": {"id": "f", "port_details": null}}), &["f"]);
    check("tag.create.end", json!({"obj_resource": "ports", "obj_resource_id": "p", "tags": []}), &["p"]);
    check("router.interface.create", json!({"router_interface": {"id": "r", "port_id": "p"}}), &["r"]);
    let ironic = |class: &str, data: Value| json!({"ironic_object.name": class, "ironic_object.data": data});
    check(
        "baremetal.port.create.end",
        ironic("PortCRUDPayload", json!({"uuid": "p", "node_uuid": "n"})),
        &["n"],
    );
    check(
        "baremetal.port.create.end",
        ironic("PortCRUDPayload", json!({"uuid": "p", "node_uuid": null})),
        &["p"],
    );
    check("x.thing.create", json!({"x_object.name": "ThingPayload", "x_object.data": {"id": 7}}), &["7"]);
    check("image.upload", json!("a sentence"), &[]);
    check("identity.user.deleted", json!({"resource_info": "u"}), &["u"]);
    check("a.b", json!({"port": [], "nova_object.data": "x"}), &[]);
    check("port.delete.end", json!("port_id"), &[]);
    check("port.delete.end", json!(null), &[]);
    check("", json!({"instance_id": 7}), &[]);
}

#[test]
fn the_event_type_gives_the_kind_and_the_key_of_the_id() {
    let check = |event_type: &str, payload: Value, kind: &str, id: &str| {
        let n = Notification { event_type: Some(event_type.to_owned()), payload, ..Notification::default() };
        let found = resources(&n);
        let found: Vec<_> = found.iter().map(|found| (&*found.kind, found.id.as_deref())).collect();
        assert_eq!(found, [(kind, Some(id))], "{n:?}");
    };
    for method in ["extend_volume", "manage_existing", "migrate_volume_to_host", "retype"] {
        let payload = json!({"method": method, "volume_id": "v", "state": {"status": "error"}});
        check(&format!("scheduler.{method}"), payload, "volume", "v");
    }
    for method in ["extend_share", "manage_share", "migrate_share_to_host"] {
        let payload = json!({"method": method, "share_id": "s", "state": {"status": "available"}});
        check(&format!("scheduler.{method}"), payload, "share", "s");
    }
    let snapshot = json!({"request_spec": {"volume_id": "v"}, "snapshot_id": "s", "state": "error"});
    check("scheduler.create_snapshot", snapshot, "snapshot", "s");
    check("l3_agent.router.add", json!({"agent": {"id": "a", "router_id": "r"}}), "agent", "a");
    check("dhcp_agent.network.remove", json!({"agent": {"id": "a", "network_id": "n"}}), "agent", "a");
    let group = json!({"stack_identity": "st", "stack_name": "web", "groupname": "g"});
    check("orchestration.autoscaling.start", group, "stack", "st");
    let access = json!({"volume_type_id": "t", "project_id": "p"});
    check("volume_type_project.access.add", access, "volume_type", "t");
    check("group_type_specs.create", json!({"type_id": "t", "specs": {"k": "v"}}), "group_type", "t");
    check("group_type_specs.delete", json!({"type_id": "t", "id": "k"}), "group_type", "t");
    check("tag.create.end", json!({"obj_resource": "policies", "obj_resource_id": "q"}), "policy", "q");
    check("tag.create.end", json!({"obj_resource": "routers", "obj_resource_id": "r"}), "router", "r");
}

#[test]
fn an_event_of_the_audit_middleware_is_ordered_by_its_request_and_not_by_the_endpoint() {
    let check = |event_type: &str, expected: (Option<&str>, Option<&str>)| {
        let target = json!({"id": "endpoint", "typeURI": "service/network/ports/port"});
        let payload = json!({"typeURI": "event", "id": "request", "target": target});
        let event_type = Some(event_type.to_owned());
        let n = Notification { event_type, payload, ..Notification::default() };
        let found = resources(&n);
        assert_eq!((found[0].id.as_deref(), found[0].key().as_deref()), expected, "{n:?}");
        assert_eq!(found[0].kind, "port");
    };
    check("audit.http.request", (None, Some("request")));
    check("audit.http.response", (None, Some("request")));
    check("magnum.port.create", (Some("endpoint"), Some("endpoint")));
}

#[test]
fn an_object_of_an_unknown_class_has_the_kind_that_the_event_type_names() {
    let check = |event_type: &str, class: &str, expected: &str| {
        let payload = json!({"watcher_object.name": class, "watcher_object.data": {"uuid": "u"}});
        let event_type = Some(event_type.to_owned());
        let n = Notification { event_type, payload, ..Notification::default() };
        assert_eq!(resources(&n)[0].kind, expected, "{n:?}");
    };
    check("action_plan.create", "ActionPlanCreatePayload", "action_plan");
    check("action_plan.delete", "ActionPlanDeletePayload", "action_plan");
    check("action_plan.execution.start", "ActionPlanActionPayload", "action_plan");
    check("action_plan.cancel.error", "ActionPlanCancelPayload", "action_plan");
    check("audit.planner.end", "AuditActionPayload", "audit");
    check("action.execution.start", "ExecutionPayload", "action");
    check("watcher.audit.create", "AuditCreatePayload", "audit");
    check("watcher.goal.update", "ThingPayload", "goal");
    check("baremetal.rack.create.success", "RackCRUDPayload", "rack");
    check("lease.event.end_lease", "LeasePayload", "lease");
    check("", "VolumeTargetPayload", "volume_target");
    check("create", "GoalPayload", "goal");
}
