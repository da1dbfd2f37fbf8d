//! The builder of a listener, which rejects an unworkable setup before the first message.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use osnl_brokers::transport;
use osnl_model::{Priority, Target, TransportUrl};
use osnl_transport::{Declare, ListenOptions, QueueKind, Transport, TransportError};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use super::dispatch::{Dispatch, Dispatcher, Order};
use super::requeue::LONGEST_STAY;
use super::set_aside::{Keeper, Shelf};
use super::{Endpoint, NotificationListener, RequeuePolicy, SetAside};
use crate::listener::{Listener, ListenerConfig};
use crate::metrics::Counters;
use crate::rule::StepLimits;
use crate::shutdown::Shutdown;

/// The default of oslo.messaging's `executor_thread_pool_size`.
const CONCURRENCY: usize = 64;
const PREFETCH: u16 = 100;

/// The reasons for which a notification listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("nothing to listen to: give at least one target")]
    NoTarget,
    #[error("nobody to notify: give at least one endpoint")]
    NoEndpoint,
    #[error("no endpoint has a priority: nothing would be bound")]
    NoPriority,
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("allow_requeue is not supported by {location}: leave it out, or use another transport")]
    NoRequeue { location: String },
    /// Messages would stay unacknowledged for longer than brokers allow.
    #[error(
        "a message that is requeued {attempts} times would wait for more than {}s, and the broker would end the \
         connection over it: fewer attempts, or shorter pauses",
        .longest.as_secs()
    )]
    StaysTooLong { attempts: NonZeroU32, longest: Duration },
    #[error("{what} is 0: at least 1")]
    Zero { what: &'static str },
}

/// The settings of a notification listener until it starts.
#[must_use]
pub struct Builder {
    transport: Result<Arc<dyn Transport>, TransportError>,
    name: Arc<str>,
    targets: Vec<Target>,
    endpoints: Vec<Box<dyn Endpoint>>,
    options: ListenOptions,
    order: Order,
    concurrency: usize,
    allow_requeue: bool,
    requeue: RequeuePolicy,
    is_endless: bool,
    keeper: Option<Keeper>,
    shutdown: Shutdown,
    counters: Arc<Counters>,
}

impl Builder {
    pub(super) fn from_url(url: &TransportUrl) -> Self {
        Self::new(transport(url).map(Arc::from))
    }

    pub(super) fn new(transport: Result<Arc<dyn Transport>, TransportError>) -> Self {
        let queue = transport.as_ref().map_or(QueueKind::OSLO, |transport| transport.oslo_queue());
        Self {
            transport,
            name: "listener".into(),
            targets: Vec::new(),
            endpoints: Vec::new(),
            options: ListenOptions::new(None, PREFETCH, Declare::Create, queue),
            order: Order::default(),
            concurrency: CONCURRENCY,
            allow_requeue: false,
            requeue: RequeuePolicy::default(),
            is_endless: false,
            keeper: None,
            shutdown: Shutdown::new(),
            counters: Arc::default(),
        }
    }

    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    pub fn endpoint(mut self, endpoint: impl Endpoint + 'static) -> Self {
        self.endpoints.push(Box::new(endpoint));
        self
    }

