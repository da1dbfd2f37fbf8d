//! The listener beside oslo.messaging's: both declare the same queues, and ours reads the other Notifier's messages.

use std::sync::Arc;

use osnl::notification_listener::{Handler, NotificationListener};
use osnl_brokers::transport;
use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::{Broker, DeclaredQueue, Notice, OsloListener, OsloPublisher, PublisherOptions, Vhost};
use osnl_transport::{Batch, Declare, ListenOptions, QueueKind, Window};
use serde_json::{Value, json};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn issue_46_what_oslo_messaging_s_listener_makes_on_the_broker_ours_makes_too() {
    let vhosts = || [(); 2].map(|()| Broker::shared().vhost("listener"));
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
        let listened = vhosts();
        let [theirs, ours] = listened.each_ref().map(|vhost| format!("{}{options}", vhost.url()));
        let _theirs = OsloListener::start(&theirs, &[("nova", "notifications")], Some("pool"), false);
        runtime().block_on(async {
            let listener = NotificationListener::builder(&TransportUrl::parse(&ours).unwrap())
                .target(Target::new("nova", "notifications"))
                .pool("pool")
                .endpoint(Handler::new(|_| async {}));
            let running = listener.build().unwrap().start();
            running.listening().await;
            same(&listened);
            running.stop();
            running.wait().await.unwrap();
        });
    }
}

#[test]
fn our_consumer_reads_what_oslo_s_notifier_sends_in_every_priority() {
    let vhost = Broker::shared().vhost("listener");
    let mut peer = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let notices: Vec<Notice> = Priority::ALL
        .iter()
        .flat_map(|priority| ["messaging", "messagingv2"].map(|driver| (priority, driver)))
        .map(|(priority, driver)| Notice {
            driver: driver.to_owned(),
            priority: priority.to_string(),
            payload: json!({"名": "é😀", "n": [1, {}]}),
            context: Some(json!({"user": "u", "auth_token": "S3CRET"})),
            ..Notice::default()
        })
        .collect();
    runtime().block_on(async {
        let transport = transport(&TransportUrl::parse(&vhost.url()).unwrap()).unwrap();
        let to: Vec<_> =
            Priority::ALL.map(|priority| (Target::new("neutron", "notifications"), priority)).to_vec();
        let options = ListenOptions::new(Some("pool"), 100, Declare::Create, QueueKind::OSLO);
        let mut consumer = transport.listen(&to, &options).await.unwrap();
        peer.notify_all(&notices);
        let mut window = Window::new(consumer.subscription().epoch);
        let mut batch = Batch::with_limit(100);
        let mut seen = Vec::new();
        while seen.len() < notices.len() {
            consumer.poll(&mut batch).await.unwrap();
            window.admit(&batch);
            for message in batch.drain() {
                let received = osnl::received::ReceivedMessage::from_incoming(&message, &Arc::from("l"));
                let read = received.decode().unwrap();
                assert_eq!(message.routing_key, format!("notifications.{}", read.priority.clone().unwrap()));
                assert_eq!(read.payload, notices[0].payload);
                assert_eq!((&read.context["user"], &read.context["auth_token"]), (&json!("u"), &Value::Null));
                seen.push(read.priority.unwrap());
                window.acknowledge(message).unwrap();
            }
            consumer.flush(&mut window).await.unwrap();
        }
        let sent: Vec<_> = notices.iter().map(|notice| Priority::parse(&notice.priority)).collect();
        assert_eq!(seen, sent);
        consumer.close().await;
    });
}
