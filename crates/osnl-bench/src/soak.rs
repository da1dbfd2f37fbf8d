use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use osnl_testkit::hostile::{self, Body};
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;

use crate::clock::now;
use crate::messages::Messages;
use crate::queue;

const SHARE: u64 = 10;
const EVENT_TYPES: [&str; 3] = ["port.delete.end", "port.create.end", "compute.instance.update"];
const AHEAD: usize = 20;
const UNCONFIRMED: u64 = 500;
/// The largest body that brokers accept: RabbitMQ's `max_message_size` up to 3.13.
const HUGE: usize = 128 << 20;

/// Publishes normal messages mixed with hostile messages of at most `largest` plain bytes, then `huge` bodies of 128
/// MiB, each followed by a normal message. Prints the time of each normal message, then `HOSTILE BYTES`.
pub(crate) async fn run(url: &str, [rate, seconds, largest, seed, huge]: [u64; 5]) -> Result<()> {
    let (connection, channel) = queue::open_durable(url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let messages = Messages::new(0)?;
    let largest = usize::try_from(largest)?;
    let mut streams: Vec<Receiver<Body>> =
        EVENT_TYPES.iter().zip(seed..).map(|(event_type, seed)| stream(event_type, largest, seed)).collect();
    let mut ahead = Vec::new();
    for stream in &mut streams {
        ahead.extend(stream.recv().await);
    }
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut times, mut sent, mut bytes) = (String::new(), 0_usize, 0_usize);
    let mut n = 0;
    while Instant::now() < end {
        tick.tick().await;
        n += 1;
        write!(times, "{n}:{} ", now())?;
        publish(&channel, &messages.matching(n), None).await?;
        if n % SHARE == 0 {
            let which = sent % streams.len();
            let body = match ahead.pop() {
                Some(body) => body,
                None => streams[which].recv().await.context("no more hostile messages")?,
            };
            sent += 1;
            bytes += body.plain;
            publish(&channel, &body.bytes, body.compression).await?;
        }
        if n % UNCONFIRMED == 0 {
            confirmed(&channel).await?;
        }
    }
    confirmed(&channel).await?;
    let body = if huge == 0 { String::new() } else { "x".repeat(HUGE) };
    for _ in 0..huge {
        // Each body is confirmed before the next, so that the broker holds the whole body.
        publish(&channel, body.as_bytes(), None).await?;
        confirmed(&channel).await?;
        n += 1;
        write!(times, "{n}:{} ", now())?;
        publish(&channel, &messages.matching(n), None).await?;
        confirmed(&channel).await?;
        (sent, bytes) = (sent + 1, bytes + HUGE);
    }
    connection.close(200, "done".into()).await?;
    println!("{times}\n{sent} {bytes}");
    Ok(())
}

fn stream(event_type: &'static str, largest: usize, seed: u64) -> Receiver<Body> {
    let (bodies, receiver) = tokio::sync::mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        for body in hostile::Stream::new(event_type, largest, seed) {
            if bodies.blocking_send(body).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn confirmed(channel: &Channel) -> Result<()> {
    let refused = channel.wait_for_confirms().await?;
    ensure!(refused.is_empty(), "the broker refused {} messages", refused.len());
    Ok(())
}

async fn publish(channel: &Channel, body: &[u8], compression: Option<&str>) -> Result<()> {
    let mut headers = FieldTable::default();
    if let Some(compression) = compression {
        headers.insert("compression".into(), AMQPValue::LongString(compression.into()));
    }
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_headers(headers);
    let (exchange, key) = (queue::EXCHANGE.into(), queue::ROUTING_KEY.into());
    drop(channel.basic_publish(exchange, key, BasicPublishOptions::default(), body, properties).await?);
    Ok(())
}
