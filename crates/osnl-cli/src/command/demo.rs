//! `osnl demo`: the life of a small cloud through the real parts, told as it happens.
//!
//! Real are the listeners, the rules, the journal, the delivery loop with its retries, and the action with its HTTP
//! client; with `--transport-url` the broker too. Stood in for are the services, by recorded notifications with
//! other names in them (`cloud.rs`), the target, by a server on 127.0.0.1 (`stand_in.rs`), and else the broker, by
//! the in-process one. `scenario.rs` has the configuration and the target of a scenario. Three voices tell what
//! happens, each from where it is known:
//!
//! | file | tells |
//! | --- | --- |
//! | `narrated.rs` | what a rule says to a message, and when the message is acknowledged |
//! | `stand_in.rs` | each request, and what the target would answer |
//! | `events.rs` | the library's own log events: bindings, retries, outcomes, what cannot be read |
//!
//! On a terminal it is a live screen (`screen.rs`), else lines (`voice.rs`); both keep what osnl does apart from what
//! the stand-ins do. With the same `--seed`, `--count` and `--fail` the events and the failures are the same; where
//! no rate is asked for and stdout is no terminal, each event waits for the one before, and the lines too are the
//! same but for port and times.
//!
//! Exit status: 0 when everything ended as it must, 1 when not, 130 after a signal.

mod args;
mod board;
mod broker;
mod cloud;
mod events;
mod folder;
mod narrated;
mod oss;
mod parts;
mod play;
mod recording;
mod requests;
mod scenario;
mod screen;
mod stand_in;
mod story;
mod summary;
mod voice;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use osnl::daemon::RunEnd;
use osnl::delivery::BreakerState;
use osnl::listener::ListenerState;
use osnl::metrics::Counters;
use osnl::shutdown::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::args::DemoArgs;
use self::args::DemoScenario;
use self::broker::DemoBroker;
use self::cloud::DemoCloud;
use self::parts::{Assembly, DemoParts};
use self::play::{DemoSpeed, Play};
use self::recording::Recording;
use self::scenario::Scenario;
use self::screen::{Picture, Screen};
use self::stand_in::{StandIn, StandInHost, StandInHosts};
use self::story::Story;
use self::summary::{DemoEnd, Summary, SummaryFigures};
use self::voice::{DemoVoice, Tone};
use crate::app;
use crate::exit::Exit;
use crate::flags::OutputFormat;

/// The length of the demo on a terminal, without `--rate`.
const SHOW: Duration = Duration::from_secs(5);
/// Nothing moves for so long: something is wrong.
const DEADLINE: Duration = Duration::from_secs(20);
/// The seed of the failures: another than that of the events, so that both are as if thrown for themselves.
const FAULTS: u64 = 0x6661_756c_7473;

/// Runs the demo.
#[expect(clippy::print_stderr, reason = "what keeps the demo from starting; there is no log")]
pub(crate) fn run(args: &DemoArgs) -> Exit {
    let told = match args.scenario {
        DemoScenario::Webhook => app::block_on(Box::pin(tell(args, Scenario::Webhook))),
        DemoScenario::K2hr3 => app::block_on(Box::pin(tell(args, Scenario::K2hr3))),
        DemoScenario::Oss => app::block_on(Box::pin(oss::tell(args))),
    };
    let told = told.map_err(anyhow::Error::from).and_then(|told| told);
    told.unwrap_or_else(|error| {
        eprintln!("osnl demo: error: {error:#}");
        Exit::Failed
    })
}

async fn tell(args: &DemoArgs, scenario: Scenario) -> anyhow::Result<Exit> {
    let terminal = std::io::stdout().is_terminal();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = crate::terminal::coloured() || (args.screen.is_some() && !no_colour);
    let (screen, voice) = match args.format {
        OutputFormat::Json => (None, DemoVoice::Json { since: Instant::now() }),
        OutputFormat::Text => match Screen::on_stdout(args.screen, colour) {
            Some(screen) => {
                let voice = screen.voice();
                (Some(screen), voice)
            }
            None => (None, DemoVoice::Plain { colour }),
        },
    };
    let pace = match args.rate {
        Some(rate) => DemoSpeed::PerSecond(rate),
        None if terminal || screen.is_some() => {
            DemoSpeed::PerSecond(f64::from(args.count) / SHOW.as_secs_f64())
        }
        None => DemoSpeed::InStep,
    };

    let cloud = DemoCloud::new(args.seed, Recording::built_in()?);
    let url = args.transport_url.as_ref().map(|url| url.expose());
    let broker = DemoBroker::open(url, &cloud.exchanges()).await?;
    let story = Arc::new(Story::new(voice));
    events::start(&story);
    let (played, queues) = match Demo::new(scenario, args, cloud, &broker, story.clone()).await {
        Ok(demo) => {
            let queues = demo.assembled.queues.clone();
            (demo.run(args, pace, screen.as_ref()).await, queues)
        }
        Err(error) => (Err(error), Vec::new()),
    };
    // Whatever happened: nothing is left on a real broker.
    let waiting = broker.close(&queues).await;
    let mut summary = played?;
    summary.waiting = waiting?;
    summary.ok &= summary.waiting == 0;
    if screen.is_some() {
        story.go_on_with(DemoVoice::Plain { colour });
    }
    story.summary(&summary);
    Ok(match summary.end {
        DemoEnd::Interrupted => Exit::Interrupted,
        DemoEnd::EverythingSettled | DemoEnd::Stuck if summary.ok => Exit::Done,
        DemoEnd::EverythingSettled | DemoEnd::Stuck => Exit::Failed,
    })
}

