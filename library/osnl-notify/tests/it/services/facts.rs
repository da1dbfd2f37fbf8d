//! The facts about the services, each shown by recorded messages.

use osnl_model::{AddressKind, Notification, resources};
use osnl_notify::service::{self, Field, Service, cinder, glance, ironic, keystone, neutron, nova, others};
use serde_json::{Value, json};

use crate::services::recorded::{RecordedMessage, recorded_in};

fn event(n: &Notification) -> &str {
    n.event_type.as_deref().unwrap()
}

fn made(event_type: &str, payload: Value) -> Notification {
    Notification { event_type: Some(event_type.to_owned()), payload, ..Notification::default() }
}

fn legacy(n: &Notification) -> Option<Box<nova::LegacyInstance<'_>>> {
    match service::read(n) {
        Service::Nova(nova::Payload::Legacy(instance)) => Some(instance),
        _ => None,
    }
}

fn versioned(n: &Notification) -> Option<Box<nova::Instance<'_>>> {
    match service::read(n) {
        Service::Nova(nova::Payload::Versioned(instance)) => Some(instance),
        _ => None,
    }
}

#[test]
fn nova_says_addresses_only_in_some_events() {
    let (mut with, mut without, mut floating, mut said, mut silent) = (0, 0, 0, 0, 0);
    for RecordedMessage { n, .. } in recorded_in("nova") {
        if let Some(instance) = legacy(n) {
            match (instance.addresses(), &instance.fixed_ips) {
                (Some((fixed, mapped)), Field::Is(_)) => {
                    with += 1;
                    floating += mapped.len();
                    assert!(fixed.len() >= mapped.len());
                }
                (None, Field::Absent) => without += 1,
                (found, field) => panic!("{}: {found:?} {field:?}", event(n)),
            }
            if event(n) == "compute.instance.delete.end" {
                assert_eq!(instance.fixed_ips, Field::Absent);
            }
        } else if let Some(instance) = versioned(n) {
            let list = instance.ip_addresses.get().unwrap();
            match instance.addresses() {
                Some(addresses) => {
                    said += 1;
                    assert_eq!(addresses.len(), list.len());
                }
                None => {
                    silent += 1;
                    assert!(list.is_empty());
                }
            }
            if event(n) == "instance.delete.end" {
                assert!(instance.addresses().is_none(), "{}", event(n));
            }
            if event(n) == "instance.delete.start" && instance.host.text().is_some() {
                assert!(instance.addresses().is_some());
            }
            // The view of resources has no addresses here either, and floating ones never.
            let addresses = resources(n)[0].addresses.clone();
            assert_eq!(addresses.as_ref().map(Vec::len), instance.addresses().map(|list| list.len()));
            assert!(addresses.iter().flatten().all(|address| address.kind == AddressKind::Fixed));
        }
    }
    assert!(
        with > 20 && without > 60 && floating > 0 && said > 60 && silent > 10,
        "{with} {without} {floating} {said} {silent}"
    );
    let n = &made("compute.instance.rescue.end", json!({"instance_id": "i", "fixed_ips": []}));
    assert_eq!(legacy(n).unwrap().addresses(), Some((vec![], vec![])));
}

#[test]
fn nova_writes_dates_in_three_ways_and_empty_where_there_is_none() {
    let all = recorded_in("nova");
    let message = |name: &'static str| all.iter().map(|r| &r.n).filter(move |n| event(n) == name);
    for n in message("compute.instance.create.end") {
        let instance = legacy(n).unwrap();
        assert!(n.payload["created_at"].as_str().unwrap().ends_with("+00:00"));
        assert!(!n.payload["launched_at"].as_str().unwrap().ends_with("+00:00"));
        assert_eq!(n.payload["deleted_at"], "");
        assert!(instance.created_at.get().unwrap() <= instance.launched_at.get().unwrap());
        assert_eq!((instance.deleted_at, instance.terminated_at), (Field::Null, Field::Null));
        assert_eq!(instance.message.text(), Some("Success"));
        assert_eq!(
            instance.disk_gb.get(),
            Some(&(instance.root_gb.get().unwrap() + instance.ephemeral_gb.get().unwrap()))
        );
    }
    // A malformed date affects its own field only.
    let n = &made(
        "compute.instance.update",
        json!({"instance_id": "i", "created_at": "soon", "state": "active"}),
    );
    let instance = legacy(n).unwrap();
    assert!(matches!(instance.created_at, Field::Odd(_)));
    assert_eq!(instance.state.text(), Some("active"));
    for n in message("instance.create.end") {
        assert!(versioned(n).unwrap().created_at.get().is_some());
    }
}

