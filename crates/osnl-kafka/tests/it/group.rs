use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use osnl_testkit::KafkaCluster as _;
use osnl_transport::{Transport as _, TransportError};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::message::OwnedHeaders;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::member::{Member, text, texts, within};
use super::rig::{Mock, TOPIC};

const GROUP: &str = "osnl";
const SOON: std::time::Duration = std::time::Duration::from_secs(60);

fn publish(mock: &Mock, numbers: std::ops::Range<u32>, partitions: i32) {
    for n in numbers {
        let partition = i32::try_from(n).unwrap() % partitions;
        mock.publish_to(TOPIC, partition, n.to_string().as_bytes(), OwnedHeaders::new());
    }
    mock.flush();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_begins_where_it_was_told_to() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    publish(&mock, 0..3, 1);
    let mut latest = Member::join(&mock.kafka(""), "latest", 10).await;
    let mut earliest = Member::join(&mock.kafka("?auto_offset_reset=earliest"), "earliest", 10).await;
    assert_eq!(latest.consumer.subscription().waiting, 0);
    assert_eq!(earliest.consumer.subscription().waiting, 3);
    publish(&mock, 3..4, 1);
    assert_eq!(texts(&latest.take(1).await), ["3"]);
    assert_eq!(texts(&earliest.take(4).await), ["0", "1", "2", "3"]);
    // The group's position is stored before the first message, so nothing published in between is skipped.
    let quiet = Member::join(&mock.kafka(""), "quiet", 10).await;
    drop(quiet);
    publish(&mock, 4..5, 1);
    assert_eq!(texts(&Member::join(&mock.kafka(""), "quiet", 10).await.take(1).await), ["4"]);
}

