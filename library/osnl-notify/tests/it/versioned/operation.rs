use std::panic::AssertUnwindSafe;

use osnl_model::Priority;
use osnl_notify::versioned::ironic::{
    Node, NodeSetPowerStateNotification, NodeSetPowerStatePayload, NodeSetPowerStatePayloadExtra,
    NotificationPublisher, Operation, action,
};
use osnl_notify::versioned::{Context, DateTime, FlexibleDict, Level, Outlet, Recorder, Threshold};

use crate::versioned::recordings::{as_python, case};

fn node() -> Node {
    let then = DateTime::parse("2016-01-26T20:41:03Z").unwrap();
    let properties = r#"{"memory_mb": 4096, "cpu_arch": "x86_64", "local_gb": 10, "cpus": 8}"#;
    Node {
        console_enabled: Some(false),
        created_at: Some(then.clone()),
        driver: Some("fake-hardware".to_owned()),
        instance_uuid: Some("d6ea00c1-1f94-4e95-90b3-3462d7031678".into()),
        maintenance: Some(false),
        network_interface: Some("flat".to_owned()),
        power_state: Some("power off".to_owned()),
        properties: Some(FlexibleDict::parse(properties).unwrap()),
        provision_state: Some("available".to_owned()),
        provision_updated_at: Some(then.clone()),
        updated_at: Some(then),
        uuid: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123".into(),
        ..Node::default()
    }
}

fn payload(node: &Node) -> NodeSetPowerStatePayload {
    let extra = NodeSetPowerStatePayloadExtra { to_power: Some("power on".to_owned()), traits: Some(vec![]) };
    NodeSetPowerStatePayload::populate(node, extra)
}

fn start(outlet: &Outlet) -> Operation<NodeSetPowerStateNotification> {
    let publisher = NotificationPublisher::new("ironic-conductor", "hostname01");
    Operation::start(outlet, &Context::default(), &publisher, action::POWER_SET, || payload(&node()))
}

fn check(threshold: Threshold, run: impl FnOnce(&Outlet), expected: &[(&str, Priority)]) {
    let sent = Recorder::new();
    run(&Outlet::new(sent.clone(), threshold));
    let found: Vec<(String, Priority)> =
        sent.take().into_iter().map(|e| (e.event_type.unwrap(), e.priority.unwrap())).collect();
    let expected: Vec<(String, Priority)> = expected
        .iter()
        .map(|(status, level)| (format!("baremetal.node.power_set.{status}"), level.clone()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_start_is_ironics_byte_for_byte() {
    let sent = Recorder::new();
    let outlet = Outlet::new(sent.clone(), Threshold::AtLeast(Level::Info));
    let operation = start(&outlet);
    let emission = sent.take().remove(0);
    operation.end();
    let recorded = &case("captures/ironic.json", "node_power_set_start")[0];
    assert_eq!(as_python(emission.payload.get()), recorded.payload);
    assert_eq!(emission.event_type.as_ref(), Some(&recorded.event_type));
    assert_eq!(emission.publisher_id.as_ref(), Some(&recorded.publisher_id));
    assert_eq!(emission.priority, Some(Priority::parse(&recorded.priority)));
}

#[test]
fn an_operation_ends_once_in_one_of_three_ways() {
    let info = Threshold::AtLeast(Level::Info);
    check(info, |outlet| start(outlet).end(), &[("start", Priority::Info), ("end", Priority::Info)]);
    check(info, |outlet| start(outlet).success(), &[("start", Priority::Info), ("success", Priority::Info)]);
    check(info, |outlet| drop(start(outlet)), &[("start", Priority::Info), ("error", Priority::Error)]);
    check(
        info,
        |outlet| {
            let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
                let _operation = start(outlet);
                std::panic::resume_unwind(Box::new("the controller's driver panics"));
            }));
            assert!(panicked.is_err());
        },
        &[("start", Priority::Info), ("error", Priority::Error)],
    );
}

#[test]
fn what_is_below_the_threshold_is_left_out() {
    let error = Threshold::AtLeast(Level::Error);
    check(error, |outlet| start(outlet).end(), &[]);
    check(error, |outlet| drop(start(outlet)), &[("error", Priority::Error)]);
    check(Threshold::AtLeast(Level::Critical), |outlet| drop(start(outlet)), &[]);
    check(Threshold::Never, |outlet| drop(start(outlet)), &[]);
}

#[test]
fn a_payload_that_would_not_be_sent_is_not_built() {
    let publisher = NotificationPublisher::new("ironic-conductor", "hostname01");
    let mut operation = Operation::<NodeSetPowerStateNotification>::start(
        &Outlet::closed(),
        &Context::default(),
        &publisher,
        action::POWER_SET,
        || panic!("nobody asked for it"),
    );
    operation.update(|_| panic!("nobody asked for it"));
}

#[test]
fn the_end_reports_what_it_was_told() {
    let sent = Recorder::new();
    let outlet = Outlet::new(sent.clone(), Threshold::Always);
    let mut operation = start(&outlet);
    operation.update(|payload| payload.power_state = Some("power on".to_owned()));
    operation.end();
    let payloads: Vec<String> =
        sent.take().into_iter().map(|emission| emission.payload.to_string()).collect();
    assert!(payloads[0].contains(r#""power_state": "power off""#));
    assert!(payloads[1].contains(r#""power_state": "power on""#));
}
