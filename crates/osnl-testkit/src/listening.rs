use std::future::ready;

use osnl_model::{Priority, Target};
use osnl_transport::{
    BoxFuture, Consumer, Features, ListenOptions, OutgoingMessage, Tap, TapOptions, Transport, TransportError,
};

#[derive(Debug)]
pub struct ListenOnly<F> {
    listen: F,
    features: Features,
}

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
        Self { listen, features: Features { requeue: false, send: false, ..Features::USUAL } }
    }

    /// Makes it a broker that counts neither messages nor consumers.
    #[must_use]
    pub fn uncounted(mut self) -> Self {
        self.features.counts = false;
        self
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
        (self.listen)(to, options)
    }

    fn send<'a>(
        &'a self,
        _: &'a Target,
        _: &'a Priority,
        _: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(ready(Err(TransportError::OnlyListens { location: self.location() })))
    }

    fn tap<'a>(&'a self, _: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        Box::pin(ready(Err(TransportError::OnlyListens { location: self.location() })))
    }

    fn features(&self) -> Features {
        self.features
    }

    fn location(&self) -> String {
        "nowhere".to_owned()
    }
}
