use std::collections::BTreeSet;

use osnl_model::{Notification, TransportUrl};
use osnl_notify::notifier::{Driver, Notifier};
use osnl_notify::transport;
use osnl_notify::versioned::ironic::{self, EventType, IronicNotification, NotificationPublisher};
use osnl_notify::versioned::{
    ClassField, Context, Level, ObjectVersion, Outlet, Recorder, Threshold, Topics, VersionedNotification,
    VersionedObject, WireObject, read_text, to_version,
};
use osnl_testkit::{Broker, OsloPublisher, PublisherOptions, fixture};
use serde_json::{Value, json};

use crate::SOON;
use crate::peer::VersionedPeer;

/// One message of each recorded class of ironic: class and payload as JSON text.
fn recorded() -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    let recording = fixture::json("emission/captures2/ironic.json");
    let messages = recording["cases"].as_object().unwrap().values().flat_map(|case| case.as_array().unwrap());
    let payloads = messages.map(|message| {
        let outer: Value = serde_json::from_str(message["body_text"].as_str().unwrap()).unwrap();
        let inner: Value = serde_json::from_str(outer["oslo.message"].as_str().unwrap()).unwrap();
        let mut payload = inner["payload"].clone();
        // Python has its own form of such numbers.
        if let Some(extra) = payload.pointer_mut("/ironic_object.data/extra") {
            extra["floats"] = json!([1e-5, 1e16, 1.5, 1e22, -0.0]);
        }
        payload
    });
    let named = payloads
        .map(|payload| (payload["ironic_object.name"].as_str().unwrap().to_owned(), payload.to_string()));
    named.filter(|(class, _)| seen.insert(class.clone())).collect()
}

fn emit<N: IronicNotification>((outlet, payload): (&Outlet, &str)) {
    let WireObject::Known(read) = read_text::<N::Payload>(payload).unwrap() else { panic!("{payload}") };
    let event = EventType::new(N::OBJECT, "probe", ironic::NotificationStatus::End);
    let publisher = NotificationPublisher::new("ironic-api", "host.example.com");
    let context: Context =
        [("user", "u-1"), ("request_id", "req-1"), ("auth_token", "S3CRET")].into_iter().collect();
    N::from_parts(read.object, event, publisher, Level::Warning).emit(outlet, &context);
}

macro_rules! by_class {
    ($class:expr, $do:ident($argument:expr), $($payload:ident: $notification:ident,)*) => {
        match $class {
            $(stringify!($payload) => $do::<ironic::$notification>($argument),)*
            other => panic!("no class {other}"),
        }
    };
}

macro_rules! by_payload {
    ($class:expr, $do:ident($argument:expr)) => {
        by_class!($class, $do($argument),
            AllocationCRUDPayload: AllocationCRUDNotification,
            ChassisCRUDPayload: ChassisCRUDNotification,
            DeployTemplateCRUDPayload: DeployTemplateCRUDNotification,
            InspectionRuleCRUDPayload: InspectionRuleCRUDNotification,
            NodeCRUDPayload: NodeCRUDNotification,
            NodeCorrectedPowerStatePayload: NodeCorrectedPowerStateNotification,
            NodePayload: NodeMaintenanceNotification,
            NodeSetPowerStatePayload: NodeSetPowerStateNotification,
            NodeSetProvisionStatePayload: NodeSetProvisionStateNotification,
            PortCRUDPayload: PortCRUDNotification,
            PortgroupCRUDPayload: PortgroupCRUDNotification,
            RunbookCRUDPayload: RunbookCRUDNotification,
            VolumeConnectorCRUDPayload: VolumeConnectorCRUDNotification,
            VolumeTargetCRUDPayload: VolumeTargetCRUDNotification,
        )
    };
}

#[test]
fn what_is_emitted_is_read_by_the_real_libraries_as_objects() {
    let vhost = Broker::shared().vhost("versioned-out");
    let mut peer = VersionedPeer::start(&vhost.url());
    peer.listen("ironic", "ironic_versioned_notifications");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sent = Recorder::new();
    let transport = transport(&TransportUrl::parse(&vhost.url()).unwrap()).unwrap();
    let notifier = runtime.block_on(async {
        let builder = Notifier::builder("nobody").transport(transport.into()).driver(Driver::MessagingV2);
        builder.driver(Driver::Test(sent.clone())).build().unwrap()
    });
    let topics = Topics::from_option("ironic", "ironic_versioned_notifications, second");
    let outlet = Outlet::new(notifier.to(&topics).unwrap(), Threshold::AtLeast(Level::Debug));
    let recorded = recorded();
    assert_eq!(recorded.len(), 14);
    for (class, payload) in recorded {
        by_payload!(class.as_str(), emit((&outlet, &payload)));
        let emission = sent.take().remove(0);

        let received = peer.take();
        assert_eq!(received.class, class);
        assert_eq!((&*received.priority, Some(&received.event_type)), ("warn", emission.event_type.as_ref()));
        assert_eq!(received.publisher_id, "ironic-api.host.example.com");
        assert_eq!(
            (&received.context["user"], &received.context["request_id"], &received.context["auth_token"]),
            (&json!("u-1"), &json!("req-1"), &Value::Null)
        );
        // Byte for byte: the object writes its fields in the order in which we wrote them.
        assert_eq!(received.payload, emission.payload.get(), "{class}");
    }
    runtime.block_on(notifier.close(SOON)).unwrap();
    assert_eq!(notifier.counters().confirmed.get(), 28);
    // The copies of one notification share its id, and each has an id of its own.
    let mut broker = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let mut ids = BTreeSet::new();
    while let Some(delivered) = broker.take("second.warn") {
        let read = Notification::decode(&delivered.body).unwrap();
        assert!(ids.insert(read.unique_id) && ids.insert(read.message_id));
    }
    assert_eq!(ids.len(), 28);
}

