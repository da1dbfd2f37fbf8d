//! The daemons of a story: their lives, which begin with a start and end with a stop or a kill.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use osnl_config::Rate;
use osnl_core::metrics::Counters;
use osnl_core::rule::{KeySource, Rule};
use osnl_core::shutdown::Shutdown;
use osnl_delivery::{
    BatchLimits, DeliveryLimits, DeliveryLoop, DeliveryObserver, DeliverySettings, HostLimits, Preparation,
    RetryPolicy, Setup, WhenExhausted,
};
use osnl_engine::daemon::{Daemon, DaemonState, Reload, ReloadChanges, ReloadRefusal, ReloadScope};
use osnl_engine::intake::{LiveRules, RuleEngine};
use osnl_engine::listener::{Listener, ListenerConfig};
use osnl_journal::memory::MemoryJournal;
use osnl_journal::{ClaimedDelivery, DeliveryId, Journal, Outcome, PauseNote};
use osnl_model::{Priority, Target};
use osnl_transport::{BoxFuture, Declare, ListenOptions, QueueKind};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::broker::SimulatedTransport;
use super::journal::{Disk, OpenJournal};
use super::story::{Reloaded, Settings, Step, Story};
use super::target::{SimulatedAction, number};
use super::world::{Who, World};

/// The time in which a stopped daemon must have ended.
const DRAIN: Duration = Duration::from_secs(120);

/// All daemons of a story.
pub(super) struct Lives {
    world: World,
    settings: Settings,
    disk: Disk,
    seats: Vec<Seat>,
    /// Daemons whose action is paused, each with the end of the pause.
    paused: Mutex<Vec<(Instant, usize)>>,
    pauses: Notify,
}

/// A daemon over its lives.
struct Seat {
    /// The order for the supervisor: the time away after a stop.
    stop: Notify,
    away: Mutex<Duration>,
    /// Whether no further life follows.
    ends: Mutex<bool>,
    running: watch::Sender<Option<Running>>,
}

/// The handles of the present life.
#[derive(Clone)]
struct Running {
    state: Arc<DaemonState>,
    parts: Arc<Parts>,
}

/// All of which a life is made, and with which a reload makes new parts.
struct Parts {
    world: World,
    who: Who,
    settings: Settings,
    journal: Arc<dyn Journal>,
    counters: Arc<Counters>,
    rules: Arc<LiveRules>,
    /// The part that the next reload replaces.
    wanted: Mutex<Reloaded>,
    /// The journal in memory, whose actions can be paused.
    memory: Option<Arc<MemoryJournal>>,
}

impl Lives {
    pub(super) fn new(world: &World, story: &Story, disk: &Disk) -> Self {
        let settings = story.settings.clone();
        let daemons = if settings.standby { 2 } else { 1 };
        let seat = |_| Seat {
            stop: Notify::new(),
            away: Mutex::default(),
            ends: Mutex::default(),
            running: watch::Sender::new(None),
        };
        let seats = (0..daemons).map(seat).collect();
        let (paused, pauses) = Default::default();
        Self { world: world.clone(), settings, disk: disk.clone(), seats, paused, pauses }
    }

    /// Runs all daemons until they are stopped for good.
    pub(super) async fn run(&self) {
        let mut lives = (0..self.seats.len()).map(|daemon| self.supervise(daemon));
        match (lives.next(), lives.next()) {
            (Some(first), Some(second)) => drop(tokio::join!(first, second)),
            (Some(first), None) => first.await,
            (None, _) => {}
        }
    }

