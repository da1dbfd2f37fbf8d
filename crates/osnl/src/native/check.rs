//! Checks each section in the order of the files, then their relations.
//!
//! Two listeners read one queue if their lists of hosts are equal: a file with two lists may mean two clusters. A
//! running daemon is stricter (`OwnQueue::is_same` in `listener/bindings.rs`): one common host is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[cfg(feature = "kafka")]
use osnl_brokers::kafka::KafkaOptions;
use osnl_brokers::{Driver, broker_logins};
use osnl_config::OptionValue;
use osnl_config::sections::{Findings, Layers, RawSection, SectionReader};
use osnl_config::template::Template;
use osnl_config::{ConfigError, Finding, Level, LogFile, Options as _, Warning};
use osnl_model::{Budget, NotificationFilter, Pattern};
use osnl_transport::{RabbitOptions, SET_SSL, SET_VERIFY};

use super::action::{action, conditions};
use super::admin::admin;
use super::canary::{self, canary};
use super::drivers::Drivers;
use super::enrich::enrich;
use super::incidents::incidents;
use super::journal::journal_with_unmatched;
#[cfg(feature = "kafka")]
use super::kinds::KAFKA;
use super::kinds::{ACTION, ADMIN, CANARY, DEFAULT, ENRICH, INCIDENTS, JOURNAL, LISTENER, RABBIT, RULE};
use super::options::{DaemonOptions, RuleOptions, StreamOptions};
use super::{
    ActionConf, JournalConf, KeepUnmatched, ListenerConf, Native, RuleConf, deliveries, fallback, management,
    rabbit, topology, unreachable_rules, when,
};
use crate::action::driver::NativeReader as _;
use crate::actions::broker::BrokerReader as _;
use crate::enrich::EnrichConf;
use crate::journal::sqlite::IN_MEMORY;
use crate::listener::GIVE_BACK_AFTER;
use crate::rule::{KeySource, PathPattern, Rule};

pub(super) struct ConfCheck {
    pub(super) conf: Option<Native>,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
}

pub(super) fn check(file: &str, layers: &Layers, drivers: Drivers) -> ConfCheck {
    let mut checker = Checker { file, layers, drivers, findings: Findings::default() };
    let conf = checker.native();
    ConfCheck { conf, errors: checker.findings.errors, warnings: checker.findings.warnings }
}

struct Checker<'a> {
    file: &'a str,
    layers: &'a Layers,
    drivers: Drivers,
    findings: Findings,
}

impl<'a> Checker<'a> {
    fn driver_options(&mut self) -> Option<DriverOptions> {
        let rabbit = self.unnamed(RABBIT).and_then(|section| rabbit::section(&mut self.reader(section)));
        #[cfg(feature = "kafka")]
        let of_kafka = self.unnamed(KAFKA).and_then(|section| rabbit::section(&mut self.reader(section)));
        Some(DriverOptions {
            rabbit: rabbit?,
            #[cfg(feature = "kafka")]
            kafka: of_kafka?,
        })
    }

    fn journal(&mut self) -> Option<(JournalConf, KeepUnmatched)> {
        let section = self.unnamed(JOURNAL)?;
        journal_with_unmatched(&mut self.reader(section))
    }

