//! Dispatches messages from the listener to endpoints, in order.
//!
//! Each message belongs to a *lane*, which handles one message at a time. A message that waits for a retry holds its
//! lane.
//!
//! A copy joins the message while the first is handled. With a journal, `osnl-journal/src/identity.rs` recognises copies.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use osnl_model::{Budget, Head, Notification, Priority, resource_key};
use osnl_transport::BoxFuture;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use super::set_aside::{Keeper, Shelf};
use super::{Endpoint, NotificationResult, ReceivedNotification, RequeuePolicy, SetAside};
use crate::intake::Intake;
use crate::journal::{Obstacle, Receipt, Settle};
use crate::metrics::Counters;
use crate::quarantine::Glimpse;
use crate::received::ReceivedMessage as Raw;
use crate::rule::StepLimits;
use crate::shutdown::Shutdown;

const NAMES_SAID: usize = 16;

/// The messages that wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Messages about the same resource (an instance, a port, a node, …) are handled in order of arrival, others
    /// concurrently. A message about no known resource waits for none.
    #[default]
    PerResource,
    PerQueue,
}

pub(super) struct Dispatch {
    pub(super) endpoints: Vec<Box<dyn Endpoint>>,
    pub(super) order: Order,
    /// The retries; `None` acknowledges a requeued message instead.
    pub(super) requeue: Option<RequeuePolicy>,
    pub(super) is_endless: bool,
    pub(super) places: usize,
    pub(super) calls: Semaphore,
    pub(super) shutdown: Shutdown,
    pub(super) counters: Arc<Counters>,
    pub(super) step_limits: StepLimits,
    pub(super) shelf: Shelf,
    pub(super) keeper: Option<Keeper>,
    pub(super) lanes: Mutex<Lanes>,
    pub(super) freed: Notify,
    pub(super) tasks: TaskTracker,
    pub(super) said: Mutex<BTreeSet<String>>,
}

#[derive(Default)]
pub(super) struct Lanes {
    lanes: HashMap<Lane, VecDeque<DispatchJob>>,
    jobs: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lane {
    Queue(Arc<str>),
    Resource(String),
    /// A message without a known resource, by its bytes, so that a redelivery finds the first copy.
    Bytes(u64),
}

struct DispatchJob {
    received: Arc<ReceivedNotification>,
    endpoints: Arc<[usize]>,
    receipts: Vec<oneshot::Sender<Settle>>,
}

pub(super) struct Dispatcher(pub(super) Arc<Dispatch>);

impl Intake for Dispatcher {
    fn reserve(&self, at_most: usize) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            loop {
                // Registered before the check, so that no freed place is missed.
                let freed = self.0.freed.notified();
                let free = self.0.places.saturating_sub(self.0.lanes().jobs);
                if free > 0 {
                    return free.min(at_most);
                }
                freed.await;
            }
        })
    }

    /// Does nothing, because a reservation takes no place.
    fn keep(&self, _: usize) {}

    fn obstacle(&self) -> Option<Obstacle> {
        None
    }

    fn wants(&self, head: &Head<'_>) -> bool {
        let wanted = (0..self.0.endpoints.len()).any(|index| self.0.wants(index, head));
        if !wanted {
            self.0.say_unknown_priority(head.priority.as_ref());
        }
        wanted
    }

    fn notify(&self, received: Raw) -> Receipt {
        match received.decode_within(&Budget::DEFAULT) {
            Ok(notification) => Dispatch::take(&self.0, notification, received),
            Err(error) => self.unreadable(received, error.to_string()),
        }
    }

    fn unreadable(&self, received: Raw, reason: String) -> Receipt {
        self.0.counters.quarantined.increment();
        Receipt::complete(self.0.set_aside(received, reason))
    }
}

