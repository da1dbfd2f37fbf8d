//! Listening for notifications from a Rust program, in oslo.messaging's words.
//!
//! ```no_run
//! use osnl::notification_listener::{
//!     Handler, NotificationFilter, NotificationListener, Pattern, Target, TransportUrl,
//! };
//!
//! # async fn listen() -> Result<(), Box<dyn std::error::Error>> {
//! let url = TransportUrl::parse("rabbit://guest:guest@127.0.0.1:5672/")?;
//! let deleted_ports = NotificationFilter {
//!     event_type: Some(Pattern::new(r"^port\.delete\.end$")?),
//!     ..NotificationFilter::default()
//! };
//! let listener = NotificationListener::builder(&url)
//!     .target(Target::new("neutron", "notifications"))
//!     .pool("my-service")
//!     .endpoint(Handler::new(|received| async move {
//!         println!("{}", received.notification().payload);
//!     })
//!     .filter(deleted_ports))
//!     .build()?;
//! let running = listener.start();
//! tokio::signal::ctrl_c().await?;
//! running.stop();
//! running.wait().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What happens to a message
//!
//! 1. Its head is read. If no [`Endpoint`] matches it, by [`priorities`](Endpoint::priorities),
//!    [`filter`](Endpoint::filter), and [`wants`](Endpoint::wants), it is acknowledged; its payload is not read.
//! 2. The rest is read. A body that cannot be read is *set aside*, see below.
//! 3. The endpoints that match are called in the order in which they were given, one after the other, up to the first
//!    that answers [`Requeue`](NotificationResult::Requeue).
//! 4. All handled: it is acknowledged, now and not before.
//! 5. Requeue, or a panic, with [`allow_requeue`](Builder::allow_requeue): the message stays unacknowledged, waits
//!    ([`RequeuePolicy`]), and all its endpoints are asked again. After the last attempt it is set aside, or, with
//!    [`requeue_endlessly`](Builder::requeue_endlessly), given back to the broker, which delivers it again.
//!    When the listener stops in the meantime, the broker gets it back. Without `allow_requeue` it is
//!    acknowledged, with a warning.
//!
//! | | oslo.messaging | here |
//! | --- | --- | --- |
//! | an endpoint answers Requeue, or fails | given back and delivered again at once, without end | comes again after 1 s, 2 s, 4 s … 60 s; set aside after 10 attempts |
//! | order | none: 64 threads | per resource, or per queue ([`Order`]) |
//! | messages not yet handled | without limit | [`prefetch`](Builder::prefetch), 100 |
//! | a body that cannot be read | dropped, or redelivered without end | set aside with its bytes |
//! | connection lost | tried again with growing pauses | tried again each second; what was unacknowledged comes again, marked `redelivered`, and finds its first copy if that is still in work |
//!
//! Effects may therefore be repeated, never left out.
//!
//! # Set aside
//!
//! Kept with its bytes ([`RunningListener::set_aside`], the last thousand), told to
//! [`on_set_aside`](Builder::on_set_aside), said once in the log (queue, reason, digest; never the content), then
//! acknowledged. What each kind of malformed body comes to is a table in the manual, `docs/reference/malformed.md`.
//!
//! # Order and concurrency
//!
//! Up to [`concurrency`](Builder::concurrency) messages are with endpoints at a time. Messages about the same
//! resource are handled in the order of their arrival; one that waits to come again holds those behind it, and no
//! others. With [`Order::PerQueue`] it holds all.
//!
//! # Trying it without a broker
//!
//! ```
//! use osnl::notification_listener::{
//!     Handler, MemoryBroker, NotificationListener, NotificationResult, Priority, Target,
//! };
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = MemoryBroker::new();
//! let neutron = Target::new("neutron", "notifications");
//! let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel();
//! let running = NotificationListener::on(Arc::new(broker.transport()))
//!     .target(neutron.clone())
//!     .pool("doc")
//!     .endpoint(Handler::new(move |received| {
//!         let _ = seen.send(received.notification().event_type.clone());
//!         async { NotificationResult::Handled }
//!     }))
//!     .build()?
//!     .start();
//! running.listening().await;
//!
//! let body = r#"{"event_type": "port.delete.end", "priority": "INFO", "payload": {}}"#;
//! broker.publish(&neutron, &Priority::Info, body);
//! assert_eq!(saw.recv().await.flatten().as_deref(), Some("port.delete.end"));
//!
//! running.stop();
//! running.wait().await?;
//! assert_eq!(broker.ready("doc"), 0);
//! # Ok(())
//! # }
//! ```

