//! The daemons of a story: their lives, which begin with a start and end with a stop or a kill.

use std::collections::BTreeMap;
use std::future::{Future as _, poll_fn};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, Weak};
use std::task::Poll;
use std::time::Duration;

use osnl_config::Rate;
use osnl_core::attempt::Action;
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
use osnl_journal::query::{Change, Filter};
use osnl_journal::{ClaimedDelivery, DeliveryId, Journal, Outcome, PauseNote};
use osnl_model::{Priority, Target};
use osnl_transport::{BoxFuture, Declare, ListenOptions, QueueKind};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::broker::SimulatedTransport;
use super::journal::{Disk, OpenJournal, OperatedJournal};
use super::story::{Reloaded, Settings, Step, Story, Verb};
use super::target::{SimulatedAction, Splitter, number};
use super::who::Who;
use super::world::World;

/// The time in which a stopped daemon must have ended.
const DRAIN: Duration = Duration::from_secs(120);
/// The longest time until a daemon that was stopped or killed runs again, with some to spare.
const AWAY: Duration = Duration::from_secs(240);

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
    operated: OperatedJournal,
}

impl Lives {
    pub(super) fn new(world: &World, story: &Story, disk: &Disk) -> Self {
        let settings = story.settings.clone();
        let seat = |_| Seat {
            stop: Notify::new(),
            away: Mutex::default(),
            ends: Mutex::default(),
            running: watch::Sender::new(None),
        };
        let seats = (0..settings.daemons()).map(seat).collect();
        let (paused, pauses) = Default::default();
        Self { world: world.clone(), settings, disk: disk.clone(), seats, paused, pauses }
    }

