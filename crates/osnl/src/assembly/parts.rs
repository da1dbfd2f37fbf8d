//! The parts that listeners and actions share, built from a configuration. A daemon that reloads keeps them while it
//! runs.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use osnl_transport::{QueueType, Transport, TransportError};

use super::canary::Way;
use super::error::BuildError;
use super::held::tell_held;
use crate::action::driver::{Logins, SharedObserver};
use crate::action::http::HttpOptions;
use crate::control::Store;
use crate::daemon::DaemonState;
use crate::enrich::EnrichmentStep;
use crate::in_hand::InHand;
use crate::intake::{LiveRules, Observe, RuleEngine};
use crate::journal::Journal;
use crate::listener::{Bindings, Listener, ReadQueue};
use crate::live::LiveEvents;
use crate::metrics::Counters;
use crate::native::{ListenerConf, LoadedConf, Native};
use crate::rule::{Guards, GuardsInForce, Rule};
use crate::unmatched::Ring;

/// Makes the transport of a listener; tests have one that stays inside the process.
pub type Transports<'a> = &'a dyn Fn(&ListenerConf) -> Result<Arc<dyn Transport>, TransportError>;

/// Makes the transport of a listener, for as long as a daemon runs.
pub(super) type MakeTransport =
    Arc<dyn Fn(&ListenerConf) -> Result<Arc<dyn Transport>, TransportError> + Send + Sync>;

/// See the [module](self).
#[derive(Clone)]
pub(super) struct AssemblyParts {
    pub(super) http: HttpOptions,
    /// The directory of the state that outlives the process.
    pub(super) state_folder: Option<PathBuf>,
    pub(super) counters: Arc<Counters>,
    /// The live state of the daemon, once it is built.
    pub(super) state: Option<Arc<DaemonState>>,
    /// The transport of the canary.
    pub(super) canary_way: Way,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) store: Store,
    pub(super) guards: Arc<Guards>,
    /// The same for the status, once it is in force.
    pub(super) guards_in_force: Arc<GuardsInForce>,
    /// The record of messages and deliveries in hand.
    pub(super) in_hand: Arc<InHand>,
    pub(super) ring: Arc<Ring>,
    /// The readers that look on.
    pub(super) live: Arc<LiveEvents>,
    /// The observations for the actions that need them.
    pub(super) observer: Option<Arc<dyn SharedObserver>>,
    /// The queues read and the bindings made so far.
    pub(super) bindings: Arc<Bindings>,
    /// By where they connect to and how.
    pub(super) transports: HashMap<String, Arc<dyn Transport>>,
    /// By the listener's name.
    pub(super) rules: HashMap<Arc<str>, Arc<LiveRules>>,
    /// The steps of the enrichments, by name.
    pub(super) asking: HashMap<Arc<str>, EnrichmentStep>,
    /// The logins that new parts use.
    pub(super) logins: Logins,
}

/// A transport as the URL asks for it.
pub(super) fn real(conf: &ListenerConf) -> Result<Arc<dyn Transport>, TransportError> {
    Ok(conf.transport()?.into())
}

/// Returns the key by which listeners may share a transport; it contains secrets.
fn place(conf: &ListenerConf) -> String {
    format!("{}{}", conf.transport_url.to_string_with_secrets(), conf.driver_options())
}

impl AssemblyParts {
    /// Observes for the actions of this configuration from now on.
    pub(super) fn serve(&self, native: &Native) {
        if let Some(observer) = &self.observer {
            observer.serve(native.interests());
        }
    }

    /// Takes the state of the daemon; the other daemons on the journal hear which targets it holds.
    pub(super) fn follow(&mut self, state: Arc<DaemonState>) {
        tell_held(&self.store, &state);
        self.state = Some(state);
    }

    /// Tells the other daemons on the journal how this one is configured from now on.
    pub(super) fn tell_members(&self, loaded: &LoadedConf) {
        if let Store::Shared(journal, _) = &self.store {
            journal.set_sections(&loaded.section_digests());
        }
    }

