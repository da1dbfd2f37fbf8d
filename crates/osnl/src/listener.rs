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
//! to the [`Intake`], and is settled as soon as its receipt completes; up to `prefetch` receipts are open at
//! once, and the window coalesces the acknowledgements. No message is acknowledged on an error path.

mod announce;
pub(crate) mod backoff;
mod gauges;
mod positions;
mod state;
mod stream;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use osnl_model::{Priority, Target};
use osnl_transport::{
    Batch, BoxFuture, Consumer, IncomingMessage, ListenOptions, Transport, TransportError, Window,
};
use tokio::sync::watch;
use tokio::time::Instant;

use self::backoff::Backoff;
pub use self::gauges::{Gauges, Opened};
pub use self::positions::PositionStore;
pub use self::state::ListenerState;
use self::stream::Streams;
use self::watchdog::{Stage, Wake, Watchdog};
pub use self::watchdog::{Stall, StallKind};
use crate::intake::Intake;
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
    endpoint: Arc<dyn Intake>,
    counters: Arc<Counters>,
    state: watch::Sender<ListenerState>,
    positions: Option<PositionStore>,
    stall: watch::Sender<Option<Stall>>,
    gauges: Arc<Gauges>,
}

/// What was last told of failed attempts.
struct Said {
    at: Instant,
    /// What was not there.
    missing: Option<String>,
}

/// A message handed over, until its receipt completes.
type Open = BoxFuture<'static, (IncomingMessage, Settle)>;

