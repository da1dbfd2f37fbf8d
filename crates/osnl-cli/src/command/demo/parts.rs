//! The real parts of osnl that the demo runs: three listeners, a journal, a delivery loop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use osnl::action::http::HttpOptions;
use osnl::action::k2hr3::K2hr3;
use osnl::daemon::Daemon;
use osnl::delivery::{BreakerState, DeliveryLoop, DeliverySettings, RetryPolicy};
use osnl::intake::RuleEngine;
use osnl::journal::memory::{MemoryJournal, MemoryLimits};
use osnl::k2hr3::{ApiUrl, Conf};
use osnl::listener::{Listener, ListenerConfig, ListenerState};
use osnl::metrics::Counters;
use osnl::rule::Rule;
use osnl_model::{Priority, Target};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::broker::Broker;
use super::narrated::NarratingIntake;
use super::recording::Message;
use super::story::Story;

/// Three configuration files of k2hr3_osnl, one for each kind of message it knows: the name that the demo
/// gives to its rule, the exchange, the pool, and the rest of the text. Each has a queue of its own; sharing
/// one, they would share its messages.
const CONFS: [(&str, &str, &str, &str); 3] = [
    ("port-deleted", "neutron", "osnl-demo", ""),
    (
        "instance-deleted",
        "nova",
        "osnl-demo-nova",
        "publisher_id = ^compute\\..*$\nevent_type = ^compute\\.instance\\.delete\\.end$\n",
    ),
    (
        "instance-deleted-versioned",
        "nova",
        "osnl-demo-nova-versioned",
        "topic = versioned_notifications\npublisher_id = ^nova-(compute|api):.*$\n\
         event_type = ^instance\\.delete\\.end$\n",
    ),
];
const ACTION: &str = "k2hr3";
/// Real pauses are seconds and minutes; the demo shortens them.
const RETRY: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(600));
/// An answer that takes longer is none. Two orders of magnitude above what the stand-in needs.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The parts, before they are put together.
pub(super) struct Parts<'a> {
    pub(super) broker: &'a Broker,
    pub(super) story: &'a Arc<Story>,
    pub(super) tasks: &'a TaskTracker,
    pub(super) counters: &'a Arc<Counters>,
}

/// The parts, put together.
pub(super) struct Assembly {
    pub(super) daemon: Daemon,
    pub(super) listening: Vec<watch::Receiver<ListenerState>>,
    /// Whether K2HR3 is held.
    pub(super) breaker: watch::Receiver<BreakerState>,
    /// The queues that are listened to.
    pub(super) queues: Vec<String>,
    pub(super) routes: Routes,
}

/// Which listener's queue takes which message.
pub(super) struct Routes(Vec<(String, Vec<(Target, Priority)>)>);

impl Parts<'_> {
    /// As [`Conf::daemon`], for three files at once: one journal and one delivery loop, so that what nova and
    /// what neutron says about an instance reaches K2HR3 in order.
    ///
    /// # Errors
    /// The broker's URL asks for what there is not.
    pub(super) fn assemble(&self, api_url: &str) -> anyhow::Result<Assembly> {
        let confs: Vec<(&str, Conf)> = CONFS
            .iter()
            .map(|(name, exchange, pool, rest)| {
                let (exchange, pool) = (self.broker.name(exchange), self.broker.name(pool));
                let text =
                    format!("[oslo_messaging_notifications]\nexchange = {exchange}\npool = {pool}\n{rest}");
                Ok((*name, Conf::from_text(name, &text)?.conf))
            })
            .collect::<anyhow::Result<_>>()?;
        let listeners: Vec<ListenerConfig> = confs
            .iter()
            .map(|(name, conf)| ListenerConfig { name: (*name).into(), ..conf.listener() })
            .collect();
        let prefetch = listeners.iter().map(|listener| listener.options.prefetch).sum();
        let journal =
            Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(prefetch), self.counters.clone()));
        let queues = listeners.iter().filter_map(|listener| listener.options.pool.clone()).collect();
        let routes = listeners.iter().map(|listener| (listener.name.to_string(), listener.targets.clone()));
        let routes = Routes(routes.collect());
        let listeners: Vec<Listener> = confs
            .iter()
            .zip(listeners)
            .map(|((name, conf), listener)| {
                let rule = Rule { name: (*name).into(), actions: vec![ACTION.into()], ..conf.rule() };
                let engine = RuleEngine::new(vec![rule.clone()], journal.clone(), self.counters.clone());
                let endpoint =
                    Arc::new(NarratingIntake::new(engine, rule, self.story.clone(), self.tasks.clone()));
                let transport = self.broker.transport()?;
                Ok(Listener::new(listener, transport, endpoint, self.counters.clone()))
            })
            .collect::<anyhow::Result<_>>()?;
        let settings = confs.first().map(|(_, conf)| hurried(conf.delivery())).context("no configuration")?;
        // The environment's proxies have no part in what stays within the process.
        let action = Arc::new(K2hr3::new(ApiUrl::parse(api_url)?, &HttpOptions::default())?);
        let delivery = DeliveryLoop::new(ACTION, action, journal.clone(), settings, self.counters.clone());
        let breaker = delivery.state();
        let listening = listeners.iter().map(Listener::state).collect();
        let daemon = Daemon::new(listeners, vec![delivery], journal);
        Ok(Assembly { daemon, listening, breaker, queues, routes })
    }
}

impl Routes {
    /// The listener whose queue takes this message.
    pub(super) fn listener(&self, message: &Message) -> Option<&str> {
        let takes = |(target, priority): &(Target, Priority)| {
            target.exchange.as_deref() == Some(message.exchange.as_str())
                && target.routing_key(priority) == message.routing_key
        };
        self.0.iter().find(|(_, targets)| targets.iter().any(takes)).map(|(listener, _)| listener.as_str())
    }
}

fn hurried(settings: DeliverySettings) -> DeliverySettings {
    let (initial, max) = RETRY;
    let policy = RetryPolicy { initial, max, jitter: 0.0, ..settings.policy };
    DeliverySettings { timeout: TIMEOUT, policy, ..settings }
}