impl Dispatch {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wants(&self, index: usize, head: &Head<'_>) -> bool {
        let endpoint = &self.endpoints[index];
        let asked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            head.priority.as_ref().is_some_and(|priority| endpoint.priorities().contains(priority))
                && endpoint.filter().is_none_or(|filter| self.step_limits.or_no(filter.holds_for(head)))
                && endpoint.wants(head)
        }));
        asked.unwrap_or_else(|_| {
            // A panicking filter must not lose the message, so the endpoint receives it.
            tracing::error!("an endpoint panicked in its filter; it receives the notification");
            true
        })
    }

    fn wants_whole(&self, index: usize, notification: &Notification) -> bool {
        self.wants(index, &notification.head())
            && self.endpoints[index].filter().is_none_or(|filter| match filter.matches(notification) {
                Ok(()) => true,
                Err(mismatch) => {
                    self.step_limits.observe(&mismatch);
                    tracing::debug!(%mismatch, "the endpoint does not want the notification");
                    false
                }
            })
    }

    fn take(this: &Arc<Self>, notification: Notification, raw: Raw) -> Receipt {
        let endpoints: Arc<[usize]> =
            (0..this.endpoints.len()).filter(|&index| this.wants_whole(index, &notification)).collect();
        if endpoints.is_empty() {
            this.counters.unmatched.increment();
            return Receipt::complete(Settle::Acknowledge);
        }
        let lane = this.lane(&notification, &raw);
        let (complete, receipt) = Receipt::open();
        let mut lanes = this.lanes();
        let Lanes { lanes: by_key, jobs } = &mut *lanes;
        let entry = by_key.entry(lane.clone());
        let is_first = matches!(entry, Entry::Vacant(_));
        let line = entry.or_default();
        let copy = |job: &&mut DispatchJob| {
            job.received.origin().queue == raw.origin.queue && job.received.body() == &raw.body
        };
        if raw.origin.redelivered
            && let Some(job) = line.iter_mut().find(copy)
        {
            // The first copy's connection is lost, so its call answers for both.
            this.counters.deduplicated.increment();
            job.receipts.push(complete);
            return receipt;
        }
        this.counters.matched.increment();
        let received = Arc::new(ReceivedNotification::new(notification, raw));
        line.push_back(DispatchJob { received, endpoints, receipts: vec![complete] });
        *jobs += 1;
        drop(lanes);
        if is_first {
            this.tasks.spawn(this.clone().run_lane(lane));
        }
        receipt
    }

    fn lane(&self, notification: &Notification, raw: &Raw) -> Lane {
        match self.order {
            Order::PerQueue => Lane::Queue(raw.origin.queue.clone()),
            Order::PerResource => resource_key(notification).map_or_else(
                || {
                    let mut hasher = DefaultHasher::new();
                    raw.body.hash(&mut hasher);
                    Lane::Bytes(hasher.finish())
                },
                Lane::Resource,
            ),
        }
    }

    async fn run_lane(self: Arc<Self>, lane: Lane) {
        while let Some((received, endpoints)) = self.front(&lane) {
            let settle = tokio::select! {
                biased;
                () = self.shutdown.abort.cancelled() => Settle::Leave,
                settle = self.handle(&received, &endpoints) => settle,
            };
            self.finish(&lane, settle);
        }
    }

    /// Returns the oldest job of a lane, and removes an empty lane under the same lock.
    fn front(&self, lane: &Lane) -> Option<(Arc<ReceivedNotification>, Arc<[usize]>)> {
        let mut lanes = self.lanes();
        let front = lanes.lanes.get(lane).and_then(VecDeque::front);
        let front = front.map(|job| (job.received.clone(), job.endpoints.clone()));
        if front.is_none() {
            lanes.lanes.remove(lane);
        }
        front
    }

    fn finish(&self, lane: &Lane, settle: Settle) {
        let mut lanes = self.lanes();
        let job = lanes.lanes.get_mut(lane).and_then(VecDeque::pop_front);
        lanes.jobs -= usize::from(job.is_some());
        drop(lanes);
        for receipt in job.into_iter().flat_map(|job| job.receipts) {
            let _ = receipt.send(settle);
        }
        self.freed.notify_one();
    }

    async fn handle(&self, received: &ReceivedNotification, endpoints: &[usize]) -> Settle {
        let Shutdown { drain, .. } = &self.shutdown;
        let mut attempt = 1;
        loop {
            let Ok(call) = self.calls.acquire().await else { return Settle::Leave };
            if drain.is_cancelled() {
                // A message without a call returns with the connection, in order.
                return Settle::Leave;
            }
            self.counters.attempts.increment();
            let result = self.ask(received, endpoints).await;
            drop(call);
            match result {
                NotificationResult::Handled => {
                    self.counters.delivered.increment();
                    return Settle::Acknowledge;
                }
                NotificationResult::Requeue => self.counters.failures.increment(),
            }
            let id = received.notification().message_id.as_deref().unwrap_or("-");
            let Some(policy) = self.requeue else {
                tracing::warn!(
                    message.id = id,
                    "an endpoint asked for a message to be requeued, which needs allow_requeue; acknowledged"
                );
                return Settle::Acknowledge;
            };
            let Some(pause) = policy.pause(attempt) else {
                if self.is_endless {
                    self.counters.returned.increment();
                    tracing::warn!(
                        message.id = id,
                        attempts = attempt,
                        "no endpoint could handle a message; returned to the broker"
                    );
                    // At least the pause before an attempt, or the next round would begin at once.
                    tokio::select! {
                        biased;
                        () = drain.cancelled() => {}
                        () = tokio::time::sleep(policy.longest.max(policy.first)) => {}
                    }
                    return Settle::Requeue;
                }
                self.counters.dead.increment();
                let reason = format!("no endpoint could handle it in {attempt} attempt(s)");
                return self.set_aside(received.raw().clone(), reason);
            };
            tracing::info!(
                message.id = id,
                attempt,
                next_attempt_in = format!("{:.1} s", pause.as_secs_f64()),
                "requeued by an endpoint"
            );
            tokio::select! {
                biased;
                () = drain.cancelled() => {
                    self.counters.returned.increment();
                    return Settle::Requeue;
                }
                () = tokio::time::sleep(pause) => {}
            }
            attempt += 1;
        }
    }

    /// Calls the endpoints up to the first refusal; a panic is a refusal.
    async fn ask(&self, received: &ReceivedNotification, endpoints: &[usize]) -> NotificationResult {
        for &index in endpoints {
            let endpoint = &self.endpoints[index];
            let call = async { endpoint.notify(received).await };
            match AssertUnwindSafe(call).catch_unwind().await {
                Ok(NotificationResult::Handled) => {}
                Ok(NotificationResult::Requeue) => return NotificationResult::Requeue,
                Err(_) => {
                    tracing::error!(
                        message.id = received.notification().message_id.as_deref().unwrap_or("-"),
                        endpoint = index,
                        "an endpoint panicked; the message is requeued"
                    );
                    return NotificationResult::Requeue;
                }
            }
        }
        NotificationResult::Handled
    }

    fn set_aside(&self, received: Raw, reason: String) -> Settle {
        let glimpse = Glimpse::from_body(&received.body);
        tracing::error!(
            queue.name = &*received.origin.queue,
            exchange.name = received.origin.exchange,
            publisher.id = glimpse.publisher_id.as_deref().unwrap_or("-"),
            message.id = glimpse.message_id.as_deref().unwrap_or("-"),
            message.digest = %received.digest(),
            message.bytes = received.bytes(),
            message.redelivered = received.origin.redelivered,
            reason,
            "message set aside",
        );
        let message = SetAside { received, reason };
        if let Some(keeper) = &self.keeper
            && std::panic::catch_unwind(AssertUnwindSafe(|| keeper(&message))).is_err()
        {
            tracing::error!("on_set_aside panicked; the message stays with the broker");
            return Settle::Leave;
        }
        self.shelf.put(message);
        Settle::Acknowledge
    }

    /// Warns once for each name, where oslo.messaging warns for each message.
    fn say_unknown_priority(&self, priority: Option<&Priority>) {
        let name = match priority {
            None => "none",
            Some(Priority::Other(name)) => name,
            Some(
                Priority::Audit
                | Priority::Debug
                | Priority::Info
                | Priority::Warn
                | Priority::Error
                | Priority::Critical
                | Priority::Sample,
            ) => return,
        };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() < NAMES_SAID && !said.contains(name) {
            said.insert(name.to_owned());
            tracing::warn!(
                priority = name,
                "unknown priority: no endpoint has it; acknowledged; logged once per name"
            );
        }
    }
}
