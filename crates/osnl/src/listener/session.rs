//! One connection's life: poll, dispatch, settle, flush, until it is drained or lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use osnl_transport::{Batch, BoxFuture, Consumer, IncomingMessage, TransportError, Window};
use tokio::time::Instant;

use super::Listener;
use super::state::ListenerState;
use super::stream::Streams;
use super::watchdog::{Stage, Wake, Watchdog};
use crate::journal::{Receipt, Settle};
use crate::received::{Received, with_head};
use crate::shutdown::Shutdown;

/// How long a message that nobody wants may wait for others to be acknowledged with: an acknowledgement costs as
/// much as several messages. What had an outcome does not wait.
const LINGER: Duration = Duration::from_millis(5);

/// How long settlements wait that a flush has left: the broker takes nothing at the moment.
const BLOCKED: Duration = Duration::from_millis(100);

/// A message handed over, until its receipt completes.
type Open = BoxFuture<'static, (IncomingMessage, Settle)>;

/// One connection's life.
pub(super) struct Session<'a> {
    listener: &'a Listener,
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) window: Window,
    open: FuturesUnordered<Open>,
    batch: Batch,
    /// When the broker is told at the latest of what is settled; `None` while nothing is.
    flush_at: Option<Instant>,
    /// `None` where queues are read.
    streams: Option<&'a mut Streams>,
    watchdog: Watchdog,
}

impl<'a> Session<'a> {
    pub(super) fn new(
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
    pub(super) async fn run(&mut self, shutdown: &Shutdown) -> Result<(), TransportError> {
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
