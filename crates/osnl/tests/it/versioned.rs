//! Versioned notifications and the real oslo.messaging with the real oslo.versionedobjects: each reads the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use osnl_model::Notification;
use osnl_model::versioned::ironic::{self, EventType, IronicNotification, NotificationPublisher};
use osnl_model::versioned::{
    Context, Level, Outgoing, Outlet, Recorder, Threshold, Topics, Versioned, VersionedNotification,
    VersionedObject, read_text,
};
use osnl_testkit::{Broker, Options, Publisher, Raw, VersionedPeer, fixture};
use serde_json::{Value, json};

/// One message of each class that ironic was recorded with: class and payload as JSON text.
fn recorded() -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    let recording = fixture::json("emission/captures2/ironic.json");
    let messages = recording["cases"].as_object().unwrap().values().flat_map(|case| case.as_array().unwrap());
    let payloads = messages.map(|message| {
        let outer: Value = serde_json::from_str(message["body_text"].as_str().unwrap()).unwrap();
        let inner: Value = serde_json::from_str(outer["oslo.message"].as_str().unwrap()).unwrap();
        inner["payload"].clone()
    });
    let named = payloads
        .map(|payload| (payload["ironic_object.name"].as_str().unwrap().to_owned(), payload.to_string()));
    named.filter(|(class, _)| seen.insert(class.clone())).collect()
}

/// What a payload becomes when it is read by its class and emitted.
fn emitted<N: IronicNotification>(payload: &str) -> Outgoing {
    let Versioned::Known(read) = read_text::<N::Payload>(payload).unwrap() else { panic!("{payload}") };
    let sent = Arc::new(Recorder::default());
    let event = EventType::new(N::OBJECT, "probe", ironic::NotificationStatus::End);
    let publisher = NotificationPublisher::new("ironic-api", "host.example.com");
    let context: Context = [("user", "u-1"), ("request_id", "req-1")].into_iter().collect();
    N::of(read.object, event, publisher, Level::Warning)
        .emit(&Outlet::new(sent.clone(), Threshold::AtLeast(Level::Debug)), &context);
    sent.take().remove(0)
}

/// The body of an emission, in the 2.0 framing. oslo.messaging drops a message whose unique id it has seen.
fn body(emission: &Outgoing, unique: usize) -> Vec<u8> {
    let payload = &emission.payload;
    let mut head = json!({
        "message_id": "80356063-ac61-4081-b128-7140845fafba",
        "publisher_id": emission.publisher_id,
        "event_type": emission.event_type,
        "priority": emission.priority.to_string().to_uppercase(),
        "timestamp": "2026-11-20 05:02:01.522496",
        "_unique_id": format!("{unique:032x}"),
    });
    for (key, value) in emission.context.0.iter() {
        head[format!("_context_{key}")] = value.clone().into_value();
    }
    let head = head.to_string();
    let message = format!("{{\"payload\": {payload}, {}", &head[1..]);
    json!({"oslo.version": "2.0", "oslo.message": message}).to_string().into_bytes()
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
    let mut publisher = Publisher::start(&vhost.url(), Options::default());
    peer.listen("ironic", "ironic_versioned_notifications");
    let recorded = recorded();
    assert_eq!(recorded.len(), 14);
    for (unique, (class, payload)) in recorded.into_iter().enumerate() {
        let emission = by_payload!(class.as_str(), emitted(&payload));
        let routing_key = Topics::ironic().routing_keys(&emission.priority).remove(0);
        assert_eq!(routing_key, "ironic_versioned_notifications.warn");
        publisher.raw(&Raw {
            exchange: "ironic".to_owned(),
            routing_key,
            body: body(&emission, unique),
            ..Raw::default()
        });

        let received = peer.take();
        assert_eq!(received.class, class);
        assert_eq!((received.priority.as_str(), &received.event_type), ("warn", &emission.event_type));
        assert_eq!(received.publisher_id, "ironic-api.host.example.com");
        assert_eq!(
            (&received.context["user"], &received.context["request_id"]),
            (&json!("u-1"), &json!("req-1"))
        );
        let again: Value = serde_json::from_str(&received.payload).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(emission.payload.get()).unwrap(), "{class}");
        // Key for key: the object writes its fields in the order in which we wrote them.
        assert_eq!(keys(&received.payload), keys(emission.payload.get()), "{class}");
    }
}

/// The keys of the data, in order.
fn keys(payload: &str) -> Vec<String> {
    let json: osnl_model::versioned::Json = serde_json::from_str(payload).unwrap();
    let object = json.as_object().unwrap();
    let data = object.get("ironic_object.data").and_then(osnl_model::versioned::Json::as_object).unwrap();
    object.iter().chain(data.iter()).map(|(key, _)| key.to_owned()).collect()
}

/// Reads what Python wrote as `N`'s payload, and writes it again.
fn read_and_write<N: VersionedNotification>(payload: &str) -> (String, String) {
    match read_text::<N::Payload>(payload).unwrap() {
        Versioned::Known(read) => {
            (read.version.to_string(), osnl_model::versioned::to_payload_text(&read.object).unwrap())
        }
        Versioned::Unknown(unknown) => panic!("{}", unknown.reason),
    }
}

#[test]
fn what_the_real_libraries_write_is_read_typed() {
    let vhost = Broker::shared().vhost("versioned-in");
    let mut peer = VersionedPeer::start(&vhost.url());
    let mut publisher = Publisher::start(&vhost.url(), Options::default());
    publisher.prepare(&osnl_testkit::Prepared {
        exchange: "ironic".to_owned(),
        queue: "typed".to_owned(),
        routing_keys: vec!["notifications.info".to_owned()],
        durable: false,
        ..osnl_testkit::Prepared::default()
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

/// The probe of the class that is declared here and in no catalogue: real libraries refuse it, we keep it.
#[test]
fn an_unknown_class_is_no_lost_message() {
    #[derive(Clone, VersionedObject)]
    #[versioned(namespace = "ironic", version = "2.0", name = "NodePayload")]
    struct NextNodePayload {
        uuid: String,
    }
    let (_, payload) = recorded().into_iter().find(|(class, _)| class == "NodePayload").unwrap();
    let Versioned::Unknown(unknown) = read_text::<NextNodePayload>(&payload).unwrap() else { panic!("read") };
    assert_eq!(
        unknown.reason.to_string(),
        "version 1.17 of NodePayload cannot be read by a program that knows 2.0"
    );
    assert_eq!(unknown.raw.into_value(), serde_json::from_str::<Value>(&payload).unwrap());
}
