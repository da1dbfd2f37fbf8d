use std::future::ready;

use osnl_model::{Priority, Target};
use osnl_transport::{
    Binding, BoxFuture, Consumer, Features, ListenOptions, OutgoingMessage, QueueKind, QueueSeen, Reconnect,
    Tap, TapOptions, Transport, TransportError,
};

#[derive(Debug)]
pub struct ListenOnly<F>(F);

impl<F> ListenOnly<F>
where
    F: for<'a> Fn(
            &'a [(Target, Priority)],
            &'a ListenOptions,
        ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>>
        + Send
        + Sync,
{
    pub const fn new(listen: F) -> Self {
        Self(listen)
    }
}

impl<F> Transport for ListenOnly<F>
where
    F: for<'a> Fn(
            &'a [(Target, Priority)],
            &'a ListenOptions,
        ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>>
        + Send
        + Sync,
{
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        (self.0)(to, options)
    }

    fn send<'a>(
        &'a self,
        _: &'a Target,
        _: &'a Priority,
        _: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(ready(Err(TransportError::OnlyListens { location: self.location() })))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    fn tap<'a>(&'a self, _: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        Box::pin(ready(Err(TransportError::OnlyListens { location: self.location() })))
    }

    fn tidy<'a>(
        &'a self,
        _: &'a [Binding],
        queues: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<QueueSeen>>, TransportError>> {
        Box::pin(ready(Ok(vec![None; queues.len()])))
    }

    fn reconnect(&self) -> Reconnect {
        Reconnect::default()
    }

    fn queue_access(&self) -> Option<&dyn osnl_transport::QueueAccess> {
        None
    }

    fn oslo_queue(&self) -> QueueKind {
        QueueKind::OSLO
    }

    fn features(&self) -> Features {
        Features { requeue: false, send: false, absent: &[], framing: None, keys: false, partitions: false }
    }

    fn certificate_ends(&self) -> Option<i64> {
        None
    }

    fn location(&self) -> String {
        "nowhere".to_owned()
    }

    fn remedy(&self, _: &TransportError, _: &[(Target, Priority)], _: &ListenOptions) -> Option<String> {
        None
    }
}
