use std::collections::{BTreeMap, BTreeSet};

use osnl_notify::service::{
    self, Field, FieldState, Service, View, cinder, glance, ironic, keystone, neutron, nova, others,
};

use crate::services::recorded::{RecordedMessage, recorded};

const PROBES: [&str; 4] = ["probe.", "baremetal.example_obj.", "baremetal.probe.", "baremetal.x."];

/// A struct's name, its keys, and how each was found.
type StructStates = (&'static str, &'static [&'static str], Vec<FieldState>);

fn view<'a, T: View<'a>>(name: &'static str, view: &T) -> StructStates {
    (name, T::KEYS, view.states())
}

fn each<'a, T: View<'a>>(name: &'static str, field: &Field<'a, Vec<T>>) -> Vec<StructStates> {
    field.get().into_iter().flatten().map(|item| view(name, item)).collect()
}

fn inner<'a, T: View<'a>>(name: &'static str, field: &Field<'a, T>) -> Vec<StructStates> {
    field.get().into_iter().map(|item| view(name, item)).collect()
}

fn views(read: &Service<'_>) -> Vec<StructStates> {
    match read {
        Service::Nova(payload) => nova_states(payload),
        Service::Neutron(payload) => payload.objects.iter().flat_map(neutron_states).collect(),
        Service::Ironic(payload) => match payload {
            ironic::Payload::Node(node) => vec![view("ironic::Node", &**node)],
            ironic::Payload::Part(_, part) => vec![view("ironic::Part", &**part)],
            ironic::Payload::Allocation(allocation) => vec![view("ironic::Allocation", allocation)],
            ironic::Payload::Object(..) => Vec::new(),
        },
        Service::Keystone(payload) => match payload {
            keystone::Payload::Cadf(cadf) => cadf_states(cadf),
            keystone::Payload::Basic(basic) => vec![view("keystone::Basic", basic)],
            keystone::Payload::Other(_) => Vec::new(),
        },
        Service::Glance(payload) => match payload {
            glance::Payload::Image(image) => vec![view("glance::Image", &**image)],
            glance::Payload::Member(member) => vec![view("glance::Member", member)],
            glance::Payload::Sent(sent) => vec![view("glance::Sent", sent)],
            glance::Payload::Task(task) => vec![view("glance::Task", task)],
            glance::Payload::Metadef(metadef) => vec![view("glance::Metadef", metadef)],
            glance::Payload::UploadFailed { .. } | glance::Payload::Other(_) => Vec::new(),
        },
        Service::Cinder(payload) => match payload {
            cinder::Payload::Volume(volume) => {
                let mut all = each("cinder::Attachment", &volume.volume_attachment);
                all.push(view("cinder::Volume", &**volume));
                all
            }
            cinder::Payload::Snapshot(snapshot) => vec![view("cinder::Snapshot", snapshot)],
            cinder::Payload::Backup(backup) => vec![view("cinder::Backup", &**backup)],
            cinder::Payload::Group(group) => vec![view("cinder::Group", group)],
            cinder::Payload::Failed(failed) => vec![view("cinder::Failed", failed)],
            cinder::Payload::Other(_) => Vec::new(),
        },
        Service::Others(payload) => match payload {
            others::Payload::Designate(dns) => {
                let mut all = each("others::Record", &dns.records);
                all.push(view("others::Dns", &**dns));
                all
            }
            others::Payload::Heat(stack) => vec![view("others::Stack", stack)],
            others::Payload::Magnum(_, cluster) => {
                cluster.iter().map(|cluster| view("others::Cluster", cluster)).collect()
            }
            others::Payload::Manila(share) => vec![view("others::Share", share)],
            others::Payload::Masakari(_, failover) => vec![view("others::Failover", &**failover)],
            others::Payload::Octavia(balancer) => vec![view("others::LoadBalancer", balancer)],
            others::Payload::Other(_) => Vec::new(),
        },
        Service::Other(_) => Vec::new(),
    }
}

fn nova_states(payload: &nova::Payload<'_>) -> Vec<StructStates> {
    match payload {
        nova::Payload::Legacy(instance) => {
            let ips = instance.fixed_ips.get().into_iter().flatten();
            let mut all: Vec<StructStates> =
                ips.flat_map(|ip| each("nova::FloatingIp", &ip.floating_ips)).collect();
            all.extend(each("nova::FixedIp", &instance.fixed_ips));
            all.push(view("nova::LegacyInstance", &**instance));
            all
        }
        nova::Payload::Versioned(instance) => {
            let mut all = inner("nova::Flavor", &instance.flavor);
            all.extend(each("nova::Ip", &instance.ip_addresses));
            all.extend(inner("nova::Fault", &instance.fault));
            all.extend(inner("nova::StateUpdate", &instance.state_update));
            all.extend(inner("nova::AuditPeriod", &instance.audit_period));
            all.push(view("nova::Instance", &**instance));
            all
        }
        nova::Payload::Raised(raised) => vec![view("nova::Raised", raised)],
        nova::Payload::Exception(fault) => vec![view("nova::Fault", fault)],
        nova::Payload::Object(..) => Vec::new(),
    }
}

fn neutron_states(object: &neutron::NeutronObject<'_>) -> Vec<StructStates> {
    match object {
        neutron::NeutronObject::Port(port) => {
            let mut all = each("neutron::FixedIp", &port.fixed_ips);
            all.push(view("neutron::Port", &**port));
            all
        }
        neutron::NeutronObject::FloatingIp(ip) => {
            let mut all = inner("neutron::PortDetails", &ip.port_details);
            all.push(view("neutron::FloatingIp", &**ip));
            all
        }
        neutron::NeutronObject::RouterInterface(interface) => {
            vec![view("neutron::RouterInterface", interface)]
        }
        neutron::NeutronObject::Tagged(tagged) => vec![view("neutron::Tagged", tagged)],
        neutron::NeutronObject::Other(common) => vec![view("neutron::Common", &**common)],
    }
}

fn cadf_states(cadf: &keystone::Cadf<'_>) -> Vec<StructStates> {
    let mut all = inner("keystone::Initiator", &cadf.initiator);
    all.extend(inner("keystone::Target", &cadf.target));
    all.extend(inner("keystone::Target", &cadf.observer));
    all.push(view("keystone::Cadf", cadf));
    all
}

/// Keys without a value in any recording, though the service sends one in other circumstances.
const NEVER_RECORDED: [&str; 8] = [
    "cinder::Backup fail_reason",
    "cinder::Volume snapshot_id",
    "glance::Task message",
    "ironic::Allocation node_uuid",
    "ironic::Node fault",
    "ironic::Node maintenance_reason",
    "keystone::Target name",
    "nova::LegacyInstance progress",
];

#[test]
fn every_recorded_message_is_read_and_every_field_is_there() {
    let mut found: BTreeMap<String, BTreeSet<FieldState>> = BTreeMap::new();
    for RecordedMessage { file, n, .. } in recorded() {
        let event_type = n.event_type.clone().unwrap();
        let read = service::read(n);
        let expected = match &read {
            Service::Nova(_) => "nova",
            Service::Neutron(_) => "neutron",
            Service::Ironic(_) => "ironic",
            Service::Keystone(_) => "keystone",
            Service::Glance(_) => "glance",
            Service::Cinder(_) => "cinder",
            Service::Others(_) => "designate heat magnum manila masakari octavia",
            Service::Other(_) => "nobody",
        };
        let probe = PROBES.iter().any(|probe| event_type.starts_with(probe));
        assert!(probe || expected.contains(file.split('-').next().unwrap()), "{file} {event_type}: {read:?}");
        for (name, keys, states) in views(&read) {
            for (key, state) in keys.iter().zip(states) {
                assert!(probe || state != FieldState::Odd, "{file} {event_type} {name} {key}: {read:?}");
                found.entry(format!("{name} {key}")).or_default().insert(state);
            }
        }
    }
    assert!(found.len() > 300, "{} fields", found.len());
    let never: Vec<&str> = found
        .iter()
        .filter(|(_, states)| !states.contains(&FieldState::Is))
        .map(|(field, _)| field.as_str())
        .collect();
    assert_eq!(never, NEVER_RECORDED);
}
