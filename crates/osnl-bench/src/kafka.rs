//! Kafka: a cluster as a process of its own, and the least that a consumer with this client library can do.

use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use osnl_testkit::{KafkaCluster as _, MockKafka, wait_until};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, OwnedHeaders};

use crate::clock::{now, wait_for_end_of_input};
use crate::messages::Messages;

/// The topic that everything here is in.
const TOPIC: &str = "notifications.info";
/// The group of all consumers.
const GROUP: &str = "k2hr3_osnl";
/// Messages published at once: the producer keeps 100,000.
const UNCONFIRMED: u64 = 10_000;
/// The longest wait for a message, and for the last commit.
const LONGEST: Duration = Duration::from_secs(30);

/// Runs the mock cluster of the client library until standard input ends; answers there.
///
/// | line | answer |
/// | --- | --- |
/// | at the start | `HOST:PORT` |
/// | `fill PARTITIONS COUNT EVERY SIZE` | `ok` when as many messages are there |
/// | `finished` | `ok` when the group has committed all of them |
pub(crate) fn cluster() -> Result<()> {
    let cluster = MockKafka::start();
    answer(cluster.address())?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["fill", partitions, count, every, size] => {
                let [partitions, count, every, size] = [partitions, count, every, size].map(crate::number);
                fill(&cluster, partitions?, count?, every?, size?)?;
            }
            ["finished"] => {
                wait_until(LONGEST, "the last commit", || {
                    cluster.committed(GROUP, TOPIC).iter().all(|(_, offset, _, end)| *offset == Some(*end))
                });
            }
            _ => bail!("\"{line}\": allowed are fill PARTITIONS COUNT EVERY SIZE, finished"),
        }
        answer("ok")?;
    }
    Ok(())
}

fn answer(words: &str) -> Result<()> {
    println!("{words}");
    Ok(std::io::stdout().flush()?)
}

/// Makes the topic and publishes: each partition has a run of the numbers, of which each `every`th matches. So the last one of
/// each partition matches: when there is a request for all that match, everything was read.
fn fill(cluster: &MockKafka, partitions: u64, count: u64, every: u64, size: u64) -> Result<()> {
    ensure!(
        count.is_multiple_of(partitions) && (count / partitions).is_multiple_of(every),
        "{count} messages, {partitions} partitions: the last of each would not match"
    );
    cluster.create_topic(TOPIC, i32::try_from(partitions)?);
    let messages = Messages::new(usize::try_from(size)?)?;
    for n in 0..count {
        let body = if (n + 1).is_multiple_of(every) { messages.matching(n) } else { messages.other(n) };
        let partition = i32::try_from(n / (count / partitions))?;
        cluster.publish_to(TOPIC, partition, &body, OwnedHeaders::new());
        if (n + 1).is_multiple_of(UNCONFIRMED) {
            cluster.flush();
        }
    }
    cluster.flush();
    let (client, mut kept) = (cluster.client("counts"), 0);
    for partition in 0..i32::try_from(partitions)? {
        let (low, high) = client.fetch_watermarks(TOPIC, partition, LONGEST)?;
        kept += u64::try_from(high - low)?;
    }
    ensure!(kept == count, "the cluster keeps {kept} of {count} messages");
    Ok(())
}

/// Reads `count` messages and stores the offset of each, which the library commits as often as osnl does; says when the first
/// and the last were there. Everything else is as the library has it.
pub(crate) fn raw(address: &str, count: u64) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("group.id", GROUP).set("auto.offset.reset", "earliest");
    config.set("enable.auto.offset.store", "false").set("auto.commit.interval.ms", "100");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[TOPIC])?;
    let mut first = 0;
    for n in 1..=count {
        let message = next(&consumer)?;
        if n == 1 {
            first = now();
        }
        consumer.store_offset_from_message(&message)?;
    }
    println!("{first} {}", now());
    std::io::stdout().flush()?;
    wait_for_end_of_input()
}

/// Waits for a message. The library also returns without one, when it has told of a rebalance.
fn next(consumer: &BaseConsumer) -> Result<BorrowedMessage<'_>> {
    let mut waits = 0..10;
    loop {
        if let Some(message) = consumer.poll(LONGEST / 10) {
            return Ok(message?);
        }
        waits.next().context("no message came")?;
    }
}
