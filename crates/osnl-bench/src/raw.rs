use std::io::Write as _;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};

use crate::clock::{now, wait_for_end_of_input};
use crate::queue;

const PREFETCH: u16 = 200;
const EVERY: u64 = 50;

pub(crate) async fn run(url: &str, count: u64) -> Result<()> {
    let (_connection, channel) = queue::open(url).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel
        .basic_consume(queue::QUEUE.into(), ShortString::default(), options, FieldTable::default())
        .await?;

    let mut first = 0;
    for n in 1..=count {
        let delivery = deliveries.next().await.context("the broker ended the consumer")??;
        if n == 1 {
            first = now();
        }
        if n % EVERY == 0 || n == count {
            channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await?;
        }
    }
    println!("{first} {}", now());
    std::io::stdout().flush()?;
    wait_for_end_of_input()
}
