//! Our notifier at full speed: up to a thousand messages wait for their confirm at once.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use osnl::notifier::{Confirm, Driver, Notifier, OnFull, RequestContext};
use osnl_model::TransportUrl;
use osnl_transport::{Transport, transport};
use serde_json::Value;

use crate::{now, wait_for_end_of_input};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(600);

/// Emits `count` notifications with the payload on the first line of standard input, and says when the first was
/// emitted and the last confirmed.
pub(crate) async fn run(url: &str, count: u64) -> Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let payload: Value = serde_json::from_str(&line).context("the payload")?;
    let broker: Arc<dyn Transport> = transport(&TransportUrl::parse(url)?)?.into();
    let notifier = Notifier::builder("network.node1")
        .transport(broker.clone())
        .driver(Driver::MessagingV2)
        .confirm(Confirm::Background)
        .on_full(OnFull::Wait(LONG))
        .build()?;
    let context = RequestContext {
        user_id: Some("u".to_owned()),
        project_id: Some("p".to_owned()),
        ..RequestContext::default()
    };
    let context = context.into();
    let first = now();
    for _ in 0..count {
        notifier.info(&context, "port.create.end", &payload).await?;
    }
    notifier.flush(LONG).await?;
    let last = now();
    ensure!(notifier.counters().confirmed.get() == count, "not all are confirmed");
    println!("{first} {last}");
    std::io::stdout().flush()?;
    wait_for_end_of_input()
}
