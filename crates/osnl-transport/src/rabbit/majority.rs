//! Notices that the broker's node has been cut off from the other nodes, on RabbitMQ 4.3 and later.
//!
//! Such a node keeps its connections, answers heartbeats and does not notify its consumers. Meanwhile the other nodes
//! give the messages to the next consumer
//! ([`CONSUMER_DISCONNECTED_TIMEOUT`](crate::topology::CONSUMER_DISCONNECTED_TIMEOUT)). Before 4.3, `pause_minority`
//! closes the connection.
//!
//! The test makes an existing binding again: this changes nothing, and only a majority of the nodes can
//! answer. Measured on a cluster of three (4.3.6, loopback): 3 ms and two entries in the log of the metadata;
//! a node that is cut off answers after 30 s, with 541. That node answers a passive look at the queue in 1
//! ms, a published message would wait behind others, and an alarm stops a connection that publishes.
//!
//! A question every 5 s with 10 s for its answer ends the subscription at most 15 s after the cut, before the next
//! consumer begins. A queue whose bindings are not osnl's is not watched.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueBindOptions;
use lapin::types::FieldTable;
use tokio::time::{sleep, timeout};

use super::held::ConnectionGuard;
use crate::topology::Binding;
use crate::{BoxFuture, TransportError};

const EVERY: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// Waits until a majority does not answer in time. An error ends the watch: the exchange is missing, the permission is
/// missing, or the connection is lost, which ends the deliveries by itself.
pub(super) fn lost_majority(
    connection: Arc<ConnectionGuard>,
    binding: Binding,
) -> BoxFuture<'static, TransportError> {
    Box::pin(unanswered(move || bind_again(connection.clone(), binding.clone())))
}

async fn bind_again(connection: Arc<ConnectionGuard>, binding: Binding) -> Result<(), lapin::Error> {
    let channel = connection.create_channel().await?;
    let Binding { queue, exchange, routing_key } = &binding;
    let (queue, exchange, key) =
        (queue.as_str().into(), exchange.as_str().into(), routing_key.as_str().into());
    channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default()).await?;
    channel.close(200, "asked".into()).await
}

async fn unanswered<E, F>(ask: impl Fn() -> F) -> TransportError
where
    E: std::fmt::Display,
    F: Future<Output = Result<(), E>>,
{
    loop {
        sleep(EVERY).await;
        match timeout(ANSWER, ask()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "the majority of the broker's nodes is not asked any more");
                return std::future::pending().await;
            }
            Err(_) => {
                let reason = format!(
                    "the broker's node has not reached a majority of its cluster for {} s, so another daemon may read the \
                     queue soon",
                    ANSWER.as_secs()
                );
                return TransportError::Lost { reason };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;
    use crate::topology::CONSUMER_DISCONNECTED_TIMEOUT;

    async fn noticed(cut: u64) -> Duration {
        let begun = Instant::now();
        let cut = Duration::from_secs(cut);
        let error = unanswered(|| async move {
            if begun.elapsed() >= cut {
                std::future::pending::<()>().await;
            }
            Ok::<_, String>(())
        })
        .await;
        assert!(error.is_recoverable() && error.to_string().contains("a majority"), "{error}");
        begun.elapsed() - cut
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_cut_off_is_left_before_the_next_consumer_begins() {
        for cut in [1, 3600, 3601, 3604] {
            let after = noticed(cut).await;
            assert!(after <= EVERY + ANSWER, "{cut}: {after:?}");
        }
        assert!((EVERY + ANSWER).as_millis() < CONSUMER_DISCONNECTED_TIMEOUT.into());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_no_subscription() {
        let asked = Cell::new(0);
        let watch = unanswered(|| {
            asked.set(asked.get() + 1);
            std::future::ready(Err::<(), _>("403 ACCESS_REFUSED"))
        });
        assert!(timeout(Duration::from_secs(3600), watch).await.is_err());
        assert_eq!(asked.get(), 1);
    }
}
