//! Emits notifications: oslo.messaging's Notifier, with the same names, bytes, and routing.
//!
//! ```
#![doc = include_str!("../examples/notify.rs")]
//! ```
//!
//! Each of the seven methods builds a notification, hands it to every driver, and puts the broker's copies into a
//! bounded buffer. A task of the notifier publishes from the buffer; many messages wait for their confirms at the same
//! time. While the broker is down, the task tries one of them about once a second.
//!
//! | question | answer |
//! | --- | --- |
//! | When is an emission done? | [`Confirm::Awaited`]: when the broker has confirmed every copy, at most after the given time. [`Confirm::Background`]: when it is in the buffer |
//! | What if the buffer is full? | [`OnFull::Wait`] waits for a place, at most as long as given; [`OnFull::Error`] fails at once |
//! | What if the broker is down or blocks? | An emission waits no longer than these two times together. The buffer keeps the messages |
//! | How often is a message tried? | [`Retry`]: without limit, or n more times |
//! | Which failures are final? | A `mandatory` message that no queue takes, and a message that is too large for the broker |
//! | How is a failure reported? | One log line for each message, [`Counters`], the error of the caller that awaits it, and the error of the next [`Notifier::flush`] |
//! | Are there duplicates? | If the connection is lost before the confirm, the message is sent again with the same ids |
//! | Is the order kept? | For each notifier, unless a message is sent again |
//!
//! A notifier also emits versioned notifications: see [`versioned`](crate::versioned).
//!
//! [`Notifier::close`] waits for the buffer and reports what is left. A dropped notifier gives up its buffer, with a log
//! line for each message.
//!
//! Unlike oslo.messaging, which drops a plain dict, the notifier sends every context. As there, `auth_token` leaves as
//! null.
//!
#![doc = include_str!("notifier/guide.md")]

mod builder;
mod counters;
mod driver;
mod emitter;
mod error;
mod job;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use osnl_model::{Compression, Emission, Framing, Priority, Target, to_python_json};
use osnl_transport::{Declare, OutgoingMessage, stamp};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use builder::{Confirm, NotifierBuilder, OnFull, Retry};
pub use counters::{Counter, Counters};
pub use driver::Driver;
pub use error::{BuildError, NotifyError, UnsentMessages};

use self::job::{EmissionJob, EmissionOutcome, Label};
use self::worker::WorkerOrder;
use crate::versioned::Topics;
pub use crate::{Context, Recorder, RequestContext};

/// An emitter of notifications; see the [module](self). Clones and results of [`prepare`](Self::prepare)
/// share buffer and counters.
#[derive(Clone)]
pub struct Notifier {
    shared: Arc<NotifierState>,
    publisher_id: Arc<str>,
    retry: Retry,
    targets: Arc<[Arc<Target>]>,
}

struct NotifierState {
    drivers: Vec<Driver>,
    confirm: Confirm,
    on_full: OnFull,
    declare: Declare,
    mandatory: bool,
    compression: Option<Compression>,
    /// The only framing that readers of the broker know, if there is one.
    framing: Option<Framing>,
    /// Whether the broker orders messages by their resource.
    has_keys: bool,
    /// One permit for each message that is not settled yet.
    places: Arc<Semaphore>,
    capacity: usize,
    sequence: AtomicU64,
    orders: mpsc::UnboundedSender<WorkerOrder>,
    counters: Arc<Counters>,
    /// The number of losses that [`Notifier::flush`] has already reported.
    told: AtomicU64,
    closed: AtomicBool,
    /// Whether [`emitter`] has logged that it drops notifications.
    dropping: AtomicBool,
    worker: Mutex<JoinSet<()>>,
}

struct PreparedNotification {
    priority: Priority,
    label: Arc<Label>,
    /// One for each topic and messaging driver.
    copies: Vec<(Arc<Target>, OutgoingMessage)>,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident => $priority:ident,)*) => {
        impl Notifier {
            $($(#[$doc])*
            /// The notification is emitted only when the future is awaited. `payload` is any JSON that is not
            /// too deep for Python; its keys keep the order in which the value serializes them.
            ///
            /// # Errors
            /// See [`NotifyError`] for the failures.
            pub fn $name<P: Serialize + ?Sized>(
                &self,
                context: &Context,
                event_type: &str,
                payload: &P,
            ) -> impl Future<Output = Result<(), NotifyError>> + Send {
                self.emit(Priority::$priority, context, event_type, payload)
            })*
        }
    };
}

methods! {
    /// Emits a notification with priority `audit`.
    audit => Audit,
    /// Emits a notification with priority `debug`.
    debug => Debug,
    /// Emits a notification with priority `info`.
    info => Info,
    /// Emits a notification with priority `warn`.
    warn => Warn,
    /// Emits a notification with priority `error`.
    error => Error,
    /// Emits a notification with priority `critical`.
    critical => Critical,
    /// Emits a notification with priority `sample`: measurements, as Ceilometer's.
    sample => Sample,
}