    async fn supervise(&self, daemon: usize) {
        while !*self.seats[daemon].ends.lock().unwrap() {
            let journal = self.live(daemon).await;
            // Tasks that were aborted are dropped when the runtime comes to them.
            for _ in 0..100 {
                if journal.upgrade().is_none() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if journal.upgrade().is_some() {
                self.world.break_promise("left over: a task of a daemon that has ended".to_owned());
                return;
            }
            let away = std::mem::take(&mut *self.seats[daemon].away.lock().unwrap());
            sleep(away).await;
        }
        self.seats[daemon].running.send_replace(None);
    }

    /// Lives one life, until a kill or a stop.
    async fn live(&self, daemon: usize) -> Weak<dyn Journal> {
        let (who, killed) = self.world.begin(daemon);
        let seat = &self.seats[daemon];
        let counters = Arc::<Counters>::default();
        let OpenJournal { journal, memory } = self.disk.open(&self.world, who, &self.settings, &counters);
        let left = Arc::downgrade(&journal);
        let engine = RuleEngine::new(vec![rule(&self.settings)], journal.clone(), counters.clone());
        let (world, settings) = (self.world.clone(), self.settings.clone());
        let rules = Arc::new(LiveRules::new(engine));
        let (wanted, journal_of) = (Mutex::new(Reloaded::Settings), journal.clone());
        let parts =
            Arc::new(Parts { world, who, settings, journal: journal_of, counters, rules, wanted, memory });
        let daemon = parts.daemon();
        let shutdown = Shutdown::new();
        seat.running.send_replace(Some(Running { state: daemon.state(), parts: parts.clone() }));
        drop((journal, parts));
        let run = daemon.run(&shutdown, DRAIN);
        tokio::pin!(run);
        let ended = tokio::select! {
            biased;
            () = killed.notified() => None,
            ended = &mut run => Some(ended),
            () = seat.stop.notified() => {
                shutdown.drain.cancel();
                tokio::select! {
                    biased;
                    () = killed.notified() => None,
                    ended = &mut run => Some(ended),
                }
            }
        };
        seat.running.send_replace(None);
        if let Some(ended) = ended {
            let how = ended.map_or_else(|error| error.to_string(), |end| format!("{end:?}"));
            if how != "Drained" && self.world.is_alive(who) {
                self.world.break_promise(format!("ended: {who} ends by itself or too late: {how}"));
            }
            self.world.ends(who, &how);
        }
        self.disk.close(who);
        left
    }

    pub(super) async fn step(&self, step: &Step) {
        let now = Instant::now();
        match step {
            Step::Publish { event, key, nature } => self.world.publish(*event, *key, *nature),
            Step::Target(mood) => self.turns(*mood),
            Step::Kill { daemon, fuse, away } => {
                *self.seats[*daemon].away.lock().unwrap() = *away;
                self.world.light(*daemon, *fuse);
            }
            Step::Stop { daemon, away } => {
                let seat = &self.seats[*daemon];
                *seat.away.lock().unwrap() = *away;
                if seat.running.borrow().is_some() {
                    seat.stop.notify_one();
                }
            }
            Step::Cut { daemon } => {
                let mut state = self.world.lock();
                state.say(format_args!("the connection of daemon {daemon} is cut"));
                state.broker.cut(*daemon);
                state.oracle.cut();
            }
            Step::BrokerDown(length) => {
                let mut state = self.world.lock();
                state.say(format_args!("the broker is down for {length:?}"));
                state.broker.go_down(now + *length);
                state.oracle.cut();
            }
            Step::BrokerDeaf(length) => {
                let mut state = self.world.lock();
                state.say(format_args!("the broker reads nothing for {length:?}"));
                state.broker.go_deaf(now + *length);
            }
            Step::Reload { daemon, what } => self.reload(*daemon, *what).await,
            Step::Pause { daemon, length } => self.pause(*daemon, *length),
        }
        self.world.changed.notify_waiters();
    }

    fn turns(&self, mood: super::story::Mood) {
        let mut state = self.world.lock();
        let (before, now) = (state.target.down, Instant::now());
        state.target.set(mood, now);
        state.say(format_args!("the target: {mood:?}"));
        if let (Some(since), None) = (before, state.target.down) {
            let lives: Vec<u32> = self.lives();
            state.oracle.outage_ends(since, &lives);
        }
    }

    fn lives(&self) -> Vec<u32> {
        let running = self.seats.iter().filter_map(|seat| seat.running.borrow().clone());
        running.map(|running| running.parts.who.life).collect()
    }

    async fn reload(&self, daemon: usize, what: Reloaded) {
        let Some(Running { state, parts }) = self.seats[daemon].running.borrow().clone() else { return };
        self.world.lock().say(format_args!("{} reloads: {what:?}", parts.who));
        if what == Reloaded::Rules {
            let engine =
                RuleEngine::new(vec![rule(&parts.settings)], parts.journal.clone(), parts.counters.clone());
            return parts.rules.replace(engine);
        }
        *parts.wanted.lock().unwrap() = what;
        self.world.lock().oracle.disturbed(Instant::now());
        drop(parts);
        let _ = timeout(Duration::from_secs(1), state.reload(ReloadScope::Configuration, "the story")).await;
    }

    /// Pauses the action of a daemon, whose journal is in memory, for a time.
    fn pause(&self, daemon: usize, length: Duration) {
        let Some(Running { parts, .. }) = self.seats[daemon].running.borrow().clone() else { return };
        let Some(memory) = &parts.memory else { return };
        let mut state = self.world.lock();
        state.say(format_args!("{} pauses its action for {length:?}", parts.who));
        state.oracle.disturbed(Instant::now() + length);
        memory.set_pause("a", Some(PauseNote { by: "the story".to_owned(), reason: None }));
        self.paused.lock().unwrap().push((Instant::now() + length, daemon));
        self.pauses.notify_one();
    }

    /// Ends pauses; never ends.
    pub(super) async fn resume(&self) {
        loop {
            let next = self.paused.lock().unwrap().iter().copied().min();
            let Some((at, daemon)) = next else {
                self.pauses.notified().await;
                continue;
            };
            tokio::select! {
                biased;
                () = self.pauses.notified() => continue,
                () = sleep_until(at) => {}
            }
            self.paused.lock().unwrap().retain(|other| *other != (at, daemon));
            self.unpause(daemon);
        }
    }

    fn unpause(&self, daemon: usize) {
        let Some(Running { parts, .. }) = self.seats[daemon].running.borrow().clone() else { return };
        if let Some(memory) = &parts.memory {
            self.world.lock().say(format_args!("{} resumes its action", parts.who));
            memory.set_pause("a", None);
        }
    }

    /// Ends all pauses.
    pub(super) fn heal(&self) {
        let paused = std::mem::take(&mut *self.paused.lock().unwrap());
        paused.into_iter().for_each(|(_, daemon)| self.unpause(daemon));
        self.pauses.notify_one();
    }

    /// Stops all daemons for good.
    pub(super) async fn stop(&self) {
        for seat in &self.seats {
            *seat.ends.lock().unwrap() = true;
            *seat.away.lock().unwrap() = Duration::ZERO;
            seat.stop.notify_one();
        }
        for seat in &self.seats {
            let mut running = seat.running.subscribe();
            let _ = timeout(2 * DRAIN, running.wait_for(Option::is_none)).await;
        }
        // The supervisor sees what is left over.
        sleep(Duration::from_secs(1)).await;
    }
}

impl Parts {
    fn daemon(self: &Arc<Self>) -> Daemon {
        let listeners = (0..usize::from(self.settings.shards)).map(|queue| self.listener(queue)).collect();
        let daemon = Daemon::new(listeners, vec![self.delivery()], self.journal.clone());
        let reload = SimulatedReload(Arc::downgrade(self));
        daemon.with_reload(Box::new(reload), self.counters.clone())
    }

