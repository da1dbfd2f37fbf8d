use osnl_model::catalogue::{self, CatalogueEvent, LackingPath};

#[track_caller]
fn check(event_type: &str, path: &str, inside: &str, near: Option<&str>) {
    let events: Vec<&CatalogueEvent> =
        catalogue::events().iter().filter(|event| event.event_type.starts_with(event_type)).collect();
    let Some(lacking) = catalogue::lacking(&events, path) else { panic!("{event_type} has {path}") };
    assert_eq!((lacking.inside.as_str(), lacking.near.as_deref()), (inside, near), "{event_type} {path}");
    let any_has = |path: &str| events.iter().any(|event| event.has_field(path));
    assert!(near.is_none_or(any_has), "{near:?}");
    let prefix = if inside.is_empty() { String::new() } else { format!("{inside}.") };
    assert!(lacking.keys.iter().all(|key| any_has(&format!("{prefix}{key}"))), "{lacking:?}");
}

#[test]
fn a_path_that_is_not_there_says_where_it_ends_and_what_was_meant() {
    check("port.delete.end", "port.device_ovner", "port", Some("port.device_owner"));
    check("port.delete.end", "prot.device_owner", "", Some("port.device_owner"));
    check("instance.delete", "nova_object.data.hots", "nova_object.data", Some("nova_object.data.host"));
    check("instance.delete", "host", "", Some("nova_object.data.host"));
    check("port.", "device_owner", "", Some("port.device_owner"));
    check(
        "instance.",
        "nova_object.data.flavor.vcpus",
        "nova_object.data.flavor",
        Some("nova_object.data.flavor.nova_object.data.vcpus"),
    );
    check(
        "port.delete.end",
        "port.fixed_ips.ip_address",
        "port.fixed_ips",
        Some("port.fixed_ips.0.ip_address"),
    );
    check("instance.delete", "instance.uuid", "", Some("nova_object.data.uuid"));
    check("baremetal.node.power_set", "node.power_state", "", Some("ironic_object.data.power_state"));
    check("port.delete.start", "colour", "", None);
    check("compute.instance.delete", "colour.of.it", "", None);
}

#[test]
fn what_may_be_there_is_not_lacking() {
    let lacking = |event_type: &str, path: &str| -> Option<LackingPath> {
        catalogue::lacking(&catalogue::find(event_type), path)
    };
    assert_eq!(lacking("port.delete.end", "port.device_owner"), None);
    assert_eq!(lacking("port.delete.end", "port.fixed_ips.0.ip_address"), None);
    assert_eq!(lacking("instance.delete.end", "nova_object.data.metadata.role"), None);
    assert_eq!(lacking("aggregate.create.end", "aggregate_id"), None);
    // Where an extension is loaded.
    assert_eq!(lacking("port.delete.end", "port.trunk_details.trunk_id"), None);
    assert_eq!(lacking("port.create.end", "ports.0.dns_domain"), None);
    assert_ne!(lacking("router.create.end", "router.trunk_details"), None);
    assert_ne!(lacking("network.create.end", "port.trunk_details"), None);
    assert_eq!(lacking("made.up", "anything"), None);
    assert_eq!(lacking("port.delete.start", "port.id").unwrap().keys, ["port_id"]);
    let list = lacking("port.delete.end", "port.fixed_ips.first").unwrap();
    assert_eq!((list.inside.as_str(), &list.keys[..]), ("port.fixed_ips", &["*"][..]));
}
