//! Random stories of a whole daemon: events, an unavailable target, reloads, pauses, lost connections.
//!
//! While the status reports no problem, each event has reached the target. Without faults, each event reaches the
//! target without a restart. In issue 46 a reload left messages behind unnoticed.
//!
//! `OSNL_SEED=7` plays one story; `OSNL_SEEDS=500` plays more than the gate.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use osnl_model::{Priority, Target};
use osnl_testkit::{Reply, Sink};
use osnl_transport::MemoryBroker;
use tokio_util::task::TaskTracker;

use super::super::*;
use crate::control::{ControlRequest, Status, Which};
use crate::daemon::{DaemonState, ReloadOutcome, ReloadRefusalReason};
use crate::shutdown::Shutdown;

const STORIES: u64 = 24;
const AT_ONCE: usize = 8;
const STEPS: usize = 14;
const SOON: Duration = Duration::from_secs(60);
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The looks for which the status may be ahead of an event.
const CHECKS: u32 = 150;

#[derive(Clone, Debug, PartialEq, Eq)]
struct StoryConf {
    pool: u32,
    former: Option<u32>,
    has_second: bool,
    prefetch: u32,
    topics: &'static str,
    timeout: u32,
    pattern: &'static str,
}

impl StoryConf {
    fn text(&self, fixed: &str, sink: &str) -> String {
        let Self { pool, former, has_second, prefetch, topics, timeout, pattern } = self;
        let listener = |name: &str, rest: &str| {
            format!("[listener:{name}]\ntransport_url = rabbit://u:p@h/\nprefetch = {prefetch}\n{rest}\n")
        };
        let declared = "declare = create\n";
        let mut text = fixed.to_owned();
        text += &listener("a", &format!("{declared}exchange = xa\ntopics = {topics}\npool = q{pool}"));
        if let Some(former) = former {
            text += &listener("former", &format!("queue = q{former}"));
        }
        if *has_second {
            text += &listener("b", &format!("{declared}exchange = xb\ntopics = t\npool = second"));
        }
        text += &format!("[rule:r]\nevent_type = {pattern}\nactions = post\n");
        text + &format!(
            "[action:post]\ndriver = http\nmethod = POST\nurl = {sink}/{{{{ message_id }}}}\n\
             timeout = {timeout}s\nretry_interval = 50ms\n"
        )
    }
}

struct ReloadStory {
    seed: u64,
    random: fastrand::Rng,
    folder: tempfile::TempDir,
    broker: MemoryBroker,
    sink: Sink,
    is_up: Arc<AtomicBool>,
    reached: Arc<Mutex<BTreeSet<String>>>,
    published: Vec<String>,
    fixed: String,
    conf: StoryConf,
    state: Arc<DaemonState>,
    handler: Arc<ControlHandler>,
    log: Vec<String>,
}

impl ReloadStory {
    fn start(seed: u64, journal: &str, tasks: &TaskTracker, shutdown: &Shutdown) -> Self {
        let (folder, broker, sink) = (tempfile::tempdir().unwrap(), MemoryBroker::new(), Sink::start());
        let (is_up, reached) = (Arc::new(AtomicBool::new(true)), Arc::<Mutex<BTreeSet<String>>>::default());
        let (target_is_up, seen) = (is_up.clone(), reached.clone());
        sink.reply_when(move |request| {
            if !target_is_up.load(Relaxed) {
                return Some(Reply::Status(503));
            }
            let id = request.target.trim_start_matches('/').to_owned();
            seen.lock().unwrap().insert(id);
            Some(Reply::Status(204))
        });
        let fixed =
            format!("[DEFAULT]\nstate_dir = {}\n[journal]\n{journal}\n", folder.path().join("s").display());
        let conf = StoryConf {
            pool: 0,
            former: None,
            has_second: true,
            prefetch: 10,
            topics: "t",
            timeout: 5,
            pattern: "^port",
        };
        write(folder.path(), &conf.text(&fixed, &sink.url("")));
        let sources = Sources { files: vec![folder.path().join("osnl.conf")], ..Sources::default() };
        let loaded = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        let values = loaded.values();
        let transports = broker.clone();
        let make: MakeTransport = Arc::new(move |_| Ok(Arc::new(transports.transport())));
        let counters = Arc::<Counters>::default();
        let (daemon, parts, handler) =
            loaded.conf.assemble(&*make, &HttpOptions::default(), &counters).unwrap();
        let logs: Logs = Arc::new(|_| Ok(Box::new(|| {})));
        let loaded = Arc::new(loaded);
        let running = RunningDaemon { sources, loaded, values, parts, make, logs, next: None };
        let daemon = daemon.with_reload(Box::new(running), counters);
        let state = daemon.state();
        let shutdown = shutdown.clone();
        tasks.spawn(async move { daemon.run(&shutdown, Duration::from_secs(5)).await });
        let (published, log, random) = (Vec::new(), Vec::new(), fastrand::Rng::with_seed(seed));
        Self {
            seed,
            random,
            folder,
            broker,
            sink,
            is_up,
            reached,
            published,
            fixed,
            conf,
            state,
            handler,
            log,
        }
    }

