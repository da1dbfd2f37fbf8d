//! The listener's loop, the only place that owns connecting: connect, poll, dispatch, settle, back off.
//!
//! ```text
//! Connecting { attempt } ──► Listening ──► Draining ──► Stopped
//!        ▲                      │
//!        └──── connection lost ─┘
//! ```
//!
//! Of each message the head is read first. What nobody wants is acknowledged, with neither a task nor an
//! allocation of its own, a quarter of the window or some milliseconds' worth at a time. What is wanted goes
//! to the [`Endpoint`], and is settled as soon as its receipt completes; up to `prefetch` receipts are open at
//! once, and the window coalesces the acknowledgements. No message is acknowledged on an error path.

mod backoff;
mod state;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use osnl_model::{Priority, Target};
use osnl_transport::{
    Batch, BoxFuture, Consumer, IncomingMessage, ListenOptions, Subscription, Transport, TransportError,
    Window,
};
use tokio::sync::watch;
use tokio::time::Instant;

use self::backoff::Backoff;
pub use self::state::ListenerState;
use self::watchdog::{Stage, Wake, Watchdog};
pub use self::watchdog::{Stall, StallKind};
use crate::endpoint::Endpoint;
use crate::journal::{Receipt, Settle};
use crate::metrics::Counters;
use crate::received::{Received, with_head};
use crate::shutdown::Shutdown;

/// How long a message that nobody wants may wait for others to be acknowledged with: an acknowledgement costs as
/// much as several messages. What had an outcome does not wait.
const LINGER: Duration = Duration::from_millis(5);

/// How long settlements wait that a flush has left: the broker takes nothing at the moment.
const BLOCKED: Duration = Duration::from_millis(100);

/// What to listen to, and how.
pub struct ListenerConfig {
    /// The listener's name in the configuration.
    pub name: Arc<str>,
    /// Exchanges, topics and priorities.
    pub targets: Vec<(Target, Priority)>,
    /// Pool, prefetch, declarations.
    pub options: ListenOptions,
    /// Whether a refused login or virtual host at the very start ends the program, as it does with
    /// oslo.messaging, instead of being tried again.
    pub refused_access_is_fatal: bool,
}

/// One subscription, kept up. See the [module](self).
pub struct Listener {
    config: ListenerConfig,
    transport: Arc<dyn Transport>,
    endpoint: Arc<dyn Endpoint>,
    counters: Arc<Counters>,
    state: watch::Sender<ListenerState>,
    stall: watch::Sender<Option<Stall>>,
}

/// A message handed over, until its receipt completes.
type Open = BoxFuture<'static, (IncomingMessage, Settle)>;

