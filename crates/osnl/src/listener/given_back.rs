//! The wait for room of a listener that has returned its messages.
//!
//! A listener consumes again only once it has room, so two blocked daemons do not pass a queue with a single active
//! consumer to and fro.

use std::time::{Duration, SystemTime};

use osnl_transport::Consumer;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Listener;
use super::blockade::Returns;
use super::gauges::ConnectionTrouble;
use super::state::ListenerState;
use crate::journal::Obstacle;
use crate::shutdown::Shutdown;

const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The length of a subscription below which the next may be as short.
const SHORT: Duration = Duration::from_secs(10);
const RESUBSCRIBED: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);

impl Listener {
    /// Closes the channel and waits for room; returns `false` on shutdown.
    pub(super) async fn give_back(
        &self,
        consumer: Box<dyn Consumer>,
        returns: &mut Returns,
        (since, reason, window_full): (Instant, String, bool),
        shutdown: &Shutdown,
    ) -> bool {
        let found = consumer.subscription();
        let queues: Vec<String> = found.queues().iter().map(ToString::to_string).collect();
        let ended = self.ended();
        let pause = returns.given_back(self.config.give_back_after, Instant::now());
        consumer.close().await;
        tracing::warn!(
            listener.name = &*self.config.name,
            queue.name = queues.join(", "),
            reason,
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
            let begun = SystemTime::now();
            let shown = async {
                loop {
                    let reason = self.endpoint.obstacle().map_or_else(|| reason.clone(), |o| o.to_string());
                    self.blocked(begun, format!("{reason}; what was handed over is given back{also}"));
                    sleep(CHECK_INTERVAL).await;
                }
            };
            let not_before = Instant::now() + pause;
            let room = async {
                sleep_until(not_before).await;
                while window_full && ended.is_some() && self.ended() == ended {
                    sleep(CHECK_INTERVAL.min(self.config.give_back_after)).await;
                }
                while self.endpoint.reserve(1).await == 0 {}
            };
            tokio::select! {
                () = shown => {}
                () = room => {}
            }
        };
        tokio::select! {
            biased;
            () = shutdown.abort.cancelled() => return false,
            () = shutdown.drain.cancelled() => return false,
            () = wait => {}
        }
        tracing::info!(listener.name = &*self.config.name, "there is room again: the listener reads on");
        true
    }

    /// Waits before the listener subscribes again, if a subscription that the journal has refused was so short that the next
    /// one may be refused too; the status names the reason meanwhile. Returns whether it is to go on.
    pub(super) async fn before_resubscribing(&self, shutdown: &Shutdown, lasted: Option<Duration>) -> bool {
        let Some(lasted) = lasted else { return true };
        let pause = if lasted < SHORT { RESUBSCRIBED } else { Duration::ZERO };
        self.gauges.failed(Some(ConnectionTrouble {
            reason: "the journal no longer counts this daemon as the reader of the queue; its messages went back to the \
                     broker, and it subscribes again"
                .to_owned(),
            remedy: None,
            attempts: 0,
            next: SystemTime::now() + pause,
        }));
        self.enter(ListenerState::Connecting { attempt: 1 });
        tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => false,
            () = sleep(pause) => true,
        }
    }

    fn ended(&self) -> Option<u64> {
        match self.endpoint.obstacle()? {
            Obstacle::NoPlace { ended, .. } => Some(ended),
            Obstacle::Full { .. } | Obstacle::Failed { .. } | Obstacle::ActionFull { .. } => None,
        }
    }

    async fn others(&self, queues: &[String]) -> Option<u32> {
        let seen = timeout(ANSWER, self.transport.tidy(&[], queues)).await.ok()?.ok()?;
        seen.into_iter().map(|seen| seen.map(|seen| seen.consumers)).sum()
    }
}