    /// Returns the transport of a listener that was built.
    pub(super) fn transport_of(&self, conf: &ListenerConf) -> Option<Arc<dyn Transport>> {
        self.transports.get(&place(conf)).cloned()
    }

    /// Those that no listener of this configuration uses.
    pub(super) fn forget_transports(&mut self, native: &Native) {
        let used: BTreeSet<String> = native.heard().iter().map(|(listener, _)| place(listener)).collect();
        self.transports.retain(|place, _| used.contains(place));
    }

    /// Builds the engine of a listener's rules.
    pub(super) fn engine(&self, conf: &ListenerConf, rules: Vec<Rule>) -> RuleEngine {
        RuleEngine::new(rules, self.journal.clone(), self.counters.clone())
            .with_budget(conf.budget)
            .with_guards(self.guards.clone())
            .with_observer(self.observer.clone().map(|observer| observer as Arc<dyn Observe>))
            .with_in_hand(self.in_hand.clone())
            .with_live(self.live.clone())
            .following(self.ring.clone(), &conf.name)
    }

    /// A listener that has not begun; its rules are counted from [`LiveRules::begin`] on.
    pub(super) fn listener(
        &mut self,
        native: &Native,
        conf: &ListenerConf,
        rules: Vec<Rule>,
        make: Transports<'_>,
    ) -> Result<Listener, BuildError> {
        let place = place(conf);
        let transport = match self.transports.get(&place) {
            Some(transport) => transport.clone(),
            None => {
                let error = |error| BuildError::Transport { listener: conf.name.clone(), error };
                let transport = make(conf).map_err(error)?;
                self.transports.insert(place, transport.clone());
                transport
            }
        };
        if let (true, Some(exchange)) = (conf.has_canary, conf.exchanges.first()) {
            self.canary_way.set(transport.clone(), exchange);
        }
        let live = Arc::new(LiveRules::new(self.engine(conf, rules)));
        self.rules.insert(conf.name.clone(), live.clone());
        let is_shared = transport.features().partitions;
        if let Store::Memory(journal, queues) = &self.store
            && queues.serve(conf, transport.clone())
        {
            journal.keep_dead_letters_of(conf.name.clone());
        }
        let listener = Listener::new(conf.config(), transport, live, self.counters.clone());
        let listener = match &self.store {
            Store::Shared(journal, _) => listener.with_shared(journal.clone()),
            Store::Memory(..) | Store::Sqlite(..) | Store::File(_) => listener,
        };
        let listener = match is_shared {
            // Kafka has no such API.
            true => listener,
            false => listener.with_management(conf.management.clone(), conf.transport_url.virtual_host()),
        };
        // A stream that osnl only reads keeps its messages for whatever else reads it.
        let is_stream = conf.queue.queue_type == QueueType::Stream;
        let queues = conf.read_queues().into_iter().filter(|read| read.declared || !is_stream);
        let listener = listener.with_bindings(self.bindings.clone(), queues.collect());
        let folder = self.state_folder.as_deref();
        Ok(match conf.queue.queue_type {
            QueueType::Stream => listener.with_positions(Native::positions(folder, &conf.name)?),
            QueueType::Classic | QueueType::Quorum if is_shared && self.outlives(native) => {
                listener.with_positions(Native::positions(folder, &conf.name)?)
            }
            QueueType::Classic | QueueType::Quorum => listener,
        })
    }
}

impl AssemblyParts {
    /// Whether something of the daemon is kept beyond its end, so that it has a state folder.
    fn outlives(&self, native: &Native) -> bool {
        match &self.store {
            Store::Memory(..) => native.state_dir.is_some(),
            Store::Shared(..) | Store::Sqlite(..) | Store::File(_) => self.state_folder.is_some(),
        }
    }
}

impl Native {
    /// Returns the queues that listeners read.
    pub(super) fn read_queues(&self) -> Vec<ReadQueue> {
        self.heard().iter().flat_map(|(listener, _)| listener.read_queues()).collect()
    }
}
