use std::time::SystemTime;

use osnl_model::{Priority, Target};
use osnl_testkit::ListenOnly;
use osnl_transport::{Declare, ListenOptions, MemoryBroker, QueueKind, QueueSeen, Transport as _};

use super::*;
use crate::listener::holding::HoldingEndpoint;
use crate::listener::{GIVE_BACK_AFTER, ListenerConfig};
use osnl_core::metrics::Counters;
use osnl_journal::Obstacle;

struct Rig {
    broker: MemoryBroker,
    intake: Arc<HoldingEndpoint>,
    listener: Listener,
    consumer: Box<dyn Consumer>,
    now: Instant,
}

impl Rig {
    async fn new(waiting: usize, queue: QueueKind) -> Self {
        let (broker, intake) = (MemoryBroker::new(), Arc::new(HoldingEndpoint::default()));
        let target = Target::new("x", "n");
        let options = ListenOptions::new(Some("q"), 4, Declare::Create, queue);
        let config = ListenerConfig::new("l".into(), vec![(target.clone(), Priority::Info)], options);
        let transport = Arc::new(broker.transport());
        let consumer = transport.listen(&config.targets, &config.options).await.unwrap();
        let listener = Listener::new(config, transport, intake.clone(), Arc::new(Counters::default()));
        listener.enter(ListenerState::Listening);
        for n in 0..waiting {
            let body = format!("{{\"event_type\": \"x\", \"message_id\": \"{n}\"}}");
            assert_eq!(broker.publish(&target, &Priority::Info, body), 1);
        }
        Self { broker, intake, listener, consumer, now: Instant::now() }
    }

    fn state(&self) -> &'static str {
        self.listener.state.borrow().name()
    }

    /// Closes the channel, which returns the unsettled messages, and opens another.
    async fn listen_again(&mut self) {
        let ListenerConfig { targets, options, .. } = &self.listener.config;
        let next = self.listener.transport.listen(targets, options).await.unwrap();
        std::mem::replace(&mut self.consumer, next).close().await;
    }

    async fn poll(&mut self, core: &mut Core<'_>) {
        core.batch.set_limit(core.room());
        self.consumer.poll(&mut core.batch).await.unwrap();
        let order = core.step(WakeCause::Polled(Ok(())), SessionStage::Taking, &*self.consumer, self.now);
        assert!(matches!(order, SessionOrder::Nothing), "{order:?}");
    }

    fn check(
        &mut self,
        core: &mut Core<'_>,
        stage: SessionStage,
        obstacle: Option<Obstacle>,
        seconds: u64,
    ) -> SessionOrder {
        let mut order = SessionOrder::Nothing;
        for _ in 0..seconds {
            assert!(matches!(order, SessionOrder::Nothing), "{order:?}");
            self.now += Duration::from_secs(1);
            order = core.step(WakeCause::Check(obstacle.clone()), stage, &*self.consumer, self.now);
        }
        order
    }
}

fn core(rig: &Rig, prefetch: u16) -> Core<'static> {
    // Leaked, so that the rig may change beside it.
    let options = ListenOptions { prefetch, ..rig.listener.config.options.clone() };
    let listener: &'static Listener = Box::leak(Box::new(Listener {
        config: ListenerConfig::new("l".into(), Vec::new(), options),
        transport: rig.listener.transport.clone(),
        intake: rig.listener.intake.clone(),
        counters: rig.listener.counters.clone(),
        state: rig.listener.state.clone(),
        observer: None,
        groups: None,
        tidying: None,
        gaps: rig.listener.gaps.clone(),
        oversight: None,
        turns: Vec::new(),
        stall: rig.listener.stall.clone(),
        gauges: rig.listener.gauges.clone(),
        series: rig.listener.series.clone(),
    }));
    Core::new(listener, &*rig.consumer, Duration::from_secs(10))
}

fn full() -> Option<Obstacle> {
    Some(Obstacle::ActionFull { action: "a".into(), pending: 1, most: 1 })
}

