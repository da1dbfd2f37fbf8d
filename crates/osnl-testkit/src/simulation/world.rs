//! The state that broker, target, and daemons share: time, chance, kills, the trace, and what each event has had.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use osnl_core::epoch::{self, simulated};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;

use super::broker::BrokerModel;
use super::oracle::{EventRecord, Oracle};
use super::story::{Nature, Story};
use super::target_model::TargetModel;
use super::who::Who;

/// The world of one story. Clones are the same world.
#[derive(Clone)]
pub(super) struct World {
    state: Arc<Mutex<WorldState>>,
    pub(super) changed: Arc<Notify>,
}

/// All that is outside of the daemons.
pub(super) struct WorldState {
    began: Instant,
    pub(super) random: Rng,
    trace: Vec<String>,
    pub(super) changed: Arc<Notify>,
    pub(super) broker: BrokerModel,
    pub(super) target: TargetModel,
    pub(super) oracle: Oracle,
    lives: BTreeMap<usize, Life>,
    last_life: u32,
}

/// The life of a daemon that runs.
struct Life {
    life: u32,
    /// The steps outside that it has left before it is killed; `None` if nothing kills it.
    fuse: Option<u32>,
    killed: Arc<Notify>,
}

impl World {
    pub(super) fn new(story: &Story) -> Self {
        let changed = Arc::<Notify>::default();
        let state = WorldState {
            changed: changed.clone(),
            began: Instant::now(),
            random: Rng::with_seed(story.seed ^ 0x5eed),
            trace: Vec::new(),
            broker: BrokerModel::new(&story.settings),
            target: TargetModel::default(),
            oracle: Oracle::new(&story.settings),
            lives: BTreeMap::new(),
            last_life: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), changed }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, WorldState> {
        self.state.lock().unwrap()
    }

    /// Begins a life of a daemon; the notification tells of its kill.
    pub(super) fn begin(&self, daemon: usize) -> (Who, Arc<Notify>) {
        let mut state = self.lock();
        state.last_life += 1;
        let (life, killed) = (state.last_life, Arc::<Notify>::default());
        state.lives.insert(daemon, Life { life, fuse: None, killed: killed.clone() });
        let who = Who { daemon, life };
        state.say(format_args!("{who} starts"));
        (who, killed)
    }

    /// Ends the life of a daemon in good order.
    pub(super) fn ends(&self, who: Who, how: &str) {
        let mut state = self.lock();
        if state.is_alive(who) {
            state.lives.remove(&who.daemon);
            state.say(format_args!("{who} ends: {how}"));
            state.oracle.stopped();
        }
        state.leaves(who);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Kills the daemon at its step outside after so many others.
    pub(super) fn light(&self, daemon: usize, fuse: u32) {
        if let Some(life) = self.lock().lives.get_mut(&daemon) {
            life.fuse.get_or_insert(fuse);
        }
    }

    pub(super) fn is_alive(&self, who: Who) -> bool {
        self.lock().is_alive(who)
    }

    /// Heals everything, and no kill follows.
    pub(super) fn heal(&self) {
        let mut state = self.lock();
        state.lives.values_mut().for_each(|life| life.fuse = None);
        state.broker.heal();
        let now = Instant::now();
        state.target.heal(now);
        state.say(format_args!("everything is well again"));
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn publish(&self, event: usize, key: u8, nature: Nature) {
        let mut state = self.lock();
        state.oracle.published(event, EventRecord::new(key, nature, Instant::now()));
        let shard = state.broker.publish(event, key);
        state.say(format_args!("event {event} of key {key} is published to queue {shard}{nature}"));
        drop(state);
        self.changed.notify_waiters();
    }

    /// Lets the time of day jump.
    pub(super) fn jumps(&self, seconds: i64) {
        let (now, by) = (epoch::now(), Duration::from_secs(seconds.unsigned_abs()));
        simulated::set(Some(if seconds < 0 { now - by } else { now + by }));
        let mut state = self.lock();
        state.say(format_args!("the time of day jumps by {seconds} s"));
        state.oracle.jumps();
    }

    /// Waits until every event is settled, at most for this time.
    pub(super) async fn settled(&self, patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            sleep(Duration::from_secs(2)).await;
            let state = self.lock();
            if state.broker.is_empty() && state.oracle.is_settled() {
                return;
            }
            if Instant::now() >= until {
                break;
            }
        }
        let mut state = self.lock();
        let left = state.broker.left();
        state.oracle.not_settled(left);
    }

    pub(super) fn break_promise(&self, words: String) {
        self.lock().oracle.breaks(words);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.lock().oracle.is_broken()
    }

    /// Ends the story: the broken promises, and the trace.
    pub(super) fn end(self) -> (Vec<String>, Vec<String>) {
        let mut state = self.lock();
        let broken = state.oracle.judge();
        (broken, std::mem::take(&mut state.trace))
    }

    /// Adds the log lines of this thread to the trace.
    pub(super) fn log(&self) -> DefaultGuard {
        tracing::subscriber::set_default(TraceLog(self.clone()))
    }
}

impl WorldState {
    pub(super) fn say(&mut self, what: fmt::Arguments<'_>) {
        let at = self.began.elapsed();
        self.trace.push(format!("{:>6}.{:03}  {what}", at.as_secs(), at.subsec_millis()));
        self.oracle.at(self.trace.len());
    }

    pub(super) fn is_alive(&self, who: Who) -> bool {
        self.lives.get(&who.daemon).is_some_and(|life| life.life == who.life)
    }

    /// Notes that a daemon takes a step outside. `false` if it is dead, maybe since this moment: the step has no effect
    /// then.
    pub(super) fn steps(&mut self, who: Who, what: &str) -> bool {
        let Some(life) = self.lives.get_mut(&who.daemon).filter(|life| life.life == who.life) else {
            return false;
        };
        match &mut life.fuse {
            None => return true,
            Some(0) => {}
            Some(left) => {
                *left -= 1;
                return true;
            }
        }
        life.killed.notify_one();
        self.lives.remove(&who.daemon);
        self.say(format_args!("{who} is killed before {what}"));
        self.oracle.killed();
        self.broker.dies(who);
        self.changed.notify_waiters();
        false
    }
}

/// Writes log lines into the trace.
struct TraceLog(World);

impl tracing::Subscriber for TraceLog {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::DEBUG && metadata.target().starts_with("osnl")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = LogLine::default();
        event.record(&mut line);
        // A line that is logged within a step of the world would wait for itself.
        if let Ok(mut state) = self.0.state.try_lock() {
            state.say(format_args!("    | {}{}", line.message, line.fields));
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// A log line in words.
#[derive(Default)]
struct LogLine {
    message: String,
    fields: String,
}

impl Visit for LogLine {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields += &format!("  {}={value:?}", field.name());
        }
    }
}