    fn native(&mut self) -> Option<Native> {
        // Every section is read before a `None` ends the check, so that all errors are reported.
        let daemon = self.unnamed(DEFAULT).and_then(|section| DaemonOptions::read(&mut self.reader(section)));
        let (journal, keep_unmatched) = self.journal().unzip();
        let admin = match self.unnamed(ADMIN) {
            Some(section) => admin(&mut self.reader(section)),
            None => Some(None),
        };
        let options = self.driver_options();
        let known = options.clone().unwrap_or_default();
        let mut listeners = self.each(LISTENER, |reader| listener(reader, &known));
        let known_enrichments = self.names(ENRICH);
        let enrichments = self.each_of(ENRICH, |reader| enrich(reader, &known_enrichments));
        let (known_listeners, known_actions) = (self.names(LISTENER), self.names(ACTION));
        let drivers = self.drivers;
        let mut actions =
            self.each(ACTION, |reader| action(reader, drivers, &known_enrichments, &known_actions));
        let mut rules = self.each(RULE, |reader| rule(reader, &known_listeners, &known_actions));
        let incidents = self
            .unnamed(INCIDENTS)
            .map_or(Some(None), |section| incidents(&mut self.reader(section), &known_actions));
        let told = incidents.iter().flatten().flat_map(|conf| conf.actions.iter().cloned()).collect();
        if let (Some(listeners), Some(rules)) = (&listeners, &rules) {
            self.one_queue_each(listeners);
            self.used(listeners, rules, &known_actions, actions.as_deref().unwrap_or_default(), told);
            self.reachable(listeners, rules);
        }
        if let (Some(rules), Some(actions)) = (&mut rules, &mut actions) {
            conditions(rules, actions);
            self.no_circle(actions);
            if let Some(enrichments) = &enrichments {
                self.asked_in_order(enrichments, actions);
            }
            if let Some(listeners) = &listeners {
                self.goes_round(listeners, rules, actions);
            }
        }
        let canary = self.unnamed(CANARY).map_or(Some(None), |section| {
            canary(&mut self.reader(section), &known_listeners, &known_actions)
        });
        if let (Some(Some(canary)), Some(listeners), Some(rules), Some(actions), Some(section)) =
            (&canary, &mut listeners, &mut rules, &mut actions, self.unnamed(CANARY))
        {
            canary::add(&mut self.reader(section), canary, listeners, rules, actions)?;
        }
        if let (Some(journal), Some(listeners)) = (&journal, &mut listeners) {
            listeners.iter_mut().for_each(|listener| listener.decide_dead_letters(journal));
        }
        if let (Some(journal), Some(listeners), Some(rules), Some(actions)) =
            (&journal, &listeners, &rules, &actions)
        {
            self.kept(journal, listeners, rules, actions);
        }
        if let (Some(journal), Some(rules), Some(actions)) = (&journal, &rules, &actions) {
            self.places(journal, rules, actions);
        }
        let (daemon, _) = (daemon?, options?);
        Some(Native {
            log_level: if daemon.debug { Level::Debug } else { daemon.log_level },
            libs_log_level: daemon.libs_log_level,
            log_file: daemon.log_file.map_or(LogFile::Stderr, LogFile::Path),
            log_format: daemon.log_format,
            state_dir: daemon.state_dir,
            attention_age: daemon.attention_age,
            control_group: daemon.control_group,
            journal: journal?,
            keep_unmatched: keep_unmatched?,
            admin: admin?,
            canary: canary?,
            incidents: incidents?,
            listeners: listeners?,
            rules: rules?,
            actions: actions?,
            enrichments: enrichments?,
        })
    }

    fn reachable(&mut self, listeners: &[ListenerConf], rules: &[RuleConf]) {
        for found in unreachable_rules::fire(listeners, rules) {
            if let Some(section) = self.named(RULE, found.rule) {
                self.reader(section).warn(found.option, &found.problem, found.mend);
            }
        }
    }