impl Notifier {
    /// Returns a builder for a notifier. `publisher_id` is `service.host`, such as `compute.node1`.
    pub fn builder(publisher_id: impl Into<Arc<str>>) -> NotifierBuilder {
        NotifierBuilder::new(publisher_id.into())
    }

    /// Returns this notifier for another publisher, with other retries, or both.
    #[must_use]
    pub fn prepare(&self, publisher_id: Option<&str>, retry: Option<Retry>) -> Self {
        Self {
            shared: self.shared.clone(),
            publisher_id: publisher_id.map_or_else(|| self.publisher_id.clone(), Arc::from),
            retry: retry.unwrap_or(self.retry),
            targets: self.targets.clone(),
        }
    }

    /// Returns this notifier for other topics on another exchange, such as those of versioned notifications.
    ///
    /// # Errors
    /// There is no topic, or the copies of one notification do not fit into the buffer.
    pub fn to(&self, topics: &Topics) -> Result<Self, BuildError> {
        let targets: Arc<[Arc<Target>]> = topics.targets().into_iter().map(Arc::new).collect();
        builder::check_size(&self.shared.drivers, targets.len(), self.shared.capacity)?;
        Ok(Self { targets, ..self.clone() })
    }

    /// Whether emissions are sent or recorded: `false` if the only driver is `noop`.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.shared.drivers.iter().any(|driver| !matches!(driver, Driver::Noop))
    }

    /// Returns the counters since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Emits a complete notification: its ids and its time are kept if set. A given `unique_id` is the same
    /// for all topics.
    ///
    /// # Errors
    /// See [`NotifyError`] for the failures.
    pub async fn send(&self, emission: Emission) -> Result<(), NotifyError> {
        let prepared = self.prepared(emission)?;
        if prepared.copies.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        let places = match shared.on_full {
            OnFull::Error => shared.places_at_once(prepared.copies.len()),
            OnFull::Wait(at_most) => shared.places(prepared.copies.len(), at_most).await,
        };
        let outcomes = self.queue(prepared, places?);
        match shared.confirm {
            Confirm::Background => Ok(()),
            Confirm::Awaited(at_most) => confirmed(outcomes, at_most).await,
        }
    }

    /// Like [`send`](Self::send), but never waits: returns when the emission is in the buffer, whatever
    /// `confirm` and `on_full` are. May be called from any thread.
    ///
    /// # Errors
    /// The buffer is full, the notifier is closed, or the payload cannot be written as JSON. The emission was
    /// not accepted then.
    pub fn offer(&self, emission: Emission) -> Result<(), NotifyError> {
        let prepared = self.prepared(emission)?;
        if !prepared.copies.is_empty() {
            let places = self.shared.places_at_once(prepared.copies.len())?;
            // `flush` reports the outcome later.
            drop(self.queue(prepared, places));
        }
        Ok(())
    }

    /// Waits, at most `within`, until all earlier emissions are settled.
    ///
    /// # Errors
    /// A message is still unsettled, or was given up since the last flush.
    pub async fn flush(&self, within: Duration) -> Result<(), UnsentMessages> {
        let (reply, flushed) = oneshot::channel();
        let shared = &self.shared;
        let upto = shared.sequence.load(Ordering::Relaxed);
        let _ = shared.orders.send(WorkerOrder::Flush { upto, reply });
        let done = matches!(timeout(within, flushed).await, Ok(Ok(())));
        let waiting = if done { 0 } else { shared.capacity - shared.places.available_permits() };
        let lost = shared.counters.lost.get();
        let told = shared.told.swap(lost, Ordering::Relaxed);
        if waiting == 0 && lost == told {
            return Ok(());
        }
        Err(UnsentMessages { waiting, lost: lost - told, reason: shared.counters.last_failure() })
    }

    /// Rejects new emissions, waits as [`flush`](Self::flush) does, then gives up each remaining message with
    /// a log line. The transport stays open, since its owner closes it (see
    /// [`Transport::close`](osnl_transport::Transport::close)).
    ///
    /// # Errors
    /// The same errors as of [`flush`](Self::flush).
    pub async fn close(&self, within: Duration) -> Result<(), UnsentMessages> {
        self.shared.closed.store(true, Ordering::Relaxed);
        let flushed = self.flush(within).await;
        self.shared.places.close();
        let _ = self.shared.orders.send(WorkerOrder::Stop);
        let mut worker =
            std::mem::take(&mut *self.shared.worker.lock().unwrap_or_else(PoisonError::into_inner));
        while worker.join_next().await.is_some() {}
        flushed
    }

    /// Completes an emission for the immediate drivers, and writes the bodies for the broker's drivers.
    fn prepared(&self, mut emission: Emission) -> Result<PreparedNotification, NotifyError> {
        let shared = &self.shared;
        if shared.closed.load(Ordering::Relaxed) {
            return Err(NotifyError::Closed);
        }
        emission.message_id.get_or_insert_with(stamp::message_id);
        emission.timestamp.get_or_insert_with(stamp::timestamp);
        let priority = emission.priority.get_or_insert(Priority::Info).clone();
        shared.counters.emitted.increment();
        let label = Arc::new(Label::from_emission(&emission));
        let given = emission.unique_id.take();
        let key = if shared.has_keys { emission.resource_key() } else { None };
        let mut copies = Vec::new();
        for driver in &shared.drivers {
            match driver.framing() {
                None => {
                    emission.unique_id.clone_from(&given);
                    driver.record(&emission);
                }
                Some(framing) => {
                    for target in &*self.targets {
                        emission.unique_id = Some(given.clone().unwrap_or_else(stamp::unique_id));
                        let body =
                            emission.body(shared.framing.unwrap_or(framing)).map_err(NotifyError::Payload)?;
                        let message = OutgoingMessage { key: key.clone(), ..shared.outgoing(body) };
                        copies.push((target.clone(), message));
                    }
                }
            }
        }
        Ok(PreparedNotification { priority, label, copies })
    }

    fn queue(
        &self,
        prepared: PreparedNotification,
        mut places: OwnedSemaphorePermit,
    ) -> Vec<oneshot::Receiver<EmissionOutcome>> {
        let shared = &self.shared;
        let PreparedNotification { priority, label, copies } = prepared;
        let mut outcomes = Vec::with_capacity(copies.len());
        for (target, message) in copies {
            let (reply, outcome) = oneshot::channel();
            outcomes.push(outcome);
            let job = EmissionJob {
                sequence: shared.sequence.fetch_add(1, Ordering::Relaxed),
                target,
                priority: priority.clone(),
                message,
                retry: self.retry,
                failures: 0,
                refusals: 0,
                label: label.clone(),
                counters: shared.counters.clone(),
                reply: Some(reply),
                place: places.split(1),
            };
            // The worker lives as long as `shared`; a rejected job reports its own loss.
            let _ = shared.orders.send(WorkerOrder::Send(Box::new(job)));
        }
        outcomes
    }

    fn emit<P: Serialize + ?Sized>(
        &self,
        priority: Priority,
        context: &Context,
        event_type: &str,
        payload: &P,
    ) -> impl Future<Output = Result<(), NotifyError>> + Send + use<'_, P> {
        let payload = to_python_json(payload).and_then(RawValue::from_string);
        let emission = payload.map(|payload| Emission {
            message_id: None,
            publisher_id: Some(self.publisher_id.to_string()),
            event_type: Some(event_type.to_owned()),
            priority: Some(priority),
            payload,
            timestamp: None,
            unique_id: None,
            context: context.redacted(),
            extra: Vec::new(),
        });
        async move { self.send(emission.map_err(NotifyError::Payload)?).await }
    }
}

