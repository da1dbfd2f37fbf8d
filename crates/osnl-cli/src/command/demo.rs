//! `osnl demo`: the life of a small cloud through the real parts, reported step by step.
//!
//! Listeners, rules, journal, delivery loop, and the HTTP action are real; with `--transport-url` the broker too.
//! Recorded notifications with other names replace the services (`cloud.rs`). A server on 127.0.0.1 replaces the
//! target (`stand_in.rs`).
//!
//! The same `--seed`, `--count` and `--fail` give the same events and failures. Without a rate and
//! a terminal, each event waits for the one before, so the lines are the same too, but for port and
//! times.
//!
//! Exit status: 0 for the expected end, 1 for any other, 130 after a signal.

mod args;
mod broker;
mod cloud;
mod configuration;
mod events;
mod narrated;
mod parts;
mod play;
mod printer;
mod recording;
mod requests;
mod stand_in;
mod story;
mod summary;

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use osnl::daemon::RunEnd;
use osnl::listener::ListenerState;
use osnl::metrics::Counters;
use osnl::shutdown::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::args::DemoArgs;
use self::broker::DemoBroker;
use self::cloud::DemoCloud;
use self::parts::{Assembly, DemoParts};
use self::play::{DemoSpeed, Play};
use self::printer::{Printer, Tone};
use self::recording::Recording;
use self::stand_in::{StandIn, StandInHost};
use self::story::Story;
use self::summary::{DemoEnd, Summary, SummaryFigures};
use crate::app;
use crate::exit::Exit;
use crate::flags::OutputFormat;
use crate::output;

const SHOW: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(20);
/// Keeps the failures' random numbers independent of the events', which use the plain seed.
const FAULTS: u64 = 0x6661_756c_7473;

pub(crate) fn run(args: &DemoArgs) -> Exit {
    let told = app::block_on(Box::pin(narrate(args)));
    let told = told.map_err(anyhow::Error::from).and_then(|told| told);
    told.unwrap_or_else(|error| {
        output::print_to_stderr(format_args!("osnl demo: error: {error:#}"));
        Exit::Failed
    })
}

async fn narrate(args: &DemoArgs) -> anyhow::Result<Exit> {
    let printer = match args.format {
        OutputFormat::Json => Printer::Json { since: Instant::now() },
        OutputFormat::Text => Printer::Text { colour: crate::terminal::coloured() },
    };
    let pace = match args.rate {
        Some(rate) => DemoSpeed::PerSecond(rate),
        None if std::io::stdout().is_terminal() => {
            DemoSpeed::PerSecond(f64::from(args.count) / SHOW.as_secs_f64())
        }
        None => DemoSpeed::InStep,
    };

    let cloud = DemoCloud::new(args.seed, Recording::built_in()?);
    let url = args.transport_url.as_ref().map(|url| url.expose());
    let broker = DemoBroker::open(url, &cloud.exchanges()).await?;
    let story = Arc::new(Story::new(printer));
    events::start(&story);
    let (played, queues) = match Demo::new(args, cloud, &broker, story.clone()).await {
        Ok(demo) => {
            let queues = demo.assembled.queues.clone();
            (demo.run(args, pace).await, queues)
        }
        Err(error) => (Err(error), Vec::new()),
    };
    // Also after a failure, so that nothing is left on a real broker.
    let waiting = broker.close(&queues).await;
    let mut summary = played?;
    summary.waiting = waiting?;
    summary.ok &= summary.waiting == 0;
    story.summary(&summary);
    Ok(match summary.end {
        DemoEnd::Interrupted => Exit::Interrupted,
        DemoEnd::EverythingSettled | DemoEnd::Stuck if summary.ok => Exit::Done,
        DemoEnd::EverythingSettled | DemoEnd::Stuck => Exit::Failed,
    })
}

struct Demo<'a> {
    broker: &'a DemoBroker,
    cloud: DemoCloud,
    story: Arc<Story>,
    target: StandIn,
    counters: Arc<Counters>,
    assembled: Assembly,
}

impl<'a> Demo<'a> {
    async fn new(
        args: &DemoArgs,
        cloud: DemoCloud,
        broker: &'a DemoBroker,
        story: Arc<Story>,
    ) -> anyhow::Result<Self> {
        // The runtime's end stops these tasks. A task that follows a receipt ends before its
        // listener.
        let tasks = TaskTracker::new();
        let hosts = cloud.servers().iter().map(|server| {
            (server.cuk.clone(), StandInHost { name: server.name.clone(), addresses: server.addresses() })
        });
        let fails = (args.fail, args.seed ^ FAULTS);
        let target = StandIn::start(hosts.collect(), fails, &story, &tasks).await?;
        introduce(&story, &target, broker, args);
        let counters = Arc::new(Counters::default());
        let parts = DemoParts { broker, story: &story, tasks: &tasks, counters: &counters };
        let assembled = parts.assemble(target.url())?;
        Ok(Self { broker, cloud, story, target, counters, assembled })
    }