/// Everything, before the first event.
struct Demo<'a> {
    scenario: Scenario,
    broker: &'a DemoBroker,
    cloud: DemoCloud,
    story: Arc<Story>,
    target: StandIn,
    counters: Arc<Counters>,
    assembled: Assembly,
}

impl<'a> Demo<'a> {
    async fn new(
        scenario: Scenario,
        args: &DemoArgs,
        cloud: DemoCloud,
        broker: &'a DemoBroker,
        story: Arc<Story>,
    ) -> anyhow::Result<Self> {
        // Its tasks end with the runtime; those that follow a receipt end before their listener does.
        let tasks = TaskTracker::new();
        let hosts = cloud.servers().iter().map(|server| {
            (server.cuk.clone(), StandInHost { name: server.name.clone(), addresses: server.addresses() })
        });
        let fails = (args.fail, args.seed ^ FAULTS);
        let target = StandIn::start(scenario, hosts.collect(), fails, &story, &tasks).await?;
        introduce(scenario, &story, &target, broker, args);
        let counters = Arc::new(Counters::default());
        let parts = DemoParts { broker, story: &story, tasks: &tasks, counters: &counters };
        let assembled = parts.assemble(scenario, target.url())?;
        Ok(Self { scenario, broker, cloud, story, target, counters, assembled })
    }

    /// Runs it to its end; what still waits in queues is not known yet.
    async fn run(self, args: &DemoArgs, pace: DemoSpeed, screen: Option<&Screen>) -> anyhow::Result<Summary> {
        let Self { scenario, broker, cloud, story, target, counters, assembled } = self;
        let Assembly { daemon, mut listening, breaker, routes, queues: _ } = assembled;
        let expected = target.hosts().into_iter().map(|(cuk, host)| (cuk, host.addresses)).collect();
        let (story, target) = (&*story, &target);
        let mut play = Play { cloud, broker, routes: &routes, scenario, target, story, expected };

        let shutdown = Shutdown::new();
        let mut begin = Instant::now();
        let (mut interrupted, over) = (StopSignals::new()?, CancellationToken::new());
        let telling = async {
            let everything = async {
                for state in &mut listening {
                    // Fails when the listener has ended, which drains everything.
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
                // Again, before the drain is over.
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
        let since = Instant::now();
        let picture = || Picture {
            target: scenario.target(),
            seed: args.seed,
            events: args.count.into(),
            elapsed: since.elapsed(),
            figures: figures(story, &counters),
            failing: target.failing(),
            held: *breaker.borrow() != BreakerState::Closed,
            hosts: target.hosts(),
            gone: target.gone(),
        };
        let running = Box::pin(async { tokio::join!(draining, telling) });
        let (ended, end) = match screen {
            Some(screen) => screen.show(picture, running).await,
            None => running.await,
        };
        let (end, took) = end?;
        let drained = ended.context("a listener could not go on")? == RunEnd::Drained;

        let figures = figures(story, &counters);
        let right = is_right(scenario, &target.hosts(), &play.expected);
        Ok(Summary {
            scenario,
            end,
            ok: drained && end == DemoEnd::EverythingSettled && figures.add_up() && right,
            seed: args.seed,
            took,
            figures,
            waiting: 0,
            before: target.at_first(),
            registered: target.registered(),
            after: target.size(),
        })
    }
}

/// Whether the target holds the expected addresses, by the server's id. The inventory knows an address only from the
/// event of a new server, so its hosts are compared.
fn is_right(scenario: Scenario, hosts: &StandInHosts, expected: &BTreeMap<String, Vec<String>>) -> bool {
    let same = |(id, host): (&String, &StandInHost)| expected.get(id) == Some(&host.addresses);
    hosts.keys().eq(expected.keys()) && (!scenario.has_registration() || hosts.iter().all(same))
}

/// The signals that end the demo. SIGHUP is one: the terminal has gone.
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
        unreadable: counters.unreadable.get(),
        attempts: counters.attempts.get(),
        failed: counters.failures.get(),
        delivered: counters.delivered.get(),
        nothing_to_do: counters.nothing_to_do.get(),
        dead: counters.dead.get(),
        acknowledged,
    }
}

fn introduce(scenario: Scenario, story: &Story, target: &StandIn, broker: &DemoBroker, args: &DemoArgs) {
    story.text(&format!(
        "{}\n{} of them go through the real parts of osnl. The target is a stand-in, the broker is {}.",
        scenario.introduction(),
        args.count,
        broker.describe()
    ));
    story.heading(&format!("The target: {} (a stand-in)", scenario.target()));
    story.line(None, "is at", Tone::Plain, target.url());
    let mut hosts: Vec<String> = target
        .hosts()
        .iter()
        .map(|(id, host)| format!("{} ({id}) at {}", host.name, host.addresses.join(", ")))
        .collect();
    hosts.sort();
    hosts.iter().for_each(|host| story.line(None, "holds", Tone::Plain, host));
    const HOW: &str = "once: with 503, without an answer, or too late";
    let fails = match args.fail {
        0 => "never".to_owned(),
        1 => format!("every request, {HOW}"),
        n => format!("request {n}, {}, ... each {HOW}", n.saturating_mul(2)),
    };
    story.line(None, "fails", Tone::Plain, &fails);
    story.heading(scenario.configuration());
}
