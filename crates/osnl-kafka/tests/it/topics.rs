use std::time::Duration;

use osnl_model::Priority;
use osnl_testkit::KafkaCluster as _;
use osnl_transport::{Batch, Declare, LostPosition, Transport, Window};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::message::OwnedHeaders;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::member::{Member, neutron, options, texts, within};
use super::rig::{Mock, TOPIC};

const GROUP: &str = "osnl";

fn publish(mock: &Mock, body: &str) {
    mock.publish_to(TOPIC, 0, body.as_bytes(), OwnedHeaders::new());
    mock.flush();
}

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

fn lost(member: &Member) -> Vec<Option<LostPosition>> {
    member.consumer.partitions().unwrap().iter().map(|seen| seen.lost).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_does_not_exist_any_more_is_reported_and_skips_nothing() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    publish(&mock, "first");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, 0, Offset::Offset(1000)).unwrap();
    tokio::task::block_in_place(|| mock.client(GROUP).commit(&list, CommitMode::Sync).unwrap());
    let transport = mock.kafka("?auto_offset_reset=latest");
    let mut member = Member::join(&transport, GROUP, 10).await;
    let found = LostPosition { before: Some(1000), start: 0 };
    assert_eq!(lost(&member), [Some(found)]);
    assert_eq!(
        found.to_string(),
        "the committed offset 1000 does not exist any more; messages are read from offset 0 on"
    );
    assert_eq!(mock.committed(GROUP, TOPIC)[0].1, Some(0));
    let taken = member.take(1).await;
    assert_eq!((texts(&taken), taken[0].redelivered), (vec!["first".to_owned()], false));
    member.finish(taken).await;
    member.leave().await;
    let mut again = Member::join(&transport, GROUP, 10).await;
    assert_eq!(lost(&again), [Some(found)]);
    publish(&mock, "second");
    assert_eq!(texts(&again.take(1).await), ["second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_that_is_not_known_without_a_leader_is_no_lost_position() {
    let mock = Mock::new();
    mock.create_topic(TOPIC, 2);
    // The mock cluster keeps 5 MB of each partition.
    for _ in 0..4 {
        mock.publish_to(TOPIC, 1, " ".repeat(2_000_000).as_bytes(), OwnedHeaders::new());
        mock.flush();
    }
    mock.cluster().partition_leader(TOPIC, 1, None).unwrap();
    let mut member = Member::join(&mock.kafka(""), GROUP, 10).await;
    mock.cluster().partition_leader(TOPIC, 1, Some(1)).unwrap();
    let error = within(member.consumer.ended()).await.to_string();
    assert!(error.contains("an offset of group \"osnl\" is not there any more"), "{error}");
    member.leave().await;
    let member = Member::join(&mock.kafka(""), GROUP, 10).await;
    assert_eq!(lost(&member), [None, None]);
    assert_eq!(member.consumer.subscription().waiting, 2);
}

/// A broker deletes the offsets of a topic together with it, and then only the group's memory is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_has_read_skips_nothing_of_a_topic_without_offsets() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 2, 1).unwrap();
    publish(&mock, "first");
    let mut remembered = options(GROUP, 10, Declare::Create);
    remembered.known_groups.insert(GROUP.to_owned());
    let mut member = Member::try_join(&mock.kafka(""), &remembered).await.unwrap();
    assert_eq!(lost(&member), [Some(LostPosition { before: None, start: 0 }); 2]);
    assert!(!member.consumer.subscription().created, "its group is not new");
    assert_eq!(texts(&member.take(1).await), ["first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_a_known_group_is_read_from_its_beginning() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    Member::join(&mock.kafka(""), GROUP, 10).await.leave().await;
    mock.publish("notifications.error", "first");
    let [(target, info)] = neutron();
    let to = [(target.clone(), info), (target, Priority::Error)];
    let transport = mock.kafka("");
    let consumer = within(transport.listen(&to, &options(GROUP, 10, Declare::Create))).await.unwrap();
    let window = Window::new(consumer.subscription().epoch);
    let mut member = Member { consumer, window, batch: Batch::with_limit(10) };
    let found: Vec<_> = lost(&member).into_iter().flatten().collect();
    assert_eq!(found, [LostPosition { before: None, start: 0 }; 4]);
    assert_eq!(texts(&member.take(1).await), ["first"]);
}

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
    let suite = include_str!("../../../osnl-testkit/src/conformance.rs");
    for name in absent {
        assert!(suite.contains(&format!("            {name}\n")), "{name} is no behaviour");
    }
}
