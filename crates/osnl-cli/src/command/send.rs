//! `osnl send`: publishes notifications as a service does, each confirmed by the broker.
//!
//! Nothing is declared without `--declare`. Every message is `mandatory`, since an unroutable
//! message would be lost without a trace. Messages are sent in the order of the input.

mod args;
mod destination;
mod input;
mod report;
mod sample;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use osnl::stamp;
use osnl_model::{Emission, Target};
use osnl_transport::OutgoingMessage;
use serde_json::value::RawValue;

pub(crate) use self::args::SendArgs;
use self::destination::Destination;
use self::input::{InputContent, InputEntry};
use self::report::{SendReport, Submission};
use crate::app;
use crate::command::sources::complain;
use crate::exit::Exit;

const IN_FLIGHT: usize = 256;

pub(crate) fn run(args: &SendArgs) -> Exit {
    let destination = match destination::find(args) {
        Ok(destination) => destination,
        Err((exit, error)) => {
            complain(&format!("{error:#}"));
            return exit;
        }
    };
    let entries = match input::read(args, &destination.topics, &destination.budget) {
        Ok(entries) => entries,
        Err(error) => {
            complain(&format!("{error:#}"));
            return Exit::Failed;
        }
    };
    for entry in entries.iter().filter(|_| args.sample.is_some()) {
        let (targets, broker) = (targets(entry, args, &destination), destination.transport.location());
        let event_type = entry.event_type().unwrap_or_default();
        if let Err((exit, error)) = sample::confirm(args, event_type, &targets, &broker.to_string()) {
            complain(&format!("{error:#}"));
            return exit;
        }
    }
    let sent = app::block_on(Box::pin(send(args, &destination, &entries)));
    sent.map_err(anyhow::Error::from).and_then(|exit| exit).unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        Exit::Failed
    })
}

async fn send(args: &SendArgs, destination: &Destination, entries: &[InputEntry]) -> anyhow::Result<Exit> {
    let plan: Vec<(&InputEntry, Vec<Target>)> =
        entries.iter().map(|entry| (entry, targets(entry, args, destination))).collect();
    let copies: usize = plan.iter().map(|(_, targets)| targets.len()).sum();
    let total = copies as u64 * u64::from(args.count);
    let transport = &destination.transport;
    let mut report = SendReport::new(args, &**transport, total);
    let mut on_the_way = FuturesUnordered::new();
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let mut interrupted = false;
    let begun = Instant::now();

    let all = (0..args.count).flat_map(|_| plan.iter());
    'sending: for (n, (entry, targets)) in all.enumerate() {
        let pause = args.rate.map(|rate| Duration::from_secs_f64(n as f64 / rate));
        let mut due = std::pin::pin!(tokio::time::sleep_until((begun + pause.unwrap_or_default()).into()));
        let mut waits = pause.is_some();
        while waits || on_the_way.len() + targets.len() > IN_FLIGHT.max(targets.len()) {
            tokio::select! {
                biased;
                _ = &mut interrupt => {
                    interrupt.set(tokio::signal::ctrl_c());
                    interrupted = true;
                    break 'sending;
                }
                Some((sent, answer)) = on_the_way.next(), if !on_the_way.is_empty() => {
                    if !report.answered(&sent, answer) {
                        break 'sending;
                    }
                }
                () = &mut due, if waits => waits = false,
            }
        }
        for (target, (sent, message)) in targets.iter().zip(messages(entry, targets, args, destination)?) {
            on_the_way.push(async move {
                let answer = tokio::select! {
                    biased;
                    blocked = transport.blocked() => Err(blocked),
                    answer = transport.send(target, &entry.priority, message) => answer,
                };
                (sent, answer)
            });
        }
    }
    let mut aborted = interrupted && !report.has_answers();
    while !aborted && !on_the_way.is_empty() {
        tokio::select! {
            Some((sent, answer)) = on_the_way.next() => {
                report.answered(&sent, answer);
            }
            _ = &mut interrupt => {
                interrupt.set(tokio::signal::ctrl_c());
                // Without any answer so far, the messages wait for a connection, which may never
                // open.
                aborted = interrupted || !report.has_answers();
                interrupted = true;
            }
        }
    }
    let took = begun.elapsed();
    if !aborted {
        transport.close().await;
    }
    report.finish(took);
    Ok(if interrupted {
        Exit::Interrupted
    } else if report.is_unavailable() {
        Exit::Unavailable
    } else if report.has_failed() {
        Exit::Failed
    } else {
        Exit::Done
    })
}

fn targets(entry: &InputEntry, args: &SendArgs, destination: &Destination) -> Vec<Target> {
    let exchange =
        args.exchange.as_ref().or(entry.exchange.as_ref()).unwrap_or(&destination.exchange).clone();
    let recorded: Vec<String> = entry.topic.iter().cloned().collect();
    let topics = [&args.topic, &recorded, &destination.topics].into_iter().find(|topics| !topics.is_empty());
    topics.into_iter().flatten().map(|topic| Target::new(exchange.clone(), topic.clone())).collect()
}

/// Returns a copy of the notification for each target, each with its own `_unique_id`.
fn messages(
    entry: &InputEntry,
    targets: &[Target],
    args: &SendArgs,
    destination: &Destination,
) -> anyhow::Result<Vec<(Submission, OutgoingMessage)>> {
    let about = |target: &Target, emission: Option<&Emission>| Submission {
        exchange: target.exchange.clone().unwrap_or_default(),
        routing_key: target.routing_key(&entry.priority),
        event_type: emission.and_then(|emission| emission.event_type.clone()),
        message_id: emission.and_then(|emission| emission.message_id.clone()),
    };
    let features = destination.transport.features();
    let with = |message: OutgoingMessage, emission: Option<&Emission>| {
        let key = emission.filter(|_| features.keys).and_then(Emission::resource_key);
        OutgoingMessage { declare: args.declares(), mandatory: true, key, ..message }
    };
    match &entry.content {
        InputContent::Bytes(read, message) => {
            let read = read.as_deref();
            let copies = targets.iter().map(|target| (about(target, read), with(message.clone(), read)));
            Ok(copies.collect())
        }
        InputContent::Notification(emission, framing) => {
            let whole = completed(emission);
            let copy = |target: &Target| {
                let mut copy = whole.clone();
                copy.unique_id.get_or_insert_with(stamp::unique_id);
                let body = copy.body(features.framing.unwrap_or(*framing));
                let message = compressed(body.context("the notification cannot be written")?, destination);
                Ok((about(target, Some(&whole)), with(message, Some(&whole))))
            };
            targets.iter().map(copy).collect()
        }
    }
}

/// Adds missing ids and removes the token.
fn completed(emission: &Emission) -> Emission {
    let mut emission = emission.clone();
    emission.message_id.get_or_insert_with(stamp::message_id);
    emission.timestamp.get_or_insert_with(stamp::timestamp);
    for (_, value) in emission.context.iter_mut().filter(|(key, _)| key == "auth_token") {
        *value = RawValue::NULL.to_owned();
    }
    emission
}

fn compressed(body: String, destination: &Destination) -> OutgoingMessage {
    let Some(compression) = destination.compression else { return OutgoingMessage::json(body) };
    let mut message = OutgoingMessage::json(compression.compress(body.as_bytes()));
    message.properties.compression = Some(compression.header().to_owned());
    message
}
