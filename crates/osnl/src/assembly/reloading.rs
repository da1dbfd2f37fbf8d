//! Reads a configuration again while its daemon runs: checks, compares, builds the new parts, then swaps. An error
//! changes nothing.
//!
//! | change | consequence |
//! | --- | --- |
//! | a rule, their order, a guard | all rules are rebuilt for later messages; journalled messages keep their verdict, kept names their counts |
//! | an action | its next attempt has the new settings; a held target is probed at once |
//! | an enrichment | the same for the actions that name it in `enrich` or `ask`; its cache is lost |
//! | a listener, or its broker's options | another connection replaces it; refused while messages would be left: `exits.rs` |
//! | log options | apply to the next line |
//! | nothing | each listener looks at its bindings and queues at once |
//! | `[journal]`, `state_dir` | refused: it needs a restart |
//!
//! After a refused login only the files of secrets are read again: [`super::secrets`].
//!
//! `needing_a_restart` in `native/change.rs` names the options that a reload refuses. `docs/reload.md` has a row for
//! each change.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use osnl_transport::BoxFuture;
use tokio::task::spawn_blocking;

use super::error::BuildError;
use super::exits::{self, LeavingListener};
use super::incidents::IncidentTask;
use super::orphans::follow_releases;
use super::parts::{AssemblyParts, MakeTransport, real};
use super::{reload_summary, secrets};
use crate::action::driver::{DriverError, SharedValues};
use crate::action::http::HttpOptions;
use crate::control::ControlHandler;
use crate::daemon::{
    Daemon, Reload, ReloadChanges, ReloadRefusal, ReloadRefusalReason, ReloadScope, ReloadSummary,
};
use crate::enrich::EnrichConf;
use crate::intake::RuleEngine;
use crate::metrics::Counters;
use crate::native::change::{ConfigurationValues, Different};
use crate::native::kinds::{ACTION, ENRICH, LISTENER};
use crate::native::{LoadedConf, Native, Sources, load};
use crate::rule::Guards;

/// Prepares log settings. The returned function applies the settings once the configuration is accepted; an error
/// refuses it.
pub type Logs = Arc<dyn Fn(&Native) -> Result<Box<dyn FnOnce() + Send>, String> + Send + Sync>;

struct RunningDaemon {
    sources: Sources,
    loaded: Arc<LoadedConf>,
    values: ConfigurationValues,
    parts: AssemblyParts,
    make: MakeTransport,
    logs: Logs,
    next: Option<PendingReload>,
}

type Engines = Vec<(Arc<str>, RuleEngine)>;

struct PendingReload {
    loaded: Arc<LoadedConf>,
    values: ConfigurationValues,
    parts: AssemblyParts,
    engines: Engines,
    logs: Box<dyn FnOnce() + Send>,
}

impl LoadedConf {
    pub fn daemon(
        self,
        sources: Sources,
        http: &HttpOptions,
        counters: &Arc<Counters>,
        logs: Logs,
    ) -> Result<(Daemon, Arc<ControlHandler>), BuildError> {
        let make: MakeTransport = Arc::new(real);
        let (daemon, parts, handler) = self.conf.assemble(&*make, http, counters)?;
        let values = self.values();
        let loaded = Arc::new(self);
        parts.conf_in_force.set(loaded.clone());
        let (state, conf) = (daemon.state(), parts.conf_in_force.clone());
        let watch = secrets::watch(state, conf, sources.environment.clone());
        let daemon = daemon.serving("watch over secrets", watch);
        let (conf, journal) = (parts.conf_in_force.clone(), parts.opened.journal.clone());
        let journal = (journal, parts.opened.sqlite.is_some());
        let calls = IncidentTask::new(handler.clone(), conf, journal, parts.state_folder.as_deref());
        let daemon = daemon.serving("calls about incidents", calls.service());
        let running = RunningDaemon { sources, loaded, values, parts, make, logs, next: None };
        Ok((daemon.with_reload(Box::new(running), counters.clone()), handler))
    }
}

