//! The written form equals the services' output, byte for byte (written as Python writes JSON).

use osnl_notify::versioned::{
    DateTime, EventTypeText as _, FlexibleDict, Json, MacAddress, MaybeSet, PublisherText as _, Uuid,
    VersionedObject, WireObject, ironic, nova, read_text, to_payload_text,
};

use crate::versioned::nova_classes::{
    BlockDevicePayload, FlavorFlavor, FlavorPayload, InstanceActionPayload, InstanceCreatePayload,
    KeypairPayload, SharePayload,
};
use crate::versioned::recordings::{as_python, case, messages};

fn check_round_trip<T: VersionedObject>(payload: &str, what: &str) -> T {
    match read_text::<T>(payload).unwrap() {
        WireObject::Known(read) => {
            assert_eq!(as_python(&to_payload_text(&read.object).unwrap()), payload, "{what}");
            assert_eq!(read.version, T::INFO.version, "{what}");
            assert_eq!(as_python(&serde_json::to_string(&read.raw).unwrap()), payload, "{what}");
            read.object
        }
        WireObject::Unknown(unknown) => panic!("{what}: {}", unknown.reason),
    }
}

#[test]
fn every_recorded_message_of_ironic_is_written_as_it_was() {
    let mut classes = std::collections::BTreeSet::new();
    let mut count = 0;
    let recorded = messages("captures/ironic.json").into_iter().chain(messages("captures2/ironic.json"));
    for message in recorded {
        let what = format!("{} {}", message.case, message.event_type);
        let class = message.class.unwrap();
        macro_rules! check {
            ($($payload:ident)*) => {
                match class.as_str() {
                    $(stringify!($payload) => drop(check_round_trip::<ironic::$payload>(&message.payload, &what)),)*
                    _ => assert!(class.starts_with("Probe") || class == "ExampleNotifPayload" || class == "NodePayload2", "{class}"),
                }
            };
        }
        check!(AllocationCRUDPayload ChassisCRUDPayload DeployTemplateCRUDPayload InspectionRuleCRUDPayload
            NodeCRUDPayload NodeCorrectedPowerStatePayload NodePayload NodeSetPowerStatePayload
            NodeSetProvisionStatePayload PortCRUDPayload PortgroupCRUDPayload RunbookCRUDPayload
            VolumeConnectorCRUDPayload VolumeTargetCRUDPayload);
        classes.insert(class);
        count += 1;
    }
    assert_eq!(count, 149);
    assert_eq!(
        classes.iter().filter(|class| class.contains("CRUD") || class.starts_with("Node")).count(),
        15
    );
}