    async fn run(self, args: &DemoArgs, pace: DemoSpeed) -> anyhow::Result<Summary> {
        let Self { broker, cloud, story, target, counters, assembled } = self;
        let Assembly { daemon, mut listening, routes, queues: _ } = assembled;
        let expected = target.hosts().into_keys().collect();
        let story = &*story;
        let mut play = Play { cloud, broker, routes: &routes, story, expected };

        let shutdown = Shutdown::new();
        let mut begin = Instant::now();
        let (mut interrupted, over) = (StopSignals::new()?, CancellationToken::new());
        let narration = async {
            let everything = async {
                for state in &mut listening {
                    // Fails when the listener has ended; the daemon then drains the other parts.
                    let _ = state.wait_for(|state| *state == ListenerState::Listening).await;
                }
                story.heading("The notifications");
                begin = Instant::now();
                play.publish(args.count, pace).await?;
                story.all_settled().await;
                anyhow::Ok(())
            };
            let end = tokio::select! {
                played = everything => played.map(|()| DemoEnd::EverythingSettled),
                () = interrupted.next() => Ok(DemoEnd::Interrupted),
                () = shutdown.drain.cancelled() => Ok(DemoEnd::Stuck),
                () = story.stalled(DEADLINE) => Ok(DemoEnd::Stuck),
            };
            let took = begin.elapsed();
            shutdown.drain.cancel();
            tokio::select! {
                () = interrupted.next() => shutdown.abort.cancel(),
                () = over.cancelled() => {}
            }
            end.map(|end| (end, took))
        };
        let draining = async {
            let ended = daemon.run(&shutdown, DEADLINE).await;
            over.cancel();
            ended
        };
        let (ended, end) = Box::pin(async { tokio::join!(draining, narration) }).await;
        let (end, took) = end?;
        let drained = ended.context("a listener could not go on")? == RunEnd::Drained;

        let figures = figures(story, &counters);
        let right = target.hosts().into_keys().collect::<BTreeSet<_>>() == play.expected;
        Ok(Summary {
            end,
            ok: drained && end == DemoEnd::EverythingSettled && figures.add_up() && right,
            seed: args.seed,
            took,
            figures,
            waiting: 0,
            before: target.at_first(),
            registered: target.added(),
            after: target.size(),
        })
    }
}

struct StopSignals([Signal; 3]);

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

fn figures(story: &Story, counters: &Counters) -> SummaryFigures {
    let (published, elsewhere, acknowledged) = story.counts();
    SummaryFigures {
        published,
        elsewhere,
        received: counters.received.get(),
        unmatched: counters.unmatched.get(),
        matched: counters.matched.get(),
        unreadable: counters.quarantined.get(),
        attempts: counters.attempts.get(),
        failed: counters.failures.get(),
        delivered: counters.delivered.get(),
        nothing_to_do: counters.no_action_needed.get(),
        dead: counters.dead.get(),
        acknowledged,
    }
}

fn introduce(story: &Story, target: &StandIn, broker: &DemoBroker, args: &DemoArgs) {
    story.text(&format!(
        "Instances of a small cloud are created and deleted, and an inventory with a REST interface must list\n\
         exactly those that exist. {} recorded notifications go through the real parts of osnl.\n\
         The inventory is a stand-in, the broker is {}.",
        args.count,
        broker.describe()
    ));
    story.heading("The target: inventory");
    story.line(None, "is at", Tone::Plain, target.url());
    let mut hosts: Vec<String> = target.hosts().into_values().map(|host| host.name).collect();
    hosts.sort();
    story.line(None, "holds", Tone::Plain, &hosts.join(", "));
    const HOW: &str = "once: with 503, without an answer, or too late";
    let fails = match args.fail {
        0 => "never".to_owned(),
        1 => format!("every request, {HOW}"),
        n => format!("request {n}, {}, ... each {HOW}", n.saturating_mul(2)),
    };
    story.line(None, "fails", Tone::Plain, &fails);
    story.heading("osnl: two listeners, two rules, and one action with driver = http");
    story.line(None, "listens", Tone::Plain, "nova: topic notifications");
    story.line(None, "listens", Tone::Plain, "nova-versioned: topic versioned_notifications");
}
