//! Filters, an endpoint of one's own, and a message that is requeued; on the broker in this process.
//!
//! ```sh
//! cargo run --example filter
//! ```
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use osnl::notification_listener::{
    BoxFuture, Endpoint, Handler, MemoryBroker, NotificationFilter, NotificationListener, NotificationResult,
    Pattern, Priority, ReceivedNotification, RequeuePolicy, Target,
};

/// Forgets ports that a compute node had; its first call fails.
struct ForgetPorts {
    filter: NotificationFilter,
    failed: AtomicBool,
}

impl Endpoint for ForgetPorts {
    fn priorities(&self) -> &[Priority] {
        &[Priority::Info]
    }

    fn filter(&self) -> Option<&NotificationFilter> {
        Some(&self.filter)
    }

    fn notify<'a>(&'a self, received: &'a ReceivedNotification) -> BoxFuture<'a, NotificationResult> {
        Box::pin(async move {
            if !self.failed.swap(true, Ordering::Relaxed) {
                println!("requeue");
                return NotificationResult::Requeue;
            }
            println!("forget {}", received.notification().payload["port_id"]);
            NotificationResult::Handled
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = NotificationFilter {
        // All patterns have the meaning of Python's re.match.
        event_type: Some(Pattern::new(r"^port\.delete\.end$")?),
        publisher_id: Some(Pattern::new("^network")?),
        // Top-level keys of the payload whose values are texts.
        payload: [("device_owner".to_owned(), Pattern::new("^compute:")?)].into(),
        ..NotificationFilter::default()
    };
    let all_but_exists = NotificationFilter {
        event_type: Some(Pattern::new(r"^(?!compute\.instance\.exists).*$")?),
        ..NotificationFilter::default()
    };
    let broker = MemoryBroker::new();
    let neutron = Target::new("neutron", "notifications");
    let running = NotificationListener::on(Arc::new(broker.transport()))
        .target(neutron.clone())
        .pool("example")
        .allow_requeue(true)
        .requeue_policy(RequeuePolicy {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
            attempts: NonZeroU32::new(5).ok_or("at least one")?,
        })
        .endpoint(ForgetPorts { filter, failed: AtomicBool::new(false) })
        .endpoint(
            Handler::new(|received| async move { println!("seen {:?}", received.notification().event_type) })
                .filter(all_but_exists),
        )
        .build()?
        .start();
    running.listening().await;

    for (event_type, device_owner) in [
        ("compute.instance.exists", ""),
        ("port.delete.end", "network:dhcp"),
        ("port.delete.end", "compute:nova"),
    ] {
        let body = format!(
            r#"{{"event_type": "{event_type}", "publisher_id": "network.n1", "priority": "INFO",
                "payload": {{"port_id": "p1", "device_owner": "{device_owner}"}}}}"#
        );
        broker.publish(&neutron, &Priority::Info, body);
    }
    while running.counters().delivered.get() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.stop();
    running.wait().await?;
    Ok(())
}
