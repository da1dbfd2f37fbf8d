//! Topics: late ones, deleted ones, missing offsets, codecs, and a reader that is held up.

use std::time::Duration;

use osnl_transport::{Declare, Transport, TransportError};
use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::member::{Member, neutron, options, texts, within};
use super::rig::{Mock, TOPIC};

const GROUP: &str = "osnl";

fn publish(mock: &Mock, body: &str) {
    mock.publish_to(TOPIC, 0, body.as_bytes(), OwnedHeaders::new());
    mock.flush();
}

/// Messages that are published between the making of a topic and its detection are read too.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_late_is_read_from_its_beginning() {
    let mock = Mock::new();
    let mut member = Member::try_join(&mock.kafka(""), &options(GROUP, 10, Declare::Passive)).await.unwrap();
    assert_eq!(member.consumer.subscription().unbound.len(), 1);
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    publish(&mock, "first");
    assert_eq!(texts(&member.take(1).await), ["first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_ends_the_subscription_by_name() {
    let mock = Mock::new();
    let mut member = Member::join(&mock.kafka(""), GROUP, 10).await;
    publish(&mock, "first");
    member.take(1).await;
    mock.delete_topic(TOPIC);
    let error = within(member.consumer.ended()).await;
    assert_eq!(
        error.to_string(),
        "connection lost: topic \"notifications.info\", which group \"osnl\" reads, is not there any more: it was deleted, or \
         made anew"
    );
    assert!(error.is_recoverable() && !error.is_refused_access());
}

/// The group stays where it is until the operator decides.
#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_is_not_there_is_said_and_skips_nothing() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    publish(&mock, "first");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, 0, Offset::Offset(1000)).unwrap();
    tokio::task::block_in_place(|| mock.client(GROUP).commit(&list, CommitMode::Sync).unwrap());
    let (transport, options) = (mock.kafka(""), options(GROUP, 10, Declare::Create));
    for _ in 0..2 {
        let error = within(transport.listen(&neutron(), &options)).await.err().unwrap();
        assert!(
            matches!(error, TransportError::OffsetMissing { offset: 1000, first: 0, end: 1, .. }),
            "{error:?}"
        );
        assert!(error.is_recoverable() && !error.is_refused_access());
        let remedy = transport.remedy(&error, &neutron(), &options).unwrap();
        assert!(remedy.contains("--topic 'notifications.info:0' --reset-offsets --to-earliest"), "{remedy}");
    }
    assert_eq!(mock.committed(GROUP, TOPIC)[0].1, Some(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_read() {
    let mock = Mock::new();
    let mut member = Member::join(&mock.kafka(""), GROUP, 10).await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", mock.cluster().bootstrap_servers()).set("compression.type", codec);
        let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
        // The library compresses only what gets smaller by it.
        let body = codec.repeat(1000);
        let record = BaseRecord::<[u8], str>::to(TOPIC).partition(0).payload(&body);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
        let taken = member.take(1).await;
        assert_eq!(texts(&taken), [body]);
        member.finish(taken).await;
    }
}

/// Longer than the reader has patience: it pauses, stays a member, and goes on in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_without_room_pauses_and_goes_on() {
    let mock = Mock::new();
    let mut member = Member::join(&mock.kafka(""), GROUP, 3).await;
    for n in 0..20 {
        publish(&mock, &n.to_string());
    }
    let mut seen = Vec::new();
    for round in 0..3 {
        let taken = member.take(3).await;
        seen.extend(texts(&taken));
        let ended = tokio::time::timeout(Duration::from_millis(900), member.consumer.ended()).await;
        assert!(ended.is_err(), "{round}: {ended:?}");
        assert_eq!(member.consumer.untaken(), 0, "no more than the prefetch is fetched");
        member.finish(taken).await;
    }
    while seen.len() < 20 {
        let taken = member.poll().await.unwrap();
        seen.extend(texts(&taken));
        member.finish(taken).await;
    }
    assert_eq!(seen, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn what_kafka_does_not_have_is_counted() {
    let absent = Mock::new().kafka("").features().absent;
    assert_eq!(absent.len(), 4, "{absent:?}");
    let suite = include_str!("../../../../osnl-testkit/src/conformance.rs");
    for name in absent {
        assert!(suite.contains(&format!("            {name}\n")), "{name} is no behaviour");
    }
}
