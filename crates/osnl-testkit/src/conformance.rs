//! A transport supplies a [`BrokerRig`], its broker with outside interference, and one line:
//!
//! ```text
//! mod memory {
//!     osnl_testkit::conformance!(super::Memory);
//! }
//! ```
//!
//! The macro makes one test for each function of [`behaviours`], of the same name. No test settles a message twice,
//! because settling moves the message, so that a second call does not compile (see
//! `osnl_transport::IncomingMessage`).

mod content;
mod ending;
mod flow;
mod intake;
mod memory;
mod rabbit;
mod session;
mod settling;
mod topology;

use std::future::Future;
use std::time::Duration;

use osnl_transport::Transport;

pub use self::memory::in_a_process_of_its_own;
pub use self::rabbit::Rabbit;

const DEADLINE: Duration = Duration::from_secs(180);

/// A broker and outside interference with it. Futures need not be `Send`, because the test awaits each itself.
#[expect(async_fn_in_trait, reason = "used by name only, and awaited where it is called")]
pub trait BrokerRig: Sized {
    async fn start() -> Self;

    #[must_use]
    fn lacks() -> &'static [&'static str] {
        &[]
    }

    fn transport(&self) -> Box<dyn Transport>;

    async fn make_exchange(&mut self, exchange: &str);

    async fn publish(&mut self, samples: Vec<SampleMessage>);

    fn depth(&self, queue: &str) -> UnsettledMessages;

    fn close_connections(&self);

    fn delete_queue(&self, queue: &str);

    /// Returns the queue that a consumer of the pool reads, as errors name it.
    fn queue(pool: &str) -> &str {
        pool
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsettledMessages {
    /// Only ready messages, because the broker counts no others.
    Ready(u64),
    Apart(u64, u64),
    /// Both kinds in one number, because the broker does not tell them apart.
    Together(u64),
}

#[derive(Clone, Debug)]
pub struct SampleMessage {
    pub exchange: String,
    pub routing_key: String,
    pub body: Vec<u8>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub compression: Option<String>,
}

impl SampleMessage {
    #[must_use]
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self {
            exchange: "neutron".to_owned(),
            routing_key: "notifications.info".to_owned(),
            body: body.into(),
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            compression: None,
        }
    }

    pub(crate) fn numbers(numbers: std::ops::Range<u32>) -> Vec<Self> {
        numbers.map(|n| Self::new(n.to_string())).collect()
    }
}

pub mod behaviours {
    pub use super::content::*;
    pub use super::ending::*;
    pub use super::flow::*;
    pub use super::intake::*;
    pub use super::memory::five_hundred_messages_of_100_kb_in_flight_stay_within_120_mb;
    pub use super::settling::*;
    pub use super::topology::*;
}

pub fn run<R: BrokerRig, F: Future<Output = ()>>(name: &str, behaviour: fn(R) -> F) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let all = async {
            if R::lacks().contains(&name) {
                return;
            }
            let rig = R::start().await;
            if !rig.transport().features().absent.contains(&name) {
                behaviour(rig).await;
            }
        };
        tokio::time::timeout(DEADLINE, all).await.expect("it takes too long");
    });
}

#[macro_export]
macro_rules! conformance {
    ($rig:ty) => {
        $crate::conformance! { @each $rig;
            a_subscription_opens_says_what_it_made_and_closes
            what_was_published_while_nobody_listened_waits
            messages_come_in_the_order_of_their_publication
            a_poll_brings_what_is_ready_and_no_more_than_its_room
            a_poll_that_was_given_up_loses_nothing
            pools_have_a_copy_each
            listeners_of_one_pool_share
            a_full_window_stops_deliveries_and_settling_resumes_them
            what_is_finished_behind_a_parked_message_is_acknowledged
            a_quiet_consumer_is_sent_nothing_and_can_still_settle
            what_waits_in_the_queue_is_known_without_taking_it
            what_is_acknowledged_never_comes_again
            what_is_unsettled_at_the_close_comes_again_in_order_and_marked
            what_is_given_back_comes_again_marked
            a_prefix_does_not_swallow_what_is_given_back
            a_message_of_an_earlier_connection_cannot_be_settled
            a_closed_connection_ends_the_consumer_recoverably
            after_each_of_many_lost_connections_every_unsettled_message_comes_again
            the_end_is_noticed_while_nothing_is_taken
            a_deleted_queue_ends_the_consumer_recoverably
            many_targets_feed_one_pool
            unknown_priorities_and_odd_routing_keys_arrive_as_they_are
            a_missing_exchange_is_waited_for_when_it_is_not_ours_to_make
            a_queue_of_ours_is_read_before_its_exchange_is_there
            an_empty_body_is_a_message
            a_body_of_4_mb_arrives_whole
            bytes_and_properties_arrive_as_they_were_sent
        }

        #[test]
        fn five_hundred_messages_of_100_kb_in_flight_stay_within_120_mb() {
            let path = concat!(module_path!(), "::five_hundred_messages_of_100_kb_in_flight_stay_within_120_mb");
            $crate::conformance::in_a_process_of_its_own(path, || {
                $crate::conformance::run::<$rig, _>(
                    "five_hundred_messages_of_100_kb_in_flight_stay_within_120_mb",
                    $crate::conformance::behaviours::five_hundred_messages_of_100_kb_in_flight_stay_within_120_mb,
                );
            });
        }
    };
    (@each $rig:ty; $($behaviour:ident)*) => {
        $(#[test]
        fn $behaviour() {
            $crate::conformance::run::<$rig, _>(stringify!($behaviour), $crate::conformance::behaviours::$behaviour);
        })*
    };
}