    fn listener(&self, queue: usize) -> Listener {
        let settings = &self.settings;
        let kind = QueueKind {
            queue_type: settings.queue_type(),
            durable: true,
            single_active_consumer: settings.standby,
            ..QueueKind::OSLO
        };
        let name = format!("events-{queue}");
        let options = ListenOptions::new(Some(&name), settings.prefetch, Declare::Create, kind);
        let targets = vec![(Target::new("cloud", "events"), Priority::Info)];
        let mut config = ListenerConfig::new(name.as_str().into(), targets, options);
        config.give_back_after = settings.give_back;
        let transport = Arc::new(SimulatedTransport::new(&self.world, self.who, queue));
        Listener::new(config, transport, self.rules.clone(), self.counters.clone())
    }

    fn delivery(&self) -> DeliveryLoop {
        let action = SimulatedAction::new(&self.world, self.who, &self.settings);
        let settings = delivery_settings(&self.settings);
        let delivery = DeliveryLoop::new("a", action, self.journal.clone(), settings, self.counters.clone());
        delivery.with_observer(Arc::new(Observer {
            world: self.world.clone(),
            who: self.who,
            events: Mutex::default(),
        }))
    }
}

fn rule(settings: &Settings) -> Rule {
    let unordered = if settings.is_ordered() { None } else { Some("a".into()) };
    Rule {
        name: "r".into(),
        actions: vec!["a".into()],
        key: KeySource::parse("payload.key").unwrap(),
        unordered: unordered.into_iter().collect(),
        ..Rule::default()
    }
}

fn delivery_settings(settings: &Settings) -> DeliverySettings {
    let (most, wait, whole) = settings.batch;
    DeliverySettings {
        concurrency: settings.concurrency,
        timeout: settings.timeout,
        policy: RetryPolicy {
            max_attempts: NonZeroU32::new(settings.max_attempts).unwrap(),
            initial: Duration::from_secs(1),
            max: settings.max_pause,
            jitter: 0.1,
        },
        when_exhausted: if settings.returns { WhenExhausted::Return } else { WhenExhausted::DeadLetter },
        limits: DeliveryLimits { hold_max: settings.hold_max, ..DeliveryLimits::default() },
        batch: BatchLimits { most, wait, whole },
        rate: settings.rate.map(|(keys, within)| Rate { keys, within }),
        hosts: HostLimits::default(),
    }
}

/// Replaces one part of a daemon by an equal one.
struct SimulatedReload(Weak<Parts>);

impl SimulatedReload {
    fn changes(&self) -> ReloadChanges {
        let order = |parts: &Parts| {
            let listeners = (0..parts.settings.shards).map(|n| format!("events-{n}").into()).collect();
            (listeners, vec!["a".into()])
        };
        let Some(parts) = self.0.upgrade() else { return ReloadChanges::default() };
        let all = ReloadChanges { order: order(&parts), ..ReloadChanges::default() };
        let wanted = *parts.wanted.lock().unwrap();
        match wanted {
            Reloaded::Settings => {
                let action = SimulatedAction::new(&parts.world, parts.who, &parts.settings);
                let settings = delivery_settings(&parts.settings);
                let setup = Setup { action, settings, preparation: Preparation::default(), fallback: None };
                ReloadChanges { setups: vec![("a".into(), setup)], ..all }
            }
            Reloaded::Action => {
                ReloadChanges { retire: vec!["a".into()], deliveries: vec![parts.delivery()], ..all }
            }
            Reloaded::Listener => {
                ReloadChanges { leave: vec!["events-0".into()], begin: vec![parts.listener(0)], ..all }
            }
            Reloaded::Rules => all,
        }
    }
}

impl Reload for SimulatedReload {
    fn prepare(
        self: Box<Self>,
        _: ReloadScope,
    ) -> BoxFuture<'static, (Box<dyn Reload>, Result<ReloadChanges, ReloadRefusal>)> {
        let changes = self.changes();
        let again: Box<dyn Reload> = self;
        Box::pin(std::future::ready((again, Ok(changes))))
    }

    fn commit(&mut self) {}
}

/// Tells the oracle of each end.
struct Observer {
    world: World,
    who: Who,
    events: Mutex<BTreeMap<DeliveryId, usize>>,
}

impl DeliveryObserver for Observer {
    fn claimed(&self, claimed: &ClaimedDelivery) {
        if let Some(event) = number(&claimed.event) {
            self.events.lock().unwrap().insert(claimed.id, event);
        }
    }

    fn retried(&self, _: DeliveryId) {}

    fn ended(&self, delivery: DeliveryId, outcome: &Outcome) {
        let event = self.events.lock().unwrap().get(&delivery).copied();
        let mut state = self.world.lock();
        if let Some(event) = event.filter(|_| state.is_alive(self.who)) {
            state.say(format_args!("event {event}: ends as {outcome:?}"));
            state.oracle.ended(self.who, event, outcome);
        }
    }
}
