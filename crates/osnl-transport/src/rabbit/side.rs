use std::borrow::Borrow;

use lapin::{Channel, Connection};

use super::failure::OperationFailure;

/// A channel for questions, opened anew after each refusal.
pub(super) struct SideChannel<C> {
    connection: C,
    channel: Option<Channel>,
}

impl<C: Borrow<Connection>> SideChannel<C> {
    pub(super) const fn new(connection: C) -> Self {
        Self { connection, channel: None }
    }

    pub(super) const fn connection(&self) -> &C {
        &self.connection
    }

    pub(super) fn into_connection(self) -> C {
        self.connection
    }

    /// Returns the open channel or a new one. The caller must report a refusal to [`closed_by`](Self::closed_by).
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

    pub(super) fn closed_by(&mut self, what: &str, error: lapin::Error) -> OperationFailure {
        self.channel = None;
        OperationFailure { what: what.to_owned(), error }
    }

    /// Lets go of a channel whose answer has not come, which closes it.
    pub(super) fn forget_channel(&mut self) {
        self.channel = None;
    }

    pub(super) async fn close_channel(&mut self, why: &str) {
        if let Some(channel) = self.channel.take() {
            let _ = channel.close(200, why.into()).await;
        }
    }
}
