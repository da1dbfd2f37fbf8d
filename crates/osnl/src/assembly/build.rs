//! Builds the running parts from a checked configuration.
//!
//! A listener without an enabled rule is not started, because it would acknowledge messages that no rule has seen.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use osnl_journal::files::LockError;
use osnl_journal::state_lock::StateLock;

use super::canary;
use super::error::BuildError;
use super::orphans::follow_releases;
use super::parts::{AssemblyParts, Transports, real};
use super::silence;
use crate::action::Action;
use crate::action::driver::{BuildContext, Interest, SharedObserver, SharedValues};
use crate::action::http::HttpOptions;
use crate::actions::cloud::Logins;
use crate::control::{ControlHandler, SocketPlace};
use crate::daemon::Daemon;
use crate::delivery::{DeliveryLoop, Preparation, Prepare, Setup};
use crate::enrich::{EnrichConf, EnrichmentStep, Enrichments};
use crate::in_hand::InHand;
use crate::listener::{Bindings, GapBook, GroupStore, ListenerConfig};
use crate::metrics::Counters;
use crate::native::{ActionConf, JournalConf, ListenerConf, Native, proxy_warnings};
use crate::overseer::BrokerAlarms;
use crate::rule::{Guards, GuardsInForce};
use crate::unmatched::Ring;

impl Native {
    /// Builds the daemon without connecting; opens the files that actions write.
    pub fn daemon(&self, http: &HttpOptions, counters: &Arc<Counters>) -> Result<Daemon, BuildError> {
        self.daemon_with(&real, http, counters)
    }

    pub fn daemon_and_handler(
        &self,
        http: &HttpOptions,
        counters: &Arc<Counters>,
    ) -> Result<(Daemon, Arc<ControlHandler>), BuildError> {
        self.assemble(&real, http, counters).map(|(daemon, _, handler)| (daemon, handler))
    }

    pub fn daemon_with(
        &self,
        transports: Transports<'_>,
        http: &HttpOptions,
        counters: &Arc<Counters>,
    ) -> Result<Daemon, BuildError> {
        self.assemble(transports, http, counters).map(|(daemon, ..)| daemon)
    }

