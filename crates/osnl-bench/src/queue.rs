//! The queue of all programs here, declared as oslo.messaging declares k2hr3_osnl's: transient, so that osnl and
//! k2hr3_osnl both accept it.

use anyhow::{Context as _, Result};
use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};

pub(crate) const QUEUE: &str = "k2hr3_osnl";
pub(crate) const EXCHANGE: &str = "neutron";
pub(crate) const ROUTING_KEY: &str = "notifications.info";
/// The unacknowledged messages that a consumer is handed, as osnl's default.
const PREFETCH: u16 = 200;

/// Connects to a URL `rabbit://…` and opens a channel without a declaration, because osnl declares its own queue.
pub(crate) async fn open_durable(url: &str) -> Result<(Connection, Channel)> {
    let url = url.replacen("rabbit://", "amqp://", 1);
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.context("connect")?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

pub(crate) async fn open(url: &str) -> Result<(Connection, Channel)> {
    let url = url.replacen("rabbit://", "amqp://", 1);
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.context("connect")?;
    let channel = connection.create_channel().await?;
    let none = FieldTable::default;
    channel
        .exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, ExchangeDeclareOptions::default(), none())
        .await?;
    channel.queue_declare(QUEUE.into(), QueueDeclareOptions::default(), none()).await?;
    channel
        .queue_bind(QUEUE.into(), EXCHANGE.into(), ROUTING_KEY.into(), QueueBindOptions::default(), none())
        .await?;
    Ok((connection, channel))
}

/// Opens the queue and consumes from it.
pub(crate) async fn consume(url: &str) -> Result<(Connection, Channel, Consumer)> {
    let (connection, channel) = open(url).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(QUEUE.into(), tag, options, FieldTable::default()).await?;
    Ok((connection, channel, consumer))
}
