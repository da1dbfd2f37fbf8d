use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::time::{MissedTickBehavior, timeout};

use crate::messages::{Messages, SIZE};
use crate::queue;

/// The time after which a silent node counts as failed.
const ANSWER: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// Publishes in order, at `rate` per second at most, to an existing exchange. An unconfirmed message is repeated, so
/// that the broker may have it twice. Prints the numbers of repeated messages.
pub(crate) async fn run(urls: &str, rate: u64, count: u64) -> Result<()> {
    let urls: Vec<&str> = urls.split(',').collect();
    let messages = Messages::new(SIZE)?;
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open = None;
    let mut next = urls.iter().cycle();
    let mut repeated = String::new();
    for n in 1..=count {
        tick.tick().await;
        let body = messages.matching(n);
        let mut sent = 0_u32;
        loop {
            if open.is_none() {
                let url = next.next().context("no URL")?;
                match connect(url).await {
                    Ok(connected) => open = Some(connected),
                    Err(error) => println!("message {n}: no connection: {error:#}"),
                }
            }
            if let Some((_, channel)) = &open {
                sent += 1;
                match timeout(ANSWER, publish(channel, &body)).await {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) => println!("message {n}: {error:#}"),
                    Err(_) => println!("message {n}: no confirmation within {} s", ANSWER.as_secs()),
                }
                open = None;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if sent > 1 {
            repeated.push_str(&format!("{n} "));
        }
    }
    println!("sent more than once: {repeated}");
    Ok(())
}

async fn connect(url: &str) -> Result<(Connection, Channel)> {
    let url = url.replacen("rabbit://", "amqp://", 1);
    let connect = Connection::connect(&url, ConnectionProperties::default());
    let connection = timeout(ANSWER, connect).await??;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

async fn publish(channel: &Channel, body: &[u8]) -> Result<()> {
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2);
    let (exchange, key) = (queue::EXCHANGE.into(), queue::ROUTING_KEY.into());
    // Without `mandatory` a message without a queue would be confirmed and lost.
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let confirmation = channel.basic_publish(exchange, key, options, body, properties).await?.await?;
    ensure!(confirmation == Confirmation::Ack(None), "not taken: {confirmation:?}");
    Ok(())
}