    fn say(&mut self, step: impl Into<String>) {
        self.log.push(step.into());
    }

    fn publish(&mut self, exchange: &str, events: usize) {
        for _ in 0..events {
            let id = format!("{}-{}", self.seed, self.published.len());
            let body = format!(
                r#"{{"message_id": "{id}", "event_type": "port.create.end", "publisher_id": "p", "payload": {{"port": {{"id": "{id}"}}}}}}"#
            );
            let taken = self.broker.publish(&Target::new(exchange, "t"), &Priority::Info, body);
            assert!(taken > 0 || exchange != "xa", "no queue is bound: {}", self.told());
            if taken > 0 {
                self.published.push(id);
            }
        }
        self.say(format!("{events} events to {exchange}"));
    }

    fn told(&self) -> String {
        let missing = self.missing();
        let listeners: Vec<_> =
            self.state.listeners().iter().map(|of| (of.name.clone(), of.state.borrow().clone())).collect();
        let queues = ["q0", "q1", "q2", "second"].map(|queue| (queue, self.broker.ready(queue)));
        format!(
            "OSNL_SEED={}\n{}\n{}\nmissing {missing:?}\n{listeners:?}\nready {queues:?}",
            self.seed,
            self.fixed,
            self.log.join("\n")
        )
    }

    fn missing(&self) -> Vec<String> {
        let reached = self.reached.lock().unwrap();
        self.published.iter().filter(|id| !reached.contains(*id)).cloned().collect()
    }

    async fn status(&self) -> Status {
        self.handler.status().await.unwrap()
    }

