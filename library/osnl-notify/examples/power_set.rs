//! Switches nodes on and reports `start`, then `end` or `error`, as ironic's conductor does. Emits into an
//! in-process broker, or into RabbitMQ with a URL in `OSNL_TRANSPORT_URL`.
use std::sync::Arc;
use std::time::Duration;

use osnl_notify::versioned::ironic::{
    Node, NodeSetPowerStateNotification, NodeSetPowerStatePayload, NodeSetPowerStatePayloadExtra,
    NotificationPublisher, Operation, action,
};
use osnl_notify::versioned::{FlexibleDict, Outlet, Threshold, Topics};
use osnl_notify::{
    Context, Driver, MemoryBroker, Notifier, RequestContext, Transport, TransportUrl, transport,
};

const POWER_ON: &str = "power on";

/// Sets power states of nodes, and emits notifications.
struct Conductor {
    outlet: Outlet,
    publisher: NotificationPublisher,
}

impl Conductor {
    async fn power_on(&self, node: &mut Node, context: &Context) -> Result<(), &'static str> {
        // From here on, an early return or a panic before `end` emits `error`.
        let mut operation = Operation::<NodeSetPowerStateNotification>::start(
            &self.outlet,
            context,
            &self.publisher,
            action::POWER_SET,
            || payload(node),
        );
        node.target_power_state = Some(POWER_ON.to_owned());
        operation.update(|reported| *reported = payload(node));
        if let Err(error) = switch_on(node).await {
            node.last_error = Some(error.to_owned());
            operation.update(|reported| *reported = payload(node));
            return Err(error);
        }
        node.power_state = node.target_power_state.take();
        operation.update(|reported| *reported = payload(node));
        operation.end();
        Ok(())
    }
}

/// The public view of the node. Emitting masks its secrets.
fn payload(node: &Node) -> NodeSetPowerStatePayload {
    let extra = NodeSetPowerStatePayloadExtra { to_power: Some(POWER_ON.to_owned()), traits: Some(vec![]) };
    NodeSetPowerStatePayload::populate(node, extra)
}

/// Stands for a request to the machine's controller.
async fn switch_on(node: &Node) -> Result<(), &'static str> {
    tokio::task::yield_now().await;
    if node.name.as_deref() == Some("node-2") { Err("the controller does not answer") } else { Ok(()) }
}

fn node(name: &str, uuid: &str) -> Result<Node, serde_json::Error> {
    Ok(Node {
        name: Some(name.to_owned()),
        uuid: uuid.into(),
        power_state: Some("power off".to_owned()),
        provision_state: Some("available".to_owned()),
        properties: Some(FlexibleDict::parse(r#"{"memory_mb": 4096, "cpu_arch": "x86_64", "cpus": 8}"#)?),
        instance_info: Some(FlexibleDict::parse(r#"{"image_url": "http://user:s3cret@images/7"}"#)?),
        ..Node::default()
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Once at the start: the transport and the least severity (ironic's `notification_level`).
    let broker: Arc<dyn Transport> = match std::env::var("OSNL_TRANSPORT_URL") {
        Ok(url) => transport(&TransportUrl::parse(&url)?)?.into(),
        Err(_) => Arc::new(MemoryBroker::new().transport()),
    };
    let notifier = Notifier::builder("ironic-conductor.hostname01")
        .transport(broker.clone())
        .driver(Driver::MessagingV2)
        .build()?;
    let conductor = Conductor {
        outlet: Outlet::new(notifier.to(&Topics::ironic())?, Threshold::from_option(Some("info"))?),
        publisher: NotificationPublisher::new("ironic-conductor", "hostname01"),
    };

    let context =
        Context::from(RequestContext { request_id: Some("req-1".to_owned()), ..RequestContext::default() });
    let mut first = node("node-1", "1be26c0b-03f2-4d2e-ae87-c02d7f33c123")?;
    conductor.power_on(&mut first, &context).await?;
    let mut second = node("node-2", "2f1a1f5e-8c6b-4a0e-9a4f-5d0c7d0b7c02")?;
    assert!(conductor.power_on(&mut second, &context).await.is_err());

    // Emitting did not wait, but closing does. An unsent notification is an error here, and counted.
    notifier.close(Duration::from_secs(10)).await?;
    assert_eq!(notifier.counters().confirmed.get(), 4);
    broker.close().await;
    Ok(())
}