    fn each<T>(&mut self, kind: &str, read: impl Fn(&mut SectionReader<'_>) -> Option<T>) -> Option<Vec<T>> {
        let layers = self.layers;
        if !layers.sections.iter().any(|section| section.def.kind == kind) {
            let finding = Finding::new(self.file, format!("there is no [{kind}:NAME]")).allowed("write one");
            self.findings.errors.push(ConfigError(finding));
            return None;
        }
        self.each_of(kind, read)
    }

    fn each_of<T>(
        &mut self,
        kind: &str,
        read: impl Fn(&mut SectionReader<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let layers = self.layers;
        let sections = layers.sections.iter().filter(|s| s.def.kind == kind);
        let read: Vec<Option<T>> = sections.map(|s| read(&mut self.reader(s))).collect();
        read.into_iter().collect()
    }

    /// Refuses two listeners on one queue or address, which would compete for messages.
    fn one_queue_each(&mut self, listeners: &[ListenerConf]) {
        let all: Vec<_> = listeners.iter().map(ListenerConf::sources).collect();
        for (n, listener) in listeners.iter().enumerate() {
            let shared = listeners.iter().zip(&all).take(n).find(|(_, theirs)| {
                theirs.1.iter().any(|queue| all[n].1.contains(queue)) && theirs.0 == all[n].0
            });
            if let (Some((other, _)), Some(section)) = (shared, self.named(LISTENER, &listener.name)) {
                let is_amqp1 = listener.driver() == Driver::Amqp1;
                let kind = if is_amqp1 { "an address" } else { "this queue" };
                let problem = format!("[listener:{}] uses {kind} of this broker already", other.name);
                let (option, allowed) = match section.entry("queue") {
                    Some(_) => ("queue", "read it by one listener only"),
                    None if is_amqp1 => ("exchange", "read each topic and priority by one listener only"),
                    None => ("pool", "give each listener a pool of its own"),
                };
                self.reader(section).refuse::<()>(option, &problem, allowed);
            }
        }
    }

    fn used(
        &mut self,
        listeners: &[ListenerConf],
        rules: &[RuleConf],
        known: &[&str],
        actions: &[ActionConf],
        told: BTreeSet<Arc<str>>,
    ) {
        let enabled = || rules.iter().filter(|rule| rule.enabled);
        for listener in listeners {
            let idle = !enabled().any(|rule| rule.listeners.contains(&listener.name));
            if let (true, Some(section)) = (idle, self.named(LISTENER, &listener.name)) {
                let problem = "no enabled rule uses it, so it is not started";
                self.reader(section).warn("", problem, "name it in the listeners of a rule");
            }
        }
        let used = fallback::used(rules, actions, told);
        for name in known {
            let idle = !used.contains(*name);
            if let (true, Some(section)) = (idle, self.named(ACTION, name)) {
                self.reader(section).warn("", "no enabled rule uses it", "name it in the actions of a rule");
            }
        }
    }

    /// Refuses circles of `on_failure`, so that each dead letter ends somewhere.
    fn no_circle(&mut self, actions: &[ActionConf]) {
        for action in actions {
            if let (Some(way), Some(section)) =
                (fallback::circle(actions, &action.name), self.named(ACTION, &action.name))
            {
                let problem = format!("forms a cycle: {way}");
                self.reader(section).refuse::<()>("on_failure", &problem, "remove one of them");
            }
        }
    }

    /// Checks that names in an `id` are known before its question, and each answer is used.
    fn asked_in_order(&mut self, enrichments: &[EnrichConf], actions: &[ActionConf]) {
        for action in actions.iter().filter(|action| !action.enrich.is_empty()) {
            let Some(section) = self.named(ACTION, &action.name) else { continue };
            for (n, name) in action.enrich.iter().enumerate() {
                let conf = enrichments.iter().find(|conf| conf.name == *name);
                let named = conf.and_then(|conf| conf.id.as_ref()).into_iter().flat_map(Template::roots);
                let is_other = |root: &&str| enrichments.iter().any(|other| *other.name == **root);
                let before = |root: &str| action.enrich[..n].iter().any(|before| **before == *root);
                for other in named.filter(is_other).filter(|root| !before(root)) {
                    let problem =
                        format!("the id of [enrich:{name}] names {other}, which is not asked before it");
                    self.reader(section).refuse::<()>(
                        "enrich",
                        &problem,
                        &format!("name {other} before {name}"),
                    );
                }
            }
            if !action.driver.conf().traits().takes_enrichments && action.decided_late().is_none() {
                let problem = "fetches values that neither when nor the driver uses";
                let allowed = "write a when that names it, or remove the line";
                self.reader(section).warn("enrich", problem, allowed);
            }
        }
    }

    fn goes_round(&mut self, listeners: &[ListenerConf], rules: &[RuleConf], actions: &[ActionConf]) {
        for action in actions {
            let fires = |rule: &&RuleConf| {
                let rule = &rule.rule;
                rule.actions.contains(&action.name) || rule.fallbacks.contains(&action.name)
            };
            let heard =
                rules.iter().filter(|rule| rule.enabled).filter(fires).flat_map(|rule| &rule.listeners);
            let heard: Vec<&Arc<str>> = heard.collect();
            let fed = |listener: &&ListenerConf| {
                heard.contains(&&listener.name) && action.driver.conf().feeds(&listener.subscription())
            };
            if let (Some(fed), Some(section)) = (listeners.iter().find(fed), self.named(ACTION, &action.name))
            {
                let problem = format!(
                    "may publish to the queue of [listener:{}], whose rule may call it again, in a loop",
                    fed.name
                );
                let allowed = "publish to another exchange or topic, or change the rule's conditions";
                self.reader(section).warn("exchange", &problem, allowed);
            }
        }
    }

    fn kept(
        &mut self,
        journal: &JournalConf,
        listeners: &[ListenerConf],
        rules: &[RuleConf],
        actions: &[ActionConf],
    ) {
        let layers = self.layers;
        let sections = layers.sections.iter().filter(|section| section.def.kind == RULE);
        for (section, rule) in sections.zip(rules) {
            deliveries::kept_rule(&mut self.reader(section), journal, rule, listeners);
        }
        for action in actions {
            if let Some(section) = self.named(ACTION, &action.name) {
                deliveries::kept_action(&mut self.reader(section), journal, action, rules, listeners);
            }
        }
    }

    /// Checks that each waiting listener can hold a place in each bounded action of its rules.
    fn places(&mut self, journal: &JournalConf, rules: &[RuleConf], actions: &[ActionConf]) {
        let (Some(max_pending), Some(section)) = (journal.max_pending(), self.unnamed(JOURNAL)) else {
            return;
        };
        for action in actions.iter().filter(|action| !action.terms.overflows) {
            let fires = |rule: &&RuleConf| {
                rule.enabled && rule.rule.takes_places_of().any(|name| *name == action.name)
            };
            let listeners: BTreeSet<&str> =
                rules.iter().filter(fires).flat_map(|rule| &rule.listeners).map(|name| &**name).collect();
            if max_pending < listeners.len() as u64 {
                let problem = format!(
                    "{} is less than the {} listeners whose rules need [action:{}]; each holds a place while it waits \
                     for a message",
                    max_pending,
                    listeners.len(),
                    action.name
                );
                self.reader(section).refuse::<()>("max_pending", &problem, "allow at least one for each");
            }
        }
    }

    fn reader<'b>(&'b mut self, section: &'b RawSection) -> SectionReader<'b> {
        SectionReader { file: self.file, layers: self.layers, section, findings: &mut self.findings }
    }

    fn unnamed(&self, kind: &str) -> Option<&'a RawSection> {
        self.layers.sections.iter().find(|section| section.def.kind == kind)
    }

    fn named(&self, kind: &str, name: &str) -> Option<&'a RawSection> {
        self.layers.sections.iter().find(|section| section.def.kind == kind && section.name == name)
    }

