//! The dead letter queues of `memory://`, filled by the daemon, and read and changed by operators' commands.
//!
//! A listener that reads a quorum queue of its own (`pool`, or a queue that is only read) has the queue `POOL.dead` on
//! the same broker. One program at a time reads that queue; another waits a few seconds, then fails as busy.

mod queries;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use osnl_transport::dead_letters::dead_letter_queue;
use osnl_transport::{BoxFuture, Driver, QueueReader, QueueType, QueuedMessage, Transport, TransportError};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) use self::queries::{MemoryAndQueues, row_of, unread};
use crate::daemon::ServiceTask;
use crate::journal::dead_letters::{again, bytes_of, copy_of, id_of};
use crate::journal::memory::{Burial, MemoryJournal};
use crate::native::{JournalConf, ListenerConf, Native};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const COUNTED: Duration = Duration::from_secs(10);
/// The wait for another reader, which usually takes a second or two.
const BUSY: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of bodies that one reading holds in memory.
const BODIES: u64 = 64 << 20;
/// The limit of messages put back with one wait for the broker.
const TOGETHER: usize = 100;

#[derive(Default)]
pub struct DeadLetterQueues(Mutex<BTreeMap<Arc<str>, DeadLetterQueue>>);

#[derive(Clone)]
struct DeadLetterQueue {
    name: String,
    source: String,
    transport: Arc<dyn Transport>,
    count: Option<u64>,
    trouble: Option<(SystemTime, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterQueueState {
    pub queue: String,
    pub count: Option<u64>,
    pub trouble: Option<(SystemTime, String)>,
}

#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    #[error("the dead letter queue \"{0}\" is busy: another command reads it; ask again in a few seconds")]
    Busy(String),
    #[error("the dead letter queue \"{queue}\" cannot be used: {error}")]
    Transport { queue: String, error: TransportError },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadLetterChange {
    Retry,
    Discard,
}

impl std::fmt::Debug for DeadLetterQueues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.states()).finish()
    }
}

impl ListenerConf {
    pub(crate) fn decide_dead_letters(&mut self, journal: &JournalConf) {
        let is_quorum = self.queue.queue_type == QueueType::Quorum && self.driver() != Driver::Kafka;
        self.keeps_dead_letters = is_quorum && self.pool.is_some() && matches!(journal, JournalConf::Memory);
    }

    pub(crate) fn dead_letter_queue(&self) -> Option<String> {
        self.pool.as_deref().filter(|_| self.keeps_dead_letters).map(dead_letter_queue)
    }
}

impl Native {
    /// Returns the queues without connecting; none unless the journal is `memory://`.
    #[must_use]
    pub fn dead_letter_queues(&self) -> DeadLetterQueues {
        let queues = DeadLetterQueues::default();
        for (listener, _) in self.heard() {
            if let Ok(transport) = listener.transport() {
                queues.serve(listener, transport.into());
            }
        }
        queues
    }
}

