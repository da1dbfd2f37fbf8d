//! Tests a running listener with a paused clock, so that waits end at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use osnl_model::{Priority, Target};
use osnl_testkit::ListenOnly;
use osnl_transport::{
    Batch, BindingWatch, BoxFuture, Consumer, Declare, ListenOptions, MemoryBroker, MemoryTransport,
    PartitionSeen, QueueDepths, QueueKind, QueueType, Subscription, Transport, TransportError, Window,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::{ProgressChange, STUCK, SessionStage, SessionWake, Stall, StallKind, Watchdog};
use crate::listener::holding::HoldingEndpoint;
use crate::listener::{Bindings, Gauges, Listener, ListenerConfig, ListenerState, OwnQueue, ReadQueue};
use osnl_core::metrics::Counters;
use osnl_core::shutdown::Shutdown;
use osnl_journal::Settle;

/// Seconds, thrice the longest interval of a listener. A day is 80,000 wakes of a debug build.
const LONG: u64 = 3 * 3600;

fn mute(memory: MemoryTransport) -> impl Transport {
    ListenOnly::new(move |to, options| {
        let memory = memory.clone();
        Box::pin(async move {
            let inner = memory.listen(to, options).await?;
            let mut subscription = inner.subscription().clone();
            if options.queue.queue_type == QueueType::Classic {
                subscription.other_consumers = u32::from(options.queue.single_active_consumer);
            }
            Ok(Box::new(MuteConsumer { inner, subscription }) as Box<dyn Consumer>)
        })
    })
}

struct MuteConsumer {
    inner: Box<dyn Consumer>,
    subscription: Subscription,
}

impl Consumer for MuteConsumer {
    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn poll<'a>(&'a mut self, _: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(std::future::pending())
    }

    fn ended(&mut self) -> BoxFuture<'_, TransportError> {
        self.inner.ended()
    }

    fn untaken(&self) -> usize {
        self.inner.untaken()
    }

    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>> {
        self.inner.flush(window)
    }

    fn binding_watch(&self) -> Option<Box<dyn BindingWatch>> {
        self.inner.binding_watch()
    }

    fn waiting(&self) -> BoxFuture<'static, Result<QueueDepths, TransportError>> {
        self.inner.waiting()
    }

    fn partitions(&self) -> Option<Vec<PartitionSeen>> {
        self.inner.partitions()
    }

    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        self.inner.quiesce()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.inner.close()
    }
}

fn targets() -> [(Target, Priority); 1] {
    [(Target::new("neutron", "notifications"), Priority::Info)]
}

fn options(queue: QueueKind) -> ListenOptions {
    ListenOptions::new(Some("p"), 4, Declare::Create, queue)
}

struct ListenerRig {
    broker: MemoryBroker,
    endpoint: Arc<HoldingEndpoint>,
    state: watch::Receiver<ListenerState>,
    stall: watch::Receiver<Option<Stall>>,
    counters: Arc<Counters>,
    gauges: Arc<Gauges>,
    shutdown: Shutdown,
    listener: tokio::task::JoinHandle<Result<(), TransportError>>,
}

impl ListenerRig {
    async fn start(is_mute: bool, places: Option<usize>, queue: QueueKind) -> Self {
        Self::start_on(MemoryBroker::new(), is_mute, places, queue).await
    }

    async fn start_on(broker: MemoryBroker, is_mute: bool, places: Option<usize>, queue: QueueKind) -> Self {
        let memory = broker.transport();
        let transport: Arc<dyn Transport> = if is_mute { Arc::new(mute(memory)) } else { Arc::new(memory) };
        let endpoint = Arc::new(HoldingEndpoint { places, ..HoldingEndpoint::default() });
        let counters = Arc::new(Counters::default());
        let config = ListenerConfig::new("l".into(), targets().into(), options(queue));
        let listener = Listener::new(config, transport, endpoint.clone(), counters.clone());
        let (state, stall, shutdown) = (listener.state(), listener.stall(), Shutdown::new());
        let gauges = listener.gauges();
        let listener = TaskTracker::new().spawn(listener.run(shutdown.clone()));
        sleep(Duration::from_millis(1)).await;
        Self { broker, endpoint, state, stall, counters, gauges, shutdown, listener }
    }