    fn names(&self, kind: &str) -> Vec<&'a str> {
        let sections = self.layers.sections.iter().filter(|section| section.def.kind == kind);
        sections.map(|section| section.name.as_str()).collect()
    }
}

/// Limits the prefetch to a disk journal's memory, beyond which messages would only wait.
fn kept_in_memory(reader: &mut SectionReader<'_>, prefetch: u16) -> u16 {
    let most = u16::try_from(IN_MEMORY).unwrap_or(u16::MAX);
    if prefetch > most {
        let problem = format!("{prefetch} is more than the journal keeps in memory at once");
        reader.warn("prefetch", &problem, &format!("{most} is used; a smaller one is as fast"));
    }
    prefetch.min(most)
}

#[derive(Clone, Default)]
struct DriverOptions {
    rabbit: RabbitOptions,
    #[cfg(feature = "kafka")]
    kafka: KafkaOptions,
}

fn listener(reader: &mut SectionReader<'_>, options: &DriverOptions) -> Option<ListenerConf> {
    let url = reader.transport_url();
    let rabbit = rabbit::read_listener(reader, &options.rabbit, url.as_ref());
    let management = management::read_listener(reader, url.as_ref(), rabbit.as_ref());
    #[cfg(feature = "kafka")]
    let of_kafka = rabbit::read_listener(reader, &options.kafka, url.as_ref());
    if let Some(url) = &url {
        let logins = match (Driver::for_url(url), &rabbit) {
            #[cfg(feature = "kafka")]
            (Driver::Kafka, _) => of_kafka.as_ref().map(|options| options.logins(url)),
            (driver, Some(rabbit)) => {
                if driver == Driver::Rabbit {
                    reader.warn_of_trust(rabbit, SET_VERIFY);
                }
                Some(broker_logins(url, rabbit, SET_SSL))
            }
            (_, None) => None,
        };
        reader.warn_of_logins(&logins.unwrap_or_default());
    }
    let topology = topology::read(reader, url.as_ref().map(Driver::for_url), rabbit.as_ref());
    let own = StreamOptions::read(reader);
    let topology = topology?;
    #[cfg(feature = "amqp1")]
    if let Some(url) = url.as_ref().filter(|url| Driver::for_url(url) == Driver::Amqp1) {
        super::amqp1::warn(reader, url, topology.pool.as_deref(), topology.declare);
    }
    let prefetch = rabbit::prefetch(reader, rabbit.as_ref(), OptionValue::valid(reader, "prefetch")?);
    let prefetch = kept_in_memory(reader, prefetch);
    // A pool has no effect on AMQP 1.0, which has an address for each exchange.
    let has_pools = url.as_ref().is_none_or(|url| Driver::for_url(url).has_pools());
    let exchanges = if has_pools { 1 } else { topology.exchanges.len() };
    let queues = exchanges * topology.topics.len() * topology.priorities.len();
    if (topology.pool.is_none() || !has_pools) && queues > usize::from(prefetch) {
        let problem = format!("{prefetch} is less than the {queues} queues that share it");
        let pool = if has_pools { "; or set a pool" } else { "" };
        return reader.refuse("prefetch", &problem, &format!("each needs at least one{pool}"));
    }
    let own = own?;
    Some(ListenerConf {
        name: reader.section.name.as_str().into(),
        transport_url: url?,
        exchanges: topology.exchanges,
        topics: topology.topics,
        priorities: topology.priorities,
        pool: topology.pool,
        declare: topology.declare,
        queue: topology.queue,
        prefetch,
        give_back_after: GIVE_BACK_AFTER,
        budget: Budget::for_body(usize::try_from(own.max_body.0).ok()?),
        has_canary: false,
        keeps_dead_letters: false,
        expect: own.expect,
        silent_after: (!own.silent_after.is_zero()).then_some(own.silent_after),
        rules_digest: String::new(),
        max_event_age: own.max_event_age,
        rabbit: rabbit?,
        management: management?,
        #[cfg(feature = "kafka")]
        kafka: of_kafka?,
    })
}