/// A second member joins while the first has open messages, and nothing is lost. With `ends`, the open messages end
/// during the rebalance; otherwise only the open messages are repeated.
async fn survives_a_rebalance(strategy: &str, ends: bool) {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 4, 1).unwrap();
    let transport = mock.kafka(&format!("?partition_assignment_strategy={strategy}"));
    // Half of it is the longest wait for open messages, and the mock cluster's own time-out has to exceed that.
    let transport = transport.with_setting("max.poll.interval.ms", "3000");
    let mut one = Member::join(&transport, GROUP, 100).await;
    publish(&mock, 0..40, 4);
    let seen: RefCell<BTreeMap<u32, u32>> = RefCell::default();
    let count = |message: &osnl_transport::IncomingMessage| {
        *seen.borrow_mut().entry(text(message).parse().unwrap()).or_default() += 1;
    };
    let mut open = one.take(40).await;
    open.iter().for_each(&count);
    let (first, rest): (Vec<_>, Vec<_>) =
        open.drain(..).partition(|m| text(m).parse::<u32>().unwrap() % 3 == 0);
    one.finish(first).await;
    let open: Vec<u32> = rest.iter().map(|m| text(m).parse().unwrap()).collect();
    tokio::task::block_in_place(|| {
        let done = || mock.unfinished(GROUP, TOPIC) == open.len() as u64;
        osnl_testkit::wait_until(SOON, "a third is committed", done);
    });
    let mut never = Vec::new();
    let (two, ()) = tokio::join!(Member::join(&transport, GROUP, 100), async {
        match ends {
            true => one.finish(rest).await,
            false => never = rest,
        }
    });
    let mut two = two;
    assert_eq!(two.consumer.subscription().other_consumers, 1, "{strategy}");
    publish(&mock, 40..80, 4);
    let mut of_two = 0;
    let mut taken = 0;
    // With the cooperative protocol a member keeps most partitions. Only open messages of moved partitions are
    // redelivered. Message n is in partition n % 4.
    let is_cooperative = strategy == "cooperative-sticky";
    let moved: RefCell<BTreeSet<u32>> = RefCell::default();
    let again = || -> Vec<u32> {
        let is_moved = |n: &&u32| !is_cooperative || moved.borrow().contains(&(**n % 4));
        open.iter().filter(is_moved).copied().collect()
    };
    while seen.borrow().len() < 80 || !ends && again().iter().any(|n| seen.borrow()[n] < 2) {
        tokio::select! {
            messages = one.poll() => {
                let messages = messages.unwrap();
                taken += messages.len();
                messages.iter().for_each(&count);
                one.finish(messages).await;
            }
            messages = two.poll() => {
                let messages = messages.unwrap();
                taken += messages.len();
                of_two += messages.len();
                moved.borrow_mut().extend(messages.iter().map(|m| text(m).parse::<u32>().unwrap() % 4));
                messages.iter().for_each(&count);
                two.finish(messages).await;
            }
        }
    }
    if !ends {
        assert!(0 < of_two && of_two < taken, "{strategy}: {of_two} of {taken}");
        let mut repeated: Vec<u32> =
            seen.borrow().iter().filter(|(_, times)| **times > 1).map(|(n, _)| *n).collect();
        repeated.sort_unstable();
        let mut expected = again();
        expected.sort_unstable();
        assert_eq!(repeated, expected, "{strategy}");
        let kept = (open.len() - expected.len()) as u64;
        assert_eq!(kept > 0, is_cooperative, "{strategy}");
        tokio::task::block_in_place(|| {
            let done = || mock.unfinished(GROUP, TOPIC) == kept;
            osnl_testkit::wait_until(SOON, "the rest is committed", done);
        });
    }
    tokio::join!(one.leave(), two.leave());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eager_rebalance_loses_nothing_and_repeats_only_what_is_unfinished() {
    survives_a_rebalance("range,roundrobin", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cooperative_rebalance_loses_nothing() {
    survives_a_rebalance("cooperative-sticky", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cooperative_rebalance_repeats_only_what_is_unfinished() {
    survives_a_rebalance("cooperative-sticky", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_the_broker_refuses_is_repeated() {
    let mock = Mock::new();
    mock.create_topic(TOPIC, 1);
    let mut member = Member::join(&mock.kafka(""), GROUP, 10).await;
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE;
    mock.cluster().request_errors(RDKafkaApiKey::OffsetCommit, &[refusal; 4]);
    publish(&mock, 0..1, 1);
    let taken = member.take(1).await;
    member.finish(taken).await;
    tokio::task::block_in_place(|| {
        let committed = || mock.committed(GROUP, TOPIC)[0].1 == Some(1);
        osnl_testkit::wait_until(SOON, "the message is committed", committed);
    });
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_the_group_has_lost_repeats_what_was_unfinished() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    let mut one = Member::join(&mock.kafka(""), GROUP, 10).await;
    publish(&mock, 0..4, 1);
    let mut taken = one.take(4).await;
    let open = taken.split_off(2);
    one.finish(taken).await;
    let committed = || mock.committed(GROUP, TOPIC)[0].1 == Some(2);
    tokio::task::block_in_place(|| {
        osnl_testkit::wait_until(SOON, "two are committed", committed);
    });
    mock.cluster()
        .request_errors(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]);
    let again = one.take(2).await;
    assert_eq!(texts(&again), ["2", "3"]);
    // Messages of the lost assignment settle nothing.
    let is_revoked =
        |message: &osnl_transport::IncomingMessage| message.partition.as_ref().unwrap().is_revoked();
    assert!(open.iter().all(is_revoked) && !again.iter().any(is_revoked));
    one.finish(open).await;
    assert_eq!(mock.committed(GROUP, TOPIC)[0].1, Some(2));
    one.finish(again).await;
    one.leave().await;
    assert_eq!(mock.committed(GROUP, TOPIC)[0].1, Some(4));
}

/// The library keeps the pause of a partition that was taken away, so the partition would never be read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_taken_away_while_paused_is_read_when_it_is_back() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    let mut one = Member::join(&mock.kafka(""), GROUP, 4).await;
    publish(&mock, 0..8, 1);
    let open = one.take(4).await;
    let more = tokio::time::timeout(std::time::Duration::from_secs(1), one.poll()).await;
    assert!(more.is_err(), "the member is full, so partitions are paused");
    mock.cluster()
        .request_errors(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]);
    let again = one.take(4).await;
    assert_eq!(texts(&again), ["0", "1", "2", "3"]);
    one.finish(open).await;
    one.finish(again).await;
    assert_eq!(texts(&one.take(4).await), ["4", "5", "6", "7"]);
    one.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_broker_answers_the_error_says_so() {
    let url = osnl_model::TransportUrl::parse("kafka://127.0.0.1:1/").unwrap();
    let transport = osnl_kafka::KafkaTransport::new(&url, Default::default()).unwrap();
    let options = super::member::options(GROUP, 10, osnl_transport::Declare::Create);
    let error = within(transport.listen(&super::member::neutron(), &options)).await.err().unwrap();
    assert!(
        matches!(&error, TransportError::Connect { host, reason }
        if host == "127.0.0.1:1" && reason.contains("Connection refused")),
        "{error:?}"
    );
    assert!(error.is_recoverable() && error.is_unreachable());
}

async fn lags(member: &Member) -> Vec<(i32, Option<u64>, Option<String>)> {
    let _ = within(member.consumer.waiting()).await;
    let seen = member.consumer.partitions().unwrap();
    seen.iter().map(|seen| (seen.partition, seen.lag(), seen.unknown.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_what_is_not_finished_up_to_the_end_of_each_partition() {
    let mock = Mock::new();
    mock.create_topic(TOPIC, 2);
    let mut member = Member::join(&mock.kafka(""), GROUP, 100).await;
    assert_eq!(lags(&member).await, [(0, Some(0), None), (1, Some(0), None)]);
    publish(&mock, 0..7, 2);
    let taken = member.take(7).await;
    assert_eq!(lags(&member).await, [(0, Some(4), None), (1, Some(3), None)]);
    let (done, open): (Vec<_>, Vec<_>) = taken.into_iter().partition(|message| text(message) != "2");
    member.finish(done).await;
    // Finished messages above an unfinished message count as lag, as in Kafka's own tools.
    assert_eq!(lags(&member).await, [(0, Some(3), None), (1, Some(0), None)]);
    let waiting = within(member.consumer.waiting()).await.unwrap();
    assert_eq!(waiting[0].1.messages, 0, "the one that is open does not wait");
    member.finish(open).await;
    assert_eq!(lags(&member).await, [(0, Some(0), None), (1, Some(0), None)]);
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_holds_up_no_other() {
    let mock = Mock::new();
    mock.create_topic(TOPIC, 2);
    let first = Member::join(&mock.kafka(""), GROUP, 10).await;
    first.leave().await;
    mock.cluster().partition_leader(TOPIC, 1, None).unwrap();
    let mut member = Member::join(&mock.kafka(""), GROUP, 10).await;
    assert_eq!(
        member.consumer.subscription().remarks,
        ["topic \"notifications.info\", partition 1: it has no leader; it is read as soon as it has one"]
    );
    mock.publish(TOPIC, "0");
    let taken = member.take(1).await;
    let no_leader = Some("it has no leader".to_owned());
    assert_eq!(lags(&member).await, [(0, Some(1), None), (1, None, no_leader)]);
    assert!(within(member.consumer.waiting()).await.unwrap_err().to_string().contains("partition 1"));
    member.finish(taken).await;
    mock.cluster().partition_leader(TOPIC, 1, Some(1)).unwrap();
    mock.publish_to(TOPIC, 1, b"1", OwnedHeaders::new());
    mock.flush();
    assert_eq!(texts(&member.take(1).await), ["1"]);
    assert_eq!(lags(&member).await, [(0, Some(0), None), (1, Some(1), None)]);
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_and_an_offset_holds_up_no_other() {
    for is_new in [true, false] {
        let mock = Mock::new();
        mock.create_topic(TOPIC, 2);
        if !is_new {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(TOPIC, 0, Offset::Offset(0)).unwrap();
            tokio::task::block_in_place(|| mock.client(GROUP).commit(&list, CommitMode::Sync).unwrap());
        }
        mock.publish_to(TOPIC, 1, b"1", OwnedHeaders::new());
        mock.flush();
        mock.cluster().partition_leader(TOPIC, 1, None).unwrap();
        let mut member = Member::join(&mock.kafka(""), GROUP, 10).await;
        let remark = "topic \"notifications.info\", partition 1: it has no leader; it is read from its beginning as soon \
                      as it has one";
        assert_eq!(member.consumer.subscription().remarks, [remark]);
        mock.publish(TOPIC, "0");
        let taken = member.take(1).await;
        assert_eq!(texts(&taken), ["0"], "{is_new}");
        member.finish(taken).await;
        mock.cluster().partition_leader(TOPIC, 1, Some(1)).unwrap();
        assert_eq!(texts(&member.take(1).await), ["1"], "{is_new}");
        member.leave().await;
    }
}
