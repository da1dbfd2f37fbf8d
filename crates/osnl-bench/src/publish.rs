use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel};
use tokio::time::MissedTickBehavior;

use crate::clock::now;
use crate::messages::{Messages, SIZE};
use crate::queue;

const UNCONFIRMED: u64 = 10_000;

/// Publishes `count` messages; numbers `EVERY-1`, `2*EVERY-1`, … match. If `every` divides `count`, the last message
/// matches, so that its request proves that all were read. Messages without a match have `size` bytes.
pub(crate) async fn fill(url: &str, count: u64, every: u64, size: u64) -> Result<()> {
    let (connection, channel) = queue::open(url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let messages = Messages::new(usize::try_from(size)?)?;
    for n in 0..count {
        let body = if (n + 1) % every == 0 { messages.matching(n) } else { messages.other(n) };
        publish(&channel, &body).await?;
        if (n + 1) % UNCONFIRMED == 0 || n + 1 == count {
            let refused = channel.wait_for_confirms().await?;
            ensure!(refused.is_empty(), "the broker refused {} messages", refused.len());
        }
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// Publishes `count` matching messages at `rate` per second, and prints the time of each.
///
/// Numbers begin with `from`, which is not 0: `fill` has used that, and oslo.messaging drops a message whose
/// `_unique_id` it has just seen.
pub(crate) async fn pace(url: &str, rate: u64, count: u64, from: u64) -> Result<()> {
    let (connection, channel) = queue::open(url).await?;
    let messages = Messages::new(SIZE)?;
    let bodies: Vec<Vec<u8>> = (from..from + count).map(|n| messages.matching(n)).collect();
    let mut times = String::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for (n, body) in (from..).zip(&bodies) {
        tick.tick().await;
        write!(times, "{n}:{} ", now())?;
        publish(&channel, body).await?;
    }
    connection.close(200, "done".into()).await?;
    println!("{times}");
    Ok(())
}

async fn publish(channel: &Channel, body: &[u8]) -> Result<()> {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_priority(0);
    let (exchange, key) = (queue::EXCHANGE.into(), queue::ROUTING_KEY.into());
    let confirmation =
        channel.basic_publish(exchange, key, BasicPublishOptions::default(), body, properties).await?;
    drop(confirmation);
    Ok(())
}
