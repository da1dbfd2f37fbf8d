use std::cell::RefCell;
use std::collections::BTreeSet;

use osnl_kafka::{KafkaOptions, KafkaTransport};
use osnl_model::TransportUrl;
use osnl_testkit::{KafkaCluster as _, KafkaLogin, Tansu, TansuStorage};
use osnl_transport::{Declare, IncomingMessage, OutgoingMessage, Transport as _, TransportError};

use super::member::{Member, neutron, options, text, within};
use super::rig::{OnTansu, TANSU_LACKS, TOPIC, transport};

mod conformance {
    osnl_testkit::conformance!(super::OnTansu);
}

const GROUP: &str = "osnl";

#[test]
fn what_tansu_does_not_have_is_counted() {
    assert_eq!(TANSU_LACKS.len(), 6, "{TANSU_LACKS:?}");
    let suite = include_str!("../../../osnl-testkit/src/conformance.rs");
    for name in TANSU_LACKS {
        assert!(suite.contains(&format!("            {name}\n")), "{name} is no behaviour");
    }
}

/// This broker's SCRAM is neither osnl's nor librdkafka's. The broker has users only with its other storage, which osnl
/// cannot read: a question for the members of a group ends the connection there.
#[tokio::test(flavor = "multi_thread")]
async fn scram_lets_in_the_right_password_and_refuses_another() {
    let logins = [("SCRAM-SHA-256", "short"), ("SCRAM-SHA-512", "long")]
        .map(|(mechanism, user)| KafkaLogin { mechanism, user, password: "hunter2" });
    let mut tansu = tokio::task::block_in_place(|| Tansu::with_logins(&logins, TOPIC));
    let address = tansu.address().to_owned();
    let as_user = |user: &str, password: &str, mechanism: &str| {
        let query = format!("security_protocol=SASL_PLAINTEXT&sasl_mechanism={mechanism}");
        let url = TransportUrl::parse(&format!("kafka://{user}:{password}@{address}/?{query}"));
        let url = url.unwrap();
        KafkaTransport::new(&url, KafkaOptions::from_query(&url).unwrap()).unwrap()
    };
    for KafkaLogin { mechanism, user, password } in logins {
        let transport = as_user(user, password, mechanism);
        let [(target, priority)] = neutron();
        let message = || OutgoingMessage::json(user.to_owned());
        within(transport.send(&target, &priority, message())).await.unwrap();
        let refused = as_user(user, "hunter3", mechanism);
        let error = within(refused.send(&target, &priority, message())).await.err();
        let is_refused =
            matches!(&error, Some(TransportError::LoginRefused { user: named, .. }) if named == user);
        assert!(is_refused && !format!("{error:?}").contains("hunter"), "{error:?}");
    }
    let stored = tokio::task::block_in_place(|| {
        tansu.without_logins();
        tansu.all(TOPIC)
    });
    assert_eq!(stored.into_iter().map(|stored| stored.body).collect::<Vec<_>>(), ["short", "long"]);
}

/// Nothing of the new topic is skipped, whether or not the broker keeps the offsets of the old topic.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_created_anew_while_no_member_read_is_read_from_its_beginning() {
    let tansu = tokio::task::block_in_place(|| {
        let tansu = Tansu::start(TansuStorage::Memory);
        tansu.create_topic(TOPIC, 1);
        tansu
    });
    let mut options = options(GROUP, 10, Declare::Passive);
    let publish = |text: &str| tokio::task::block_in_place(|| tansu.publish(TOPIC, text));
    let mut one = Member::try_join(&transport(&tansu, ""), &options).await.unwrap();
    for n in 0..3 {
        publish(&n.to_string());
    }
    let taken = one.take(3).await;
    one.finish(taken).await;
    one.leave().await;
    tokio::task::block_in_place(|| {
        tansu.delete_topic(TOPIC);
        tansu.create_topic(TOPIC, 1);
    });
    publish("new");
    options.known_groups.insert(GROUP.to_owned());
    let mut two = Member::try_join(&transport(&tansu, ""), &options).await.unwrap();
    assert_eq!(two.take(1).await.iter().map(text).collect::<Vec<_>>(), ["new"]);
    let lost = two.consumer.partitions().unwrap()[0].lost.unwrap();
    assert_eq!(lost.start, 0, "{lost}");
    two.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_and_lose_nothing() {
    for strategy in ["range,roundrobin", "cooperative-sticky"] {
        let tansu = tokio::task::block_in_place(|| {
            let tansu = Tansu::start(TansuStorage::Memory);
            tansu.create_topic(TOPIC, 4);
            tansu
        });
        let publish = |numbers: std::ops::Range<i32>| {
            for n in numbers {
                tansu.publish_to(TOPIC, n % 4, n.to_string().as_bytes(), Default::default());
            }
            tokio::task::block_in_place(|| tansu.flush());
        };
        let transport = transport(&tansu, &format!("?partition_assignment_strategy={strategy}"));
        let mut one = Member::join(&transport, GROUP, 100).await;
        publish(0..40);
        let mut open = one.take(40).await;
        let seen: RefCell<BTreeSet<String>> = RefCell::default();
        let rest = open.split_off(20);
        let note = |messages: &[IncomingMessage]| seen.borrow_mut().extend(messages.iter().map(text));
        note(&open);
        one.finish(open).await;
        let (mut two, ()) = tokio::join!(Member::join(&transport, GROUP, 100), async {
            note(&rest);
            one.finish(rest).await;
        });
        publish(40..80);
        let mut of_two = 0;
        while seen.borrow().len() < 80 || of_two == 0 {
            tokio::select! {
                messages = one.poll() => {
                    let messages = messages.unwrap();
                    note(&messages);
                    one.finish(messages).await;
                }
                messages = two.poll() => {
                    let messages = messages.unwrap();
                    of_two += messages.len();
                    note(&messages);
                    two.finish(messages).await;
                }
            }
        }
        tokio::join!(one.leave(), two.leave());
        tokio::task::block_in_place(|| {
            let done = || tansu.unfinished(GROUP, TOPIC) == 0;
            osnl_testkit::wait_until(std::time::Duration::from_secs(60), "all is committed", done);
        });
    }
}
