//! Listening for notifications from a Rust program, in oslo.messaging's terms.
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
//! 1. The listener reads the head. A message that no [`Endpoint`] matches ([`priorities`](Endpoint::priorities),
//!    [`filter`](Endpoint::filter), [`wants`](Endpoint::wants)) is acknowledged without reading its payload.
//! 2. The listener reads the rest. An unreadable body is *set aside*, see below.
//! 3. The matching endpoints are called in order, up to the first [`Requeue`](NotificationResult::Requeue).
//! 4. A message that all endpoints handled is acknowledged, and not before.
//! 5. After a requeue or a panic, with [`allow_requeue`](Builder::allow_requeue), the message waits
//!    ([`RequeuePolicy`]), and all its endpoints are called again. After the last attempt the message is set aside, or
//!    with [`requeue_endlessly`](Builder::requeue_endlessly) returned to the broker, as by a stop. Without
//!    `allow_requeue` the message is acknowledged, with a warning.
//!
//! | | oslo.messaging | here |
//! | --- | --- | --- |
//! | an endpoint answers Requeue, or fails | redelivered at once, without end | called again after 1 s, 2 s, 4 s … 60 s; set aside after 10 attempts |
//! | order | none: 64 threads | per resource, or per queue ([`Order`]) |
//! | messages not yet handled | without limit | [`prefetch`](Builder::prefetch), 100 |
//! | a body that cannot be read | dropped, or redelivered without end | set aside with its bytes |
//! | connection lost | retried with growing pauses | retried each second; a redelivered message finds its first copy if still in work |
//!
//! Effects may therefore be repeated, and are omitted only if the broker drops the message: RabbitMQ 4 does so at its
//! 21st return to a quorum queue without a `delivery-limit` (the default is 20), where each lost connection counts. The
//! policy `delivery-limit = -1` permits any number.
//!
//! # Set aside
//!
//! A message is kept with its bytes ([`RunningListener::set_aside`]), reported to
//! [`on_set_aside`](Builder::on_set_aside) and the log (never the content), then acknowledged.
//! `docs/reference/malformed.md` lists each kind of malformed body.
//!
//! # Order and concurrency
//!
//! Up to [`concurrency`](Builder::concurrency) messages are with endpoints at a time. Messages about the same resource
//! are handled in order of arrival. A message that waits for a retry delays only those of its resource, or all with
//! [`Order::PerQueue`].
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

pub use builder::{BuildError, Builder};
pub use dispatch::Order;
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

/// A listener that is not started, as from oslo.messaging's `get_notification_listener`.
pub struct NotificationListener {
    listener: Listener,
    dispatch: Arc<Dispatch>,
}

impl NotificationListener {
    /// Returns the builder for a transport URL. [`Builder::build`] reports unusable parts of the URL.
    pub fn builder(url: &TransportUrl) -> Builder {
        Builder::from_url(url)
    }

    pub fn on(transport: Arc<dyn Transport>) -> Builder {
        Builder::new(Ok(transport))
    }

    /// Listens in a task of its own; requires a tokio runtime.
    #[must_use = "a running listener that is dropped ends at once"]
    pub fn start(self) -> RunningListener {
        let dispatch = self.dispatch.clone();
        let state = self.listener.state();
        let mut task = JoinSet::new();
        task.spawn(self.run());
        RunningListener { dispatch, state, task }
    }

    /// Listens in the caller's task until its [`Shutdown`](Builder::shutdown) asks to drain. Dropping the future ends
    /// it at once.
    ///
    /// # Errors
    /// The broker refused access at the start, or no further attempt can succeed: running calls are then abandoned. If
    /// the broker is down, the listener waits.
    pub async fn run(self) -> Result<RunEnd, TransportError> {
        let Self { listener, dispatch } = self;
        let shutdown = dispatch.shutdown.clone();
        let abort = shutdown.abort.clone().drop_guard();
        let ended = listener.run(shutdown.clone()).await;
        // After an error no call can settle its message, which comes again. A call may last as long as its target is down.
        if ended.is_err() {
            shutdown.abort.cancel();
        }
        shutdown.drain.cancel();
        dispatch.tasks.close();
        dispatch.tasks.wait().await;
        let aborted = shutdown.abort.is_cancelled();
        drop(abort);
        ended.map(|()| if aborted { RunEnd::Aborted } else { RunEnd::Drained })
    }
}

/// A running listener, whose drop returns unsettled messages to the broker at once.
pub struct RunningListener {
    dispatch: Arc<Dispatch>,
    state: watch::Receiver<ListenerState>,
    task: JoinSet<Result<RunEnd, TransportError>>,
}

impl RunningListener {
    /// Takes no new message and lets running calls finish. Other messages return to the broker.
    pub fn stop(&self) {
        self.dispatch.shutdown.drain.cancel();
    }

    pub async fn wait(mut self) -> Result<RunEnd, TransportError> {
        self.join().await
    }

    /// Stops, and after `deadline` abandons the messages in work.
    pub async fn stop_within(mut self, deadline: Duration) -> Result<RunEnd, TransportError> {
        self.stop();
        if let Ok(ended) = tokio::time::timeout(deadline, self.join()).await {
            return ended;
        }
        self.dispatch.shutdown.abort.cancel();
        self.join().await.map(|_| RunEnd::DeadlinePassed)
    }

    pub async fn listening(&self) {
        let mut state = self.state.clone();
        let _ = state.wait_for(|state| state.is_subscribed() || *state == ListenerState::Stopped).await;
    }

    #[must_use]
    pub fn state(&self) -> ListenerState {
        self.state.borrow().clone()
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.dispatch.counters
    }

    /// Returns the last thousand messages set aside, up to 16 MiB, oldest first.
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