    pub(super) fn assemble(
        &self,
        transports: Transports<'_>,
        http: &HttpOptions,
        counters: &Arc<Counters>,
    ) -> Result<(Daemon, AssemblyParts, Arc<ControlHandler>), BuildError> {
        for warning in proxy_warnings(http) {
            tracing::warn!(warning, "the environment has a warning");
        }
        let shared = SharedValues::default();
        if let Some(folder) = self.state_folder() {
            crate::state_dir::judge(&folder)?;
        }
        let opened = self.journal.open(self.prefetch(), self.journal_terms(), counters)?;
        let (state_folder, state_lock) = self.own_state_folder()?;
        self.say_orphans();
        let in_hand = |folder: &PathBuf| InHand::open(folder, opened.sqlite.is_some());
        let in_hand = state_folder.as_ref().map_or_else(InHand::default, in_hand);
        if let Some(journal) = &opened.sqlite {
            journal.hold_suspects(in_hand.take_suspects());
        }
        let guards = Arc::new(self.guards());
        let mut parts = AssemblyParts {
            in_hand: Arc::new(in_hand),
            http: http.clone(),
            state_folder: state_folder.clone(),
            counters: counters.clone(),
            state: None,
            opened: opened.clone(),
            canary_way: Default::default(),
            guards_in_force: Arc::new(GuardsInForce::new(guards.clone())),
            conf_in_force: Arc::default(),
            guards,
            ring: Arc::new(self.ring()),
            live: Arc::default(),
            observer: self.observer(),
            bindings: Arc::new(Bindings::open(state_folder.as_deref(), opened.store.journal.facts().name())),
            gaps: Arc::new(GapBook::open(state_folder.as_deref())),
            alarms: BrokerAlarms::default(),
            transports: HashMap::new(),
            rules: HashMap::new(),
            asking: self.asking(http, &shared, |_| None)?,
            shared,
        };
        follow_releases(&parts.opened, &parts.guards);
        let mut listeners = Vec::new();
        for (conf, rules) in self.heard() {
            listeners.push(parts.listener(self, conf, rules, transports)?);
        }
        parts.serve(self);
        parts.bindings.want(self.read_queues());
        counters.series.streams.expect(self.expected(), SystemTime::now());
        parts.rules.values().for_each(|live| live.begin(None));
        let deliveries = self.actions.iter().map(|conf| conf.delivery_loop(&parts));
        let deliveries = deliveries.collect::<Result<_, _>>()?;
        let mut daemon = Daemon::new(listeners, deliveries, opened.journal.clone())
            .watching(parts.ring.ends())
            .recording(parts.in_hand.clone())
            .holding(state_lock);
        daemon = opened.accompany(daemon);
        daemon.state().set_attention_age(self.attention_age);
        parts.state = Some(daemon.state());
        let handler = ControlHandler::for_daemon(opened.store, daemon.state(), counters.clone())
            .with_bindings(parts.bindings.clone())
            .with_gaps(parts.gaps.clone())
            .with_rules(parts.ring.clone(), parts.guards_in_force.clone())
            .with_configuration(parts.conf_in_force.clone())
            .with_live_events(parts.live.clone());
        let group = self.control_group.clone();
        let socket = parts.state_folder.clone().map(|state_dir| SocketPlace { state_dir, group });
        let handler = Arc::new(handler.with_socket(socket));
        if let Some(conf) = self.canary.clone() {
            let (way, state) = (parts.canary_way.clone(), daemon.state());
            daemon = daemon.serving("canary", canary::send(conf, way, state, counters.clone()));
        }
        daemon = daemon.serving("watch over silent streams", silence::watch(counters.clone()));
        Ok((daemon, parts, handler))
    }

    /// Locks the state directory. A configured directory in use is an error. Of old programs that share the default
    /// directory, only the first keeps state.
    fn own_state_folder(&self) -> Result<(Option<PathBuf>, Option<StateLock>), BuildError> {
        let Some(folder) = self.state_folder() else { return Ok((None, None)) };
        match StateLock::take(&folder) {
            Ok(lock) => Ok((Some(folder), Some(lock))),
            Err(LockError::Held(by)) if self.state_dir.is_some() => {
                Err(BuildError::StateInUse { folder, by })
            }
            Err(error @ LockError::Held(_)) => {
                tracing::warn!(
                    path = %folder.display(),
                    error = error.to_string(),
                    "no state is kept, and osnl status cannot ask this process: set a state_dir of its own"
                );
                Ok((None, None))
            }
            Err(LockError::Io(_)) => Ok((Some(folder), None)),
        }
    }

    /// Builds new steps, or reuses those of `before`. New steps of one cloud share a login and its connections.
    pub(super) fn asking(
        &self,
        http: &HttpOptions,
        shared: &SharedValues,
        before: impl Fn(&EnrichConf) -> Option<EnrichmentStep>,
    ) -> Result<HashMap<Arc<str>, EnrichmentStep>, BuildError> {
        let (logins, mut asking) = (shared.value::<Logins>(), HashMap::new());
        for conf in &self.enrichments {
            if let Some(step) = before(conf) {
                asking.insert(conf.name.clone(), step);
                continue;
            }
            let error = |error| BuildError::Enrich { name: conf.name.clone(), error };
            let cloud = logins.cloud(&conf.cloud, http, conf.limits.timeout).map_err(error)?;
            let step = EnrichmentStep {
                name: conf.name.clone(),
                kind: conf.kind,
                id: conf.id.clone(),
                enricher: conf.enricher(cloud),
                default: conf.default.clone(),
                on_error: conf.on_error,
            };
            asking.insert(conf.name.clone(), step);
        }
        Ok(asking)
    }