mod builder;
mod dispatch;
mod endpoint;
mod handler;
mod requeue;
mod set_aside;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use builder::{BuildError, Builder, Order};
pub use endpoint::{Endpoint, NotificationResult, ReceivedNotification};
pub use handler::{Handler, HandlerAnswer};
pub use osnl_model::{Head, Notification, NotificationFilter, Pattern, Priority, Target, TransportUrl};
pub use osnl_transport::{BoxFuture, Declare, MemoryBroker, QueueKind, Transport, TransportError};
pub use requeue::RequeuePolicy;
pub use set_aside::SetAside;

use self::dispatch::Dispatch;
use crate::listener::Listener;
pub use crate::listener::ListenerState;
pub use crate::metrics::Counters;
pub use crate::shutdown::Shutdown;
pub use osnl_core::ended::RunEnd;

/// A listener that has not begun: oslo.messaging's `get_notification_listener`. See the [module](self).
pub struct NotificationListener {
    listener: Listener,
    dispatch: Arc<Dispatch>,
}

impl NotificationListener {
    /// Returns the builder of a listener at the brokers of a transport URL. [`Builder::build`] reports unusable parts
    /// of the URL.
    pub fn builder(url: &TransportUrl) -> Builder {
        Builder::of_url(url)
    }

    /// A listener on a transport that is there already, such as [`MemoryBroker::transport`].
    pub fn on(transport: Arc<dyn Transport>) -> Builder {
        Builder::of(Ok(transport))
    }

    /// Listens in a task of its own; call it within a tokio runtime.
    #[must_use = "a running listener that is dropped ends at once"]
    pub fn start(self) -> RunningListener {
        let dispatch = self.dispatch.clone();
        let state = self.listener.state();
        let mut task = JoinSet::new();
        task.spawn(self.run());
        RunningListener { dispatch, state, task }
    }

    /// Listens in the caller's task until its [`Shutdown`](Builder::shutdown) asks to drain; drop the future to end at
    /// once.
    ///
    /// # Errors
    /// The login or the virtual host was refused at the start, or no further attempt can succeed. If the broker is
    /// down, the listener waits.
    pub async fn run(self) -> Result<RunEnd, TransportError> {
        let Self { listener, dispatch } = self;
        let shutdown = dispatch.shutdown.clone();
        // Tasks of lanes end with this future, however it ends.
        let abort = shutdown.abort.clone().drop_guard();
        let ended = listener.run(shutdown.clone()).await;
        // After an error nothing waits for the messages still in work: they go back with the connection.
        shutdown.drain.cancel();
        dispatch.tasks.close();
        dispatch.tasks.wait().await;
        let aborted = shutdown.abort.is_cancelled();
        drop(abort);
        ended.map(|()| if aborted { RunEnd::Aborted } else { RunEnd::Drained })
    }
}

/// A listener at work. Dropped, it ends at once; what is unsettled goes back to the broker.
pub struct RunningListener {
    dispatch: Arc<Dispatch>,
    state: watch::Receiver<ListenerState>,
    task: JoinSet<Result<RunEnd, TransportError>>,
}

impl RunningListener {
    /// Takes nothing new and lets the calls under way finish; what waits, for its turn or to come again, goes back
    /// to the broker.
    pub fn stop(&self) {
        self.dispatch.shutdown.drain.cancel();
    }

    /// Waits for the end, which [`stop`](Self::stop) or an error brings about.
    ///
    /// # Errors
    /// As [`NotificationListener::run`].
    pub async fn wait(mut self) -> Result<RunEnd, TransportError> {
        self.join().await
    }

    /// Stops, and gives up what is in work after `deadline`.
    ///
    /// # Errors
    /// As [`NotificationListener::run`].
    pub async fn stop_within(mut self, deadline: Duration) -> Result<RunEnd, TransportError> {
        self.stop();
        if let Ok(ended) = tokio::time::timeout(deadline, self.join()).await {
            return ended;
        }
        self.dispatch.shutdown.abort.cancel();
        self.join().await.map(|_| RunEnd::DeadlinePassed)
    }

    /// Waits until it listens, or has ended.
    pub async fn listening(&self) {
        let mut state = self.state.clone();
        // An error: it has ended.
        let _ = state.wait_for(|state| state.is_subscribed() || *state == ListenerState::Stopped).await;
    }

    /// Returns the state of the listener.
    #[must_use]
    pub fn state(&self) -> ListenerState {
        self.state.borrow().clone()
    }

    /// Returns the counters since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.dispatch.counters
    }

    /// The last messages that were set aside, oldest first: a thousand, or 16 MiB of bodies.
    #[must_use]
    pub fn set_aside(&self) -> Vec<SetAside> {
        self.dispatch.shelf.all()
    }

    async fn join(&mut self) -> Result<RunEnd, TransportError> {
        match self.task.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(error)) => {
                tracing::error!(error = error.to_string(), "the listener ended by a panic");
                Ok(RunEnd::Aborted)
            }
            None => Ok(RunEnd::Aborted),
        }
    }
}
