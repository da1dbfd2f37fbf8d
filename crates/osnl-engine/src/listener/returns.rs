//! Messages that go back to the broker: when ([`blockade`]), how many come again ([`count`]), and the wait for room of a
//! listener that has returned its messages.
//!
//! A listener consumes again only once it has room, so two blocked daemons do not pass a queue with a single active
//! consumer to and fro. It also does once its queue is gone, since a subscription alone makes it anew.

mod blockade;
mod count;

use std::time::Duration;

use osnl_core::epoch;
use osnl_transport::Consumer;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(super) use self::blockade::{Blockade, Returns, WaitVerdict};
pub(super) use self::count::{ReturnCount, ReturnVerdict};
use super::{BlockReason, Listener};
use osnl_core::shutdown::Shutdown;
use osnl_journal::Obstacle;

const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);

impl Listener {
    /// Closes the channel and waits for room, or until `looks` find the queue gone; returns `false` on shutdown.
    pub(super) async fn give_back(
        &self,
        consumer: Box<dyn Consumer>,
        returns: &mut Returns,
        (since, reason, window_full): (Instant, BlockReason, bool),
        looks: impl Future<Output = ()>,
        shutdown: &Shutdown,
    ) -> bool {
        let found = consumer.subscription();
        let queues: Vec<String> = found.queues().iter().map(ToString::to_string).collect();
        let ended = self.ended();
        let pause = returns.given_back(self.config.give_back_after, Instant::now());
        debug_assert!(!pause.is_zero(), "messages that return to the broker are not read again at once");
        consumer.close().await;
        tracing::warn!(
            listener.name = &*self.config.name,
            queue.name = queues.join(", "),
            reason = &*reason.words,
            blocked.seconds = since.elapsed().as_secs(),
            pause.seconds = pause.as_secs(),
            "what the broker had handed over and nothing could keep is given back; the listener reads again when there \
             is room"
        );
        let wait = async {
            let also = match self.others(&queues).await {
                Some(0) => String::new(),
                Some(others) => {
                    tracing::warn!(
                        listener.name = &*self.config.name,
                        queue.name = queues.join(", "),
                        queue.consumers = others,
                        "another consumer reads the queue now: order holds for each daemon, not over both"
                    );
                    "; another consumer reads the queue now, and order holds for each daemon".to_owned()
                }
                None => "; whether another consumer reads the queue now is not known".to_owned(),
            };
            let begun = epoch::now();
            let shown = async {
                loop {
                    let obstacle = self.intake.obstacle();
                    let now = obstacle.map_or_else(|| reason.clone(), |obstacle| (&obstacle).into());
                    let words = format!("{now}; what was handed over is given back{also}").into();
                    self.blocked(begun, BlockReason { words, ..now });
                    sleep(CHECK_INTERVAL).await;
                }
            };
            let not_before = Instant::now() + pause;
            let room = async {
                sleep_until(not_before).await;
                while window_full && ended.is_some() && self.ended() == ended {
                    sleep(CHECK_INTERVAL.min(self.config.give_back_after)).await;
                }
                while self.intake.reserve(1).await == 0 {}
            };
            tokio::select! {
                biased;
                () = shown => {}
                () = room => {}
            }
        };
        tokio::select! {
            biased;
            () = shutdown.abort.cancelled() => return false,
            () = shutdown.drain.cancelled() => return false,
            () = wait => {}
            () = looks => {
                tracing::warn!(
                    listener.name = &*self.config.name,
                    queue.name = queues.join(", "),
                    "the queue is gone: the listener subscribes again without room, so that the broker keeps what is \
                     published from now on"
                );
                return true;
            }
        }
        tracing::info!(listener.name = &*self.config.name, "there is room again: the listener reads on");
        true
    }

    fn ended(&self) -> Option<u64> {
        match self.intake.obstacle()? {
            Obstacle::NoPlace { ended, .. } => Some(ended),
            Obstacle::Full { .. } | Obstacle::Failed { .. } | Obstacle::ActionFull { .. } => None,
        }
    }

    async fn others(&self, queues: &[String]) -> Option<u32> {
        let seen = timeout(ANSWER, self.transport.tidy(&[], queues)).await.ok()?.ok()?;
        seen.into_iter().map(|seen| seen.map(|seen| seen.consumers)).sum()
    }
}
