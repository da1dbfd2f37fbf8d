//! The task that empties the buffer and alone decides about sending and retries.
//!
//! While sends succeed, many are open at a time. After a lost connection, the worker pauses, then sends the
//! oldest message as a probe, and continues when the broker has answered. A failure to reach the broker
//! counts as an attempt of every waiting message, as each would have failed.
//!
//! A message that the broker refuses temporarily (its exchange is missing, its queue is full) waits alone:
//! the refusal says nothing about other messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use osnl_transport::{Backoff, BoxFuture, Transport, TransportError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::job::EmissionJob;

/// Messages that may wait for their confirm at the same time.
const IN_FLIGHT: usize = 1000;
/// The pause of a refused message, which doubles after each further refusal.
const REFUSED: Duration = Duration::from_secs(1);
const REFUSED_LONGEST: Duration = Duration::from_secs(30);

pub(super) enum WorkerOrder {
    Send(Box<EmissionJob>),
    /// Answered when every job of a sequence below `upto` is settled.
    Flush {
        upto: u64,
        reply: oneshot::Sender<()>,
    },
    Stop,
}

enum WorkerGate {
    Open,
    /// No send begins before this moment.
    Shut(Instant),
    /// One message, whose outcome opens or shuts the gate.
    Probing,
}

type EmissionAttempt = BoxFuture<'static, (Box<EmissionJob>, Result<(), TransportError>)>;

struct NotifierWorker {
    transport: Arc<dyn Transport>,
    waiting: BTreeMap<u64, Box<EmissionJob>>,
    /// Refused messages by the time of their retry. The notifier's buffer bounds their number.
    refused: BTreeMap<(Instant, u64), Box<EmissionJob>>,
    attempts: FuturesUnordered<EmissionAttempt>,
    open: BTreeSet<u64>,
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    gate: WorkerGate,
    backoff: Backoff,
}

/// Runs until stopped, or until all senders of orders are dropped. Each remaining message then reports its
/// own loss.
pub(super) async fn run(transport: Arc<dyn Transport>, mut inbox: mpsc::UnboundedReceiver<WorkerOrder>) {
    let backoff = Backoff::new(transport.reconnect());
    let mut worker = NotifierWorker {
        transport,
        waiting: BTreeMap::new(),
        refused: BTreeMap::new(),
        attempts: FuturesUnordered::new(),
        open: BTreeSet::new(),
        flushes: Vec::new(),
        gate: WorkerGate::Open,
        backoff,
    };
    loop {
        worker.begin();
        worker.answer_flushes();
        let shut = match worker.gate {
            WorkerGate::Shut(until) => Some(until),
            WorkerGate::Open | WorkerGate::Probing => None,
        };
        let due = worker.refused.first_key_value().map(|((due, _), _)| *due);
        tokio::select! {
            order = inbox.recv() => match order {
                Some(WorkerOrder::Send(job)) => {
                    worker.open.insert(job.sequence);
                    worker.waiting.insert(job.sequence, job);
                }
                Some(WorkerOrder::Flush { upto, reply }) => worker.flushes.push((upto, reply)),
                Some(WorkerOrder::Stop) | None => return,
            },
            Some((job, sent)) = worker.attempts.next(), if !worker.attempts.is_empty() => worker.settle(job, sent),
            () = sleep_until(shut.unwrap_or_else(Instant::now)), if shut.is_some() => worker.gate = WorkerGate::Probing,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => worker.refused_are_due(),
        }
    }
}

impl NotifierWorker {
    fn begin(&mut self) {
        let room = match self.gate {
            WorkerGate::Open => IN_FLIGHT,
            WorkerGate::Probing => 1,
            WorkerGate::Shut(_) => 0,
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

    fn settle(&mut self, mut job: Box<EmissionJob>, sent: Result<(), TransportError>) {
        let Err(error) = sent else {
            self.open.remove(&job.sequence);
            job.confirmed();
            if !matches!(self.gate, WorkerGate::Open) {
                tracing::info!(
                    broker.name = self.transport.location(),
                    "the broker accepts notifications again"
                );
                self.open_gate();
            }
            return;
        };
        job.failures = job.failures.saturating_add(1);
        let is_probe = matches!(self.gate, WorkerGate::Probing);
        if !error.is_recoverable() {
            self.open.remove(&job.sequence);
            job.lost(error);
            if is_probe {
                self.open_gate();
            }
            return;
        }
        if job.retry.allows(job.failures) {
            job.counters.retried.increment();
            job.counters.failed(error.to_string());
        }
        if error.is_unreachable() || is_lost(&error) {
            self.shut(&error);
            // Another message becomes the probe next, in case this one breaks the connection each time.
            match is_probe && is_lost(&error) {
                true => self.refuse(job),
                false => drop(self.waiting.insert(job.sequence, job)),
            }
        } else {
            if is_probe {
                self.open_gate();
            }
            if job.refusals == 0 {
                tracing::warn!(
                    broker.name = self.transport.location(),
                    routing_key = &*job.target.routing_key(&job.priority),
                    error = error.to_string(),
                    "the broker refuses a notification: it is retried, the others don't wait"
                );
            }
            self.refuse(job);
        }
        self.give_up(&error);
    }

    /// The broker has answered: the next outage begins with the first pause.
    fn open_gate(&mut self) {
        self.gate = WorkerGate::Open;
        self.backoff = Backoff::new(self.transport.reconnect());
    }

    /// Pauses sending, unless it is paused already.
    fn shut(&mut self, error: &TransportError) {
        let first = match self.gate {
            WorkerGate::Open => true,
            WorkerGate::Probing => false,
            WorkerGate::Shut(_) => return,
        };
        if error.is_unreachable() {
            let waiting = self.waiting.values_mut().chain(self.refused.values_mut());
            waiting.for_each(|other| other.failures = other.failures.saturating_add(1));
        }
        self.gate = WorkerGate::Shut(Instant::now() + self.backoff.after(error));
        if first {
            tracing::warn!(
                broker.name = self.transport.location(),
                error = error.to_string(),
                waiting = self.open.len(),
                "the broker is not reachable: notifications wait and are retried"
            );
        }
    }

    fn refuse(&mut self, mut job: Box<EmissionJob>) {
        let pause = REFUSED.saturating_mul(2_u32.saturating_pow(job.refusals.min(16))).min(REFUSED_LONGEST);
        job.refusals = job.refusals.saturating_add(1);
        self.refused.insert((Instant::now() + pause, job.sequence), job);
    }

    fn refused_are_due(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.refused.first_entry()
            && entry.key().0 <= now
        {
            let job = entry.remove();
            self.waiting.insert(job.sequence, job);
        }
    }

    fn give_up(&mut self, error: &TransportError) {
        let ends = |job: &EmissionJob| job.failures > 0 && !job.retry.allows(job.failures);
        let waiting = self.waiting.extract_if(.., |_, job| ends(job)).map(|(_, job)| job);
        let refused = self.refused.extract_if(.., |_, job| ends(job)).map(|(_, job)| job);
        for job in waiting.chain(refused) {
            self.open.remove(&job.sequence);
            job.lost(error.clone());
        }
    }

    fn answer_flushes(&mut self) {
        let oldest = self.open.first().copied().unwrap_or(u64::MAX);
        for (_, reply) in self.flushes.extract_if(.., |(upto, _)| oldest >= *upto) {
            // The caller may have stopped waiting.
            let _ = reply.send(());
        }
    }
}

/// Whether the connection ended, which says nothing about the message under way.
fn is_lost(error: &TransportError) -> bool {
    matches!(error, TransportError::Lost { .. })
}