    fn publish(&self, count: usize) {
        for n in 0..count {
            let body = format!("{{\"event_type\": \"x\", \"message_id\": \"{n}\"}}");
            self.broker.publish(&Target::new("neutron", "notifications"), &Priority::Info, body);
        }
    }

    async fn after(&self, seconds: u64) -> Option<(StallKind, u64)> {
        sleep(Duration::from_secs(seconds)).await;
        self.stall.borrow().as_ref().map(|stall| {
            assert_eq!(stall.queue, "p");
            (stall.kind, (Instant::now() - stall.since).as_secs())
        })
    }

    fn end_all(&self) {
        for sender in self.endpoint.open.lock().unwrap().drain(..) {
            let _ = sender.send(Settle::Acknowledge);
        }
    }

    async fn stop(self, stalls: u64) {
        assert_eq!(self.counters.stalls.get(), stalls);
        self.end_all();
        self.shutdown.drain.cancel();
        self.listener.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_window_of_which_nothing_ends_is_a_stall_after_five_minutes_and_until_something_ends() {
    let running = ListenerRig::start(false, None, QueueKind::OSLO).await;
    running.publish(6);
    assert_eq!(running.after(290).await, None);
    let (kind, seconds) = running.after(30).await.unwrap();
    assert_eq!(kind, StallKind::WindowFull { unsettled: 4 });
    assert!((300..=320).contains(&seconds), "{seconds}");
    assert!(running.after(3600).await.is_some_and(|(_, seconds)| seconds >= 3900));
    running.end_all();
    assert_eq!(running.after(15).await, None);
    // Two messages are in work, and slowness is no stall.
    assert_eq!(running.after(3600).await, None);
    running.stop(1).await;
}

/// `rate = 1 per 10m` is the operator's will.
#[tokio::test(start_paused = true)]
async fn a_full_window_whose_end_a_rate_delays_is_no_stall() {
    let running = ListenerRig::start(false, None, QueueKind::OSLO).await;
    running.endpoint.is_paced.store(true, Ordering::Relaxed);
    running.publish(6);
    assert_eq!(running.after(3600).await, None);
    running.endpoint.is_paced.store(false, Ordering::Relaxed);
    assert!(running.after(320).await.is_some());
    running.stop(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_without_a_place_is_a_stall_too() {
    let running = ListenerRig::start(false, Some(2), QueueKind::OSLO).await;
    running.publish(3);
    assert_eq!(running.after(290).await, None);
    assert_eq!(running.after(30).await.map(|(kind, _)| kind), Some(StallKind::JournalFull { unsettled: 2 }));
    running.stop(1).await;
}

#[tokio::test(start_paused = true)]
async fn silence_is_none_while_nothing_waits() {
    for mute in [false, true] {
        let running = ListenerRig::start(mute, None, QueueKind::OSLO).await;
        assert_eq!(running.after(LONG).await, None);
        running.stop(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_and_do_not_come_are_a_stall_until_they_are_gone() {
    let running = ListenerRig::start(true, None, QueueKind::OSLO).await;
    running.publish(7);
    assert_eq!(running.after(55).await, None);
    let (kind, seconds) = running.after(45).await.unwrap();
    assert_eq!(kind, StallKind::NothingArrives { waiting: 7 });
    assert!(seconds <= 40, "{seconds}");
    running.broker.delete_queue("p");
    assert_eq!(running.after(30).await, None);
    running.stop(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_does_not_complain_of_what_the_active_consumer_gets_until_that_has_left() {
    let running = ListenerRig::start(true, None, QueueKind::DURABLE).await;
    let active = running.broker.transport().listen(&targets(), &options(QueueKind::DURABLE)).await.unwrap();
    running.publish(7);
    assert_eq!(running.after(LONG).await, None);
    assert_eq!(*running.state.borrow(), ListenerState::Standby);
    active.close().await;
    assert_eq!(running.after(11).await, None);
    assert_eq!(*running.state.borrow(), ListenerState::Listening);
    assert!(running.after(100).await.is_some());
    running.stop(1).await;
}

/// RabbitMQ counts the active consumer of a quorum queue alone: a standby sees one consumer, itself or the active one.
#[tokio::test(start_paused = true)]
async fn a_standby_of_a_quorum_queue_is_one_until_it_is_alone() {
    let (broker, quorum) =
        (MemoryBroker::new(), QueueKind { queue_type: QueueType::Quorum, ..QueueKind::DURABLE });
    let active = broker.transport().listen(&targets(), &options(quorum.clone())).await.unwrap();
    let running = ListenerRig::start_on(broker, true, None, quorum).await;
    running.publish(7);
    assert_eq!(running.after(LONG).await, None);
    assert_eq!(*running.state.borrow(), ListenerState::Standby);
    assert_eq!(running.counters.reconnects.get(), 0);
    // An alert counts the daemons that have this number.
    let consumers: Vec<u32> = running.gauges.waiting().iter().map(|(_, seen)| seen.consumers).collect();
    assert_eq!(consumers, [1]);
    active.close().await;
    let (kind, seconds) = running.after(500).await.unwrap();
    assert_eq!(kind, StallKind::NothingArrives { waiting: 7 });
    assert!(seconds <= 450, "{seconds}");
    assert_eq!(*running.state.borrow(), ListenerState::Listening);
    running.stop(1).await;
}

/// An attempt that is given up for another configuration may have made its bindings.
#[tokio::test(start_paused = true)]
async fn bindings_of_an_attempt_that_was_given_up_are_remembered() {
    let memory = Arc::new(Bindings::open(None, "memory://"));
    let config = ListenerConfig::new("l".into(), targets().into(), options(QueueKind::OSLO));
    let bound = config.options.bindings(&config.targets);
    let transport = Arc::new(ListenOnly::new(|_, _| Box::pin(std::future::pending())));
    let listener = Listener::new(config, transport, Arc::new(HoldingEndpoint::default()), Arc::default());
    let own = OwnQueue { hosts: ["h:1".to_owned()].into(), vhost: "/".into(), queue: "p".into() };
    let read = ReadQueue { own: own.clone(), declared: true, bindings: bound.clone() };
    let listener = listener.with_bindings(memory.clone(), vec![read.clone()]);
    let shutdown = Shutdown::new();
    let listener = TaskTracker::new().spawn(listener.run(shutdown.clone()));
    sleep(Duration::from_millis(1)).await;
    shutdown.drain.cancel();
    listener.await.unwrap().unwrap();
    memory.want(vec![ReadQueue { bindings: Vec::new(), ..read }]);
    assert_eq!((memory.superfluous(&own), bound.len()), (bound, 1));
}

#[tokio::test(start_paused = true)]
async fn whatever_moves_is_no_stall() {
    let running = ListenerRig::start(false, None, QueueKind::OSLO).await;
    for _ in 0..40 {
        running.publish(4);
        assert_eq!(running.after(200).await, None);
        running.end_all();
    }
    running.stop(0).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_told_once_then_by_reminders_and_when_it_is_over() {
    let broker = MemoryBroker::new();
    let consumer = broker.transport().listen(&targets(), &options(QueueKind::OSLO)).await.unwrap();
    let mut watchdog = Watchdog::new("p".to_owned(), false, true);
    let mut told = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(26 * 60) {
        sleep(Duration::from_secs(10)).await;
        let minute = begun.elapsed().as_secs() / 60;
        match watchdog.woken(SessionWake::Check, SessionStage::WindowFull, 4, &*consumer) {
            Some(ProgressChange::Stalled(stall)) => told.push(("stalled", minute, stall.since - begun)),
            Some(ProgressChange::Still(stall)) => told.push(("still", minute, stall.since - begun)),
            Some(ProgressChange::Over(_)) => panic!("nothing has moved"),
            None => {}
        }
    }
    let expected = [("stalled", 5), ("still", 15), ("still", 25)];
    assert_eq!(told, expected.map(|(what, minute)| (what, minute, Duration::ZERO)));
    watchdog.settled();
    let over = watchdog.woken(SessionWake::Check, SessionStage::Polling, 3, &*consumer);
    assert!(matches!(over, Some(ProgressChange::Over(after)) if after > STUCK * 5), "{over:?}");
    assert_eq!(watchdog.woken(SessionWake::Check, SessionStage::WindowFull, 3, &*consumer), None);
}
