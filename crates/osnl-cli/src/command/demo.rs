//! `osnl demo`: recorded notifications through the real parts, told line by line.
//!
//! Real are the listeners, the rules, the journal, the delivery loop with its retries, and the action
//! `k2hr3` with its HTTP client. Stood in for are the broker, by the in-process one, and K2HR3, by a server
//! on 127.0.0.1. Three voices tell what happens, each from where it is known:
//!
//! | file | tells |
//! | --- | --- |
//! | `narrated.rs` | what a rule says to a message, and when the message is acknowledged |
//! | `stand_in.rs` | each request, and what K2HR3 would answer |
//! | `events.rs` | the library's own log events: bindings, retries, outcomes, what cannot be read |
//!
//! Exit status: 0 when everything ended as it must, 1 when not, 130 after Ctrl-C.

mod events;
mod narrated;
mod recording;
mod stand_in;
mod story;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use osnl::action::http::HttpOptions;
use osnl::action::k2hr3::K2hr3;
use osnl::daemon::{Daemon, Ended};
use osnl::delivery::{DeliveryLoop, DeliverySettings, RetryPolicy};
use osnl::endpoint::RuleEngine;
use osnl::journal::memory::{MemoryJournal, MemoryLimits};
use osnl::k2hr3::{ApiUrl, Conf};
use osnl::listener::{Listener, ListenerConfig, ListenerState};
use osnl::metrics::Counters;
use osnl::rule::Rule;
use osnl::shutdown::Shutdown;
use osnl_transport::{MemoryBroker, Properties};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use self::narrated::Narrated;
use self::recording::Recording;
use self::stand_in::StandIn;
use self::story::{Story, Tone};
use crate::app;
use crate::args::DemoArgs;
use crate::exit::Exit;

/// Three configuration files of k2hr3_osnl, one for each kind of message it knows: the name that the demo
/// gives to its rule, and its text. Each has a queue of its own; sharing one, they would share its messages.
const CONFS: [(&str, &str); 3] = [
    ("port-deleted", "[oslo_messaging_notifications]\npool = osnl-demo\n"),
    (
        "instance-deleted",
        "[oslo_messaging_notifications]\npool = osnl-demo-nova\nexchange = nova\n\
         publisher_id = ^compute\\..*$\nevent_type = ^compute\\.instance\\.delete\\.end$\n",
    ),
    (
        "instance-deleted-versioned",
        "[oslo_messaging_notifications]\npool = osnl-demo-nova-versioned\nexchange = nova\n\
         topic = versioned_notifications\npublisher_id = ^nova-(compute|api):.*$\n\
         event_type = ^instance\\.delete\\.end$\n",
    ),
];
const ACTION: &str = "k2hr3";
/// A message that gets no verdict within this time, because its target is held, stops the next no longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pauses are seconds and minutes in earnest; nobody wants to wait for them here.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(1));
const DEADLINE: Duration = Duration::from_secs(20);

/// Runs the demo.
#[expect(clippy::print_stderr, reason = "what keeps the demo from starting; there is no log")]
pub(crate) fn run(args: &DemoArgs) -> Exit {
    let told = app::block_on(tell(args)).map_err(anyhow::Error::from).and_then(|told| told);
    told.unwrap_or_else(|error| {
        eprintln!("osnl demo: error: {error:#}");
        Exit::Failed
    })
}

/// How the telling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    EverythingSettled,
    Interrupted,
    /// Something is unsettled after [`DEADLINE`], or a listener failed.
    Stuck,
}

