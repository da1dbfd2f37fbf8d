//! The shards' exchange and queues, and the price of a splitter by the client library alone.

use std::collections::VecDeque;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Confirmation, ExchangeKind};

use crate::clock::{now, wait_for_end_of_input};
use crate::queue;

const EXCHANGE: &str = "osnl-shards";
const PREFETCH: u16 = 200;
/// Unconfirmed messages, as many as a daemon has by default.
const WINDOW: usize = 16;

/// Declares the exchange, and a quorum queue with a single active consumer for each shard.
pub(crate) async fn declare(url: &str, shards: u64) -> Result<()> {
    let (connection, channel) = queue::open_durable(url).await?;
    let none = FieldTable::default;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, none()).await?;
    let mut arguments = none();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    for shard in 0..shards {
        let (name, key) = (format!("osnl-shard-{shard}"), format!("shard.{shard}"));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.clone().into(), durable, arguments.clone()).await?;
        let options = QueueBindOptions::default();
        channel.queue_bind(name.into(), EXCHANGE.into(), key.into(), options, none()).await?;
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// Passes `count` messages on to the shards in turn, and acknowledges each after the broker's confirm.
pub(crate) async fn run(url: &str, count: u64, shards: u64) -> Result<()> {
    let (_connection, channel) = queue::open(url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel
        .basic_consume(queue::QUEUE.into(), ShortString::default(), options, FieldTable::default())
        .await?;

    let mut first = 0;
    let mut open = VecDeque::new();
    for n in 1..=count {
        let delivery = deliveries.next().await.context("the broker ended the consumer")??;
        if n == 1 {
            first = now();
        }
        let key = format!("shard.{}", n % shards).into();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = delivery.properties.clone().with_delivery_mode(2);
        let confirm =
            channel.basic_publish(EXCHANGE.into(), key, options, &delivery.data, properties).await?;
        open.push_back((delivery.delivery_tag, confirm));
        while open.len() >= WINDOW || n == count {
            let Some((tag, confirm)) = open.pop_front() else { break };
            let confirm = confirm.await?;
            ensure!(confirm == Confirmation::Ack(None), "not taken: {confirm:?}");
            channel.basic_ack(tag, BasicAckOptions::default()).await?;
        }
    }
    println!("{first} {}", now());
    std::io::stdout().flush()?;
    wait_for_end_of_input()
}
