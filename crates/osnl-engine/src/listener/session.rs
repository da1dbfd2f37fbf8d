//! One connection's life: poll, dispatch, settle, flush, until drained, lost, or given back.
//!
//! The loop of a connection does all input and output; [`Core::step`] decides.

mod step;

use std::time::Duration;

use futures_util::FutureExt;
use osnl_transport::{Batch, Consumer, TransportError};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

pub(super) use self::step::SessionEnd;
use self::step::{Core, SessionOrder, Settling, WakeCause};
use super::Listener;
use super::gauges::Gauges;
use super::returns::Blockade;
use super::watchdog::SessionStage;
use crate::intake::Intake;
use osnl_core::shutdown::Shutdown;

/// The pause after an incomplete flush, since the broker accepts nothing at the moment.
const UNTAKEN: Duration = Duration::from_millis(100);

/// One subscription of a listener, from its first poll until its end.
pub(super) struct ListenerSession<'a> {
    pub(super) consumer: Box<dyn Consumer>,
    core: Core<'a>,
}

impl<'a> ListenerSession<'a> {
    /// The session of a subscription that was opened with the listener's options. A standby that cannot see other waiting
    /// consumers ends after the time `recount`, so that the next subscription counts again.
    pub(super) fn new(listener: &'a Listener, consumer: Box<dyn Consumer>, recount: Duration) -> Self {
        let core = Core::new(listener, &*consumer, recount);
        Self { consumer, core }
    }

    /// Returns the number of unsettled messages. Messages inside the client library count only while none can be taken.
    pub(super) fn unsettled(&self) -> usize {
        self.core.settling.window.unsettled() + self.consumer.untaken()
    }

    /// Whether all messages that had returned to the broker have come again and ended, at one time of this session.
    pub(super) fn has_ended_returned(&self) -> bool {
        self.core.has_ended_returned
    }

    pub(super) fn into_consumer(self) -> Box<dyn Consumer> {
        self.consumer
    }

    pub(super) fn is_standby(&self) -> bool {
        self.core.watchdog.is_standby()
    }

    pub(super) async fn run(&mut self, shutdown: &Shutdown) -> Result<SessionEnd, TransportError> {
        let listener = self.core.listener;
        let every = Blockade::every(listener.config.give_back_after);
        let mut timer = interval_at(Instant::now() + every, every);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let gauges = &*listener.gauges;
        loop {
            if self.core.draining && self.core.open.is_empty() {
                self.flush().await?;
                return Ok(SessionEnd::Drained);
            }
            gauges.set_unsettled(self.core.settling.window.unsettled());
            let room = self.core.room();
            if room == 0 {
                gauges.set_stage(SessionStage::WindowFull);
            }
            let flush_at = self.core.settling.flush_at;
            let draining = self.core.draining;
            let is_crowded = self.core.is_crowded();
            let intake = &*listener.intake;
            let Core { open, batch, watchdog, .. } = &mut self.core;
            let has_rest = !batch.is_empty();
            let poll = async {
                match has_rest {
                    true => wait_before_rest(&mut *self.consumer, is_crowded, gauges).await,
                    false => poll(&mut *self.consumer, intake, batch, room, gauges).await,
                }
            };
            let woken = tokio::select! {
                biased;
                () = shutdown.abort.cancelled() => WakeCause::Aborted,
                () = shutdown.drain.cancelled(), if !draining => WakeCause::Draining,
                Some((message, settle)) = open.next() => WakeCause::Completed(message, settle),
                polled = poll, if !draining => WakeCause::Polled(polled),
                () = sleep_until(flush_at), if flush_at.is_some() => WakeCause::Clock,
                _ = timer.tick(), if !draining => WakeCause::Check(intake.obstacle()),
                wake = watchdog.wake(), if !draining => WakeCause::Watch(wake),
            };
            let stage = gauges.stage();
            match self.core.step(woken, stage, &*self.consumer, Instant::now()) {
                SessionOrder::Nothing => {}
                SessionOrder::Quiesce => self.consumer.quiesce().await?,
                SessionOrder::Flush => self.flush().await?,
                SessionOrder::End(Err(error)) => return Err(error),
                SessionOrder::End(Ok(ended)) => {
                    self.flush().await?;
                    return Ok(ended);
                }
            }
            if self.core.is_flush_due(Instant::now()) {
                self.flush().await?;
            }
        }
    }

    async fn flush(&mut self) -> Result<(), TransportError> {
        let Settling { window, flush_at, .. } = &mut self.core.settling;
        *flush_at = None;
        if window.due() > 0 {
            self.consumer.flush(window).await?;
        }
        if window.due() > 0 {
            *flush_at = Some(Instant::now() + UNTAKEN);
        }
        Ok(())
    }
}

/// Waits before the rest of a batch is dispatched: for one turn of other tasks or, with too many open deliveries, without
/// end, as the next complete message wakes the loop. Cancel-safe.
async fn wait_before_rest(
    consumer: &mut dyn Consumer,
    is_crowded: bool,
    gauges: &Gauges,
) -> Result<(), TransportError> {
    if is_crowded {
        gauges.set_stage(SessionStage::WindowFull);
        // A lost connection must be noticed too.
        return Err(consumer.ended().await);
    }
    tokio::task::yield_now().await;
    gauges.set_stage(SessionStage::Taking);
    Ok(())
}

/// Polls as many messages as places, reserved first. An idle listener holds only one place, so that others have the
/// rest. Cancel-safe.
async fn poll(
    consumer: &mut dyn Consumer,
    intake: &dyn Intake,
    batch: &mut Batch,
    room: usize,
    gauges: &Gauges,
) -> Result<(), TransportError> {
    if room == 0 {
        return Err(consumer.ended().await);
    }
    let mut reserve = intake.reserve(room);
    let places = match (&mut reserve).now_or_never() {
        Some(places) => places,
        None => {
            gauges.set_stage(SessionStage::Reserving);
            tokio::select! {
                biased;
                places = reserve => places,
                error = consumer.ended() => return Err(error),
            }
        }
    };
    batch.set_limit(places);
    if let Some(polled) = consumer.poll(batch).now_or_never() {
        gauges.set_stage(SessionStage::Taking);
        return polled;
    }
    intake.keep(1);
    batch.set_limit(1);
    gauges.set_stage(SessionStage::Polling);
    consumer.poll(batch).await?;
    gauges.set_stage(SessionStage::Taking);
    // Takes messages that arrived together with the first.
    let more = room.saturating_sub(batch.len());
    if more > 0
        && let Some(places) = intake.reserve(room).now_or_never()
    {
        batch.set_limit(places);
        if batch.room() > 0
            && let Some(polled) = consumer.poll(batch).now_or_never()
        {
            return polled;
        }
    }
    Ok(())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
