use std::any::Any;
use std::sync::Arc;

use osnl_transport::{BoxFuture, Subscription, Transport};

use super::{GapBook, GapScope, Gauges, Listener};

/// Watches what a connection does not show: policies, other consumers, the services' queues, alarms of the broker.
///
/// The listener starts a watch with each connection. What it sees is read by those who show it, from the value that
/// [`Listener::with_oversight`] was given. Nothing that is seen changes what the listener does.
pub trait Oversight: Any + Send + Sync {
    /// Watches until the future is dropped, which ends with the connection.
    fn watch<'a>(&'a self, listener: OverseenListener<'a>) -> BoxFuture<'a, ()>;
}

/// The listener of an [`Oversight`], as long as one connection lasts.
#[derive(Clone, Copy)]
pub struct OverseenListener<'a> {
    pub name: &'a Arc<str>,
    pub found: &'a Subscription,
    pub transport: &'a dyn Transport,
    pub gauges: &'a Gauges,
    /// The record of gaps, and the part of the listener in it.
    pub gaps: (&'a GapBook, &'a GapScope),
}

impl Listener {
    pub(super) async fn oversee(&self, found: &Subscription) {
        let Some(oversight) = &self.oversight else { return };
        let (name, transport, gauges) = (&self.config.name, &*self.transport, &*self.gauges);
        let gaps = (&*self.gaps.0, &self.gaps.1);
        oversight.watch(OverseenListener { name, found, transport, gauges, gaps }).await;
    }
}