fn keys(payload: &str) -> Vec<String> {
    let json: osnl_notify::versioned::Json = serde_json::from_str(payload).unwrap();
    let object = json.as_object().unwrap();
    let data = object.get("ironic_object.data").and_then(osnl_notify::versioned::Json::as_object).unwrap();
    object.iter().chain(data.iter()).map(|(key, _)| key.to_owned()).collect()
}

fn read_and_write<N: VersionedNotification>(payload: &str) -> (String, String) {
    match read_text::<N::Payload>(payload).unwrap() {
        WireObject::Known(read) => {
            (read.version.to_string(), osnl_notify::versioned::to_payload_text(&read.object).unwrap())
        }
        WireObject::Unknown(unknown) => panic!("{}", unknown.reason),
    }
}

#[test]
fn what_the_real_libraries_write_is_read_typed() {
    let vhost = Broker::shared().vhost("versioned-in");
    let mut peer = VersionedPeer::start(&vhost.url());
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.prepare(&osnl_testkit::BrokerObjects {
        exchange: "ironic".to_owned(),
        queue: "typed".to_owned(),
        routing_keys: vec!["notifications.info".to_owned()],
        durable: false,
        ..osnl_testkit::BrokerObjects::default()
    });
    for (class, payload) in recorded() {
        let values = serde_json::from_str::<Value>(&payload).unwrap()["ironic_object.data"].clone();
        let written = peer.encode(&class, &values);
        let (_, again) = by_payload!(class.as_str(), read_and_write(&written));
        assert_eq!(keys(&written), keys(&again), "{class}");

        let notice = osnl_testkit::Notice {
            exchange: "ironic".to_owned(),
            payload: serde_json::from_str(&written).unwrap(),
            ..osnl_testkit::Notice::default()
        };
        publisher.notify(&notice);
        let delivered = publisher.take("typed").unwrap_or_else(|| panic!("{class} did not arrive"));
        let notification = Notification::decode(&delivered.body).unwrap();
        let (version, again) = by_payload!(class.as_str(), read_and_write(&notification.payload.to_string()));
        assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), notification.payload, "{class}");
        assert_eq!(notification.payload["ironic_object.version"], version, "{class}");
    }
}

/// The payload in an older version, and that version, as the real decoder of that time reads it.
fn check_older<N: VersionedNotification>((peer, payload): (&mut VersionedPeer, &str)) {
    let class = N::Payload::INFO;
    let WireObject::Known(read) = read_text::<N::Payload>(payload).unwrap() else { panic!("{payload}") };
    for minor in 0..class.version.minor {
        let version = ObjectVersion::new(class.version.major, minor);
        let newer = |field: &&ClassField| field.since.is_some_and(|since| since > version);
        let without: Vec<&str> = class.fields.iter().filter(newer).map(|field| field.name).collect();
        let what = format!("{} {version}", class.name);

        let refused = peer.read_as_older(class.name, &version.to_string(), &without, payload).unwrap_err();
        assert!(
            refused.contains(&format!("Version {} of {}", class.version, class.name)),
            "{what}: {refused}"
        );

        let older = to_version(&read.object, &[(class.name, version)]).unwrap();
        let older = serde_json::to_string(&older).unwrap();
        let fields = peer.read_as_older(class.name, &version.to_string(), &without, &older).unwrap();
        let expected: BTreeSet<String> =
            keys(payload).into_iter().filter(|key| class.field(key).is_some()).collect();
        let expected: BTreeSet<String> =
            expected.into_iter().filter(|key| !without.contains(&key.as_str())).collect();
        assert_eq!(fields.into_iter().collect::<BTreeSet<_>>(), expected, "{what}");
    }
}

#[test]
fn an_older_version_is_read_by_the_decoder_that_refuses_the_newer_one() {
    let mut peer = VersionedPeer::start("fake:///");
    for (class, payload) in recorded() {
        by_payload!(class.as_str(), check_older((&mut peer, &payload)));
    }
}

/// No catalogue declares the class: real libraries refuse the object, and ours keeps it.
#[test]
fn an_unknown_class_is_no_lost_message() {
    #[derive(Clone, VersionedObject)]
    #[versioned(namespace = "ironic", version = "2.0", name = "NodePayload")]
    struct NextNodePayload {
        uuid: String,
    }
    let (_, payload) = recorded().into_iter().find(|(class, _)| class == "NodePayload").unwrap();
    let WireObject::Unknown(unknown) = read_text::<NextNodePayload>(&payload).unwrap() else {
        panic!("read")
    };
    assert_eq!(
        unknown.reason.to_string(),
        "version 1.17 of NodePayload cannot be read by a program that knows 2.0"
    );
    assert_eq!(unknown.raw.into_value(), serde_json::from_str::<Value>(&payload).unwrap());
}