async fn tell(args: &DemoArgs) -> anyhow::Result<Exit> {
    let recording = Recording::built_in()?;
    let story = Arc::new(Story::to_stdout());
    events::start(&story);
    // Its tasks end with the runtime; those that follow a receipt end before their listener does.
    let tasks = TaskTracker::new();
    let k2hr3 = StandIn::start(&recording.hosts, args.fail, &story, &tasks).await?;
    introduce(&story, &k2hr3, args.fail, recording.messages.len());

    let broker = MemoryBroker::new();
    let counters = Arc::new(Counters::default());
    let parts = Parts { broker: &broker, story: &story, tasks: &tasks, counters: &counters };
    let Assembled { daemon, mut listening, queues } = parts.assemble(&k2hr3)?;

    let shutdown = Shutdown::new();
    let telling = async {
        let everything = async {
            for state in &mut listening {
                // Fails when the listener has ended, which drains everything.
                let _ = state.wait_for(|state| *state == ListenerState::Listening).await;
            }
            story.heading("The notifications");
            publish(&recording, &broker, &story).await;
            story.all_settled().await;
        };
        let end = tokio::select! {
            () = everything => End::EverythingSettled,
            Ok(()) = tokio::signal::ctrl_c() => End::Interrupted,
            () = shutdown.drain.cancelled() => End::Stuck,
            () = tokio::time::sleep(DEADLINE) => End::Stuck,
        };
        shutdown.drain.cancel();
        end
    };
    let (ended, end) = tokio::join!(daemon.run(&shutdown, DEADLINE), telling);
    let in_order =
        ended.context("a listener could not go on")? == Ended::Drained && end == End::EverythingSettled;

    let waiting: usize = queues.iter().map(|queue| broker.ready(queue)).sum();
    summarize(&story, &counters, &k2hr3, waiting);
    let as_expected = in_order
        && waiting == 0
        && counters.dead.get() == 0
        && counters.matched.get() == counters.delivered.get() + counters.nothing_to_do.get()
        && counters.received.get() == story.published_to_us()
        && k2hr3.hosts().keys().eq(recording.remaining());
    Ok(match end {
        End::Interrupted => {
            story.ending(Tone::Bad, "Interrupted; what was unfinished went back to the broker.");
            Exit::Interrupted
        }
        End::EverythingSettled | End::Stuck if as_expected => {
            story.ending(
                Tone::Good,
                "Everything ended as it must: every deletion reached K2HR3, nothing was lost.",
            );
            Exit::Done
        }
        End::EverythingSettled | End::Stuck => {
            story.ending(Tone::Bad, "Not everything ended as it must; please report this output.");
            Exit::Failed
        }
    })
}

/// Hands one message after the other to the broker, each when the one before was looked at.
async fn publish(recording: &Recording, broker: &MemoryBroker, story: &Arc<Story>) {
    for message in &recording.messages {
        let number = story.publish(message);
        let properties = Properties {
            content_type: Some("application/json".into()),
            content_encoding: Some("utf-8".into()),
            compression: None,
        };
        let body = message.body.clone().into();
        if broker.publish_raw(&message.exchange, &message.routing_key, body, properties) == 0 {
            story.unrouted(number);
        } else if tokio::time::timeout(PATIENCE, story.looked_at(number)).await.is_err() {
            story.line(Some(number), "waits", Tone::Dim, "the next one does not");
        }
    }
}

/// What the daemon of the demo is made of.
struct Parts<'a> {
    broker: &'a MemoryBroker,
    story: &'a Arc<Story>,
    tasks: &'a TaskTracker,
    counters: &'a Arc<Counters>,
}

struct Assembled {
    daemon: Daemon,
    listening: Vec<watch::Receiver<ListenerState>>,
    queues: Vec<String>,
}