impl Listener {
    /// A listener that has not begun.
    #[must_use]
    pub fn new(
        config: ListenerConfig,
        transport: Arc<dyn Transport>,
        endpoint: Arc<dyn Endpoint>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            config,
            transport,
            endpoint,
            counters,
            state: watch::Sender::new(ListenerState::Connecting { attempt: 0 }),
            stall: watch::Sender::new(None),
        }
    }

    /// What it is doing, as it changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ListenerState> {
        self.state.subscribe()
    }

    /// Whether nothing moves although messages wait, as it changes; `None` while all is well, or while the broker is
    /// away. [`Counters::stalls`] counts them.
    #[must_use]
    pub fn stall(&self) -> watch::Receiver<Option<Stall>> {
        self.stall.subscribe()
    }

    /// Where its broker is, for people: no secret.
    #[must_use]
    pub fn location(&self) -> String {
        self.transport.location()
    }

    /// Listens until told to drain; then takes nothing new and settles what is open.
    ///
    /// # Errors
    /// Access was refused at the start and [`ListenerConfig::refused_access_is_fatal`] is set, or the
    /// error is one that no further attempt can mend.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), TransportError> {
        let mut lost_at = None;
        let result = loop {
            let consumer = match self.connect(&shutdown, lost_at.is_none()).await {
                Ok(Some(consumer)) => consumer,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            self.announce(consumer.subscription(), lost_at);
            self.state.send_replace(ListenerState::Listening);
            let mut session = Session::new(&self, consumer);
            let ended = session.run(&shutdown).await;
            self.stall.send_replace(None);
            match ended {
                Ok(()) => {
                    session.consumer.close().await;
                    break Ok(());
                }
                Err(error) => {
                    lost_at = Some(Instant::now());
                    tracing::warn!(
                        listener.name = &*self.config.name,
                        unsettled = session.window.unsettled(),
                        "{error}; connecting again, the broker delivers what is unsettled again"
                    );
                }
            }
        };
        self.state.send_replace(ListenerState::Stopped);
        result
    }

    /// Tries until it is connected; `None` when told to stop.
    async fn connect(
        &self,
        shutdown: &Shutdown,
        first: bool,
    ) -> Result<Option<Box<dyn Consumer>>, TransportError> {
        let mut backoff = Backoff::new();
        let mut said = None;
        for attempt in 1.. {
            self.state.send_replace(ListenerState::Connecting { attempt });
            let listen = self.transport.listen(&self.config.targets, &self.config.options);
            let error = tokio::select! {
                biased;
                () = shutdown.drain.cancelled() => return Ok(None),
                result = listen => match result {
                    Ok(consumer) => {
                        if !first {
                            self.counters.reconnects.increment();
                        }
                        return Ok(Some(consumer));
                    }
                    Err(error) => error,
                },
            };
            let fatal =
                first && attempt == 1 && self.config.refused_access_is_fatal && error.is_refused_access();
            if fatal || !error.is_recoverable() {
                return Err(error);
            }
            let pause = backoff.after(&error);
            self.say_failed(attempt, &error, pause, &mut said);
            tokio::select! {
                biased;
                () = shutdown.drain.cancelled() => return Ok(None),
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(None)
    }

    /// A broker may be away for a night: the first attempts are told each, then one a minute.
    fn say_failed(&self, attempt: u32, error: &TransportError, pause: Duration, said: &mut Option<Instant>) {
        const EACH: u32 = 3;
        const REMIND: Duration = Duration::from_secs(60);
        let name = &*self.config.name;
        if attempt <= EACH || said.is_none_or(|said| said.elapsed() >= REMIND) {
            *said = Some(Instant::now());
            let then = if attempt == EACH { ", and on; told once a minute" } else { "" };
            let seconds = pause.as_secs_f64();
            tracing::warn!(listener.name = name, attempt, "{error}; trying again in {seconds:.1} s{then}");
        } else {
            tracing::debug!(listener.name = name, attempt, "{error}");
        }
    }

    /// Says what was found, and what a broker that was away has lost.
    fn announce(&self, found: &Subscription, lost_at: Option<Instant>) {
        let listener = &*self.config.name;
        let queues = found.queues().join(", ");
        for binding in &found.bindings {
            tracing::debug!(
                listener.name = listener,
                "queue {} bound to exchange {} with key {}",
                binding.queue,
                binding.exchange,
                binding.routing_key
            );
        }
        tracing::info!(
            listener.name = listener,
            queue.name = queues,
            queue.waiting = found.waiting,
            "listening at {}",
            found.host
        );
        for remark in &found.remarks {
            tracing::info!(listener.name = listener, "{remark}");
        }
        if found.other_consumers > 0 && self.config.options.queue.single_active_consumer {
            tracing::info!(
                listener.name = listener,
                queue.name = queues,
                "{} other consumer(s) on this queue: of a queue made by osnl one gets the messages, the others wait \
                 to take its place",
                found.other_consumers
            );
        } else if found.other_consumers > 0 {
            tracing::warn!(
                listener.name = listener,
                queue.name = queues,
                "{} other consumer(s) on this queue take a share of its messages; a pool of its own gets all of them",
                found.other_consumers
            );
        }
        match lost_at {
            Some(lost_at) if found.created => tracing::warn!(
                listener.name = listener,
                queue.name = queues,
                "the queue was gone and has been made anew: what waited in it, and what was published in the {:.1} s \
                 since the connection was lost, is lost; a queue and an exchange that are declared durable keep it",
                lost_at.elapsed().as_secs_f64()
            ),
            Some(lost_at) => tracing::info!(
                listener.name = listener,
                "back after {:.1} s; the queue kept its messages",
                lost_at.elapsed().as_secs_f64()
            ),
            None if found.durable == Some(false) => tracing::warn!(
                listener.name = listener,
                queue.name = queues,
                "the queue is transient, as k2hr3_osnl declares it: a restart of the broker loses what waits in it; \
                 a queue of this name that is declared durable beforehand is used as it is"
            ),
            None => {}
        }
    }
}

/// One connection's life.
struct Session<'a> {
    listener: &'a Listener,
    consumer: Box<dyn Consumer>,
    window: Window,
    open: FuturesUnordered<Open>,
    batch: Batch,
    /// When the broker is told at the latest of what is settled; `None` while nothing is.
    flush_at: Option<Instant>,
    watchdog: Watchdog,
}

impl<'a> Session<'a> {
    fn new(listener: &'a Listener, consumer: Box<dyn Consumer>) -> Self {
        let window = Window::new(consumer.subscription().epoch);
        let prefetch = usize::from(listener.config.options.prefetch);
        let batch = Batch::with_limit(prefetch);
        let found = consumer.subscription();
        let standby = listener.config.options.queue.single_active_consumer && found.other_consumers > 0;
        let watchdog = Watchdog::new(found.queues().join(", "), standby);
        Self { listener, consumer, window, open: FuturesUnordered::new(), batch, flush_at: None, watchdog }
    }

