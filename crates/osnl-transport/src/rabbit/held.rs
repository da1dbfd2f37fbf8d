//! A connection that closes when its holder drops it, also in the middle of a set-up.
//!
//! The client library closes a connection after its last handle is dropped, but a future that waits for the broker's
//! reply is a handle too. An abandoned subscription would stay at the broker with an unread consumer. In a queue with a
//! single active consumer that consumer could be active, and the queue would stall.

use std::ops::Deref;
use std::time::Duration;

use futures_util::FutureExt as _;
use lapin::Connection;

/// The longest wait for the broker's answer to a close.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that is closed on drop.
pub(super) struct ConnectionGuard(Connection);

impl ConnectionGuard {
    pub(super) const fn new(connection: Connection) -> Self {
        Self(connection)
    }
}

impl Deref for ConnectionGuard {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        // The first poll hands the frame to the library, which sends it; the answer is not needed. A closed connection
        // refuses.
        let _ = self.0.close(200, "given up".into()).now_or_never();
    }
}