#[test]
fn nova_errors_are_the_text_of_a_python_dictionary() {
    let all = recorded_in("nova");
    let mut seen = 0;
    for RecordedMessage { n, .. } in
        all.iter().filter(|r| event(&r.n).starts_with("compute.instance.") && event(&r.n).ends_with(".error"))
    {
        let instance = legacy(n).unwrap();
        assert!(matches!(instance.code.get(), Some(500 | 400)), "{}", event(n));
        assert!(instance.message.text().is_some() && instance.exception.get().unwrap().as_text().is_some());
        seen += 1;
        if event(n) == "compute.instance.create.error" {
            assert_eq!(instance.host, Field::Null);
        }
    }
    assert!(seen >= 4, "{seen}");
    let mut raised = 0;
    for RecordedMessage { n, .. } in &all {
        if let Service::Nova(nova::Payload::Raised(method)) = service::read(n) {
            let exception = method.exception.get().unwrap();
            let class = method.class().unwrap();
            assert!(class.len() > 5 && class.chars().all(char::is_alphanumeric), "{class}");
            assert!(exception.to_map().contains_key("kwargs") || class == "TypeError", "{exception:?}");
            assert!(method.args.get().is_some());
            assert!(!event(n).contains('.'), "{}", event(n));
            raised += 1;
        }
    }
    assert!(raised >= 8, "{raised}");
    let faults =
        all.iter().filter_map(|r| versioned(&r.n).filter(|i| i.fault.get().is_some()).map(|_| event(&r.n)));
    assert!(faults.into_iter().all(|name| name.ends_with(".error")));
    // `reboot.error` is followed by `reboot.end`.
    let names: Vec<&str> =
        all.iter().map(|r| event(&r.n)).filter(|name| name.starts_with("compute.instance.reboot.")).collect();
    let failed = names.iter().position(|name| name.ends_with(".error")).unwrap();
    assert_eq!(names[failed + 1], "compute.instance.reboot.end");
}

fn neutron_of(n: &Notification) -> neutron::Payload<'_> {
    match service::read(n) {
        Service::Neutron(payload) => payload,
        other => panic!("{}: {other:?}", event(n)),
    }
}

#[test]
fn neutron_has_one_wrapper_for_one_and_for_many() {
    let (mut bulk, mut gone) = (0, 0);
    for RecordedMessage { n, .. } in recorded_in("neutron") {
        let payload = neutron_of(n);
        bulk += usize::from(payload.bulk);
        match event(n) {
            "port.create.start" => {
                for object in &payload.objects {
                    let neutron::NeutronObject::Port(port) = object else { panic!("{object:?}") };
                    assert_eq!(port.id, Field::Absent);
                }
            }
            "port.update.start" => assert!(payload.id.is_some() && payload.one().is_some()),
            "port.delete.start" => assert!(payload.id.is_some() && payload.objects.is_empty()),
            "port.delete.end" => {
                let Some(neutron::NeutronObject::Port(port)) = payload.one() else { panic!("{payload:?}") };
                assert_eq!(port.id.text(), payload.id);
                assert_eq!(port.project_id, port.tenant_id);
                gone += 1;
            }
            "router.interface.create" | "router.interface.delete" => {
                assert!(matches!(payload.one(), Some(neutron::NeutronObject::RouterInterface(_))));
            }
            name if name.starts_with("tag.") => {
                let Some(neutron::NeutronObject::Tagged(tagged)) = payload.one() else {
                    panic!("{payload:?}")
                };
                assert_eq!(tagged.tags == Field::Absent, name.contains("delete_all"), "{name}");
            }
            _ => {}
        }
        assert!(payload.bulk || payload.objects.len() <= 1);
    }
    assert!(bulk >= 2 && gone >= 2, "{bulk} {gone}");
    // Releases before 9.0.0 send only an id.
    let n = &made("port.delete.end", json!({"port_id": "p"}));
    let payload = neutron_of(n);
    assert_eq!((payload.id, payload.objects.len()), (Some("p"), 0));
}