#[tokio::test(start_paused = true)]
async fn without_a_place_it_is_blocked_and_gives_back_and_messages_end_it() {
    let mut rig = Rig::new(1, QueueKind::OSLO).await;
    let mut core = core(&rig, 4);
    rig.poll(&mut core).await;
    assert_eq!((rig.state(), core.room()), ("listening", 3));
    let order = rig.check(&mut core, SessionStage::Reserving, full(), 200);
    assert!(matches!(order, SessionOrder::Nothing), "{order:?}");
    match &*rig.listener.state.borrow() {
        ListenerState::Blocked { reason, .. } => {
            assert_eq!(reason.full_action.as_deref(), Some("a"));
            assert!(reason.words.contains("max_pending is 1"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    rig.check(&mut core, SessionStage::Polling, None, 1);
    assert_eq!(rig.state(), "listening");
    let order = rig.check(&mut core, SessionStage::Reserving, full(), 300);
    match order {
        SessionOrder::End(Ok(SessionEnd::GiveBack { reason, window_full, .. })) => {
            assert!(!window_full && reason.words.starts_with("action a has 1 delivery pending"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.state(), "blocked");
    assert!(rig.listener.stall.borrow().is_some());
    assert_eq!(core.settling.window.unsettled(), 1, "what it holds goes back with the channel");
}

#[tokio::test(start_paused = true)]
async fn an_auto_delete_queue_keeps_its_consumer_without_a_place_and_when_a_message_goes_back() {
    let mut rig = Rig::new(1, QueueKind { auto_delete: true, ..QueueKind::OSLO }).await;
    let mut core = core(&rig, 4);
    rig.poll(&mut core).await;
    let order = rig.check(&mut core, SessionStage::Reserving, full(), 1000);
    assert!(matches!(order, SessionOrder::Nothing), "{order:?}");
    assert_eq!(rig.state(), "blocked");
    let _ = rig.intake.open.lock().unwrap().remove(0).send(Settle::Requeue);
    let (message, settle) = core.open.next().await.unwrap();
    let order =
        core.step(WakeCause::Completed(message, settle), SessionStage::Polling, &*rig.consumer, rig.now);
    assert!(matches!(order, SessionOrder::Flush), "{order:?}");
    assert_eq!(core.settling.window.due(), 1);
}

/// A quorum queue would put a rejected message behind later messages.
#[tokio::test(start_paused = true)]
async fn what_goes_back_does_so_with_its_channel_but_not_again_and_again() {
    for is_classic in [true, false] {
        let mut rig = Rig::new(3, QueueKind::OSLO).await;
        let mut core = core(&rig, 4);
        assert!(core.settling.rejects, "the broker in the process has classic queues only");
        core.settling.rejects = is_classic;
        rig.poll(&mut core).await;
        let requeue = async |rig: &mut Rig, core: &mut Core<'_>| {
            let _ = rig.intake.open.lock().unwrap().remove(0).send(Settle::Requeue);
            let (message, settle) = core.open.next().await.unwrap();
            core.step(WakeCause::Completed(message, settle), SessionStage::Polling, &*rig.consumer, rig.now)
        };
        assert!(matches!(requeue(&mut rig, &mut core).await, SessionOrder::Flush));
        let rejected = usize::from(is_classic);
        assert_eq!(
            (core.settling.window.unsettled(), core.settling.window.due()),
            (3, rejected),
            "{is_classic}"
        );
        let order = rig.check(&mut core, SessionStage::Polling, None, GIVE_BACK_AFTER.as_secs());
        assert_eq!(matches!(order, SessionOrder::End(Ok(SessionEnd::Return))), !is_classic, "{order:?}");
        assert!(matches!(requeue(&mut rig, &mut core).await, SessionOrder::End(Ok(SessionEnd::Return))));
        assert_eq!(
            (core.settling.window.unsettled(), core.settling.window.due()),
            (3, rejected),
            "it stays unsettled"
        );
        (core.settling.returns, core.draining) = (false, true);
        assert!(matches!(requeue(&mut rig, &mut core).await, SessionOrder::Flush));
        assert_eq!(core.settling.window.due(), rejected, "so does one that comes while it ends");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_broker_says_how_many_messages_wait_beyond_the_window() {
    let mut rig = Rig::new(9, QueueKind::OSLO).await;
    let mut core = core(&rig, 4);
    rig.poll(&mut core).await;
    let answer = SessionWake::Answer(Ok(vec![("q".into(), QueueSeen { messages: 5, consumers: 1 })]));
    core.step(WakeCause::Watch(answer), SessionStage::WindowFull, &*rig.consumer, rig.now);
    let expected = QueuedMessages { waiting: 5, read: 4, window: 4 };
    assert_eq!(*rig.intake.queued.lock().unwrap(), Some(expected));
}

#[tokio::test(start_paused = true)]
async fn a_full_window_blocks_only_behind_an_obstacle() {
    let open = |ended| Some(Obstacle::NoPlace { open: 4, ended });
    let mut rig = Rig::new(9, QueueKind::OSLO).await;
    let mut core = core(&rig, 4);
    rig.poll(&mut core).await;
    assert_eq!(core.room(), 0);
    rig.check(&mut core, SessionStage::WindowFull, None, 7200);
    assert_eq!(rig.state(), "listening", "an endpoint takes its time");
    rig.intake.is_paced.store(true, Ordering::Relaxed);
    rig.check(&mut core, SessionStage::WindowFull, open(7), 7200);
    assert_eq!(rig.state(), "listening", "the rate of an action may be one call in some hours");
    rig.intake.is_paced.store(false, Ordering::Relaxed);
    rig.check(&mut core, SessionStage::WindowFull, open(7), 299);
    assert_eq!(rig.state(), "blocked");
    rig.intake.open.lock().unwrap().remove(0).send(Settle::Acknowledge).unwrap();
    let (message, settle) = core.open.next().await.unwrap();
    let order =
        core.step(WakeCause::Completed(message, settle), SessionStage::WindowFull, &*rig.consumer, rig.now);
    assert!(matches!(order, SessionOrder::Flush), "{order:?}");
    rig.consumer.flush(&mut core.settling.window).await.unwrap();
    rig.poll(&mut core).await;
    assert!(matches!(rig.check(&mut core, SessionStage::WindowFull, open(8), 299), SessionOrder::Nothing));
    match rig.check(&mut core, SessionStage::WindowFull, open(8), 1) {
        SessionOrder::End(Ok(SessionEnd::GiveBack { window_full: true, reason, .. })) => {
            assert_eq!(
                &*reason.words,
                "4 messages wait for the end of their deliveries, and none of them ends"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_listens_from_its_first_message_on() {
    let mut rig = Rig::new(1, QueueKind::DURABLE).await;
    let first = std::mem::replace(
        &mut rig.consumer,
        rig.broker
            .transport()
            .listen(&rig.listener.config.targets, &rig.listener.config.options)
            .await
            .unwrap(),
    );
    let mut core = core(&rig, 4);
    assert!(core.watchdog.is_standby());
    rig.listener.enter(ListenerState::Standby);
    drop(first);
    rig.poll(&mut core).await;
    assert_eq!(rig.state(), "listening");
}

/// Cancelled first, a consumer would hand over its turn before its messages are back.
#[tokio::test(start_paused = true)]
async fn a_single_active_consumer_ends_by_closing() {
    let queue = QueueKind { single_active_consumer: true, ..QueueKind::OSLO };
    let rig = Rig::new(2, queue).await;
    let mut core = core(&rig, 4);
    let order = core.step(WakeCause::Draining, SessionStage::Polling, &*rig.consumer, rig.now);
    assert!(matches!(order, SessionOrder::Flush) && core.draining, "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn told_to_drain_it_takes_nothing_more_and_settles_what_is_open() {
    let mut rig = Rig::new(2, QueueKind::OSLO).await;
    let mut core = core(&rig, 4);
    rig.poll(&mut core).await;
    let order = core.step(WakeCause::Draining, SessionStage::Polling, &*rig.consumer, rig.now);
    assert!(matches!(order, SessionOrder::Quiesce) && core.draining, "{order:?}");
    assert_eq!((rig.state(), core.open.len()), ("draining", 2));
    let order = core.step(WakeCause::Aborted, SessionStage::Polling, &*rig.consumer, rig.now);
    assert!(matches!(order, SessionOrder::End(Ok(SessionEnd::Drained))), "{order:?}");
    let lost = TransportError::Lost { reason: "x".to_owned() };
    let order = core.step(WakeCause::Polled(Err(lost)), SessionStage::Polling, &*rig.consumer, rig.now);
    assert!(matches!(order, SessionOrder::End(Err(TransportError::Lost { .. }))), "{order:?}");
}

async fn end_first(rig: &Rig, core: &mut Core<'_>) {
    rig.intake.open.lock().unwrap().remove(0).send(Settle::Acknowledge).unwrap();
    let (message, settle) = core.open.next().await.unwrap();
    core.step(WakeCause::Completed(message, settle), SessionStage::WindowFull, &*rig.consumer, rig.now);
}

fn go_on(rig: &Rig, core: &mut Core<'_>) -> (usize, usize) {
    let order = core.step(WakeCause::Polled(Ok(())), SessionStage::Taking, &*rig.consumer, rig.now);
    assert!(matches!(order, SessionOrder::Nothing), "{order:?}");
    (core.open.len(), core.batch.len())
}

#[tokio::test(start_paused = true)]
async fn messages_that_take_long_leave_other_tasks_their_turns() {
    let mut rig = Rig::new(4, QueueKind::OSLO).await;
    let mut core = core(&rig, 4);
    rig.intake.takes.store(SLICE.as_millis().try_into().unwrap(), Ordering::Relaxed);
    rig.poll(&mut core).await;
    assert_eq!((core.open.len(), core.batch.len()), (1, 3));
    assert_eq!(go_on(&rig, &mut core), (2, 2));
    rig.intake.takes.store(0, Ordering::Relaxed);
    assert_eq!(go_on(&rig, &mut core), (4, 0));
    assert_eq!((core.settling.window.unsettled(), rig.listener.counters.received.get()), (4, 4));
    end_first(&rig, &mut core).await;
    rig.consumer.flush(&mut core.settling.window).await.unwrap();
    let body = r#"{"event_type": "x", "message_id": "9"}"#.to_owned();
    assert_eq!(rig.broker.publish(&Target::new("x", "n"), &Priority::Info, body), 1);
    rig.poll(&mut core).await;
    assert_eq!((core.open.len(), core.batch.len()), (4, 0));
    assert_eq!((core.settling.window.unsettled(), rig.listener.counters.received.get()), (4, 5));
}

/// A message that returns again and again would hide that its service publishes no more.
#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_ends_no_silence() {
    let mut rig = Rig::new(1, QueueKind::OSLO).await;
    let mut first = core(&rig, 4);
    rig.poll(&mut first).await;
    rig.listen_again().await;
    let streams = &rig.listener.counters.clone().series.streams;
    let expect = osnl_config::Rate { keys: 1, within: Duration::from_secs(600) };
    let stream = osnl_core::metrics::ExpectedStream {
        kind: StreamKind::Listener,
        name: "l".into(),
        expect,
        listeners: vec!["l".into()],
    };
    streams.expect([stream], SystemTime::now());
    let mut core = core(&rig, 4);
    for (is_fresh, messages) in [(false, 1), (true, 2)] {
        if is_fresh {
            let body = r#"{"event_type": "x", "message_id": "9"}"#.to_owned();
            assert_eq!(rig.broker.publish(&Target::new("x", "n"), &Priority::Info, body), 1);
        }
        rig.poll(&mut core).await;
        assert_eq!(core.open.len(), messages);
        assert_eq!(streams.states(SystemTime::now())[0].last.is_some(), is_fresh);
    }
}

/// A daemon can start by a wrong clock, which is set right later.
#[tokio::test(start_paused = true)]
async fn a_step_of_the_system_clock_neither_hides_nor_makes_a_silence() {
    let second = Duration::from_secs(1);
    let noon = SystemTime::UNIX_EPOCH + 1_800_000_000 * second;
    for after in [noon - 32_400 * second, noon + 32_400 * second] {
        epoch::simulated::set(Some(noon));
        let counters = Counters::default();
        let streams = &counters.series.streams;
        let stream = osnl_core::metrics::ExpectedStream {
            kind: StreamKind::Listener,
            name: "l".into(),
            expect: osnl_config::Rate { keys: 1, within: 600 * second },
            listeners: vec!["l".into()],
        };
        streams.expect([stream], epoch::now());
        streams.note(StreamKind::Listener, &"l".into(), 1, epoch::now());
        tokio::time::advance(60 * second).await;
        epoch::simulated::set(Some(after));
        let state = || streams.states(epoch::now()).remove(0);
        assert_eq!((state().last, state().is_silent), (Some(after - 60 * second), false));
        tokio::time::advance(539 * second).await;
        assert!(!state().is_silent);
        tokio::time::advance(2 * second).await;
        assert!(state().is_silent);
    }
    epoch::simulated::set(None);
}

/// Pauses that grew with each return made a window of slow messages wait for an hour, though each of them ended.
#[tokio::test(start_paused = true)]
async fn the_row_of_returns_ends_once_all_that_returned_has_ended() {
    let mut rig = Rig::new(3, QueueKind::OSLO).await;
    let mut first = core(&rig, 2);
    rig.poll(&mut first).await;
    end_first(&rig, &mut first).await;
    rig.consumer.flush(&mut first.settling.window).await.unwrap();
    assert!(!first.has_ended_returned, "nothing had returned");
    rig.poll(&mut first).await;
    rig.listener.gauges.returns().ended(first.settling.window.unsettled());
    rig.listen_again().await;
    rig.intake.open.lock().unwrap().clear();
    let mut core = core(&rig, 2);
    rig.poll(&mut core).await;
    end_first(&rig, &mut core).await;
    assert!(!core.has_ended_returned, "one of two is open");
    end_first(&rig, &mut core).await;
    assert!(core.has_ended_returned);
}

/// RabbitMQ does not mark what it delivers again over AMQP 1.0, nor does it count what waits.
#[tokio::test(start_paused = true)]
async fn where_nothing_is_counted_a_lost_connection_is_no_gap() {
    let mut rig = Rig::new(0, QueueKind::OSLO).await;
    rig.listen_again().await;
    let config = ListenerConfig::new("l".into(), Vec::new(), rig.listener.config.options.clone());
    let transport = ListenOnly::new(|_, _| Box::pin(std::future::pending())).uncounted();
    rig.listener = Listener::new(config, Arc::new(transport), rig.intake.clone(), Arc::default());
    rig.listener.count_ended(3);
    rig.listener.subscribed(&*rig.consumer, Some(Duration::from_secs(1)), None);
    let mut core = core(&rig, 4);
    for _ in 0..2 {
        let answer = WakeCause::Watch(SessionWake::Answer(Ok(Vec::new())));
        core.step(answer, SessionStage::Polling, &*rig.consumer, rig.now);
    }
    assert_eq!(rig.listener.gaps.0.open_gaps(), []);
    let gauges = &rig.listener.gauges;
    assert_eq!((gauges.depth(), gauges.returns().expected()), (None, 0));
}

/// 200 messages of 30 KB once made four million deliveries: 660 MiB, and a transaction of 22 seconds.
#[tokio::test(start_paused = true)]
async fn with_many_deliveries_open_nothing_more_is_looked_at() {
    let mut rig = Rig::new(4, QueueKind::OSLO).await;
    let mut core = core(&rig, 4);
    rig.intake.deliveries.store(MOST_DELIVERIES / 2, Ordering::Relaxed);
    rig.poll(&mut core).await;
    assert_eq!((core.open.len(), core.batch.len(), core.is_crowded()), (2, 2, true));
    for _ in 0..2 {
        end_first(&rig, &mut core).await;
    }
    assert!(!core.is_crowded());
    assert_eq!(go_on(&rig, &mut core), (2, 0));
    assert_eq!(rig.listener.counters.received.get(), 4);
}
