//! The log line of oss_watcher's that monitoring looks for when the broker is away, word for word; once per outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use osnl_model::{Priority, Target};
use osnl_transport::{
    Binding, BoxFuture, Consumer, Features, ListenOptions, Outgoing, QueueSeen, Reconnect, Tap, TapOptions,
    Transport, TransportError, transport_with,
};

use super::conf::Loaded;
use crate::action::http::HttpOptions;
use crate::daemon::Daemon;
use crate::metrics::Counters;
use crate::native::{BuildError, ListenerConf};

impl Loaded {
    /// What runs, with the program's own words for a broker that is away.
    ///
    /// # Errors
    /// As [`Native::daemon`](crate::native::Native::daemon).
    pub fn daemon(&self, http: &HttpOptions, counters: &Arc<Counters>) -> Result<Daemon, BuildError> {
        let said = |conf: &ListenerConf| {
            let inner = transport_with(&conf.transport_url, conf.rabbit.clone())?;
            Ok(Arc::new(Said { inner, away: AtomicBool::new(false) }) as Arc<dyn Transport>)
        };
        self.native.conf.daemon_with(&said, http, counters)
    }
}

struct Said {
    inner: Box<dyn Transport>,
    away: AtomicBool,
}

impl Transport for Said {
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async move {
            let consumer = self.inner.listen(to, options).await;
            if !self.away.swap(consumer.is_err(), Ordering::Relaxed) && consumer.is_err() {
                tracing::warn!(target: "oss_watcher::service", "Rabbit service is unavailable");
            }
            consumer
        })
    }

    fn send<'a>(
        &'a self,
        to: &'a Target,
        priority: &'a Priority,
        message: Outgoing,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        self.inner.send(to, priority, message)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }

    fn tap<'a>(&'a self, options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        self.inner.tap(options)
    }

    fn tidy<'a>(
        &'a self,
        superfluous: &'a [Binding],
        queues: &'a [String],
        alone: bool,
    ) -> BoxFuture<'a, Result<Vec<Option<QueueSeen>>, TransportError>> {
        self.inner.tidy(superfluous, queues, alone)
    }

    fn reconnect(&self) -> Reconnect {
        self.inner.reconnect()
    }

    fn features(&self) -> Features {
        self.inner.features()
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}
