//! The right to read, on a journal that several daemons share, where the broker does not choose one reader.
//!
//! A stream gives every message to every consumer, and Kafka moves partitions between the members of a group while their messages
//! are under way. So one daemon reads, the one that has the lease; the others do not connect. It keeps the lease over a lost
//! connection, and gives it back when the broker cannot be reached: another daemon may reach it.

use std::future::pending;
use std::sync::{Arc, Weak};

use futures_util::FutureExt as _;
use osnl_transport::{BoxFuture, QueueType};

use super::Listener;
use crate::journal::shared::{SharedJournal, StreamLease};

/// The lease of a listener's stream or group.
pub(super) struct ReadLease {
    journal: Arc<dyn SharedJournal>,
    listener: Arc<str>,
    queue: String,
    held: Option<Arc<dyn StreamLease>>,
}

impl ReadLease {
    /// `None` for a listener that needs none.
    pub(super) fn of(listener: &Listener) -> Option<Self> {
        let is_stream = listener.config.options.queue.queue_type == QueueType::Stream;
        if !is_stream && !listener.transport.features().partitions {
            return None;
        }
        let (journal, queue) = (listener.shared.clone()?, listener.queues().into_iter().next()?);
        Some(Self { journal, listener: listener.config.name.clone(), queue, held: None })
    }

    /// Returns the stream or group.
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// Whether this daemon has the lease; one that was lost meanwhile is dropped.
    pub(super) fn is_held(&mut self) -> bool {
        self.held.take_if(|held| held.lost().now_or_never().is_some());
        self.held.is_some()
    }

    /// Waits until no other daemon reads, and takes the lease; returns it. Cancel-safe.
    pub(super) async fn take(&mut self) -> Weak<dyn StreamLease> {
        // A journal that is closed keeps nothing: the daemon ends.
        let Some(lease) = self.journal.lease_stream(&self.listener, &self.queue).await else {
            return pending().await;
        };
        let lease: Arc<dyn StreamLease> = lease.into();
        let held = Arc::downgrade(&lease);
        self.held = Some(lease);
        held
    }

    /// Completes when another daemon has the lease; never without one.
    pub(super) fn lost(&self) -> BoxFuture<'static, ()> {
        match &self.held {
            Some(held) => held.lost(),
            None => Box::pin(pending()),
        }
    }

    pub(super) fn give_back(&mut self) {
        self.held = None;
    }
}