impl Reload for RunningDaemon {
    fn prepare(
        mut self: Box<Self>,
        scope: ReloadScope,
    ) -> BoxFuture<'static, (Box<dyn Reload>, Result<ReloadChanges, ReloadRefusal>)> {
        Box::pin(async move {
            let prepared = spawn_blocking(move || {
                let changes = self.changes(scope);
                (self, changes)
            });
            match prepared.await {
                Ok((mut running, Ok((changes, leaving)))) => {
                    let asked = exits::refuse_messages(&leaving).await;
                    if asked.is_err() {
                        running.next = None;
                    }
                    (running as Box<dyn Reload>, asked.map(|()| changes))
                }
                Ok((running, Err(refused))) => (running as Box<dyn Reload>, Err(refused)),
                // After a panic, the daemon cannot reload any more.
                Err(error) => {
                    let errors = vec![format!("the configuration could not be read: {error}")];
                    let broken: Box<dyn Reload> = Box::new(BrokenReload);
                    (broken, Err(ReloadRefusal { reason: ReloadRefusalReason::Unsupported, errors }))
                }
            }
        })
    }

    fn commit(&mut self) {
        let Some(PendingReload { loaded, values, parts, engines, logs }) = self.next.take() else { return };
        logs();
        parts.counters.series.streams.expect(loaded.conf.expected(), SystemTime::now());
        parts.guards.take_effect();
        parts.guards_in_force.set(parts.guards.clone());
        parts.conf_in_force.set(loaded.clone());
        follow_releases(&parts.opened, &parts.guards);
        parts.serve(&loaded.conf);
        if let Some(state) = &parts.state {
            state.set_attention_age(loaded.conf.attention_age);
            state.listeners().iter().for_each(|listener| listener.gauges.look_again());
        }
        if let Some(journal) = &parts.opened.sqlite {
            journal.set_terms(loaded.conf.journal_terms());
        }
        if let Some(journal) = &parts.opened.memory {
            journal.make_room(loaded.conf.prefetch());
        }
        parts.bindings.want(loaded.conf.read_queues());
        for (name, live) in &parts.rules {
            let before = self.parts.rules.get(name);
            if !before.is_some_and(|before| Arc::ptr_eq(before, live)) {
                live.begin(before.map(|before| &**before));
            }
        }
        for (name, engine) in engines {
            parts.rules.get(&name).inspect(|live| live.replace(engine));
        }
        for name in self.parts.rules.keys().filter(|name| !parts.rules.contains_key(*name)) {
            parts.ring.unwatch(name);
        }
        (self.loaded, self.values, self.parts) = (loaded, values, parts);
    }
}

struct BrokenReload;

impl Reload for BrokenReload {
    fn prepare(
        self: Box<Self>,
        _: ReloadScope,
    ) -> BoxFuture<'static, (Box<dyn Reload>, Result<ReloadChanges, ReloadRefusal>)> {
        let errors = vec!["an earlier reload has failed inside; restart osnl".to_owned()];
        let refused = ReloadRefusal { reason: ReloadRefusalReason::Unsupported, errors };
        Box::pin(std::future::ready((self as Box<dyn Reload>, Err(refused))))
    }

    fn commit(&mut self) {}
}

impl RunningDaemon {
    fn changes(
        &mut self,
        scope: ReloadScope,
    ) -> Result<(ReloadChanges, Vec<LeavingListener>), ReloadRefusal> {
        self.next = None;
        let loaded = match scope {
            ReloadScope::Configuration | ReloadScope::Preview => load(&self.sources),
            ReloadScope::Secrets => self.loaded.with_secrets_read_again(&self.sources.environment),
        };
        let loaded = loaded.map_err(|errors| ReloadRefusal {
            reason: ReloadRefusalReason::Configuration,
            errors: errors.0.iter().map(ToString::to_string).collect(),
        })?;
        let values = loaded.values();
        let different = self.values.different(&values);
        let mut fixed: Vec<String> =
            values.needing_a_restart(&different).iter().map(ToString::to_string).collect();
        let (was, is) = (self.loaded.conf.state_folder(), loaded.conf.state_folder());
        if fixed.is_empty() && was != is {
            fixed.push("[DEFAULT] state_dir: is another by now, which needs a restart".to_owned());
        }
        if !fixed.is_empty() {
            return Err(ReloadRefusal { reason: ReloadRefusalReason::NeedsRestart, errors: fixed });
        }
        let mut told = ReloadSummary {
            changes: reload_summary::reload_summary(&different, &self.loaded.conf, &loaded.conf),
            warnings: loaded
                .warnings
                .iter()
                .cloned()
                .chain(loaded.placeholders())
                .map(|warning| warning.to_string())
                .collect(),
        };
        told.warnings.extend(self.orphans(&loaded.conf));
        if scope == ReloadScope::Preview {
            return Ok((ReloadChanges { told, ..ReloadChanges::default() }, Vec::new()));
        }
        let logs = (self.logs)(&loaded.conf)
            .map_err(|error| ReloadRefusal { reason: ReloadRefusalReason::Unusable, errors: vec![error] })?;
        let mut parts = self.parts.clone();
        let (mut changes, engines) = self.build(&loaded.conf, &different, &mut parts).map_err(unusable)?;
        let leaving = exits::leaving(&self.parts, (&self.loaded.conf, &loaded.conf), &changes.leave);
        let exits = leaving.iter().map(|leaving| leaving.exit.clone());
        changes.exits = exits.filter(|exit| !exit.queues.is_empty()).collect();
        changes.told = told;
        self.next = Some(PendingReload { loaded: Arc::new(loaded), values, parts, engines, logs });
        Ok((changes, leaving))
    }

