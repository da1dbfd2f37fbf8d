//! Why a notification, or a notifier, is not what was asked for.

use std::time::Duration;

use osnl_transport::TransportError;

/// An emission that failed, or is not known to have succeeded.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Payload or context cannot be written as JSON.
    #[error("the notification cannot be written as JSON: {0}")]
    Payload(#[source] serde_json::Error),
    /// No place in the buffer: the broker is away or slower than what is emitted. Nothing was taken.
    #[error("all {capacity} places of the notifier's buffer are taken")]
    Full {
        /// The buffer's size in messages.
        capacity: usize,
    },
    /// Not confirmed in time. It stays in the buffer and is still being tried.
    #[error("not confirmed by the broker within {} s; it is still being tried", after.as_secs_f64())]
    NotYet {
        /// The length of the wait.
        after: Duration,
    },
    /// Given up.
    #[error("given up after {attempts} attempts: {source}")]
    Lost {
        /// The number of attempts; 0 for a message that was given up before its first attempt.
        attempts: u32,
        /// Why the last one failed.
        source: TransportError,
    },
    /// The notifier was closed, or its runtime has ended.
    #[error("the notifier is closed")]
    Closed,
}

/// The losses that [`Notifier::flush`](super::Notifier::flush) and [`Notifier::close`](super::Notifier::close) report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} messages are not confirmed by the broker, {lost} were given up{}", because(.reason.as_ref()))]
pub struct UnsentMessages {
    /// Messages still in the buffer.
    pub waiting: usize,
    /// Messages given up since the last flush.
    pub lost: u64,
    /// The reason of the last failed attempt.
    pub reason: Option<String>,
}

fn because(reason: Option<&String>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// A notifier that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A messaging driver has nowhere to send to.
    #[error("the drivers messaging and messagingv2 need a transport: builder.transport(…)")]
    NoTransport,
    /// The transport only listens.
    #[error("{location}: this transport publishes nothing")]
    OnlyListens {
        /// The address that it connects to.
        location: String,
    },
    /// A messaging driver has no topic.
    #[error("the drivers messaging and messagingv2 need at least one topic")]
    NoTopic,
    /// The copies of one notification do not fit into the buffer.
    #[error("a buffer of {capacity} messages is too small: each notification needs {needed}")]
    SmallBuffer {
        /// The size asked for.
        capacity: usize,
        /// Topics times messaging drivers.
        needed: usize,
    },
    /// Built outside of a tokio runtime, which the background task needs.
    #[error("a notifier with a messaging driver is built within a tokio runtime")]
    NoRuntime,
}
