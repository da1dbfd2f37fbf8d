//! The state of a listener. Logs, readiness, and the admin page read only this.

use std::sync::Arc;
use std::time::SystemTime;

/// Reports on the connections of a listener, and changes nothing of them. It must not wait.
pub trait ConnectionObserver: Send + Sync {
    /// An attempt to subscribe has ended.
    fn attempted(&self, is_connected: bool);
}

/// See the picture in the [listener's module](super).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerState {
    /// Not connected; `attempt` counts from 1 since the connection was lost, or since the start.
    Connecting {
        /// The attempt under way.
        attempt: u32,
    },
    /// Messages come in.
    Listening,
    /// Another consumer of the queue is the one that gets its messages, as far as is known.
    Standby,
    /// Nothing more can be kept, so nothing is read. The messages are with the broker: what it has pushed goes back
    /// after a while, and nothing is fetched before there is room.
    Blocked {
        /// When something moved last.
        since: SystemTime,
        /// The part that has no room, in words.
        reason: Arc<str>,
    },
    /// Nothing new is taken; what is open is being settled.
    Draining,
    /// It has ended.
    Stopped,
}

impl ListenerState {
    /// The word for it on every screen.
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

    /// Whether it has a subscription, or has given one back until there is room.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        match self {
            Self::Listening | Self::Standby | Self::Blocked { .. } => true,
            Self::Connecting { .. } | Self::Draining | Self::Stopped => false,
        }
    }
}