#[test]
fn a_port_says_whose_it_is_and_a_floating_ip_where_it_leads() {
    let n = &made(
        "port.create.end",
        json!({"port": {"id": "p", "device_id": "i", "device_owner": "compute:nova",
        "binding:host_id": ""}}),
    );
    let Some(neutron::NeutronObject::Port(port)) = neutron_of(n).objects.into_iter().next() else {
        panic!("no port")
    };
    assert_eq!((port.instance(), port.host()), (Some("i"), None));
    let n = &made(
        "port.create.end",
        json!({"port": {"device_id": "r", "device_owner": "network:router_interface"}}),
    );
    let Some(neutron::NeutronObject::Port(port)) = neutron_of(n).objects.into_iter().next() else {
        panic!("no port")
    };
    assert_eq!(port.instance(), None);

    let (mut mapped, mut free) = (0, 0);
    for RecordedMessage { n, .. } in recorded_in("neutron") {
        if !event(n).starts_with("floatingip.") || event(n).ends_with(".start") {
            continue;
        }
        let payload = neutron_of(n);
        let Some(neutron::NeutronObject::FloatingIp(ip)) = payload.one() else { panic!("{payload:?}") };
        match ip.is_associated() {
            Some(true) => {
                mapped += 1;
                assert!(ip.router_id.text().is_some() && ip.fixed_ip_address.get().is_some());
            }
            Some(false) => {
                free += 1;
                // The message does not name the former port.
                assert_eq!((ip.router_id, ip.port_details.state()), (Field::Null, service::FieldState::Null));
                assert_eq!(ip.instance(), None);
            }
            None => panic!("{ip:?}"),
        }
        assert_eq!(n.payload["floatingip"]["status"], "DOWN");
    }
    assert!(mapped >= 3 && free >= 3, "{mapped} {free}");
}

#[test]
fn ironic_says_states_step_by_step() {
    let mut steps = Vec::new();
    for RecordedMessage { n, .. } in recorded_in("ironic") {
        if event(n).starts_with("baremetal.x.") {
            continue;
        }
        match service::read(n) {
            Service::Ironic(ironic::Payload::Node(node)) => {
                assert!(node.uuid.text().is_some());
                match event(n) {
                    "baremetal.node.provision_set.end" => assert_eq!(node.event.text(), Some("done")),
                    "baremetal.node.provision_set.error" => assert_eq!(node.event.text(), Some("fail")),
                    "baremetal.node.provision_set.start" => {
                        steps.extend(node.event.text().map(str::to_owned))
                    }
                    "baremetal.node.power_state_corrected.success" => {
                        assert!(node.from_power.text().is_some());
                        assert_ne!(node.from_power, node.power_state);
                    }
                    _ => {}
                }
            }
            Service::Ironic(ironic::Payload::Part(_, part)) => assert_ne!(part.uuid, Field::Absent),
            Service::Ironic(ironic::Payload::Allocation(allocation)) if event(n).ends_with("create.end") => {
                assert_eq!(
                    (allocation.state.text(), allocation.node_uuid),
                    (Some("allocating"), Field::Null)
                );
            }
            _ => {}
        }
    }
    for verb in ["manage", "clean", "provide", "deploy"] {
        assert!(steps.iter().any(|step| step == verb), "{verb} in {steps:?}");
    }
}

