//! What a listener is doing. Logs, readiness and the admin page read this and nothing else.

/// See the picture in the [listener's module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerState {
    /// Not connected; `attempt` counts from 1 since the connection was lost, or since the start.
    Connecting {
        /// The attempt under way.
        attempt: u32,
    },
    /// Messages come in.
    Listening,
    /// Nothing new is taken; what is open is being settled.
    Draining,
    /// It has ended.
    Stopped,
}
