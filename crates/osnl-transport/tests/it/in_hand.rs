use std::time::Duration;

use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::Broker;
use osnl_testkit::amqp::{Habits, ScriptedBroker};
use osnl_transport::{
    Batch, BodyBounds, Declare, ListenOptions, OutgoingMessage, QueueKind, RabbitOptions, RabbitTransport,
    Tap, TapMessage, TapOptions, Transport as _, Window,
};
use tokio::sync::Mutex;

use crate::session::{options, targets, transport, within};
use crate::tap;

const MIB: usize = 1 << 20;

/// Held by each test, because the bodies of one are in the memory that another one measures.
static MEMORY: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_is_not_read_while_too_much_is_unsettled() {
    let _alone = MEMORY.lock().await;
    let vhost = tokio::task::block_in_place(|| Broker::shared().vhost("in-hand"));
    let url = TransportUrl::parse(&vhost.url()).unwrap();
    let mut rabbit = RabbitOptions::default();
    rabbit.set("heartbeat_timeout_threshold", "2").unwrap();
    let transport = RabbitTransport::new(url, rabbit).unwrap();
    let to = targets(&["neutron"], &[Priority::Info]);
    let options = options(Some("pool"), 200, Declare::Create, QueueKind::OSLO);
    let mut consumer = within(transport.listen(&to, &options)).await.unwrap();
    let target = Target::new("neutron", "notifications");
    for n in 0..100_u32 {
        let mut body = n.to_be_bytes().to_vec();
        body.resize(MIB, b' ');
        within(transport.send(&target, &Priority::Info, OutgoingMessage::json(body))).await.unwrap();
    }

    let mut window = Window::new(consumer.subscription().epoch);
    let (mut seen, mut unsettled) = (Vec::new(), Vec::new());
    let mut batch = Batch::with_limit(200);
    while unsettled.len() < 64 {
        within(consumer.poll(&mut batch)).await.unwrap();
        window.admit(&batch);
        unsettled.extend(batch.drain());
    }
    while let Ok(polled) = tokio::time::timeout(Duration::from_secs(1), consumer.poll(&mut batch)).await {
        polled.unwrap();
        window.admit(&batch);
        unsettled.extend(batch.drain());
    }
    assert!((64..=70).contains(&unsettled.len()), "{}", unsettled.len());
    // Longer than the limit of silence of all sides, which is two heartbeats at most.
    let ended = tokio::time::timeout(Duration::from_secs(6), consumer.ended()).await;
    assert!(ended.is_err(), "a connection that is not read stays: {ended:?}");

    loop {
        for message in unsettled.drain(..) {
            seen.push(u32::from_be_bytes(*message.body.first_chunk().unwrap()));
            window.acknowledge(message).unwrap();
        }
        within(consumer.flush(&mut window)).await.unwrap();
        if seen.len() == 100 {
            break;
        }
        within(consumer.poll(&mut batch)).await.unwrap();
        window.admit(&batch);
        unsettled.extend(batch.drain());
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    within(consumer.close()).await;
    transport.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_reads_nothing_while_too_much_is_not_shown() {
    const COUNT: usize = 60;
    let _alone = MEMORY.lock().await;
    let vhost = tokio::task::block_in_place(|| Broker::shared().vhost("in-hand-tap"));
    let transport = transport(&TransportUrl::parse(&vhost.url()).unwrap()).unwrap();
    let target = Target::new("nova", "notifications");
    let send = async |n: usize| {
        let mut body = (n as u64).to_be_bytes().to_vec();
        body.resize(MIB, b' ');
        within(transport.send(&target, &Priority::Info, OutgoingMessage::json(body))).await.unwrap();
    };
    send(0).await;
    let bodies = BodyBounds { in_hand: 8 * MIB, ..BodyBounds::DEFAULT };
    let wanted = TapOptions { prefetch: 1000, max_bytes: 1 << 30, bodies, ..tap::options(&[("nova", "#")]) };
    let mut tap = within(transport.tap(&wanted)).await.unwrap();
    for n in 0..COUNT {
        send(n).await;
    }
    let mut taken: Vec<TapMessage> = Vec::new();
    let fill = async |tap: &mut dyn Tap, taken: &mut Vec<TapMessage>, most: usize| {
        while taken.len() < most
            && let Ok(polled) = tokio::time::timeout(Duration::from_secs(1), tap.poll(taken, COUNT)).await
        {
            polled.unwrap();
        }
    };
    while taken.len() < 8 {
        within(tap.poll(&mut taken, COUNT)).await.unwrap();
    }
    fill(&mut *tap, &mut taken, COUNT).await;
    assert!((8..=14).contains(&taken.len()), "{}", taken.len());
    assert!(taken.iter().all(|message| message.cut.is_none() && message.body.len() == MIB));
    let copies: Vec<_> = taken.iter().map(|message| message.body.clone()).collect();
    let mut seen = taken.drain(..).count();
    fill(&mut *tap, &mut taken, 1).await;
    assert_eq!(taken.len(), 0);
    assert_eq!(within(tap.dropped()).await.unwrap(), Some(0), "answered");
    drop(copies);
    let mut cut = 0;
    while seen < COUNT {
        within(tap.poll(&mut taken, COUNT)).await.unwrap();
        for message in taken.drain(..) {
            assert_eq!(u64::from_be_bytes(*message.body.first_chunk().unwrap()), seen as u64);
            seen += 1;
            if let Some(whole) = message.cut {
                cut += 1;
                assert_eq!((whole.bytes, message.body.len()), (MIB as u64, BodyBounds::HEAD));
            }
        }
    }
    assert!(cut > 0, "what came before the answer");
    within(tap.close()).await;
    transport.close().await;
}

fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

/// A digest is slow without optimization: with `--release` the bodies have RabbitMQ's largest size.
const BODY: usize = if cfg!(debug_assertions) { MIB } else { 128 * MIB };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_too_large_never_reach_memory() {
    const COUNT: usize = 200;
    let _alone = MEMORY.lock().await;
    let broker = ScriptedBroker::start(Habits { repeats_bodies: BODY, ..Habits::default() });
    let transport = transport(&TransportUrl::parse(&broker.url()).unwrap()).unwrap();
    let to = targets(&["neutron"], &[Priority::Info]);
    let bodies = BodyBounds { whole: BODY / 8, ..BodyBounds::DEFAULT };
    let options = ListenOptions { bodies, ..options(Some("p"), 200, Declare::Create, QueueKind::OSLO) };
    let mut consumer = within(transport.listen(&to, &options)).await.unwrap();
    (0..COUNT).for_each(|_| broker.publish("neutron", "notifications.info", vec![b'x'; 1024]));
    let before = {
        peak();
        peak()
    };
    let (mut batch, mut messages) = (Batch::with_limit(COUNT), Vec::new());
    while messages.len() < COUNT {
        tokio::time::timeout(Duration::from_secs(300), consumer.poll(&mut batch)).await.unwrap().unwrap();
        messages.extend(batch.drain());
    }
    let cut = messages[0].cut.clone().unwrap();
    assert_eq!(cut.bytes, BODY as u64);
    assert!(messages.iter().all(|m| m.body.len() == BodyBounds::HEAD && m.cut.as_ref() == Some(&cut)));
    let grown = peak().saturating_sub(before);
    // The memory includes the beginnings, the client library's buffers, and concurrent tests.
    assert!(grown < 100, "{COUNT} bodies of {} MiB took {grown} MiB", BODY / MIB);
}
