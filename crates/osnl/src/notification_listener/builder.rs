//! Putting a listener together; whatever cannot work is an error here, not at the first message.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use osnl_model::{Budget, Priority, Target, TransportUrl};
use osnl_transport::{Declare, ListenOptions, QueueKind, Transport, TransportError, transport};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use super::dispatch::{Dispatch, Dispatcher};
use super::requeue::LONGEST_STAY;
use super::set_aside::{Keeper, Shelf};
use super::{Endpoint, NotificationListener, RequeuePolicy, SetAside};
use crate::listener::{GIVE_BACK_AFTER, Listener, ListenerConfig};
use crate::metrics::Counters;
use crate::rule::StepLimits;
use crate::shutdown::Shutdown;

/// oslo.messaging's `executor_thread_pool_size`.
const CONCURRENCY: usize = 64;
const PREFETCH: u16 = 100;

/// The order in which messages are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Messages about the same resource (an instance, a port, a node, …) are handled in the order of their
    /// arrival, others beside each other. A message about nothing known waits for none.
    #[default]
    PerResource,
    /// All messages of a queue are handled one after the other.
    PerQueue,
}

/// The reasons why no listener can be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No target was given.
    #[error("nothing to listen to: give at least one target")]
    NoTarget,
    /// No endpoint was given.
    #[error("nobody to notify: give at least one endpoint")]
    NoEndpoint,
    /// No endpoint has a priority, so there is nothing to bind.
    #[error("no endpoint has a priority: nothing would be bound")]
    NoPriority,
    /// The transport URL cannot be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// `allow_requeue` with a transport that cannot take a message back.
    #[error("allow_requeue is not supported by {location}: leave it out, or use another transport")]
    NoRequeue {
        /// The address that the transport connects to.
        location: String,
    },
    /// Messages would stay unacknowledged for longer than brokers allow.
    #[error(
        "a message that is requeued {attempts} times would wait for more than {}s, and the broker would end the \
         connection over it: fewer attempts, or shorter pauses",
        .longest.as_secs()
    )]
    StaysTooLong {
        /// The policy's attempts.
        attempts: NonZeroU32,
        /// The longest time allowed.
        longest: Duration,
    },
    /// A number that must not be zero is.
    #[error("{what} is 0: at least 1")]
    Zero {
        /// The name of the number.
        what: &'static str,
    },
}

/// See [`NotificationListener::builder`].
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
    pub(super) fn of_url(url: &TransportUrl) -> Self {
        Self::of(transport(url).map(Arc::from))
    }

    pub(super) fn of(transport: Result<Arc<dyn Transport>, TransportError>) -> Self {
        let queue = transport.as_ref().map_or(QueueKind::OSLO, |transport| transport.oslo_queue());
        Self {
            transport,
            name: "listener".into(),
            targets: Vec::new(),
            endpoints: Vec::new(),
            options: ListenOptions {
                bodies: Default::default(),
                pool: None,
                prefetch: PREFETCH,
                declare: Declare::Create,
                queue,
            },
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

    /// Listens to this exchange and topic too.
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Asks this endpoint too, after those given before.
    pub fn endpoint(mut self, endpoint: impl Endpoint + 'static) -> Self {
        self.endpoints.push(Box::new(endpoint));
        self
    }

    /// Listens with a queue of this name, bound to all targets and priorities: each pool gets every message, and the
    /// listeners of one pool share them. Without a pool the listener takes its messages from the service's own queues,
    /// in competition with all other consumers of those.
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.options.pool = Some(pool.into());
        self
    }

    /// Sets the number of messages that may be here unacknowledged; 100 by default. oslo.messaging has no limit by
    /// default.
    pub fn prefetch(mut self, prefetch: u16) -> Self {
        self.options.prefetch = prefetch;
        self
    }

    /// Whether a missing exchange is made, as oslo.messaging makes it ([`Declare::Create`], the default), or
    /// waited for.
    pub fn declare(mut self, declare: Declare) -> Self {
        self.options.declare = declare;
        self
    }

    /// Sets the kind of queue to create if it is missing; by default the kind that oslo.messaging creates
    /// with the options of the URL's query, so that a Python listener may share the pool. An existing queue is used as it is.
    pub fn queue(mut self, queue: QueueKind) -> Self {
        self.options.queue = queue;
        self
    }

    /// The order in which messages are handled; [`Order::PerResource`] unless given.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets the number of messages that endpoints may handle at a time; 64 by default.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Whether [`NotificationResult::Requeue`](super::NotificationResult::Requeue) has a meaning. Without it such
    /// a message is acknowledged, with a
    /// warning.
    pub fn allow_requeue(mut self, allow_requeue: bool) -> Self {
        self.allow_requeue = allow_requeue;
        self
    }

    /// When requeued messages come again, and when they are given up.
    pub fn requeue_policy(mut self, policy: RequeuePolicy) -> Self {
        self.requeue = policy;
        self
    }

    /// Gives a message back to the broker after the last attempt, instead of setting it aside: it is delivered again,
    /// and the attempts begin anew. For endpoints whose failures end some day, and programs that keep nothing themselves.
    pub fn requeue_endlessly(mut self) -> Self {
        self.is_endless = true;
        self
    }

    /// Told of each message that is set aside, with its bytes, before it is acknowledged: write it somewhere that
    /// lasts. Must be quick. If it panics the message is not acknowledged.
    pub fn on_set_aside(mut self, keep: impl Fn(&SetAside) + Send + Sync + 'static) -> Self {
        self.keeper = Some(Box::new(keep));
        self
    }

    /// The name in log lines and in [`Origin`](crate::received::Origin); `listener` unless given.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Ends with these signals too, which may be shared with other parts of the program; it never gives them.
    pub fn shutdown(mut self, shutdown: &Shutdown) -> Self {
        self.shutdown = Shutdown { drain: shutdown.drain.child_token(), abort: shutdown.abort.child_token() };
        self
    }

    /// Counts into these counters, which may be shared with other listeners.
    pub fn counters(mut self, counters: Arc<Counters>) -> Self {
        self.counters = counters;
        self
    }

    /// Puts it together. Nothing is connected yet.
    ///
    /// # Errors
    /// See [`BuildError`].
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
            // Twice the window: what a lost connection brings back finds its first copy still here.
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
            name: self.name,
            targets,
            options: self.options,
            refused_access_is_fatal: true,
            give_back_after: GIVE_BACK_AFTER,
            budget: Budget::DEFAULT,
        };
        let intake = Arc::new(Dispatcher(dispatch.clone()));
        let listener = Listener::new(config, transport, intake, self.counters);
        Ok(NotificationListener { listener, dispatch })
    }
}

/// Returns each target with each priority of any endpoint, as oslo.messaging's listener binds them.
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