fn rule(reader: &mut SectionReader<'_>, listeners: &[&str], actions: &[&str]) -> Option<RuleConf> {
    let own = RuleOptions::read(reader);
    let heard = match reader.is_set("listeners") {
        true => reader.references("listeners", LISTENER, listeners),
        false => Some(listeners.iter().map(|name| (*name).to_owned()).collect()),
    };
    let context = patterns(reader, "context.");
    let metadata = patterns(reader, "metadata.");
    let payload = patterns(reader, "payload.");
    let when = when::read(reader, &[]);
    let fired = match reader.is_set("actions") {
        true => reader.references("actions", ACTION, actions),
        false => {
            reader.required("actions", "name the sections [action:NAME] that it calls").map(|_| Vec::new())
        }
    };
    let own = own?;
    let mut filter = NotificationFilter {
        publisher_id: own.publisher_id,
        event_type: own.event_type,
        context: context?,
        metadata: metadata?,
        payload: payload?,
    };
    let nested = PathPattern::from_filter(&mut filter);
    if own.order_by_event_time && own.key == KeySource::None {
        let problem = "has no effect with key = none, which orders nothing";
        reader.warn("order_by_event_time", problem, "remove one of the two");
    }
    Some(RuleConf {
        enabled: own.enabled,
        guard: own.guard,
        expect: own.expect,
        listeners: heard?.iter().map(|name| Arc::from(name.as_str())).collect(),
        rule: Rule {
            name: reader.section.name.as_str().into(),
            priorities: own.priorities,
            filter,
            nested,
            conditions: BTreeMap::new(),
            fallbacks: Vec::new(),
            on_failure: BTreeMap::new(),
            unordered: BTreeSet::new(),
            when: when.ok()?,
            stop: own.stop,
            actions: fired?.iter().map(|name| Arc::from(name.as_str())).collect(),
            key: own.key,
            mode: own.mode,
            max_event_age: own.max_event_age,
            order_by_event_time: own.order_by_event_time,
        },
    })
}

/// Returns the path that brackets write in `key` and `when`, with dots.
fn dotted(option: &str) -> Option<String> {
    let path = KeySource::parse(option).ok().filter(|_| option.contains('['))?;
    Some(path.to_string())
}

fn patterns(reader: &mut SectionReader<'_>, prefix: &str) -> Option<BTreeMap<String, Pattern>> {
    let mut found = BTreeMap::new();
    let mut all = true;
    for entry in &reader.section.entries {
        let Some(key) = entry.option.strip_prefix(prefix) else { continue };
        if prefix == "metadata." && !["message_id", "timestamp"].contains(&key) {
            let problem = "no message has this key in its metadata, so the rule never matches";
            reader.warn(&entry.option, problem, "known: message_id, timestamp");
        }
        if let Some(dotted) = dotted(&entry.option) {
            let problem = "is only met by a key of that very name, since brackets are not read here";
            reader.warn(&entry.option, problem, &format!("write {dotted}"));
        }
        match reader.pattern(&entry.option) {
            Ok(Some(pattern)) => {
                found.insert(key.to_owned(), pattern);
            }
            Ok(None) => {}
            Err(()) => all = false,
        }
    }
    all.then_some(found)
}
