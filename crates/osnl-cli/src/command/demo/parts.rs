use std::sync::Arc;
use std::time::Duration;

use osnl::daemon::Daemon;
use osnl::delivery::{DeliveryLoop, DeliverySettings, RetryPolicy};
use osnl::intake::RuleEngine;
use osnl::journal::memory::{MemoryJournal, MemoryLimits};
use osnl::listener::{Listener, ListenerState};
use osnl::metrics::Counters;
use osnl_model::{Priority, Target};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::broker::DemoBroker;
use super::configuration::{ConfiguredParts, configure};
use super::narrated::NarratingIntake;
use super::recording::DemoMessage;
use super::story::Story;

const RETRY: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(600));
/// The time-out of an attempt: two orders of magnitude above the stand-in's usual time.
const TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct DemoParts<'a> {
    pub(super) broker: &'a DemoBroker,
    pub(super) story: &'a Arc<Story>,
    pub(super) tasks: &'a TaskTracker,
    pub(super) counters: &'a Arc<Counters>,
}

pub(super) struct Assembly {
    pub(super) daemon: Daemon,
    pub(super) listening: Vec<watch::Receiver<ListenerState>>,
    pub(super) queues: Vec<String>,
    pub(super) routes: Routes,
}

pub(super) struct Routes(Vec<(String, Vec<(Target, Priority)>)>);

impl DemoParts<'_> {
    /// Builds one journal and one delivery loop for all listeners, so that requests about an
    /// instance keep their order across listeners.
    pub(super) fn assemble(&self, url: &str) -> anyhow::Result<Assembly> {
        let ConfiguredParts { listeners, action: (name, action, settings) } = configure(self.broker, url)?;
        let prefetch = listeners.iter().map(|(listener, _)| listener.options.prefetch).sum();
        let journal =
            Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(prefetch), self.counters.clone()));
        let queues = listeners.iter().filter_map(|(listener, _)| listener.options.pool.clone()).collect();
        let routes =
            listeners.iter().map(|(listener, rule)| (rule.name.to_string(), listener.targets.clone()));
        let routes = Routes(routes.collect());
        let listeners: Vec<Listener> = listeners
            .into_iter()
            .map(|(listener, rule)| {
                let engine = RuleEngine::new(vec![rule.clone()], journal.clone(), self.counters.clone());
                let endpoint =
                    Arc::new(NarratingIntake::new(engine, rule, self.story.clone(), self.tasks.clone()));
                let transport = self.broker.transport()?;
                Ok(Listener::new(listener, transport, endpoint, self.counters.clone()))
            })
            .collect::<anyhow::Result<_>>()?;
        let delivery =
            DeliveryLoop::new(name, action, journal.clone(), hurried(settings), self.counters.clone());
        let listening = listeners.iter().map(Listener::state).collect();
        let daemon = Daemon::new(listeners, vec![delivery], journal);
        Ok(Assembly { daemon, listening, queues, routes })
    }
}

impl Routes {
    pub(super) fn listener(&self, message: &DemoMessage) -> Option<&str> {
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