    fn build(
        &self,
        conf: &Native,
        different: &[Different],
        parts: &mut AssemblyParts,
    ) -> Result<(ReloadChanges, Engines), BuildError> {
        let old = &self.loaded.conf;
        let is_other =
            |kind: &str, name: &str| different.iter().any(|d| d.kind() == kind && d.name() == name);
        let mut changes = ReloadChanges {
            order: (
                conf.heard().iter().map(|(listener, _)| listener.name.clone()).collect(),
                conf.actions.iter().map(|action| action.name.clone()).collect(),
            ),
            ..ReloadChanges::default()
        };

        // Compares built rules, because settings of actions also influence them.
        let other_guards = old.guard_rates() != conf.guard_rates();
        if other_guards {
            parts.guards = Arc::new(self.guards(conf));
        }
        conf.remind_order(&parts.guards, Some(old));

        let begins_to_observe = parts.observer.is_none() && !conf.interests().is_empty();
        if begins_to_observe {
            parts.observer = conf.observer();
        }

        let mut engines = Vec::new();
        for (listener, rules) in conf.heard() {
            let before = old.heard().into_iter().find(|(before, _)| before.name == listener.name);
            let goes_on = before.as_ref().is_some_and(|(before, _)| {
                before.has_driver_options_of(listener) && !is_other(LISTENER, &listener.name)
            });
            if !goes_on {
                changes.leave.extend(before.map(|(before, _)| before.name.clone()));
                changes.begin.push(parts.listener(conf, listener, rules, &*self.make)?);
            } else if other_guards || begins_to_observe || before.is_some_and(|(_, before)| before != rules) {
                engines.push((listener.name.clone(), parts.engine(listener, rules)));
            }
        }
        for (gone, _) in old.heard() {
            if !conf.heard().iter().any(|(listener, _)| listener.name == gone.name) {
                parts.rules.remove(&gone.name);
                changes.leave.push(gone.name.clone());
            }
        }

        parts.forget_transports(conf);

        let asks_as_before = |enrich: &EnrichConf| {
            let before = old.enrichments.iter().find(|before| before.name == enrich.name);
            !is_other(ENRICH, &enrich.name) && before.is_some_and(|before| before.cloud == enrich.cloud)
        };
        parts.shared = SharedValues::default();
        let asking = conf.asking(&parts.http, &parts.shared, |enrich| {
            self.parts.asking.get(&enrich.name).filter(|_| asks_as_before(enrich)).cloned()
        })?;
        parts.asking = asking;
        let asks_otherwise =
            |name: &Arc<str>| conf.enrichments.iter().any(|e| e.name == *name && !asks_as_before(e));

        for action in &conf.actions {
            let Some(before) = old.actions.iter().find(|before| before.name == action.name) else {
                changes.deliveries.push(action.delivery_loop(parts)?);
                continue;
            };
            if is_other(ACTION, &action.name)
                || !action.driver.conf().has_login_of(before.driver.conf())
                || action.enrich.iter().chain(action.driver.conf().traits().asks).any(asks_otherwise)
                || action.on_failure.as_ref().is_some_and(|to| is_other(ACTION, &to.action))
            {
                changes.setups.push((action.name.clone(), action.setup(parts)?));
            }
        }
        let gone = old.actions.iter().filter(|old| !conf.actions.iter().any(|new| new.name == old.name));
        changes.retire = gone.map(|action| action.name.clone()).collect();
        Ok((changes, engines))
    }

    /// Returns guards that continue the counts; for new guards, the journal has earlier deliveries.
    fn guards(&self, conf: &Native) -> Guards {
        let (guards, fresh) = conf.new_guards().following(&self.parts.guards);
        conf.journal.remind(&fresh);
        guards
    }

    fn orphans(&self, conf: &Native) -> Vec<String> {
        match conf.orphans() {
            Ok(orphans) => orphans.iter().map(ToString::to_string).collect(),
            Err(error) => vec![format!("orphaned deliveries cannot be looked for: the journal {error}")],
        }
    }
}

fn unusable(error: BuildError) -> ReloadRefusal {
    let reason = match &error {
        BuildError::Transport { .. }
        | BuildError::Enrich { .. }
        | BuildError::Action(DriverError::Http { .. } | DriverError::Other { .. }) => {
            ReloadRefusalReason::Configuration
        }
        BuildError::State { .. }
        | BuildError::OpenState(_)
        | BuildError::StateInUse { .. }
        | BuildError::Journal { .. } => ReloadRefusalReason::Unusable,
    };
    ReloadRefusal { reason, errors: vec![error.to_string()] }
}