#[test]
fn the_guides_example_with_its_extra_field_set_unset_and_null() {
    #[derive(Clone, Debug)]
    struct ExampleObj {
        a_useful_field: String,
    }

    #[derive(Clone, VersionedObject)]
    #[versioned(namespace = "ironic", version = "1.0", timestamps, schema(example_obj: ExampleObj { a_useful_field }))]
    struct ExampleNotifPayload {
        a_useful_field: String,
        an_extra_field: MaybeSet<Option<String>>,
    }

    let source = ExampleObj { a_useful_field: "important".to_owned() };
    for (name, extra) in [
        ("doc_example", MaybeSet::Set(Some("hello".to_owned()))),
        ("doc_example_messaging_v1", MaybeSet::Set(Some("hello".to_owned()))),
        ("doc_example_extra_unset", MaybeSet::Unset),
        ("doc_example_extra_null", MaybeSet::Set(None)),
    ] {
        let recorded = &case("captures/ironic.json", name)[0];
        let payload =
            ExampleNotifPayload::populate(&source, ExampleNotifPayloadExtra { an_extra_field: extra });
        assert_eq!(as_python(&to_payload_text(&payload).unwrap()), recorded.payload, "{name}");
        check_round_trip::<ExampleNotifPayload>(&recorded.payload, name);
    }
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.2", timestamps, changes)]
struct ProbeChild {
    name: String,
    n: MaybeSet<Option<i64>>,
}

#[derive(Clone, VersionedObject)]
#[versioned(namespace = "ironic", version = "1.1", timestamps, changes)]
struct ProbeTypesPayload {
    child: ProbeChild,
    children: Vec<ProbeChild>,
    none_child: Option<ProbeChild>,
    t_utc: DateTime,
    t_naive: DateTime,
    t_offset: DateTime,
    t_micro: DateTime,
    t_text: DateTime,
    t_null: Option<DateTime>,
    d: FlexibleDict,
    d_none: Option<FlexibleDict>,
    mac: MacAddress,
    uu: Uuid,
    i: i64,
    b: bool,
    s_from_int: String,
    los: Vec<String>,
}

#[test]
fn all_kinds_and_nested_objects_with_their_changes() {
    let recorded = &case("captures/ironic.json", "types_and_nesting")[0];
    let child = |name: &str, n| ProbeChild { name: name.to_owned(), n };
    let at = |text: &str| DateTime::parse(text).unwrap();
    let payload = ProbeTypesPayload {
        child: child("c", MaybeSet::Set(None)),
        children: vec![child("a", MaybeSet::Set(Some(1))), child("b", MaybeSet::Unset)],
        none_child: None,
        t_utc: at("2024-01-02T03:04:05Z"),
        t_naive: at("2024-01-02T03:04:05"),
        t_offset: at("2024-01-02T03:04:05UTC+09:00"),
        t_micro: at("2024-01-02T03:04:05.999999Z"),
        t_text: at("2016-01-26T20:41:03+00:00"),
        t_null: None,
        d: FlexibleDict::parse(r#"{"memory_mb": 4096, "nested": {"x": [1, null, true]}}"#).unwrap(),
        d_none: None,
        mac: "AA:BB:CC:DD:EE:FF".parse().unwrap(),
        uu: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123".into(),
        i: 7,
        b: true,
        s_from_int: "12".to_owned(),
        los: vec!["x".to_owned(), "y".to_owned()],
    };
    assert_eq!(as_python(&to_payload_text(&payload).unwrap()), recorded.payload);
    check_round_trip::<ProbeTypesPayload>(&recorded.payload, "types_and_nesting");
    let WireObject::Known(read) = read_text::<ProbeTypesPayload>(&recorded.payload).unwrap() else {
        panic!("not read")
    };
    assert_eq!(read.changes(), ["child"]);
}

#[test]
fn nova_is_written_as_nova_writes() {
    let mut count = 0;
    for message in messages("captures/nova.json") {
        match message.class.as_deref() {
            Some("InstanceCreatePayload") => {
                let read = check_round_trip::<InstanceCreatePayload>(&message.payload, &message.case);
                let mut again = read.repopulated();
                again.flavor = again.flavor.repopulated();
                again.keypairs = again.keypairs.iter().map(KeypairPayload::repopulated).collect();
                assert_eq!(as_python(&to_payload_text(&again).unwrap()), message.payload, "{}", message.case);
                count += 1;
            }
            Some("InstanceActionPayload") => {
                let read = check_round_trip::<InstanceActionPayload>(&message.payload, &message.case);
                let again = to_payload_text(&read.repopulated()).unwrap();
                assert_eq!(as_python(&again), message.payload, "{}", message.case);
                count += 1;
            }
            Some("ProbePayload") => {
                check_round_trip::<probe::ProbePayload>(&message.payload, &message.case);
                count += 1;
            }
            Some(other) => panic!("{other}"),
            None => assert!(message.case.starts_with("legacy_"), "{}", message.case),
        }
    }
    assert_eq!(count, 12);
}

mod probe {
    use super::{DateTime, VersionedObject};

    #[derive(Clone, VersionedObject)]
    #[versioned(namespace = "nova", version = "1.0", schema_in_fingerprint)]
    pub(super) struct ProbePayload {
        a: String,
        b: i64,
        t: DateTime,
        kid: ProbeChild,
        kids: Vec<ProbeChild>,
    }

    #[derive(Clone, VersionedObject)]
    #[versioned(namespace = "nova", version = "1.2", schema_in_fingerprint)]
    struct ProbeChild {
        name: String,
    }
}

#[test]
fn a_flavor_populated_as_nova_does() {
    let source = FlavorFlavor {
        description: None,
        disabled: false,
        ephemeral_gb: Some(5),
        extra_specs: Some([("hw:cpu_policy", "shared".to_owned())].into_iter().collect()),
        flavorid: Some("42".to_owned()),
        is_public: true,
        memory_mb: Some(2048),
        name: "m1.small".to_owned(),
        projects: None,
        root_gb: Some(20),
        rxtx_factor: Some(1.0),
        swap: 0,
        vcpu_weight: Some(0),
        vcpus: Some(2),
    };
    let recorded = &case("captures/nova.json", "instance_create_end")[0];
    let form: Json = serde_json::from_str(&recorded.payload).unwrap();
    let data = form.as_object().unwrap().get("nova_object.data").unwrap();
    let flavor = serde_json::to_string(data.as_object().unwrap().get("flavor").unwrap()).unwrap();
    assert_eq!(to_payload_text(&FlavorPayload::populate(&source)).unwrap(), flavor);
}

#[test]
fn event_types_and_publishers_have_both_forms() {
    let event = ironic::EventType::new("a.b", "c d", ironic::NotificationStatus::End);
    assert_eq!(event.event_type(), "baremetal.a.b.c d.end");
    let publisher = ironic::NotificationPublisher::new("ironic-conductor", "host.example.com");
    assert_eq!(publisher.publisher_id(), "ironic-conductor.host.example.com");
    let publisher = nova::NotificationPublisher {
        host: "compute-1".to_owned(),
        source: nova::NotificationSource::Compute,
    };
    assert_eq!(publisher.publisher_id(), "nova-compute:compute-1");
    let check = |phase, expected: &str| {
        let action = nova::NotificationAction::ResizeFinish;
        let event = nova::EventType { object: "instance".to_owned(), action, phase };
        assert_eq!(event.event_type(), expected);
    };
    check(None, "instance.resize_finish");
    check(Some(nova::NotificationPhase::Progress), "instance.resize_finish.progress");
}

/// The classes that the recordings name only as absent.
#[test]
fn what_a_schema_names_otherwise_is_populated_too() {
    let device = BlockDevicePayload {
        device_name: Some("/dev/vda".to_owned()),
        boot_index: Some(0),
        delete_on_termination: true,
        volume_id: "v".into(),
        tag: None,
    };
    assert!(device.repopulated() == device);
    let share = SharePayload {
        share_mapping_uuid: "m".into(),
        share_id: "s".into(),
        status: "active".to_owned(),
        tag: "t".to_owned(),
    };
    assert!(share.repopulated() == share);
}
