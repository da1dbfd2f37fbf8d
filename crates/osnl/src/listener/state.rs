//! The state of a listener, the only source of logs, readiness, and the admin page.

use std::sync::Arc;
use std::time::SystemTime;

/// An observer of connections, which must not wait.
pub trait ConnectionObserver: Send + Sync {
    /// Called before the first attempt since the start, or since a connection was lost.
    fn connecting(&self);
    /// Called after each attempt to connect.
    fn attempted(&self, is_connected: bool);
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerState {
    /// `attempt` counts from 1 since the loss or the start.
    Connecting {
        attempt: u32,
    },
    Listening,
    Standby,
    /// Nothing more can be kept, so nothing is read. Pushed messages return to the broker after a while.
    Blocked {
        since: SystemTime,
        reason: Arc<str>,
    },
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

    /// Whether there is a subscription, or one was returned until there is room.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        match self {
            Self::Listening | Self::Standby | Self::Blocked { .. } => true,
            Self::Connecting { .. } | Self::Draining | Self::Stopped => false,
        }
    }
}