    /// Sets the queue's name. Each pool receives every message, shared by its listeners. Without a pool, the listener
    /// competes with other consumers of the services' own queues.
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.options.pool = Some(pool.into());
        self
    }

    /// Sets the limit of unacknowledged messages, by default 100; oslo.messaging's default is unlimited.
    pub fn prefetch(mut self, prefetch: u16) -> Self {
        self.options.prefetch = prefetch;
        self
    }

    /// Sets whether a missing exchange is created, as by oslo.messaging ([`Declare::Create`], the default), or waited
    /// for.
    pub fn declare(mut self, declare: Declare) -> Self {
        self.options.declare = declare;
        self
    }

    /// Sets the kind of a queue to create. The default equals oslo.messaging's, so a Python listener may share the
    /// pool. An existing queue is used as it is.
    pub fn queue(mut self, queue: QueueKind) -> Self {
        self.options.queue = queue;
        self
    }

    /// Sets the order of handling, [`Order::PerResource`] by default.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets the number of concurrent messages with endpoints, 64 by default.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Sets whether [`NotificationResult::Requeue`](super::NotificationResult::Requeue) has an effect, or acknowledges
    /// with a warning.
    pub fn allow_requeue(mut self, allow_requeue: bool) -> Self {
        self.allow_requeue = allow_requeue;
        self
    }

    /// Sets the pauses and the number of attempts of requeued messages.
    pub fn requeue_policy(mut self, policy: RequeuePolicy) -> Self {
        self.requeue = policy;
        self
    }

    /// Returns a message to the broker after the last attempt, instead of setting it aside; attempts then begin anew.
    /// RabbitMQ 4 drops it at the 21st return to a quorum queue without a `delivery-limit` (the default is 20), and
    /// nothing is set aside: set the policy `delivery-limit = -1` for such a queue.
    pub fn requeue_endlessly(mut self) -> Self {
        self.is_endless = true;
        self
    }

    /// Sets a callback before the acknowledgement of a message set aside. The callback must be quick; after its panic
    /// the message is not acknowledged.
    pub fn on_set_aside(mut self, keep: impl Fn(&SetAside) + Send + Sync + 'static) -> Self {
        self.keeper = Some(Box::new(keep));
        self
    }

    /// Sets the name in log lines and in [`Origin`](crate::received::Origin), `listener` by default.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    pub fn shutdown(mut self, shutdown: &Shutdown) -> Self {
        self.shutdown = shutdown.child();
        self
    }

    pub fn counters(mut self, counters: Arc<Counters>) -> Self {
        self.counters = counters;
        self
    }

    pub fn build(self) -> Result<NotificationListener, BuildError> {
        let transport = self.transport?;
        if self.targets.is_empty() {
            return Err(BuildError::NoTarget);
        }
        if self.endpoints.is_empty() {
            return Err(BuildError::NoEndpoint);
        }
        for (what, number) in
            [("prefetch", usize::from(self.options.prefetch)), ("concurrency", self.concurrency)]
        {
            if number == 0 {
                return Err(BuildError::Zero { what });
            }
        }
        if self.allow_requeue && !transport.features().requeue {
            return Err(BuildError::NoRequeue { location: transport.location() });
        }
        if self.allow_requeue && self.requeue.stay() > LONGEST_STAY {
            return Err(BuildError::StaysTooLong { attempts: self.requeue.attempts, longest: LONGEST_STAY });
        }
        let targets = bindings(&self.targets, &self.endpoints);
        if targets.is_empty() {
            return Err(BuildError::NoPriority);
        }
        let dispatch = Arc::new(Dispatch {
            endpoints: self.endpoints,
            order: self.order,
            requeue: self.allow_requeue.then_some(self.requeue),
            is_endless: self.is_endless,
            // Twice the window, so that redelivered messages find their first copies still here.
            places: usize::from(self.options.prefetch) * 2,
            calls: Semaphore::new(self.concurrency.min(Semaphore::MAX_PERMITS)),
            shutdown: self.shutdown.clone(),
            counters: self.counters.clone(),
            step_limits: StepLimits::new(self.counters.clone()),
            shelf: Shelf::default(),
            keeper: self.keeper,
            lanes: Mutex::default(),
            freed: Notify::new(),
            tasks: TaskTracker::new(),
            said: Mutex::default(),
        });
        let config = ListenerConfig {
            refused_access_is_fatal: true,
            ..ListenerConfig::new(self.name, targets, self.options)
        };
        let intake = Arc::new(Dispatcher(dispatch.clone()));
        let listener = Listener::new(config, transport, intake, self.counters);
        Ok(NotificationListener { listener, dispatch })
    }
}

fn bindings(targets: &[Target], endpoints: &[Box<dyn Endpoint>]) -> Vec<(Target, Priority)> {
    let mut priorities: Vec<Priority> = Vec::new();
    for priority in endpoints.iter().flat_map(|endpoint| endpoint.priorities()) {
        if !priorities.contains(priority) {
            priorities.push(priority.clone());
        }
    }
    targets
        .iter()
        .flat_map(|target| priorities.iter().map(move |priority| (target.clone(), priority.clone())))
        .collect()
}
