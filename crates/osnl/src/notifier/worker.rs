//! The task that empties the buffer: it alone decides when something is sent and sent again.
//!
//! While sends succeed, many are open at a time. After a failure nothing is begun until the pause is over; then one
//! message, the oldest, is sent as a probe, and the rest follows when it is confirmed. A failure to reach the
//! broker counts as an attempt of every message that waits: each would have met the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use osnl_transport::{BoxFuture, Transport, TransportError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::job::Job;
use crate::listener::backoff::Backoff;

/// Messages that may wait for their confirm at the same time.
const IN_FLIGHT: usize = 1000;

pub(super) enum Order {
    Send(Box<Job>),
    /// Answered when every job of a sequence below `upto` is settled.
    Flush {
        upto: u64,
        reply: oneshot::Sender<()>,
    },
    /// Drop what is left.
    Stop,
}

/// Whether something may be begun.
enum Gate {
    Open,
    /// Nothing until then.
    Shut(Instant),
    /// One message, whose outcome opens or shuts.
    Probing,
}

type Attempt = BoxFuture<'static, (Box<Job>, Result<(), TransportError>)>;

struct Worker {
    transport: Arc<dyn Transport>,
    waiting: BTreeMap<u64, Box<Job>>,
    attempts: FuturesUnordered<Attempt>,
    /// Sequences of all jobs here.
    open: BTreeSet<u64>,
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    gate: Gate,
    backoff: Backoff,
}

/// Runs until told to stop, or until nobody can give orders any more. What is left then says itself that it is
/// lost.
pub(super) async fn run(transport: Arc<dyn Transport>, mut inbox: mpsc::UnboundedReceiver<Order>) {
    let backoff = Backoff::new(transport.reconnect());
    let mut worker = Worker {
        transport,
        waiting: BTreeMap::new(),
        attempts: FuturesUnordered::new(),
        open: BTreeSet::new(),
        flushes: Vec::new(),
        gate: Gate::Open,
        backoff,
    };
    loop {
        worker.begin();
        worker.answer_flushes();
        let pause = match worker.gate {
            Gate::Shut(until) => Some(until),
            Gate::Open | Gate::Probing => None,
        };
        tokio::select! {
            order = inbox.recv() => match order {
                Some(Order::Send(job)) => {
                    worker.open.insert(job.sequence);
                    worker.waiting.insert(job.sequence, job);
                }
                Some(Order::Flush { upto, reply }) => worker.flushes.push((upto, reply)),
                Some(Order::Stop) | None => return,
            },
            Some((job, sent)) = worker.attempts.next(), if !worker.attempts.is_empty() => worker.settle(job, sent),
            () = sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => worker.gate = Gate::Probing,
        }
    }
}

impl Worker {
    fn begin(&mut self) {
        let room = match self.gate {
            Gate::Open => IN_FLIGHT,
            Gate::Probing => 1,
            Gate::Shut(_) => 0,
        };
        while self.attempts.len() < room {
            let Some((_, job)) = self.waiting.pop_first() else { return };
            let transport = self.transport.clone();
            self.attempts.push(Box::pin(async move {
                let sent = transport.send(&job.target, &job.priority, job.message.clone()).await;
                (job, sent)
            }));
        }
    }

    fn settle(&mut self, mut job: Box<Job>, sent: Result<(), TransportError>) {
        let Err(error) = sent else {
            self.open.remove(&job.sequence);
            job.confirmed();
            if !matches!(self.gate, Gate::Open) {
                tracing::info!("{} takes notifications again", self.transport.location());
                self.gate = Gate::Open;
            }
            return;
        };
        job.failures = job.failures.saturating_add(1);
        if !error.is_recoverable() {
            self.open.remove(&job.sequence);
            job.lost(error);
            // The broker has answered.
            if matches!(self.gate, Gate::Probing) {
                self.gate = Gate::Open;
            }
            return;
        }
        let first = matches!(self.gate, Gate::Open);
        if first || matches!(self.gate, Gate::Probing) {
            if error.is_unreachable() {
                self.waiting.values_mut().for_each(|other| other.failures = other.failures.saturating_add(1));
            }
            self.gate = Gate::Shut(Instant::now() + self.backoff.after(&error));
        }
        if first {
            tracing::warn!(
                "{} takes no notification: {error}; {} wait and are tried again",
                self.transport.location(),
                self.open.len()
            );
        }
        if job.retry.allows(job.failures) {
            job.counters.retried.increment();
            job.counters.failed(error.to_string());
        }
        self.waiting.insert(job.sequence, job);
        self.give_up(&error);
    }

    /// What may not be tried again.
    fn give_up(&mut self, error: &TransportError) {
        let ended: Vec<u64> = self
            .waiting
            .values()
            .filter(|job| job.failures > 0 && !job.retry.allows(job.failures))
            .map(|job| job.sequence)
            .collect();
        for sequence in ended {
            self.open.remove(&sequence);
            if let Some(job) = self.waiting.remove(&sequence) {
                job.lost(error.clone());
            }
        }
    }

    fn answer_flushes(&mut self) {
        let oldest = self.open.first().copied().unwrap_or(u64::MAX);
        for (_, reply) in self.flushes.extract_if(.., |(upto, _)| oldest >= *upto) {
            // Whoever asked may not wait any more.
            let _ = reply.send(());
        }
    }
}