impl Listener {
    /// A listener that has not begun.
    #[must_use]
    pub fn new(
        config: ListenerConfig,
        transport: Arc<dyn Transport>,
        endpoint: Arc<dyn Intake>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            config,
            transport,
            endpoint,
            counters,
            state: watch::Sender::new(ListenerState::Connecting { attempt: 0 }),
            positions: None,
            stall: watch::Sender::new(None),
            gauges: Arc::default(),
        }
    }

    /// Keeps how far streams were read there; without, a restart begins at
    /// [`stream_offset`](osnl_transport::QueueKind::stream_offset) again.
    #[must_use]
    pub fn with_positions(mut self, positions: PositionStore) -> Self {
        self.positions = Some(positions);
        self
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

    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// What it has done, as it runs.
    #[must_use]
    pub fn gauges(&self) -> Arc<Gauges> {
        self.gauges.clone()
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
        let mut streams = Streams::new(&self.config.options, self.positions.clone());
        let result = loop {
            let consumer = match self.connect(&shutdown, lost_at.is_none(), streams.as_ref()).await {
                Ok(Some(consumer)) => consumer,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let away = lost_at.map(|lost_at: Instant| lost_at.elapsed());
            announce::announce(&self.config.name, &self.config.options, consumer.subscription(), away);
            self.gauges.connected(consumer.subscription(), away.is_some());
            self.state.send_replace(ListenerState::Listening);
            let mut session = Session::new(&self, consumer, streams.as_mut());
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
        if let Some(streams) = &mut streams {
            streams.write(&self.config.name, true).await;
        }
        self.state.send_replace(ListenerState::Stopped);
        result
    }

    /// Tries until it is connected; `None` when told to stop.
    async fn connect(
        &self,
        shutdown: &Shutdown,
        first: bool,
        streams: Option<&Streams>,
    ) -> Result<Option<Box<dyn Consumer>>, TransportError> {
        let mut backoff = Backoff::new(self.transport.reconnect());
        let mut said = None;
        let options = streams.map(|streams| streams.options(&self.config.options));
        let options = options.as_ref().unwrap_or(&self.config.options);
        if let Some(pause) = backoff.before().filter(|_| !first) {
            tokio::select! {
                biased;
                () = shutdown.drain.cancelled() => return Ok(None),
                () = tokio::time::sleep(pause) => {}
            }
        }
        for attempt in 1.. {
            self.state.send_replace(ListenerState::Connecting { attempt });
            let listen = self.transport.listen(&self.config.targets, options);
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

    /// A broker may be away for a night: the first attempts are told each, then one a minute. An exchange or a queue
    /// that is not there yet is told once.
    fn say_failed(&self, attempt: u32, error: &TransportError, pause: Duration, said: &mut Option<Said>) {
        const EACH: u32 = 3;
        const REMIND: Duration = Duration::from_secs(60);
        let name = &*self.config.name;
        let missing = error.is_missing().then(|| error.to_string());
        if missing.is_some() {
            if said.as_ref().is_some_and(|said| said.missing == missing) {
                tracing::debug!(listener.name = name, attempt, "{error}");
            } else {
                *said = Some(Said { at: Instant::now(), missing });
                tracing::warn!(listener.name = name, attempt, "{error}; it is looked for each second");
            }
            return;
        }
        if attempt <= EACH || said.as_ref().is_none_or(|said| said.at.elapsed() >= REMIND) {
            *said = Some(Said { at: Instant::now(), missing });
            let then = if attempt == EACH { ", and on; told once a minute" } else { "" };
            let seconds = pause.as_secs_f64();
            tracing::warn!(listener.name = name, attempt, "{error}; trying again in {seconds:.1} s{then}");
        } else {
            tracing::debug!(listener.name = name, attempt, "{error}");
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
    /// `None` where queues are read.
    streams: Option<&'a mut Streams>,
    watchdog: Watchdog,
}

impl<'a> Session<'a> {
    fn new(
        listener: &'a Listener,
        consumer: Box<dyn Consumer>,
        mut streams: Option<&'a mut Streams>,
    ) -> Self {
        if let Some(streams) = &mut streams {
            let found = consumer.subscription();
            let created = |name: &str| found.open.iter().any(|queue| *queue.name == *name && queue.created);
            streams.opened(&listener.config.options, &found.queues(), created);
        }
        let window = Window::new(consumer.subscription().epoch);
        let prefetch = usize::from(listener.config.options.prefetch);
        let batch = Batch::with_limit(prefetch);
        let found = consumer.subscription();
        let standby = listener.config.options.queue.single_active_consumer && found.other_consumers > 0;
        let watchdog = Watchdog::new(found.queues().join(", "), standby);
        let open = FuturesUnordered::new();
        Self { listener, consumer, window, open, batch, flush_at: None, streams, watchdog }
    }

    /// Until drained, or the connection is lost.
    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), TransportError> {
        let prefetch = usize::from(self.listener.config.options.prefetch);
        let mut draining = false;
        let reserving = AtomicBool::new(false);
        while !(draining && self.open.is_empty()) {
            let held = self.streams.as_ref().map_or(0, |streams| streams.held());
            let room = prefetch.saturating_sub(self.open.len() + held);
            let again = self.streams.as_ref().is_some_and(|streams| streams.is_due());
            let wake_at = self.streams.as_ref().and_then(|streams| streams.wake_at());
            let wake_at = self.flush_at.into_iter().chain(wake_at).min();
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
                // Before what is new, which may never end.
                places = async { endpoint.reserve(held).await }, if again && !draining => {
                    self.hand_out_again(places);
                }
                polled = poll, if !draining => {
                    self.dispatch();
                    polled?;
                }
                () = sleep_until(wake_at), if wake_at.is_some() => {}
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
            if let Some(streams) = &mut self.streams {
                streams.write(&self.listener.config.name, false).await;
            }
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
        let Listener { config, endpoint, counters, gauges, .. } = self.listener;
        if self.batch.is_empty() {
            return;
        }
        self.window.admit(&self.batch);
        self.watchdog.arrived();
        counters.received.add(self.batch.len() as u64);
        gauges.received(self.batch.len());
        let mut unmatched = 0;
        for mut message in self.batch.drain() {
            if let Some(streams) = &mut self.streams
                && streams.admit(&mut message)
            {
                let _ = self.window.acknowledge(message);
                continue;
            }
            let wanted = with_head(&message, |head| {
                let wanted = endpoint.wants(head);
                if !wanted {
                    endpoint.unwanted(&message, &config.name, head);
                }
                wanted
            });
            let receipt = match wanted {
                Ok(false) => {
                    unmatched += 1;
                    if let Some(streams) = &mut self.streams {
                        streams.done(&message);
                    }
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

    /// What a stream does not take back, for which there are so many places.
    fn hand_out_again(&mut self, places: usize) {
        let Listener { config, endpoint, .. } = self.listener;
        for message in self.streams.iter_mut().flat_map(|streams| streams.again(places)) {
            // It was wanted when it came, and could be read.
            let receipt = endpoint.notify(Received::of(&message, &config.name));
            self.open.push(open(message, receipt));
        }
    }

    fn settle(&mut self, message: IncomingMessage, settle: Settle) {
        self.watchdog.settled();
        let stale = match (settle, &mut self.streams) {
            (Settle::Acknowledge, Some(streams)) => {
                streams.done(&message);
                self.window.acknowledge(message)
            }
            (Settle::Acknowledge, None) => self.window.acknowledge(message),
            // Nothing can go back to a stream: it is handed out again from here.
            (Settle::Requeue, Some(streams)) => {
                streams.hold(message);
                Ok(())
            }
            (Settle::Requeue, None) => self.window.requeue(message),
            // Dropped: it stays unsettled and goes back with the connection.
            (Settle::Leave, _) => Ok(()),
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
