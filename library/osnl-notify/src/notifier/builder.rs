//! The options of a notifier.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use osnl_model::{Compression, Target};
use osnl_transport::{Declare, Transport};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::{BuildError, Counters, Driver, Notifier, NotifierState, worker};

/// The point at which an emission is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// When the broker has confirmed the message, or the message was given up. After this time an error says
    /// that sending continues.
    Awaited(Duration),
    /// When the message is in the buffer. [`Notifier::flush`] reports the outcome.
    Background,
}

/// The reaction of an emission to a full buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// Waits for a place, at most this long; then as `Error`.
    Wait(Duration),
    /// Fails without waiting for a place.
    Error,
}

/// oslo.messaging's `retry`: how often an unsent message is sent again.
///
/// While the broker is away, all messages in the buffer share one attempt about each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Retries without end, as `-1` does.
    Forever,
    /// The number of retries; `0` means one attempt.
    Times(u32),
}

impl Retry {
    /// Converts the number of a configuration: a negative one means without end.
    #[must_use]
    pub fn from_oslo(retry: i64) -> Self {
        u32::try_from(retry)
            .map_or(if retry < 0 { Self::Forever } else { Self::Times(u32::MAX) }, Self::Times)
    }

    /// Whether another attempt follows this many failed ones.
    pub(super) fn allows(self, failures: u32) -> bool {
        match self {
            Self::Forever => true,
            Self::Times(times) => failures <= times,
        }
    }
}

/// Collects the parts of a [`Notifier`]; every choice but the driver has a default.
#[must_use]
pub struct NotifierBuilder {
    publisher_id: Arc<str>,
    transport: Option<Arc<dyn Transport>>,
    exchange: Option<String>,
    topics: Vec<String>,
    drivers: Vec<Driver>,
    retry: Retry,
    confirm: Confirm,
    on_full: OnFull,
    buffer: usize,
    declare: Declare,
    mandatory: bool,
    compression: Option<Compression>,
}

impl NotifierBuilder {
    pub(super) fn new(publisher_id: Arc<str>) -> Self {
        Self {
            publisher_id,
            transport: None,
            exchange: None,
            topics: vec!["notifications".to_owned()],
            drivers: Vec::new(),
            retry: Retry::Forever,
            confirm: Confirm::Awaited(Duration::from_secs(60)),
            on_full: OnFull::Wait(Duration::from_secs(10)),
            buffer: 1000,
            declare: Declare::Create,
            mandatory: false,
            compression: None,
        }
    }

    /// Sets the transport that `messaging` and `messagingv2` send to.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sets the topic exchange, oslo's `control_exchange`; `openstack` by default.
    pub fn exchange(mut self, exchange: impl Into<String>) -> Self {
        self.exchange = Some(exchange.into());
        self
    }

    /// Sets the topics, each of which gets a copy; `notifications` by default.
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a driver. Without any, emissions are dropped.
    pub fn driver(mut self, driver: Driver) -> Self {
        self.drivers.push(driver);
        self
    }

    /// Sets the number of further attempts to send; unlimited by default.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets when an emission is done; by default when confirmed, at most a minute.
    pub fn confirm(mut self, confirm: Confirm) -> Self {
        self.confirm = confirm;
        self
    }

    /// Sets the reaction to a full buffer; by default to wait ten seconds.
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// Sets the number of messages that may be unconfirmed; 1000 by default.
    pub fn buffer(mut self, messages: usize) -> Self {
        self.buffer = messages;
        self
    }

    /// Sets whether missing exchanges, queues, and bindings are declared ([`Declare::Create`], the default),
    /// as oslo's Notifier declares them with the options of the URL's query: `amqp_durable_queues`,
    /// `amqp_auto_delete`, `rabbit_quorum_queue`.
    pub fn declare(mut self, declare: Declare) -> Self {
        self.declare = declare;
        self
    }

    /// Sets whether an unroutable message is an error. Such messages are sent one at a time.
    pub fn mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }

    /// Sets oslo's `kombu_compression`; none by default.
    pub fn compression(mut self, compression: Option<Compression>) -> Self {
        self.compression = compression;
        self
    }

    /// Builds the notifier. With a messaging driver, its task runs on the current tokio runtime.
    ///
    /// # Errors
    /// See [`BuildError`] for the failures.
    pub fn build(self) -> Result<Notifier, BuildError> {
        let capacity = self.buffer.min(Semaphore::MAX_PERMITS);
        let senders = check_size(&self.drivers, self.topics.len(), capacity)?;
        let counters = Arc::new(Counters::default());
        let (orders, inbox) = mpsc::unbounded_channel();
        let mut worker = JoinSet::new();
        let mut features = None;
        if senders > 0 {
            let transport = self.transport.ok_or(BuildError::NoTransport)?;
            features = Some(transport.features());
            if !transport.features().send {
                return Err(BuildError::OnlyListens { location: transport.location() });
            }
            let handle = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
            worker.spawn_on(worker::run(transport, inbox), &handle);
        }
        let target = |topic| Arc::new(Target { exchange: self.exchange.clone(), topic });
        let targets = self.topics.into_iter().map(target).collect();
        let shared = NotifierState {
            drivers: self.drivers,
            confirm: self.confirm,
            on_full: self.on_full,
            declare: self.declare,
            mandatory: self.mandatory,
            compression: self.compression,
            framing: features.and_then(|features| features.framing),
            has_keys: features.is_some_and(|features| features.keys),
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
            sequence: AtomicU64::new(0),
            orders,
            counters,
            told: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            dropping: AtomicBool::new(false),
            worker: Mutex::new(worker),
        };
        Ok(Notifier { shared: Arc::new(shared), publisher_id: self.publisher_id, retry: self.retry, targets })
    }
}

/// Returns the number of drivers that send; each notification has a copy for each topic and each such driver.
pub(super) fn check_size(drivers: &[Driver], topics: usize, capacity: usize) -> Result<usize, BuildError> {
    let senders = drivers.iter().filter(|driver| driver.framing().is_some()).count();
    let needed = senders * topics;
    if senders > 0 && topics == 0 {
        return Err(BuildError::NoTopic);
    }
    if needed > capacity {
        return Err(BuildError::SmallBuffer { capacity, needed });
    }
    Ok(senders)
}
