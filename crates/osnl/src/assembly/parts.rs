use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use osnl_transport::parts::DEFAULT_EXCHANGE;
use osnl_transport::{Transport, TransportError};

use super::canary::Way;
use super::error::BuildError;
use super::opened_journal::OpenedJournal;
use crate::action::driver::{SharedObserver, SharedValues};
use crate::action::http::HttpOptions;
use crate::daemon::DaemonState;
use crate::dead_letters::MemoryAndQueues;
use crate::enrich::EnrichmentStep;
use crate::in_hand::InHand;
use crate::intake::{LiveRules, Observe, RuleEngine};
use crate::listener::{Bindings, GapBook, Listener, ReadQueue};
use crate::live::LiveEvents;
use crate::metrics::Counters;
use crate::native::{ConfInForce, ListenerConf, Native};
use crate::onlookers::Onlookers;
use crate::overseer::{BrokerAlarms, Overseer};
use crate::rule::{Guards, GuardsInForce, Rule};
use crate::unmatched::Ring;

/// Opens the broker of a listener; tests give their own.
pub type Transports<'a> = &'a dyn Fn(&ListenerConf) -> Result<Arc<dyn Transport>, TransportError>;

pub(super) type MakeTransport =
    Arc<dyn Fn(&ListenerConf) -> Result<Arc<dyn Transport>, TransportError> + Send + Sync>;

#[derive(Clone)]
pub(super) struct AssemblyParts {
    pub(super) http: HttpOptions,
    pub(super) state_folder: Option<PathBuf>,
    pub(super) counters: Arc<Counters>,
    pub(super) state: Option<Arc<DaemonState>>,
    pub(super) canary_way: Way,
    pub(super) opened: OpenedJournal,
    pub(super) guards: Arc<Guards>,
    pub(super) guards_in_force: Arc<GuardsInForce>,
    pub(super) conf_in_force: Arc<ConfInForce>,
    pub(super) in_hand: Arc<InHand>,
    pub(super) ring: Arc<Ring>,
    pub(super) live: Arc<LiveEvents>,
    pub(super) observer: Option<Arc<dyn SharedObserver>>,
    pub(super) bindings: Arc<Bindings>,
    pub(super) gaps: Arc<GapBook>,
    pub(super) alarms: BrokerAlarms,
    pub(super) transports: HashMap<String, Arc<dyn Transport>>,
    pub(super) rules: HashMap<Arc<str>, Arc<LiveRules>>,
    pub(super) asking: HashMap<Arc<str>, EnrichmentStep>,
    pub(super) shared: SharedValues,
}

pub(super) fn real(conf: &ListenerConf) -> Result<Arc<dyn Transport>, TransportError> {
    Ok(conf.transport()?.into())
}

/// Returns the key by which listeners may share a transport; contains secrets.
fn place(conf: &ListenerConf) -> String {
    format!("{}{}", conf.transport_url.to_string_with_secrets(), conf.driver_options())
}

impl AssemblyParts {
    /// Begins to serve a configuration that is not refused any more.
    pub(super) fn serve(&self, native: &Native) {
        if let Some(observer) = &self.observer {
            observer.serve(native.interests());
        }
        if let Some(journal) = &self.opened.memory {
            journal.set_gating(native.gating_listeners());
        }
        if let Some(listener) = native.listeners.iter().find(|listener| listener.has_canary)
            && let Some(transport) = self.transport_of(listener)
        {
            let exchange = listener.exchanges.first().map_or(DEFAULT_EXCHANGE, String::as_str);
            self.canary_way.set(transport, exchange);
        }
        if let Some(MemoryAndQueues { journal, dead_letters: queues }) = self.opened.store.memory.as_deref() {
            let heard = native.heard();
            queues.forget_others(heard.iter().map(|(listener, _)| &listener.name));
            for (listener, rules) in heard {
                if let Some(transport) = self.transport_of(listener)
                    && queues.serve(listener, transport, self.rules.get(&listener.name).cloned())
                {
                    journal.keep_dead_letters_of(listener.name.clone());
                    journal.set_letter_reads(&listener.name, native.letter_reads(&rules));
                }
            }
        }
    }

    pub(super) fn transport_of(&self, conf: &ListenerConf) -> Option<Arc<dyn Transport>> {
        self.transports.get(&place(conf)).cloned()
    }

    pub(super) fn forget_transports(&mut self, native: &Native) {
        let used: BTreeSet<String> = native.heard().iter().map(|(listener, _)| place(listener)).collect();
        self.transports.retain(|place, _| used.contains(place));
    }

    pub(super) fn engine(&self, conf: &ListenerConf, rules: Vec<Rule>) -> RuleEngine {
        RuleEngine::new(rules, self.opened.journal.clone(), self.counters.clone())
            .with_budget(conf.budget)
            .with_guards(self.guards.clone())
            .with_observer(self.observer.clone().map(|observer| observer as Arc<dyn Observe>))
            .with_in_hand(self.in_hand.clone())
            .with_onlooker(Arc::new(Onlookers {
                listener: conf.name.clone(),
                ring: self.ring.clone(),
                live: self.live.clone(),
            }))
    }

    /// Builds a listener, whose rules are counted from [`LiveRules::begin`] on.
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
        let live = Arc::new(LiveRules::new(self.engine(conf, rules)));
        self.rules.insert(conf.name.clone(), live.clone());
        let is_shared = transport.features().partitions;
        let listener = Listener::new(conf.config(), transport, live, self.counters.clone());
        let listener = match conf.wanted().filter(|_| !is_shared) {
            Some(wanted) => {
                let alarm = self.alarms.at(&wanted.broker);
                let overseer = Overseer::new(wanted, alarm);
                listener.with_oversight(Arc::new(overseer)).silent_after(conf.silent_after)
            }
            None => listener,
        };
        let listener = listener.with_bindings(self.bindings.clone(), conf.read_queues());
        let listener = listener.with_gaps(self.gaps.clone());
        Ok(match self.lasting_folder(native).filter(|_| is_shared) {
            Some(folder) => listener.with_groups(Native::groups(folder, &conf.name)?),
            None => listener,
        })
    }

    /// Returns the state folder, if it outlives the daemon. With `memory://` only a configured one does.
    fn lasting_folder(&self, native: &Native) -> Option<&Path> {
        let lasts = self.opened.memory.is_none() || native.state_dir.is_some();
        self.state_folder.as_deref().filter(|_| lasts)
    }
}

impl Native {
    pub(super) fn read_queues(&self) -> Vec<ReadQueue> {
        self.heard().iter().flat_map(|(listener, _)| listener.read_queues()).collect()
    }
}
