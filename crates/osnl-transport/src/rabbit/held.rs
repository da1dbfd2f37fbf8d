//! A connection that is closed when its holder lets go of it, also in the middle of a set-up.
//!
//! The client library closes one whose last handle has gone, but a future that still waits for a reply of the broker
//! is a handle too. A subscription that is given up while it is being made would stay at the broker, with a consumer
//! that no code reads. In a queue with a single active consumer it could be the active one, and the queue would stall.

use std::ops::Deref;

use futures_util::FutureExt as _;
use lapin::Connection;

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
        // The first poll hands it to the library, which sends it; nobody waits for the answer. One that is closed refuses.
        let _ = self.0.close(200, "given up".into()).now_or_never();
    }
}