    fn ring(&self) -> Ring {
        match &self.journal {
            JournalConf::Memory => Ring::new(self.keep_unmatched),
            JournalConf::Sqlite(options) => Ring::beside(self.keep_unmatched, &options.path),
        }
    }

    pub(super) fn groups(folder: &Path, listener: &Arc<str>) -> Result<GroupStore, BuildError> {
        GroupStore::open(folder, listener).map_err(|error| BuildError::State {
            listener: listener.clone(),
            path: folder.to_owned(),
            error,
        })
    }

    pub(super) fn interests(&self) -> Vec<(Arc<str>, Interest)> {
        let interest = |conf: &ActionConf| Some((conf.name.clone(), conf.driver.conf().traits().interest?));
        self.actions.iter().filter_map(interest).collect()
    }

    pub(super) fn observer(&self) -> Option<Arc<dyn SharedObserver>> {
        self.interests().first().map(|(_, interest)| (interest.observer)(self.journal.seen()))
    }

    fn guards(&self) -> Guards {
        let guards = self.new_guards();
        self.journal.remind(&guards);
        self.remind_order(&guards, None);
        guards
    }

    pub(super) fn new_guards(&self) -> Guards {
        let (rules, actions) = self.guard_rates();
        Guards::new(rules, actions)
    }
}

impl ListenerConf {
    /// Returns the listener's settings. A refused login does not end the program, because the broker may be importing
    /// its users.
    #[must_use]
    pub fn config(&self) -> ListenerConfig {
        ListenerConfig {
            name: self.name.clone(),
            targets: self.targets(),
            options: self.options(),
            budget: self.budget,
            refused_access_is_fatal: false,
            give_back_after: self.give_back_after,
        }
    }
}

impl ActionConf {
    /// Builds the action without enrichments. Connects to nothing, and opens no file.
    pub fn open(&self, http: &HttpOptions) -> Result<Arc<dyn Action>, BuildError> {
        let (shared, counters) = (SharedValues::default(), Arc::default());
        let context = BuildContext { name: &self.name, http, shared: &shared, counters: &counters };
        Ok(self.driver.conf().action(&context)?)
    }

    pub(super) fn setup(&self, parts: &AssemblyParts) -> Result<Setup, BuildError> {
        let action = self.driver.conf().action(&BuildContext {
            name: &self.name,
            http: &parts.http,
            shared: &parts.shared,
            counters: &parts.counters,
        })?;
        let steps = self.enrich.iter().filter_map(|name| parts.asking.get(name)).cloned().collect::<Vec<_>>();
        let mut preparation = Preparation::default();
        if !steps.is_empty() {
            preparation.ask(Arc::new(Enrichments::new(steps, parts.opened.journal.clone())));
        }
        if let Some(when) = self.decided_late() {
            preparation.require(when.clone());
        }
        if let Some(completing) = self.completing(parts) {
            preparation.ask(completing);
        }
        Ok(Setup { action, settings: self.delivery(), preparation, fallback: self.on_failure.clone() })
    }

    fn completing(&self, parts: &AssemblyParts) -> Option<Arc<dyn Prepare>> {
        let traits = self.driver.conf().traits();
        let step = parts.asking.get(traits.asks?)?;
        parts.observer.clone()?.preparation(&traits.interest?, step)
    }

    pub(super) fn delivery_loop(&self, parts: &AssemblyParts) -> Result<DeliveryLoop, BuildError> {
        let Setup { action, settings, preparation, fallback } = self.setup(parts)?;
        let (journal, counters) = (parts.opened.journal.clone(), parts.counters.clone());
        let delivery = DeliveryLoop::new(self.name.clone(), action, journal, settings, counters);
        Ok(delivery.with_preparation(preparation).with_fallback(fallback).with_in_hand(parts.in_hand.clone()))
    }
}

#[cfg(test)]
mod tests;
