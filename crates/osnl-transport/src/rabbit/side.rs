//! The channel on which the broker is asked what it may refuse.

use std::borrow::Borrow;

use lapin::{Channel, Connection};

use super::failure::OperationFailure;

/// A channel that a refusal closes, and that is opened again when it is needed. The connection is its own, or lent.
pub(super) struct SideChannel<C> {
    connection: C,
    channel: Option<Channel>,
}

impl<C: Borrow<Connection>> SideChannel<C> {
    /// Opens nothing yet.
    pub(super) const fn new(connection: C) -> Self {
        Self { connection, channel: None }
    }

    pub(super) const fn connection(&self) -> &C {
        &self.connection
    }

    pub(super) fn into_connection(self) -> C {
        self.connection
    }

    /// Returns the open channel, or a new one. A caller that gets a refusal on it reports that to
    /// [`closed_by`](Self::closed_by).
    pub(super) async fn channel(&mut self) -> Result<Channel, OperationFailure> {
        if let Some(channel) = &self.channel {
            return Ok(channel.clone());
        }
        let opened = self.connection.borrow().create_channel().await;
        let channel =
            opened.map_err(|error| OperationFailure { what: "open a channel".to_owned(), error })?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }

    /// The channel has gone with this error.
    pub(super) fn closed_by(&mut self, what: &str, error: lapin::Error) -> OperationFailure {
        self.channel = None;
        OperationFailure { what: what.to_owned(), error }
    }

    /// Closes the channel, if there is one, and leaves the connection open.
    pub(super) async fn close_channel(&mut self, why: &str) {
        if let Some(channel) = self.channel.take() {
            // A channel that cannot be closed goes with its connection.
            let _ = channel.close(200, why.into()).await;
        }
    }
}
