//! Interoperability: oslo.messaging's listener receives our notifications field for field, and on the broker
//! a notification of its Notifier looks the same as ours.

use osnl_model::{Compression, Emission, Priority, to_python_json};
use osnl_notify::notifier::{Context, Driver, RequestContext};
use osnl_testkit::{
    Broker, BrokerObjects, DeclaredQueue, Notice, OsloListener, OsloPublisher, PublisherOptions, Vhost,
    fixture,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{LONG, builder, rabbit, runtime};

/// Payloads whose every part must survive; `big` exceeds the numbers of JSON readers in Rust.
const PAYLOADS: [&str; 6] = [
    r#"{"z": {"y": [1, 2.5, -0.0, 1e+300, true, null, {}], "x": ""}, "a": [[], [[1]]]}"#,
    r#"{"name": "仮想マシン é😀 \"quote\\ / \u2028 \u0001 \u007f", "ключ": "значение"}"#,
    r#"{"big": 123456789012345678901234567890, "small": -9223372036854775809, "exact": 0.1}"#,
    r#"["a", 1]"#,
    r#""text""#,
    "null",
];

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn context() -> Context {
    let context = RequestContext {
        user_id: Some("u".repeat(32)),
        project_id: Some("projekt-é".to_owned()),
        is_admin: true,
        roles: vec!["admin".to_owned(), "member".to_owned()],
        request_id: Some("req-1".to_owned()),
        ..RequestContext::default()
    };
    Context::from(context)
        .with("nested", &raw(r#"{"b": [1, {"c": "😀"}], "a": 12345678901234567890123}"#))
        .and_then(|context| context.with("auth_token", "S3CRET"))
        .unwrap()
}

#[test]
fn oslo_s_listener_receives_what_was_emitted_in_every_priority_framing_and_topic() {
    let vhost = Broker::shared().vhost("notifier");
    let topics = [("nova", "notifications"), ("nova", "versioned_notifications")];
    let listener = OsloListener::start(&vhost.url(), &topics, None, false);
    let pool = OsloListener::start(&vhost.url(), &topics[..1], Some("pool"), false);
    let variants = [
        (Driver::Messaging, None),
        (Driver::MessagingV2, None),
        (Driver::MessagingV2, Some(Compression::Gzip)),
    ];
    let mut expected = Vec::new();
    runtime().block_on(async {
        let transport = rabbit(&vhost.url());
        for (driver, compression) in variants {
            let notifier = builder(transport.clone(), driver)
                .topics(["notifications", "versioned_notifications"])
                .compression(compression)
                .mandatory(true)
                .build()
                .unwrap();
            for (n, payload) in PAYLOADS.iter().enumerate() {
                let priority = &Priority::ALL[(n + expected.len()) % 7];
                let event = format!("e.{}.{n}", expected.len());
                let payload = raw(payload);
                let context = context();
                let emitted = match priority {
                    Priority::Audit => notifier.audit(&context, &event, &payload).await,
                    Priority::Debug => notifier.debug(&context, &event, &payload).await,
                    Priority::Info => notifier.info(&context, &event, &payload).await,
                    Priority::Warn => notifier.warn(&context, &event, &payload).await,
                    Priority::Error => notifier.error(&context, &event, &payload).await,
                    Priority::Critical => notifier.critical(&context, &event, &payload).await,
                    Priority::Sample | Priority::Other(_) => {
                        notifier.sample(&context, &event, &payload).await
                    }
                };
                emitted.unwrap();
                expected.push((priority.as_str(), event, payload));
            }
            notifier.close(LONG).await.unwrap();
        }
        transport.close().await;
    });
    let priorities: std::collections::BTreeSet<_> = expected.iter().map(|(priority, ..)| *priority).collect();
    assert_eq!(priorities.len(), 7);
    let received = listener.wait_for(expected.len() * 2, LONG);
    let pooled = pool.wait_for(expected.len(), LONG);
    assert_eq!((received.len(), pooled.len()), (expected.len() * 2, expected.len()));
    for (priority, event, payload) in &expected {
        let of =
            |all: &[Value]| all.iter().filter(|r| r["event_type"] == **event).cloned().collect::<Vec<_>>();
        let copies = of(&received);
        assert_eq!((copies.len(), of(&pooled).len()), (2, 1), "{event}");
        for copy in copies.iter().chain(&of(&pooled)) {
            assert_eq!(copy["priority"], *priority);
            assert_eq!(copy["publisher_id"], "compute.node1");
            // The text shows every digit and the order of keys, which comparing values would not.
            assert_eq!(copy["payload_json"], to_python_json(payload).unwrap(), "{event}");
            assert_eq!(copy["metadata"], copies[0]["metadata"]);
            assert_eq!(copy["metadata"]["message_id"].as_str().unwrap().len(), 36);
            let context = &copy["ctxt"];
            assert_eq!(context["auth_token"], Value::Null);
            assert_eq!(context["user_identity"], format!("{} projekt-é - - -", "u".repeat(32)));
            assert_eq!(context["roles"], json!(["admin", "member"]));
            assert_eq!(context["is_admin_project"], true);
            assert_eq!(context["nested"]["b"][1]["c"], "😀");
            // Seventeen of oslo.context, our own entry, and one of the listener.
            assert_eq!(context.as_object().unwrap().len(), 19, "{context}");
        }
    }
}

#[test]
fn a_recorded_notification_leaves_as_it_was_recorded() {
    let vhost = Broker::shared().vhost("notifier");
    let mut peer = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    for (case, driver) in [
        ("wire/09-v2-request-context.json", Driver::MessagingV2),
        ("wire/10-v1-request-context.json", Driver::Messaging),
        ("wire/13-v2-unicode.json", Driver::MessagingV2),
        ("wire/15-v2-big-100kB.json", Driver::MessagingV2),
    ] {
        let recorded = fixture::json(case);
        let body = recorded["body_text"].as_str().unwrap();
        let exchange = recorded["exchange"].as_str().unwrap();
        let emission = Emission::read(body.as_bytes()).unwrap();
        runtime().block_on(async {
            let notifier = builder(rabbit(&vhost.url()), driver).exchange(exchange).build().unwrap();
            notifier.send(emission).await.unwrap();
            notifier.close(LONG).await.unwrap();
        });
        let taken = peer.take(recorded["routing_key"].as_str().unwrap()).unwrap();
        assert_eq!(String::from_utf8(taken.body).unwrap(), body, "{case}");
        assert_eq!(taken.properties, recorded["properties"], "{case}");
        assert_eq!(taken.headers, recorded["headers"], "{case}");
        assert_eq!(json!([taken.exchange, taken.routing_key]), json!([exchange, recorded["routing_key"]]));
    }
}

#[test]
fn issue_46_what_oslo_messaging_s_notifier_makes_on_the_broker_ours_makes_too() {
    let vhosts = || [(); 2].map(|()| Broker::shared().vhost("notifier"));
    for options in [
        "",
        "?amqp_durable_queues=1",
        "?amqp_auto_delete=1",
        "?rabbit_quorum_queue=1",
        "?rabbit_quorum_queue=1&rabbit_quorum_delivery_limit=5&rabbit_quorum_max_memory_length=10",
        "?rabbit_ha_queues=1",
    ] {
        let same = |[theirs, ours]: &[Vhost; 2]| {
            let of = |vhost: &Vhost| {
                let queues =
                    vhost.list_queues().into_iter().map(|queue| DeclaredQueue { consumers: 0, ..queue });
                (vhost.list_exchanges(), vhost.list_bindings(), queues.collect::<Vec<_>>())
            };
            assert_eq!(of(theirs), of(ours), "{options}");
        };
        let emitted = vhosts();
        let [theirs, ours] = emitted.each_ref().map(|vhost| format!("{}{options}", vhost.url()));
        OsloPublisher::start(&theirs, PublisherOptions::default())
            .notify(&Notice { exchange: "nova".to_owned(), ..Notice::default() });
        runtime().block_on(async {
            let notifier = builder(rabbit(&ours), Driver::MessagingV2).build().unwrap();
            notifier.info(&Context::new(), "e", &()).await.unwrap();
            notifier.close(LONG).await.unwrap();
        });
        same(&emitted);
    }
}

#[test]
fn what_is_there_is_used_as_it_is() {
    let vhost = Broker::shared().vhost("notifier");
    let mut peer = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    // Durable, with an expiry: the notifier would declare neither.
    peer.prepare(&BrokerObjects {
        exchange: "nova".to_owned(),
        queue: "notifications.info".to_owned(),
        arguments: json!({"x-expires": 600_000}),
        ..BrokerObjects::default()
    });
    let before = (vhost.list_exchanges(), vhost.list_bindings());
    runtime().block_on(async {
        let notifier = builder(rabbit(&vhost.url()), Driver::MessagingV2).build().unwrap();
        notifier.info(&Context::new(), "e", &()).await.unwrap();
        notifier.close(LONG).await.unwrap();
    });
    assert_eq!((vhost.list_exchanges(), vhost.list_bindings()), before);
    assert!(peer.take("notifications.info").is_some());
}
