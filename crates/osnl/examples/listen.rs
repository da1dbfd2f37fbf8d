//! Prints what arrives, a line for each notification, until Ctrl-C.
//!
//! ```sh
//! cargo run --example listen -- rabbit://guest:guest@127.0.0.1:5672/ neutron notifications my-pool
//! ```
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;

use osnl::notification_listener::{Handler, NotificationListener, Target, TransportUrl};
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, exchange, topic, pool, more @ ..] = &arguments[..] else {
        return Err("usage: listen TRANSPORT-URL EXCHANGE TOPIC POOL [COUNT]".into());
    };
    let mut left: Option<usize> = more.first().map(|count| count.parse()).transpose()?;

    let (line, mut lines) = mpsc::unbounded_channel();
    let running = NotificationListener::builder(&TransportUrl::parse(url)?)
        .target(Target::new(exchange, topic))
        .pool(pool)
        .endpoint(Handler::new(move |received| {
            let notification = received.notification();
            let priority = notification.priority.as_ref().map_or("-", |priority| priority.as_str());
            let event_type = notification.event_type.as_deref().unwrap_or("-");
            let publisher_id = notification.publisher_id.as_deref().unwrap_or("-");
            let _ = line.send(format!("{priority} {event_type} {publisher_id}"));
            async {}
        }))
        .build()?
        .start();

    running.listening().await;
    println!("listening");
    while left != Some(0) {
        tokio::select! {
            Some(line) = lines.recv() => {
                println!("{line}");
                left = left.map(|left| left - 1);
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                break;
            }
        }
    }
    // What was printed is acknowledged before the program ends.
    running.stop();
    running.wait().await?;
    Ok(())
}