impl NotifierState {
    fn outgoing(&self, body: String) -> OutgoingMessage {
        let mut message = match self.compression {
            None => OutgoingMessage::json(body),
            Some(compression) => {
                let mut message = OutgoingMessage::json(compression.compress(body.as_bytes()));
                message.properties.compression = Some(compression.header().to_owned());
                message
            }
        };
        message.declare = self.declare;
        message.mandatory = self.mandatory;
        message
    }

    /// Waits for permits for all copies of one notification, or for none.
    async fn places(&self, count: usize, at_most: Duration) -> Result<OwnedSemaphorePermit, NotifyError> {
        let places = self.places.clone().acquire_many_owned(permits(count));
        timeout(at_most, places).await.ok().and_then(Result::ok).ok_or_else(|| self.full())
    }

    fn places_at_once(&self, count: usize) -> Result<OwnedSemaphorePermit, NotifyError> {
        self.places.clone().try_acquire_many_owned(permits(count)).map_err(|_| self.full())
    }

    fn full(&self) -> NotifyError {
        if self.closed.load(Ordering::Relaxed) {
            return NotifyError::Closed;
        }
        self.counters.refused.increment();
        NotifyError::Full { capacity: self.capacity }
    }
}

/// The builder has checked that all copies fit.
fn permits(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

async fn confirmed(
    outcomes: Vec<oneshot::Receiver<EmissionOutcome>>,
    at_most: Duration,
) -> Result<(), NotifyError> {
    match timeout(at_most, join_all(outcomes)).await {
        // A job always answers; otherwise its outcome would be unknown.
        Ok(outcomes) => {
            outcomes.into_iter().try_for_each(|outcome| outcome.unwrap_or(Err(NotifyError::Closed)))
        }
        Err(_) => Err(NotifyError::NotYet { after: at_most }),
    }
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier")
            .field("publisher_id", &self.publisher_id)
            .field("retry", &self.retry)
            .field("drivers", &self.shared.drivers)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}
