use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use osnl_testkit::wait_until;
use osnl_transport::{MessageView, Prefilter};
use rdkafka::message::OwnedHeaders;

use super::member::{Member, texts, within};
use super::rig::{Mock, TOPIC};

const GROUP: &str = "osnl";
const SOON: std::time::Duration = std::time::Duration::from_secs(20);

struct Odd {
    queue: &'static str,
    is_asked: AtomicBool,
}

impl Prefilter for Odd {
    fn rejects(&self, message: &MessageView<'_>) -> bool {
        self.is_asked.store(true, Ordering::SeqCst);
        let found = (&**message.queue, message.exchange, message.routing_key);
        assert_eq!(found, (self.queue, "neutron", TOPIC));
        let number: u32 = std::str::from_utf8(message.body).unwrap().parse().unwrap();
        assert_ne!(number, 12, "this message makes the prefilter panic");
        number % 2 == 1
    }
}

fn odd(queue: &'static str) -> Arc<Odd> {
    Arc::new(Odd { queue, is_asked: AtomicBool::new(false) })
}

fn publish(mock: &Mock, numbers: std::ops::Range<u32>) {
    for n in numbers {
        mock.publish_to(TOPIC, 0, n.to_string().as_bytes(), OwnedHeaders::new());
    }
    mock.flush();
}

fn is_committed(mock: &Mock, offset: i64) {
    tokio::task::block_in_place(|| {
        wait_until(SOON, "the commit", || mock.committed(GROUP, TOPIC)[0].1 == Some(offset));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_is_finished_and_counted_and_the_rest_handed_over() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    let mut one = Member::join(&mock.kafka(""), GROUP, 4).await;
    let prefilter = odd(GROUP);
    one.consumer.set_prefilter(prefilter.clone());
    publish(&mock, 0..24);
    let (mut taken, mut rejected) = (Vec::new(), 0);
    while taken.len() + rejected < 24 {
        let messages = one.poll().await.unwrap();
        rejected += one.batch.take_rejected();
        taken.extend(texts(&messages));
        one.finish(messages).await;
    }
    // A message over which the prefilter panics is handed over.
    let even: Vec<String> = (0..24).filter(|n| n % 2 == 0).map(|n: u32| n.to_string()).collect();
    assert_eq!((taken, rejected), (even, 12));
    is_committed(&mock, 24);
    publish(&mock, 25..26);
    assert_eq!(texts(&one.poll().await.unwrap()), [""; 0]);
    assert_eq!((one.batch.take_rejected(), one.batch.take_rejected()), (1, 0));
    is_committed(&mock, 25);
    one.leave().await;
    assert!(prefilter.is_asked.load(Ordering::SeqCst));
}

/// The window is full of open messages. Rejected messages behind them are finished once fetched, and only open messages
/// are redelivered.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_only_what_was_open_comes_again() {
    let mock = Mock::new();
    mock.cluster().create_topic(TOPIC, 1, 1).unwrap();
    publish(&mock, 0..8);
    let mut one = Member::join(&mock.kafka("?auto_offset_reset=earliest"), GROUP, 100).await;
    one.consumer.set_prefilter(odd(GROUP));
    publish(&mock, 8..11);
    // Some were fetched before the prefilter was set, so those may still be handed over.
    let mut seen = Vec::new();
    let mut rejected = 0;
    while seen.len() + rejected < 11 {
        seen.extend(one.poll().await.unwrap());
        rejected += one.batch.take_rejected();
    }
    let (first, open): (Vec<_>, Vec<_>) = seen.into_iter().partition(|message| message.body.len() == 1);
    one.finish(first).await;
    assert_eq!(texts(&open), ["10"]);
    is_committed(&mock, 10);
    within(one.consumer.close()).await;
    let mut two = Member::join(&mock.kafka(""), GROUP, 100).await;
    two.consumer.set_prefilter(odd(GROUP));
    let again = two.take(1).await;
    assert_eq!((texts(&again), again[0].redelivered), (vec!["10".to_owned()], true));
}
