use std::io::Write as _;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use lapin::options::BasicAckOptions;

use crate::clock::{now, wait_for_end_of_input};
use crate::queue;

const EVERY: u64 = 50;

pub(crate) async fn run(url: &str, count: u64) -> Result<()> {
    let (_connection, channel, mut deliveries) = queue::consume(url).await?;

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