    /// Until drained, or the connection is lost.
    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), TransportError> {
        let prefetch = usize::from(self.listener.config.options.prefetch);
        let mut draining = false;
        let reserving = AtomicBool::new(false);
        while !(draining && self.open.is_empty()) {
            let room = prefetch.saturating_sub(self.open.len());
            let flush_at = self.flush_at;
            let (endpoint, consumer, batch) = (&self.listener.endpoint, &mut self.consumer, &mut self.batch);
            // Without room nothing is taken, but a lost connection is noticed all the same.
            let poll = async {
                if room == 0 {
                    return Err(consumer.ended().await);
                }
                reserving.store(true, Ordering::Relaxed);
                let mut reserve = endpoint.reserve(room);
                let places = match (&mut reserve).now_or_never() {
                    Some(places) => places,
                    None => tokio::select! {
                        biased;
                        places = reserve => places,
                        error = consumer.ended() => return Err(error),
                    },
                };
                reserving.store(false, Ordering::Relaxed);
                batch.set_limit(places);
                consumer.poll(batch).await
            };
            tokio::select! {
                biased;
                () = shutdown.abort.cancelled() => break,
                () = shutdown.drain.cancelled(), if !draining => {
                    draining = true;
                    self.listener.state.send_replace(ListenerState::Draining);
                    self.consumer.quiesce().await?;
                }
                Some((message, settle)) = self.open.next() => {
                    self.settle(message, settle);
                    while let Some(Some((message, settle))) = self.open.next().now_or_never() {
                        self.settle(message, settle);
                    }
                    self.flush().await?;
                }
                polled = poll, if !draining => {
                    self.dispatch();
                    polled?;
                }
                () = sleep_until(flush_at), if flush_at.is_some() => {}
                wake = self.watchdog.wake(), if !draining => {
                    let stage = match (room, reserving.load(Ordering::Relaxed)) {
                        (0, _) => Stage::WindowFull,
                        (_, true) => Stage::Reserving,
                        (_, false) => Stage::Polling,
                    };
                    self.watch(wake, stage);
                }
            }
            self.flush_if_due(prefetch / 4).await?;
        }
        self.flush().await
    }

    /// Tells the broker what is settled once that is `many`, or the first of it has waited for [`LINGER`].
    async fn flush_if_due(&mut self, many: usize) -> Result<(), TransportError> {
        let due = self.window.due();
        if due == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let flush_at = *self.flush_at.get_or_insert(now + LINGER);
        if due >= many || now >= flush_at { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), TransportError> {
        self.flush_at = None;
        if self.window.due() > 0 {
            self.consumer.flush(&mut self.window).await?;
        }
        if self.window.due() > 0 {
            self.flush_at = Some(Instant::now() + BLOCKED);
        }
        Ok(())
    }

    fn watch(&mut self, wake: Wake, stage: Stage) {
        let Listener { config, stall, counters, .. } = self.listener;
        if let Some(change) = self.watchdog.woken(wake, stage, self.open.len(), &*self.consumer) {
            change.publish(&config.name, stall, counters);
        }
    }

    fn dispatch(&mut self) {
        let Listener { config, endpoint, counters, .. } = self.listener;
        if self.batch.is_empty() {
            return;
        }
        self.window.admit(&self.batch);
        self.watchdog.arrived();
        counters.received.add(self.batch.len() as u64);
        let mut unmatched = 0;
        for message in self.batch.drain() {
            let receipt = match with_head(&message, |head| endpoint.wants(head)) {
                Ok(false) => {
                    unmatched += 1;
                    // Cannot be stale: it came over the connection whose window this is.
                    let _ = self.window.acknowledge(message);
                    continue;
                }
                Ok(true) => endpoint.notify(Received::of(&message, &config.name)),
                Err(error) => endpoint.unreadable(Received::of(&message, &config.name), error.to_string()),
            };
            self.open.push(open(message, receipt));
        }
        counters.unmatched.add(unmatched);
    }

    fn settle(&mut self, message: IncomingMessage, settle: Settle) {
        self.watchdog.settled();
        let stale = match settle {
            Settle::Acknowledge => self.window.acknowledge(message),
            Settle::Requeue => self.window.requeue(message),
            // Dropped: it stays unsettled and goes back with the connection.
            Settle::Leave => Ok(()),
        };
        debug_assert!(stale.is_ok(), "a session's messages are those of its window");
    }
}

/// `None` is never.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn open(message: IncomingMessage, receipt: Receipt) -> Open {
    Box::pin(async move {
        let settle = receipt.await;
        (message, settle)
    })
}
