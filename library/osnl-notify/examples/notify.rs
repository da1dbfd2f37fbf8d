//! Emits a notification into an in-process broker, or into RabbitMQ with a URL in `OSNL_TRANSPORT_URL`.
use std::sync::Arc;
use std::time::Duration;

use osnl_notify::{Driver, MemoryBroker, Notifier, RequestContext, Transport, TransportUrl, transport};

#[derive(serde::Serialize)]
struct InstanceDelete<'a> {
    instance_id: &'a str,
    state: &'a str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker: Arc<dyn Transport> = match std::env::var("OSNL_TRANSPORT_URL") {
        Ok(url) => transport(&TransportUrl::parse(&url)?)?.into(),
        Err(_) => Arc::new(MemoryBroker::new().transport()),
    };
    let notifier = Notifier::builder("compute.node1")
        .transport(broker.clone())
        .exchange("nova")
        .topics(["notifications"])
        .driver(Driver::MessagingV2)
        .build()?;

    let context = RequestContext { request_id: Some("req-1".to_owned()), ..RequestContext::default() };
    let deleted = InstanceDelete { instance_id: "7b2f6f0e-3c0c-4d3f-9e0b-0d3f1a2b3c4d", state: "deleted" };
    // Returns when the broker has confirmed the notification.
    notifier.info(&context.into(), "compute.instance.delete.end", &deleted).await?;
    assert_eq!(notifier.counters().confirmed.get(), 1);

    notifier.close(Duration::from_secs(10)).await?;
    broker.close().await;
    Ok(())
}
