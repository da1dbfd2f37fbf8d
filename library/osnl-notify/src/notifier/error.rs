use std::time::Duration;

use osnl_transport::TransportError;

/// An emission that failed, or whose outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Payload or context cannot be written as JSON.
    #[error("the notification cannot be written as JSON: {0}")]
    Payload(#[source] serde_json::Error),
    /// The buffer is full: the broker is away, or slower than the emissions. The emission was not accepted.
    #[error("all {capacity} places of the notifier's buffer are taken")]
    Full {
        /// The buffer's size in messages.
        capacity: usize,
    },
    /// The broker has not confirmed in time. The message stays in the buffer, and sending continues.
    #[error("not confirmed by the broker within {} s; it is still being tried", after.as_secs_f64())]
    NotYet {
        /// The time that the caller waited.
        after: Duration,
    },
    /// The message was given up.
    #[error("given up after {attempts} attempts: {source}")]
    Lost {
        /// The number of attempts; 0 for a message that was given up before its first attempt.
        attempts: u32,
        /// The error of the last attempt.
        source: TransportError,
    },
    /// The notifier was closed, or its runtime has ended.
    #[error("the notifier is closed")]
    Closed,
}

/// The losses that [`Notifier::flush`](super::Notifier::flush) and
/// [`Notifier::close`](super::Notifier::close) report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} messages are not confirmed by the broker, {lost} were given up{}", because(.reason.as_ref()))]
pub struct UnsentMessages {
    /// Messages that are still in the buffer.
    pub waiting: usize,
    /// Messages given up since the last flush.
    pub lost: u64,
    /// The error of the last failed attempt.
    pub reason: Option<String>,
}

fn because(reason: Option<&String>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// A notifier that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A messaging driver has no transport.
    #[error("the drivers messaging and messagingv2 need a transport: builder.transport(…)")]
    NoTransport,
    /// The transport can only listen, not send.
    #[error("{location}: this transport publishes nothing")]
    OnlyListens {
        /// The address of the transport's broker.
        location: String,
    },
    /// A messaging driver has no topic.
    #[error("the drivers messaging and messagingv2 need at least one topic")]
    NoTopic,
    /// The copies of one notification do not fit into the buffer.
    #[error("a buffer of {capacity} messages is too small: each notification needs {needed}")]
    SmallBuffer {
        /// The configured size of the buffer.
        capacity: usize,
        /// The number of topics times messaging drivers.
        needed: usize,
    },
    /// The notifier is built outside of a tokio runtime, which the background task needs.
    #[error("a notifier with a messaging driver is built within a tokio runtime")]
    NoRuntime,
}
