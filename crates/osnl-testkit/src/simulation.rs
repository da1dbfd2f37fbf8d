//! Stories under one seed: the spine with a model of its broker and its target, in one thread with paused time.
//!
//! A [`Story`] is made from a seed: settings of a daemon, and steps such as events, kills, lost connections, and a
//! target that is down. The world plays the story, and [`play`] returns the broken promises. The same story gives the
//! same trace each time.
//!
//! | part | model |
//! | --- | --- |
//! | engine, rules, delivery, journal | the real ones; SQLite's writer has no thread: it commits when nothing else runs, a success after its wait |
//! | broker | classic and quorum queues, redelivery in order, prefetch, one active consumer, the consumer time-out |
//! | target | answers, refuses, hangs, answers late, cuts the connection after the effect |
//! | kill | a daemon is killed at one of its steps outside: a message, an acknowledgement, a call, a commit |
//! | shards | a daemon that publishes each event to the queue of its shard, and a daemon for each shard |
//! | operator | pauses; in a file also retries, discards, holds, releases |
//! | time | tokio's paused clock, which the time of day follows, but for its jumps |
//!
//! A kill ends what the daemon can do, and then its tasks are dropped: no step outside lies between. Torn writes, lost
//! `fsync`s, and the bytes of AMQP are left to the tests with real parts.

mod broker;
mod daemon;
mod journal;
mod oracle;
mod shrink;
mod story;
mod sweep;
mod target;
mod target_model;
mod who;
mod world;

use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use osnl_core::epoch::simulated;
use tokio::time::Instant;

use self::daemon::Lives;
use self::journal::Disk;
pub use self::shrink::shrink;
pub use self::story::{Settings, Step, Story};
pub use self::sweep::{Sweep, SweepEnd};
use self::world::World;

/// The result of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// The broken promises, each a line; empty if all are kept. The story ends with the first.
    pub broken: Vec<String>,
    /// Each step of the world, a line with its time.
    pub trace: Vec<String>,
    /// The time that passed in the world.
    pub passed: Duration,
}

impl Played {
    /// Returns the name of the first broken promise, by which a shorter story is compared.
    #[must_use]
    pub fn promise(&self) -> Option<&str> {
        self.broken.first().map(|line| line.split(':').next().unwrap_or_default())
    }
}

/// The time of day at which every story begins.
const BEGIN: Duration = Duration::from_secs(1_800_000_000);

/// Plays a story in this thread. With `log`, the trace has the log lines of the daemons too.
/// A panic is a broken promise.
#[must_use]
pub fn play(story: &Story, log: bool) -> Played {
    let played = catch_unwind(AssertUnwindSafe(|| play_world(story, log)));
    simulated::set(None);
    played.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        Played { broken: vec![format!("panic: {words}")], trace: Vec::new(), passed: Duration::ZERO }
    })
}

fn play_world(story: &Story, log: bool) -> Played {
    fastrand::seed(story.seed);
    let disk = Disk::new();
    let on_park = disk.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || on_park.turn())
        .build()
        .unwrap();
    runtime.block_on(async {
        simulated::set(Some(SystemTime::UNIX_EPOCH + BEGIN));
        let world = World::new(story);
        let _log = log.then(|| world.log());
        let began = Instant::now();
        play_steps(&world, story, &disk).await;
        let (broken, trace) = world.end();
        Played { broken, trace, passed: began.elapsed() }
    })
}

async fn play_steps(world: &World, story: &Story, disk: &Disk) {
    let lives = Lives::new(world, story, disk);
    let steps = async {
        let began = Instant::now();
        for (at, step) in &story.steps {
            tokio::time::sleep_until(began + *at).await;
            lives.step(step).await;
        }
        world.heal();
        lives.heal().await;
        world.settled(story.settings.patience()).await;
        lives.stop().await;
    };
    tokio::pin!(steps);
    let work = async { tokio::join!(lives.run(), lives.resume(), disk.wake()) };
    tokio::pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(()) = steps.as_mut().poll(context) {
            return Poll::Ready(());
        }
        let _ = work.as_mut().poll(context);
        if world.is_broken() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