impl Parts<'_> {
    /// As [`Conf::daemon`], for three files at once: one journal and one delivery loop, so that what nova and
    /// what neutron says about an instance reaches K2HR3 in order.
    fn assemble(&self, k2hr3: &StandIn) -> anyhow::Result<Assembled> {
        let confs: Vec<(&str, Conf)> = CONFS
            .iter()
            .map(|(name, text)| Ok((*name, Conf::from_text(name, text)?.conf)))
            .collect::<anyhow::Result<_>>()?;
        let listeners: Vec<ListenerConfig> = confs
            .iter()
            .map(|(name, conf)| ListenerConfig { name: (*name).into(), ..conf.listener() })
            .collect();
        let prefetch = listeners.iter().map(|listener| listener.options.prefetch).sum();
        let journal =
            Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(prefetch), self.counters.clone()));
        let queues = listeners.iter().filter_map(|listener| listener.options.pool.clone()).collect();
        let listeners: Vec<Listener> = confs
            .iter()
            .zip(listeners)
            .map(|((name, conf), listener)| {
                let rule = Rule { name: (*name).into(), actions: vec![ACTION.into()], ..conf.rule() };
                let engine = RuleEngine::new(vec![rule.clone()], journal.clone(), self.counters.clone());
                let endpoint = Arc::new(Narrated::new(engine, rule, self.story.clone(), self.tasks.clone()));
                Listener::new(listener, Arc::new(self.broker.transport()), endpoint, self.counters.clone())
            })
            .collect();
        let settings = confs.first().map(|(_, conf)| hurried(conf.delivery())).context("no configuration")?;
        let action = Arc::new(K2hr3::new(ApiUrl::parse(k2hr3.url())?, &HttpOptions::default())?);
        let delivery = DeliveryLoop::new(ACTION, action, journal.clone(), settings, self.counters.clone());
        let listening = listeners.iter().map(Listener::state).collect();
        Ok(Assembled { daemon: Daemon { listeners, deliveries: vec![delivery], journal }, listening, queues })
    }
}

fn hurried(settings: DeliverySettings) -> DeliverySettings {
    let (initial, max) = RETRY;
    DeliverySettings { policy: RetryPolicy { initial, max, jitter: 0.0, ..settings.policy }, ..settings }
}

fn introduce(story: &Story, k2hr3: &StandIn, fail: u32, messages: usize) {
    story.text(&format!(
        "{messages} recorded notifications of OpenStack go through the real parts of osnl; the hosts they report as\n\
         deleted must leave the roles of K2HR3. Broker and K2HR3 are stand-ins inside this process."
    ));
    story.heading("K2HR3 (a stand-in)");
    story.line(None, "listens", Tone::Plain, &format!("at {}", k2hr3.url()));
    for (cuk, addresses) in k2hr3.hosts() {
        story.line(None, "holds", Tone::Plain, &format!("{cuk} at {}", addresses.join(", ")));
    }
    match fail {
        0 => story.line(None, "fails", Tone::Plain, "never"),
        1 => story.line(None, "fails", Tone::Plain, "every request once, with 503"),
        n => story.line(
            None,
            "fails",
            Tone::Plain,
            &format!("request {n}, {}, ... once, with 503", n.saturating_mul(2)),
        ),
    }
    story.heading("The listeners, as three k2hr3_osnl.conf would have them");
}

fn summarize(story: &Story, counters: &Counters, k2hr3: &StandIn, waiting: usize) {
    story.heading("Summary");
    let count = |n: u64, what: &str| story.text(&format!("{n:>4}  {what}"));
    count(story.published(), "notifications published");
    count(counters.received.get(), "received by osnl; the others reached no queue of ours");
    count(counters.unmatched.get(), "matched no rule");
    count(counters.matched.get(), "matched a rule");
    count(counters.unreadable.get(), "unreadable, set aside");
    count(counters.attempts.get(), "attempts");
    count(counters.failures.get(), "of these failed");
    count(counters.delivered.get(), "delivered to K2HR3");
    count(counters.nothing_to_do.get(), "asked for nothing");
    count(counters.dead.get(), "dead letters");
    count(story.acknowledged(), "acknowledged to the broker");
    count(waiting as u64, "still in a queue");
    let (hosts_before, addresses_before) = k2hr3.at_first();
    let hosts = k2hr3.hosts();
    let addresses: usize = hosts.values().map(Vec::len).sum();
    story.text(&format!(
        "K2HR3 held {hosts_before} hosts with {addresses_before} addresses before, {} with {addresses} after.",
        hosts.len()
    ));
}
