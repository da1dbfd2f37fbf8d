use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{PROMPTLY, Place};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let mut osnl = Place::new().run(Path::new(OSNL), args);
    (osnl.wait(PROMPTLY).code(), osnl.stdout(), osnl.stderr())
}

#[test]
fn services_events_and_one_event_are_shown() {
    let check = |args: &[&str], expected: &[&str]| {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        for word in expected {
            assert!(stdout.contains(word), "{args:?} lacks {word}\n{stdout}");
        }
    };
    check(&["events"], &["nova       34.0.0    nova", "cinder     29.0.0    openstack"]);
    check(&["events", "ironic"], &["baremetal.node.power_set.start", "NodeSetPowerStatePayload 1."]);
    check(&["events", "nova", "instance.delete"], &["instance.delete.start", "instance.delete.end"]);
    let one = [
        "exchange   neutron",
        "network.<host>",
        "port.fixed_ips.*.ip_address",
        "since neutron 9.0.0",
        "sample\n{",
    ];
    check(&["events", "port.delete.end"], &one);
    check(&["events", "neutron", "port.delete.end"], &one);
    check(
        &["events", "nova", "instance.create.end"],
        &["InstanceCreatePayload 1.13", "inside nova_object.data", "flavor.memory_mb", "number"],
    );
    // The version belongs to the payload's class or to a nested class; a field of the first version
    // has none.
    let (_, stdout, _) = run(&["events", "nova", "instance.create.end"]);
    let line = |field: &str| {
        let found = stdout.lines().find(|line| line.trim_start().starts_with(&format!("{field} ")));
        found.unwrap_or_else(|| panic!("{field}\n{stdout}")).trim_end().to_owned()
    };
    assert!(line("keypairs").ends_with(", since InstanceCreatePayload 1.3"), "{}", line("keypairs"));
    assert!(line("flavor.description").ends_with("text or null, since FlavorPayload 1.4"));
    assert!(line("uuid").ends_with(" UUID") && line("flavor.vcpus").ends_with("number or null"));
    check(&["events", "aggregate.create.end"], &["AggregatePayload 1.1", "payload    plain"]);
    check(&["events", "image.upload"], &["payload    text", "payload    plain"]);
    check(&["events", "baremetal.node.power_set.error"], &["no message of it was recorded"]);
    let (_, stdout, _) = run(&["events", "dns.zone_transfer_request.create"]);
    assert!(stdout.contains("\"key\": \"***\""), "{stdout}");
}

#[test]
fn json_is_for_scripts() {
    let listed = |args: &[&str]| -> Value { serde_json::from_str(&run(args).1).unwrap() };
    let services = listed(&["events", "--format", "json"]);
    assert_eq!(services["services"].as_array().unwrap().len(), 12);
    let events = listed(&["events", "neutron", "--format", "json"]);
    assert!(events["events"].as_array().unwrap().iter().all(|event| event["exchange"] == "neutron"));
    let one = &listed(&["events", "instance.create.end", "--format", "json"])["events"][0];
    assert_eq!(one["version"], "1.13");
    assert_eq!(one["sample"]["payload"]["nova_object.name"], "InstanceCreatePayload");
    let fields = one["fields"].as_array().unwrap();
    let uuid = fields.iter().find(|field| field["path"] == json!(["nova_object.data", "uuid"])).unwrap();
    assert_eq!(uuid["type"], "UUID");
    assert_eq!((&uuid["since"], &uuid["later"]), (&json!("InstanceCreatePayload 1.2"), &json!(false)));
    let keypairs =
        fields.iter().find(|field| field["path"] == json!(["nova_object.data", "keypairs"])).unwrap();
    assert_eq!((&keypairs["since"], &keypairs["later"]), (&json!("InstanceCreatePayload 1.3"), &json!(true)));
}