    async fn is_true(&self) {
        for _ in 0..CHECKS {
            let status = self.status().await;
            if !status.healthy || !status.idle || self.missing().is_empty() {
                return;
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        panic!("all is said to be well: {}", self.told());
    }

    async fn ask(&self, request: ControlRequest) {
        self.handler.answer(&request).await.unwrap();
    }

    async fn reload(&mut self, conf: StoryConf) -> bool {
        let text = conf.text(&self.fixed, &self.sink.url(""));
        write(self.folder.path(), &text);
        match self.state.reload(ReloadScope::Configuration, "story").await {
            ReloadOutcome::Done(_) => {
                self.say(format!("reloaded: {conf:?}"));
                self.conf = conf;
                true
            }
            ReloadOutcome::Refused(refused) => {
                assert_eq!(refused.reason, ReloadRefusalReason::QueueNotEmpty, "{refused:?} {}", self.told());
                self.say(format!("refused: {conf:?}: {}", refused.errors[0]));
                false
            }
        }
    }

    async fn change(&mut self) {
        let mut conf = self.conf.clone();
        match self.random.u32(..8) {
            0..=2 => conf.pool = self.random.u32(..3),
            3 => conf.has_second = !conf.has_second,
            4 => conf.prefetch = self.random.u32(3..20),
            5 => conf.topics = if conf.topics == "t" { "t, u" } else { "t" },
            6 => conf.pattern = if conf.pattern == "^port" { "^port\\." } else { "^port" },
            _ => conf.timeout = self.random.u32(3..9),
        }
        if conf.former == Some(conf.pool) || self.random.u32(..4) == 0 {
            conf.former = None;
        }
        let (before, moved) = (self.conf.pool, conf.pool);
        if !self.reload(conf.clone()).await && before != moved && self.random.bool() {
            let former = Some(before).filter(|_| self.conf.former.is_none());
            if let Some(former) = former {
                let kept = StoryConf { former: Some(former), ..conf };
                assert!(self.reload(kept).await, "the way out is refused: {}", self.told());
                self.listening().await;
                self.broker.unbind(&format!("q{former}"));
                self.say(format!("q{former} is unbound"));
            }
        }
    }

    async fn step(&mut self) {
        let pause = |action: &str| ControlRequest::Pause {
            action: action.to_owned(),
            reason: None,
            by: "story".to_owned(),
        };
        match self.random.u32(..14) {
            0..=3 => {
                let events = self.random.usize(1..5);
                let exchange = if self.random.u32(..4) == 0 { "xb" } else { "xa" };
                self.publish(exchange, events);
            }
            4..=7 => self.change().await,
            8 => {
                self.is_up.store(false, Relaxed);
                self.say("the target is down");
            }
            9 => {
                self.is_up.store(true, Relaxed);
                self.say("the target is up");
            }
            10 => {
                self.ask(pause("post")).await;
                self.say("paused");
            }
            11 => self.well().await,
            12 => {
                self.broker.disconnect_all();
                self.say("connections lost");
            }
            _ => {
                let end = Instant::now() + Duration::from_millis(300);
                while !self.missing().is_empty() && Instant::now() < end {
                    tokio::time::sleep(CHECK_INTERVAL).await;
                }
                self.say("some time");
            }
        }
    }

    async fn well(&mut self) {
        self.is_up.store(true, Relaxed);
        let (action, by) = ("post".to_owned(), "story".to_owned());
        self.ask(ControlRequest::Resume { action, by: by.clone() }).await;
        if self.fixed.contains("sqlite") {
            self.ask(ControlRequest::Release { filter: Which::default(), dry_run: false, by }).await;
        }
        self.say("target and action are well");
    }

    async fn ends(&mut self) {
        self.well().await;
        let all = StoryConf { has_second: true, ..self.conf.clone() };
        let end = Instant::now() + SOON;
        while !self.reload(all.clone()).await {
            assert!(Instant::now() < end, "the last reload is refused: {}", self.told());
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        while !self.missing().is_empty() {
            assert!(Instant::now() < end, "not all is delivered: {}", self.told());
            self.is_true().await;
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        loop {
            let status = self.status().await;
            if status.healthy && status.idle {
                break;
            }
            assert!(Instant::now() < end, "{:?} {}", status.incidents, self.told());
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    async fn listening(&self) {
        for listener in self.state.listeners() {
            listener.state().wait_for(|state| state.is_subscribed()).await.unwrap();
        }
    }
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("osnl.conf"), text).unwrap();
}

fn journal(random: &mut fastrand::Rng) -> String {
    match random.bool() {
        true => "connection = memory://".to_owned(),
        false => format!("allow_volatile = yes\nmax_pending = {}", random.u32(3..7)),
    }
}

async fn play(seed: u64) {
    let (tasks, shutdown) = (TaskTracker::new(), Shutdown::new());
    let journal = journal(&mut fastrand::Rng::with_seed(seed));
    let mut story = ReloadStory::start(seed, &journal, &tasks, &shutdown);
    story.listening().await;
    for _ in 0..STEPS {
        story.step().await;
        story.is_true().await;
    }
    story.ends().await;
    shutdown.drain.cancel();
    tasks.close();
    tasks.wait().await;
}

#[tokio::test]
async fn each_event_is_delivered_and_all_is_well_only_if_nothing_waits() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("OSNL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("OSNL_SEEDS").unwrap_or(STORIES),
    };
    futures_util::stream::iter(seeds).map(play).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}
