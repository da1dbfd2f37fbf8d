use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use osnl_kafka::KafkaTransport;
use osnl_model::Priority;
use osnl_testkit::KafkaCluster as _;
use osnl_transport::{Declare, OutgoingMessage, Properties, Transport, TransportError};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::sync::Notify;

use super::member::{Member, neutron, text, within};
use super::rig::{Mock, TOPIC};

fn message(body: impl ToString) -> OutgoingMessage {
    OutgoingMessage::json(body.to_string())
}

async fn send(transport: &KafkaTransport, message: OutgoingMessage) -> Result<(), TransportError> {
    let [(target, priority)] = neutron();
    within(transport.send(&target, &priority, message)).await
}

fn bodies(mock: &Mock) -> Vec<String> {
    tokio::task::block_in_place(|| mock.all(TOPIC)).into_iter().map(|stored| stored.body).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_confirmed_and_read_in_order_however_many_are_in_flight() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    let transport = mock.kafka("");
    assert!(transport.features().send);
    let [(target, priority)] = neutron();
    let sent = join_all((0..3000).map(|n| transport.send(&target, &priority, message(n)))).await;
    sent.into_iter().collect::<Result<(), _>>().unwrap();
    assert_eq!(bodies(&mock), (0..3000).map(|n| n.to_string()).collect::<Vec<_>>());
    transport.close().await;
    send(&transport, message("last")).await.unwrap();
    let mut member = Member::join(&mock.kafka("?auto_offset_reset=earliest"), "osnl", 4000).await;
    let read = member.take(3001).await.pop().unwrap();
    assert_eq!((read.routing_key.as_str(), text(&read).as_str()), (TOPIC, "last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_a_key_and_the_headers_that_its_body_needs() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 4, 1).unwrap();
    let transport = mock.kafka("");
    for n in 0..16 {
        send(&transport, OutgoingMessage { key: Some(format!("port-{}", n % 8)), ..message(n) })
            .await
            .unwrap();
    }
    let all = tokio::task::block_in_place(|| mock.all(TOPIC));
    let of_key = |key: &str| -> Vec<i32> {
        all.iter().filter(|m| m.key.as_deref() == Some(key)).map(|m| m.partition).collect()
    };
    for n in 0..8 {
        let partitions = of_key(&format!("port-{n}"));
        assert!(partitions.len() == 2 && partitions[0] == partitions[1], "{partitions:?}");
    }
    assert!(all.iter().any(|m| m.partition != all[0].partition), "{all:?}");
    assert!(all.iter().all(|m| m.headers == 0), "oslo.messaging's messages have none");

    let properties = Properties {
        content_type: Some("application/json".into()),
        content_encoding: Some("utf-8".into()),
        compression: Some("application/x-gzip".to_owned()),
    };
    let mut member = Member::join(&mock.kafka(""), "osnl", 10).await;
    send(&transport, OutgoingMessage { properties, ..message("zipped") }).await.unwrap();
    let read = member.take(1).await.remove(0).properties;
    assert_eq!(read.compression.as_deref(), Some("application/x-gzip"));
    assert_eq!(read.content_type.as_deref(), Some("application/json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_written_and_read() {
    let mock = Mock::new();
    let mut member = Member::join(&mock.kafka(""), "osnl", 10).await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let transport = mock.kafka(&format!("?compression_codec={codec}&producer_batch_timeout=0.01"));
        // The library compresses only if the result is smaller.
        let body = codec.repeat(1000);
        send(&transport, message(&body)).await.unwrap();
        let taken = member.take(1).await;
        assert_eq!(text(&taken[0]), body);
        member.finish(taken).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_made_only_if_asked_for() {
    let mock = Mock::new();
    let (transport, broker) = (mock.kafka(""), mock.address().to_owned());
    let passive = || OutgoingMessage { declare: Declare::Passive, mandatory: true, ..message(1) };
    let error = send(&transport, passive()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "publish to topic \"{TOPIC}\" of kafka at {broker}: it does not exist, and osnl may not create it (declare = \
             create)"
        )
    );
    assert!(error.is_recoverable() && matches!(error, TransportError::Refused { .. }));
    send(&transport, message(2)).await.unwrap();
    send(&transport, passive()).await.unwrap();
    assert_eq!(bodies(&mock).len(), 2);
    let [(target, _)] = neutron();
    let error = transport.send(&target, &Priority::Other("a b".to_owned()), message(1)).await.unwrap_err();
    assert!(!error.is_recoverable() && error.to_string().contains("can't be a topic of Kafka"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_is_an_error_with_its_topic_and_remedy() {
    let mock = Mock::new();
    mock.create_topic(TOPIC, 1);
    let (transport, broker) = (mock.kafka(""), mock.address().to_owned());
    send(&transport, message("before")).await.unwrap();
    let place = format!("topic \"{TOPIC}\" of kafka at {broker}: ");
    use RDKafkaRespErr::*;
    for (error, expected) in [
        (RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "max.message.bytes of the topic"),
        (RD_KAFKA_RESP_ERR_POLICY_VIOLATION, "Policy violation"),
        (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "permission Write on the topic"),
    ] {
        mock.cluster().request_errors(RDKafkaApiKey::Produce, &[error]);
        let refused = send(&transport, message("refused")).await.unwrap_err();
        let words = refused.to_string();
        assert!(words.contains(&place) && words.contains(expected), "{error:?}: {words}");
        let is_final = matches!(refused, TransportError::TooLarge { .. });
        assert_eq!(refused.is_recoverable(), !is_final, "{words}");
    }
    // The library repeats transient errors, and the message is stored once.
    let passing = [
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ];
    mock.cluster().request_errors(RDKafkaApiKey::Produce, &passing);
    send(&transport, message("after")).await.unwrap();
    assert_eq!(bodies(&mock), ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_goes_away_is_told_and_what_was_confirmed_is_there() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    let transport = mock.kafka("").with_setting("message.timeout.ms", "5000");
    let broker = mock.address().to_owned();
    send(&transport, message("0")).await.unwrap();
    mock.stop();
    let error = send(&transport, message("1")).await.unwrap_err();
    let TransportError::NotConfirmed { location, topic, remedy, .. } = &error else { panic!("{error:?}") };
    assert_eq!((location.as_str(), topic.as_str()), (format!("kafka at {broker}").as_str(), TOPIC));
    assert!(error.is_recoverable() && remedy.contains("min.insync.replicas"), "{error}");
    let words =
        format!(" s ({broker}: Connect to ipv4#{broker} failed: Connection refused); it may have arrived");
    assert!(error.to_string().contains(&words), "{error}");
    let error = send(&transport, message("2")).await.unwrap_err();
    assert!(matches!(&error, TransportError::Connect { host, .. } if *host == broker), "{error:?}");
    assert!(error.is_unreachable());
    mock.start_again();
    send(&transport, message("3")).await.unwrap();
    assert_eq!(bodies(&mock), ["0", "3"]);
}

/// A program that starts keeps a closed listener until it runs.
#[test]
fn the_mock_cluster_stops_while_programs_start() {
    let (mock, stopped) = (Mock::new(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while stopped.load(Ordering::Relaxed) < 500 {
                    Command::new("true").status().unwrap();
                }
            });
        }
        while stopped.fetch_add(1, Ordering::Relaxed) < 500 {
            mock.stop();
            mock.start_again();
        }
    });
}

/// Connections are lost while many messages are on their way: each confirmed message is stored in its order. Unlike
/// Kafka, the mock cluster stores what an idempotent producer repeats, so duplicates are not tested.
#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_lose_nothing_that_is_confirmed() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    let transport = mock.kafka("");
    let [(target, priority)] = neutron();
    let (ended, notify) = (AtomicUsize::new(0), Notify::new());
    let sends = join_all((0..2000).map(async |n| {
        let sent = transport.send(&target, &priority, message(n)).await;
        ended.fetch_add(1, Ordering::Relaxed);
        notify.notify_one();
        sent
    }));
    let cuts = async {
        for cut in 1..=5 {
            while ended.load(Ordering::Relaxed) < 300 * cut {
                notify.notified().await;
            }
            mock.stop();
            mock.start_again();
        }
    };
    let (sent, ()) = tokio::join!(sends, cuts);
    let confirmed: Vec<String> =
        sent.iter().enumerate().filter(|(_, sent)| sent.is_ok()).map(|(n, _)| n.to_string()).collect();
    assert!(confirmed.len() > 100, "{} confirmed", confirmed.len());
    let there = bodies(&mock);
    let numbers: Vec<usize> = there.iter().map(|body| body.parse().unwrap()).collect();
    let there: BTreeSet<&String> = there.iter().collect();
    assert!(confirmed.iter().all(|body| there.contains(body)));
    let mut seen = BTreeSet::new();
    let firsts: Vec<usize> = numbers.iter().copied().filter(|number| seen.insert(*number)).collect();
    assert!(firsts.is_sorted(), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sends_end_when_a_cluster_goes_away() {
    let mock = Mock::new();
    mock.create_topic(TOPIC, 1);
    let transport = mock.kafka("").with_setting("message.timeout.ms", "5000");
    send(&transport, message("first")).await.unwrap();
    mock.stop();
    let [(target, priority)] = neutron();
    let sends = join_all((0..1500).map(|n| transport.send(&target, &priority, message(n))));
    let sent = within(sends).await;
    assert!(sent.iter().all(|sent| sent.as_ref().is_err_and(TransportError::is_recoverable)));
    assert!(sent.iter().any(|sent| matches!(sent, Err(TransportError::NotConfirmed { .. }))));
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_to_a_topic_that_is_not_made_wait_once_for_it() {
    let mock = Mock::new();
    mock.create_topic(TOPIC, 1);
    mock.cluster().topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let transport = mock.kafka("");
    let begun = Instant::now();
    let make = |n| send(&transport, OutgoingMessage { declare: Declare::Create, ..message(n) });
    for sent in within(join_all((0..8).map(make))).await {
        let error = sent.unwrap_err().to_string();
        assert!(error.contains("the brokers do not make topics by themselves"), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}: each of eight waited", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_cluster_is_told_at_once() {
    let url = osnl_model::TransportUrl::parse("kafka://127.0.0.1:1/").unwrap();
    let transport = KafkaTransport::new(&url, Default::default()).unwrap();
    let error =
        send(&transport, OutgoingMessage { declare: Declare::Create, ..message(1) }).await.unwrap_err();
    assert!(matches!(&error, TransportError::Connect { host, .. } if host == "127.0.0.1:1"), "{error:?}");
}