#[test]
fn keystone_is_judged_message_by_message() {
    let (mut cadf, mut basic) = (0, 0);
    for RecordedMessage { file, n, .. } in
        recorded_in("keystone-cadf").into_iter().chain(recorded_in("keystone-basic"))
    {
        match service::read(n) {
            Service::Keystone(keystone::Payload::Cadf(read)) => {
                cadf += 1;
                assert!(read.subject().is_some(), "{}", event(n));
                let made_up = read.target.get().unwrap().id.text();
                if event(n) == "identity.authenticate" || event(n).contains("role_assignment") {
                    // Independent of the requested form.
                    assert_ne!(read.subject(), made_up);
                } else {
                    assert_eq!((read.subject(), file.as_str()), (read.resource_info.text(), "keystone-cadf"));
                }
                if event(n) == "identity.authenticate" {
                    assert_eq!(read.initiator.get().unwrap().project_id, Field::Absent);
                }
            }
            Service::Keystone(keystone::Payload::Basic(read)) => {
                basic += 1;
                assert_eq!(file, "keystone-basic");
                assert_eq!(
                    read.actor_id.text().is_some(),
                    event(n) == "identity.group.updated" && read.actor_operation.text().is_some()
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(cadf >= 9 && basic >= 25, "{cadf} {basic}");
    // If one deletion causes another, there is no initiator.
    let caused = recorded_in("keystone-cadf").into_iter().any(|r| match service::read(&r.n) {
        Service::Keystone(keystone::Payload::Cadf(read)) => {
            read.initiator == Field::Absent && read.actor().is_none()
        }
        _ => false,
    });
    assert!(caused);
}

#[test]
fn glances_failed_upload_is_a_sentence() {
    let mut failed = 0;
    for RecordedMessage { n, .. } in recorded_in("glance") {
        match service::read(n) {
            Service::Glance(glance::Payload::UploadFailed { text, image_id }) => {
                failed += 1;
                assert!(text.contains(image_id.unwrap()), "{text}");
                assert_eq!(n.priority, Some(osnl_model::Priority::Error));
            }
            Service::Glance(glance::Payload::Image(image)) => {
                assert!(image.id.text().is_some() && image.owner.text().is_some());
                assert_eq!(image.deleted.get() == Some(&true), event(n) == "image.delete");
            }
            Service::Glance(glance::Payload::Task(task)) if event(n) == "task.failure" => {
                assert_eq!(
                    (task.status.text(), n.priority.clone()),
                    (Some("failure"), Some(osnl_model::Priority::Info))
                );
            }
            Service::Glance(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(failed, 2);
    let n = &made("image.upload", json!("no id in here, 441d58b5-3117-4991-8b83 is none"));
    assert_eq!(
        service::read(n),
        Service::Glance(glance::Payload::UploadFailed { text: n.payload.as_str().unwrap(), image_id: None })
    );
}

#[test]
fn cinder_writes_maps_as_rows_and_as_text() {
    let (mut rows, mut texts, mut connections, mut unscheduled, mut publishers) = (0, 0, 0, 0, Vec::new());
    for RecordedMessage { n, .. } in recorded_in("cinder") {
        match service::read(n) {
            Service::Cinder(cinder::Payload::Volume(volume)) => {
                let metadata = volume.metadata.get().unwrap();
                rows += metadata.to_map().len();
                assert_eq!(metadata.as_text(), None);
                if let Some((host, backend, _)) = volume.place() {
                    assert_eq!((host, backend), ("volhost-1", Some("fake")));
                } else {
                    unscheduled += 1;
                }
                for attachment in volume.volume_attachment.get().into_iter().flatten() {
                    if let Some(info) =
                        attachment.connection_info.get().filter(|info| !info.to_map().is_empty())
                    {
                        assert!(info.get("driver_volume_type").is_some(), "{info:?}");
                        connections += 1;
                    }
                }
                match event(n) {
                    "volume.detach.end" => assert!(volume.volume_attachment.get().unwrap().is_empty()),
                    "volume.detach.start" | "volume.attach.end" => {
                        assert!(!volume.volume_attachment.get().unwrap().is_empty());
                    }
                    _ => {}
                }
                let publisher = n.publisher_id.as_deref().unwrap();
                publishers.push((publisher.contains('@'), publisher.contains('#')));
            }
            Service::Cinder(cinder::Payload::Snapshot(snapshot)) => {
                let metadata = snapshot.metadata.get().unwrap();
                assert!(metadata.as_text().is_some());
                if let Some(value) = metadata.get("x") {
                    assert_eq!(*value, "y");
                    texts += 1;
                }
            }
            Service::Cinder(cinder::Payload::Failed(failed)) => {
                assert!(failed.volume_id.text().is_some() && n.priority == Some(osnl_model::Priority::Error));
            }
            Service::Cinder(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(
        rows > 5 && texts > 0 && connections >= 2 && unscheduled > 0,
        "{rows} {texts} {connections} {unscheduled}"
    );
    for kind in [(true, true), (true, false), (false, false)] {
        assert!(publishers.contains(&kind), "{kind:?}");
    }
}

#[test]
fn the_smaller_ones_have_their_own_words() {
    let mut zones: Vec<(String, Value)> = Vec::new();
    for file in ["designate", "heat", "magnum", "manila", "masakari", "octavia"] {
        for RecordedMessage { n, .. } in recorded_in(file) {
            let Service::Others(read) = service::read(n) else { panic!("{}", event(n)) };
            match read {
                others::Payload::Designate(dns) => {
                    assert!(dns.id.text().is_some() && dns.created_at.get().is_some());
                    let addresses = dns.records.get().into_iter().flatten().filter_map(|r| r.data.text());
                    assert!(addresses.count() > 0 || !event(n).starts_with("dns.recordset."));
                    zones.push((event(n).to_owned(), n.payload.clone()));
                }
                others::Payload::Heat(stack) => {
                    assert_ne!(stack.user_id, stack.user_identity);
                    assert_eq!(resources(n)[0].user, stack.user_identity.text());
                }
                others::Payload::Magnum(cadf, cluster) => {
                    assert!(cadf.outcome.text().is_some() && cluster.unwrap().status.text().is_some());
                }
                others::Payload::Manila(share) => {
                    assert!(share.share_id.text().is_some());
                    if event(n) == "share.shrink.end" {
                        assert_eq!(share.status.text(), Some("shrinking"));
                    }
                }
                others::Payload::Masakari(_, failover) => {
                    let is_new = event(n).contains(".create.");
                    let id = failover.uuid.text().or(failover.notification_uuid.text());
                    assert_eq!(id.is_none(), is_new, "{}", event(n));
                }
                others::Payload::Octavia(balancer) => {
                    assert!(balancer.vip_address.get().is_some() && n.publisher_id.is_none());
                }
                others::Payload::Other(_) => {}
            }
        }
    }
    // Each change of a zone is sent under two names.
    for (name, payload) in zones.iter().filter(|(name, _)| name.starts_with("dns.zone.")) {
        let twin = name.replace("dns.zone.", "dns.domain.");
        assert!(zones.iter().any(|(other, same)| *other == twin && same == payload), "{name}");
    }
}

#[test]
fn what_is_nobodys_or_odd_is_still_there() {
    let check = |event_type: &str, payload: Value| {
        let n = &made(event_type, payload);
        assert!(matches!(service::read(n), Service::Other(_)), "{event_type}");
    };
    check("trove.instance.create", json!({"instance": "i"}));
    check("", json!(null));
    check("port.delete.end", json!("port_id"));
    check("x.y", json!({"x_object.name": "Thing", "x_object.data": {}}));
    check("volume.create.end", json!([1]));
    // A class of a later release is an object with its name.
    let n = &made("instance.new", json!({"nova_object.name": "NewPayload", "nova_object.data": {"a": 1}}));
    assert!(matches!(service::read(n), Service::Nova(nova::Payload::Object("NewPayload", _))));
    let n = &made(
        "compute.instance.create.error",
        json!({"instance_id": "i", "tenant_id": "t",
        "metadata": {"admin_pass": "S3CRET"}, "exception": "{'kwargs': {'password': 'S3CRET'}}"}),
    );
    assert!(!format!("{:?}", service::read(n)).contains("S3CRET"));
}