    /// Runs all daemons until they are stopped for good.
    pub(super) async fn run(&self) {
        let mut lives: Vec<_> =
            (0..self.seats.len()).map(|daemon| Box::pin(self.supervise(daemon))).collect();
        poll_fn(|context| {
            lives.retain_mut(|life| life.as_mut().poll(context).is_pending());
            if lives.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
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
        let OpenJournal { journal, operated } = self.disk.open(&self.world, who, &self.settings, &counters);
        let left = Arc::downgrade(&journal);
        let engine = RuleEngine::new(vec![rule(&self.settings)], journal.clone(), counters.clone());
        let (world, settings) = (self.world.clone(), self.settings.clone());
        let rules = Arc::new(LiveRules::new(engine));
        let (wanted, journal_of) = (Mutex::new(Reloaded::Settings), journal.clone());
        let parts =
            Arc::new(Parts { world, who, settings, journal: journal_of, counters, rules, wanted, operated });
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
                state.cut(*daemon);
                state.oracle.cut();
            }
            Step::BrokerDown(length) => {
                let mut state = self.world.lock();
                state.say(format_args!("the broker is down for {length:?}"));
                state.broker_stops(now + *length);
                state.oracle.cut();
            }
            Step::BrokerDeaf(length) => {
                let mut state = self.world.lock();
                state.say(format_args!("the broker reads nothing for {length:?}"));
                state.broker.go_deaf(now + *length);
            }
            Step::Reload { daemon, what } => self.reload(*daemon, *what).await,
            Step::Pause { daemon, length } => self.pause(*daemon, *length).await,
            Step::Change { daemon, key, verb } => _ = self.change(*daemon, Some(*key), *verb).await,
            Step::Clock(seconds) => self.world.jumps(*seconds),
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
        let seats = self.seats.iter().enumerate().filter(|(daemon, _)| !self.settings.splits(*daemon));
        let running = seats.filter_map(|(_, seat)| seat.running.borrow().clone());
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

    /// Pauses the action of a daemon for a time.
    async fn pause(&self, daemon: usize, length: Duration) {
        let until = Instant::now() + length;
        self.world.lock().oracle.disturbed(until + AWAY);
        let note = PauseNote { by: "the story".to_owned(), reason: None };
        if self.set_pause(daemon, Some(note)).await {
            self.world.lock().say(format_args!("the action of daemon {daemon} is paused for {length:?}"));
            self.paused.lock().unwrap().push((until, daemon));
            self.pauses.notify_one();
        }
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
            self.unpause(daemon).await;
        }
    }

    async fn unpause(&self, daemon: usize) -> bool {
        self.wait_for(daemon).await;
        let is_done = self.set_pause(daemon, None).await;
        if is_done {
            self.world.lock().say(format_args!("the action of daemon {daemon} is resumed"));
        }
        is_done
    }

    /// Waits until a daemon runs, whose file keeps a pause.
    async fn wait_for(&self, daemon: usize) {
        let mut running = self.seats[daemon].running.subscribe();
        let _ = timeout(AWAY, running.wait_for(Option::is_some)).await;
    }

    fn operated(&self, daemon: usize) -> Option<OperatedJournal> {
        let running = self.seats[daemon].running.borrow();
        running.as_ref().map(|running| running.parts.operated.clone())
    }

    /// Pauses or resumes an action, and returns whether the daemon has done so.
    async fn set_pause(&self, daemon: usize, note: Option<PauseNote>) -> bool {
        match self.operated(daemon) {
            None => false,
            Some(OperatedJournal::Memory(memory)) => {
                memory.set_pause("a", note);
                true
            }
            Some(OperatedJournal::Sqlite(sqlite)) => {
                let action = "a".to_owned();
                let change = match note {
                    Some(note) => Change::Pause { action, note },
                    None => Change::Resume { action },
                };
                matches!(timeout(AWAY, sqlite.change(change)).await, Ok(Ok(_)))
            }
        }
    }

    /// Changes the deliveries of a key, or of all keys, in a file; `false` if the daemon does not run or ends.
    async fn change(&self, daemon: usize, key: Option<u8>, verb: Verb) -> bool {
        let sqlite = match self.operated(daemon) {
            Some(OperatedJournal::Sqlite(sqlite)) => sqlite,
            operated => return operated.is_some(),
        };
        let which = Filter { key: key.map(|key| format!("k{key}")), ..Filter::default() };
        let by = "the story".to_owned();
        let change = match verb {
            Verb::Retry => Change::Retry { which, out_of_order: false },
            Verb::Discard => Change::Discard { which, by },
            Verb::Hold => Change::Hold { which, why: by },
            Verb::Release => Change::Release { which },
        };
        self.world.lock().oracle.changes(key, verb);
        let Ok(Ok(changed)) = timeout(AWAY, sqlite.change(change)).await else { return false };
        let (changed, refused) = (changed.changed.len() + changed.under_way.len(), changed.refused.len());
        let key = key.map_or_else(|| "all keys".to_owned(), |key| format!("key {key}"));
        self.world.lock().say(format_args!(
            "an operator: {verb:?} for {key} of daemon {daemon}: {changed} changed, {refused} refused"
        ));
        true
    }

    /// Ends all pauses, and releases all deliveries.
    pub(super) async fn heal(&self) {
        self.paused.lock().unwrap().clear();
        self.pauses.notify_one();
        for daemon in 0..self.seats.len() {
            // The file of a daemon that ends takes no change.
            while !self.unpause(daemon).await || !self.change(daemon, None, Verb::Release).await {
                sleep(Duration::from_secs(1)).await;
            }
        }
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
        let queues = self.settings.queues_of(self.who.daemon);
        let listeners = queues.into_iter().map(|queue| self.listener(queue)).collect();
        let daemon = Daemon::new(listeners, vec![self.delivery()], self.journal.clone());
        let reload = SimulatedReload(Arc::downgrade(self));
        daemon.with_reload(Box::new(reload), self.counters.clone())
    }

    fn listener(&self, queue: usize) -> Listener {
        let settings = &self.settings;
        let kind = QueueKind {
            queue_type: settings.queue_type(),
            durable: true,
            single_active_consumer: settings.one_is_active(),
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

    fn setup(&self) -> Setup {
        let mut settings = delivery_settings(&self.settings);
        let action: Arc<dyn Action> = match self.settings.shards {
            Some(shards) if self.settings.splits(self.who.daemon) => {
                settings.batch = BatchLimits::default();
                Splitter::new(&self.world, self.who, shards)
            }
            _ => SimulatedAction::new(&self.world, self.who, &self.settings),
        };
        Setup { action, settings, preparation: Preparation::default(), fallback: None }
    }

    fn delivery(&self) -> DeliveryLoop {
        let Setup { action, settings, .. } = self.setup();
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
        let Some(parts) = self.0.upgrade() else { return ReloadChanges::default() };
        let queues = parts.settings.queues_of(parts.who.daemon);
        let names: Vec<Arc<str>> = queues.iter().map(|queue| format!("events-{queue}").into()).collect();
        let (first, name) = (queues[0], names[0].clone());
        let all = ReloadChanges { order: (names, vec!["a".into()]), ..ReloadChanges::default() };
        let wanted = *parts.wanted.lock().unwrap();
        match wanted {
            Reloaded::Settings => ReloadChanges { setups: vec![("a".into(), parts.setup())], ..all },
            Reloaded::Action => {
                ReloadChanges { retire: vec!["a".into()], deliveries: vec![parts.delivery()], ..all }
            }
            Reloaded::Listener => {
                ReloadChanges { leave: vec![name], begin: vec![parts.listener(first)], ..all }
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
