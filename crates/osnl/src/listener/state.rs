//! The state of a listener, the only source of logs, readiness, and the admin page.

use std::sync::Arc;
use std::time::SystemTime;

/// An observer of a listener's connections, which must not wait.
pub trait ConnectionObserver: Send + Sync {
    fn attempted(&self, is_connected: bool);
}

/// The states of the diagram in the [listener's module](super).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerState {
    /// No connection; `attempt` counts from 1 since the loss or the start.
    Connecting {
        attempt: u32,
    },
    Listening,
    /// Another consumer of the queue receives its messages, as far as is known.
    Standby,
    /// Nothing more can be kept, so nothing is read. Pushed messages return to the broker after a while, and none is
    /// fetched before there is room.
    Blocked {
        since: SystemTime,
        reason: Arc<str>,
    },
    /// No new message is taken, while open messages are settled.
    Draining,
    Stopped,
}

impl ListenerState {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Listening => "listening",
            Self::Standby => "standby",
            Self::Blocked { .. } => "blocked",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }

    /// Whether the listener has a subscription, or has returned one until there is room.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        match self {
            Self::Listening | Self::Standby | Self::Blocked { .. } => true,
            Self::Connecting { .. } | Self::Draining | Self::Stopped => false,
        }
    }
}