impl DeadLetterQueues {
    pub(crate) fn serve(&self, listener: &ListenerConf, transport: Arc<dyn Transport>) -> bool {
        let (Some(name), Some(source)) = (listener.dead_letter_queue(), listener.pool.clone()) else {
            return false;
        };
        let mut queues = self.lock();
        let queue = DeadLetterQueue { name, source, transport, count: None, trouble: None };
        queues.insert(listener.name.clone(), queue);
        true
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, DeadLetterQueue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn states(&self) -> Vec<DeadLetterQueueState> {
        let state = |queue: DeadLetterQueue| DeadLetterQueueState {
            queue: queue.name,
            count: queue.count,
            trouble: queue.trouble,
        };
        self.each().into_iter().map(state).collect()
    }

    fn each(&self) -> Vec<DeadLetterQueue> {
        let mut seen = HashSet::new();
        let queues = self.lock().values().cloned().collect::<Vec<_>>().into_iter();
        queues.filter(|queue| seen.insert((queue.transport.location(), queue.name.clone()))).collect()
    }

    pub(crate) fn keep(self: Arc<Self>, journal: Arc<MemoryJournal>) -> ServiceTask {
        Box::new(|end: CancellationToken| {
            Box::pin(async move {
                let mut pause = FIRST_PAUSE;
                let mut counted: Option<Instant> = None;
                loop {
                    if counted.is_none_or(|at| at.elapsed() >= COUNTED) {
                        tokio::select! {
                            () = end.cancelled() => return,
                            () = self.count() => counted = Some(Instant::now()),
                        }
                    }
                    let waiting = tokio::select! {
                        () = end.cancelled() => return,
                        () = sleep(COUNTED) => continue,
                        waiting = journal.burials() => waiting,
                    };
                    let burying = waiting.iter().map(|(listener, burials)| self.bury(listener, burials));
                    let kept = tokio::select! {
                        () = end.cancelled() => return,
                        kept = join_all(burying) => kept,
                    };
                    for (is_kept, burials) in kept.into_iter().zip(waiting.values()) {
                        if is_kept {
                            journal.buried(burials);
                            (pause, counted) = (FIRST_PAUSE, None);
                            continue;
                        }
                        tokio::select! {
                            () = end.cancelled() => return,
                            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                        }
                    }
                }
            }) as BoxFuture<'static, ()>
        })
    }

    async fn bury(&self, listener: &Arc<str>, burials: &[Burial]) -> bool {
        let Some(queue) = self.lock().get(listener).cloned() else { return false };
        let messages: Vec<QueuedMessage> = burials.iter().map(|burial| burial.message.clone()).collect();
        let kept = match queue.transport.queue_access() {
            Some(access) => access.put(&queue.name, true, &messages).await,
            None => return false,
        };
        let trouble = kept.as_ref().err().map(|error| words(&queue.name, error));
        if let (Some(reason), None) = (&trouble, &queue.trouble) {
            tracing::error!(
                listener.name = &**listener,
                queue.name = queue.name,
                deliveries = burials.len(),
                reason,
                "dead letters cannot be kept: their messages stay with the broker until they can"
            );
        }
        if let (None, Some(_)) = (&trouble, &queue.trouble) {
            tracing::info!(
                listener.name = &**listener,
                queue.name = queue.name,
                "dead letters are kept again"
            );
        }
        if let Some(queue) = self.lock().get_mut(listener) {
            let since = |reason| (queue.trouble.take().map_or_else(SystemTime::now, |(at, _)| at), reason);
            queue.trouble = trouble.map(since);
        }
        kept.is_ok()
    }

    pub(crate) async fn count(&self) {
        let queues: Vec<(Arc<str>, DeadLetterQueue)> =
            self.lock().iter().map(|(name, queue)| (name.clone(), queue.clone())).collect();
        let asked = queues.iter().map(async |(listener, queue)| {
            let access = queue.transport.queue_access()?;
            let count = access.depth(&queue.name).await.ok()?;
            Some((listener.clone(), u64::from(count.unwrap_or_default())))
        });
        for (listener, count) in join_all(asked).await.into_iter().flatten() {
            if let Some(queue) = self.lock().get_mut(&listener) {
                queue.count = Some(count);
            }
        }
    }

    /// Returns each dead letter once, oldest first, and whether more wait than fit. Bodies are included where
    /// `wants_body` holds.
    pub(crate) async fn read(
        &self,
        wants_body: impl Fn(&QueuedMessage) -> bool + Send + Sync,
    ) -> Result<(Vec<QueuedMessage>, bool), DeadLetterError> {
        let (mut found, mut has_more) = (Vec::new(), false);
        for queue in self.each() {
            let Some(reader) = queue.take(&wants_body).await? else { continue };
            let mut seen = HashSet::new();
            for message in reader.messages() {
                if copy_of(message).is_none_or(|copy| seen.insert(copy)) {
                    found.push(message.clone());
                }
            }
            drop(seen);
            has_more |= reader.has_more();
            reader.close().await;
        }
        Ok((found, has_more))
    }

    /// Changes dead letters, and returns their numbers. The broker confirms a message put back before its dead letter
    /// is removed, so none is lost.
    pub(crate) async fn change(
        &self,
        change: DeadLetterChange,
        is_meant: impl Fn(&QueuedMessage) -> bool + Send + Sync,
        changed: &mut Vec<u64>,
    ) -> Result<(), DeadLetterError> {
        for queue in self.each() {
            while queue.change(change, &is_meant, changed).await? {}
        }
        Ok(())
    }
}

impl DeadLetterQueue {
    /// Consumes from the queue exclusively, once no other program does.
    async fn take(
        &self,
        wants_body: &(impl Fn(&QueuedMessage) -> bool + Send + Sync),
    ) -> Result<Option<Box<dyn QueueReader>>, DeadLetterError> {
        let Some(access) = self.transport.queue_access() else { return Ok(None) };
        let deadline = Instant::now() + BUSY;
        let wants = |headers: &BTreeMap<String, String>| {
            wants_body(&QueuedMessage { headers: headers.clone(), ..QueuedMessage::default() })
        };
        loop {
            match access.take(&self.name, &wants).await {
                Ok(reader) => return Ok(reader),
                Err(error) if error.is_locked() && Instant::now() < deadline => sleep(BUSY_PAUSE).await,
                Err(error) if error.is_locked() => return Err(DeadLetterError::Busy(self.name.clone())),
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn failed(&self, error: TransportError) -> DeadLetterError {
        DeadLetterError::Transport { queue: self.name.clone(), error }
    }

    async fn change(
        &self,
        change: DeadLetterChange,
        is_meant: &(impl Fn(&QueuedMessage) -> bool + Send + Sync),
        changed: &mut Vec<u64>,
    ) -> Result<bool, DeadLetterError> {
        let (bodies, left) = (AtomicU64::new(0), AtomicU64::new(0));
        let wants_body = |message: &QueuedMessage| {
            if change == DeadLetterChange::Discard || !is_meant(message) {
                return false;
            }
            let bytes = bytes_of(message);
            let is_first = bodies.fetch_add(bytes, Ordering::Relaxed) == 0;
            let fits = is_first || bodies.load(Ordering::Relaxed) <= BODIES;
            left.fetch_add(u64::from(!fits), Ordering::Relaxed);
            fits
        };
        let Some(mut reader) = self.take(&wants_body).await? else { return Ok(false) };
        let meant: Vec<usize> = (0..reader.messages().len())
            .filter(|at| {
                let message = &reader.messages()[*at];
                // A truncated message is not put back.
                let is_whole = message.body.len() as u64 == bytes_of(message);
                is_meant(message) && (change == DeadLetterChange::Discard || is_whole)
            })
            .collect();
        let before = changed.len();
        let mut seen = HashSet::new();
        for some in meant.chunks(TOGETHER) {
            let mut new: Vec<QueuedMessage> = Vec::new();
            for message in some.iter().map(|at| &reader.messages()[*at]) {
                if copy_of(message).is_none_or(|(id, key)| seen.insert((id, key.to_owned()))) {
                    new.push(message.clone());
                }
            }
            if let (DeadLetterChange::Retry, Some(access)) = (change, self.transport.queue_access()) {
                let back: Vec<QueuedMessage> = new.iter().map(again).collect();
                access.put(&self.source, false, &back).await.map_err(|error| self.failed(error))?;
            }
            changed.extend(new.iter().map(id_of));
            for at in some {
                reader.acknowledge(*at).await.map_err(|error| self.failed(error))?;
            }
        }
        let is_more = left.load(Ordering::Relaxed) > 0 || reader.has_more();
        reader.close().await;
        Ok(changed.len() > before && is_more)
    }
}

fn words(queue: &str, error: &TransportError) -> String {
    match error {
        TransportError::NotTaken { .. } => format!(
            "the dead letter queue \"{queue}\" is full: retry or discard dead letters (osnl deliveries), or raise its max-length"
        ),
        TransportError::Unroutable { .. } => {
            format!("the dead letter queue \"{queue}\" is gone, and is made anew")
        }
        error => format!("the dead letter queue \"{queue}\": {error}"),
    }
}
