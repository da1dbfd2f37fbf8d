//! Values derived from a checked configuration, for the assembly and for reports.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "kafka")]
use osnl_brokers::kafka::KafkaTransport;
use osnl_brokers::{Driver, addresses, brokers, transport_with};
use osnl_config::Rate;
use osnl_model::{Budget, Priority, Target};
use osnl_transport::dead_letters::reader_locks;
use osnl_transport::parts::DEFAULT_EXCHANGE;
use osnl_transport::{
    BodyBounds, Declare, ListenOptions, Transport, TransportError, listener_permissions, set_permissions,
};

use super::canary;
use super::{ActionConf, ListenerConf, Native, RuleConf};
use crate::action::driver::ListenerSubscription;
use crate::delivery::{DeliverySettings, OnDead};
use crate::journal::ActionTerms;
use crate::journal::dead_letters::LetterReads;
use crate::listener::{OwnQueue, ReadQueue};
use crate::metrics::{ExpectedStream, StreamKind};
use crate::rule::Rule;

pub(crate) type RatesByName = BTreeMap<Arc<str>, Rate>;

const LONGEST_HOST: usize = 64;

impl Native {
    #[must_use]
    pub fn state_folder(&self) -> Option<PathBuf> {
        self.state_dir.clone().or_else(crate::state_dir::default)
    }

    pub(crate) fn heard(&self) -> Vec<(&ListenerConf, Vec<Rule>)> {
        let listeners = self.listeners.iter().map(|listener| (listener, self.rules_of(listener)));
        listeners.filter(|(_, rules)| !rules.is_empty()).collect()
    }

    pub(crate) fn prefetch(&self) -> u16 {
        self.heard().iter().fold(0, |sum, (listener, _)| sum.saturating_add(listener.prefetch))
    }

    pub(crate) fn journal_terms(&self) -> ActionTerms {
        self.actions.iter().map(|action| (action.name.clone(), action.terms)).collect()
    }

    pub(crate) fn expected(&self) -> Vec<ExpectedStream> {
        let heard = self.heard();
        let listeners = heard.iter().filter_map(|(conf, _)| {
            let (kind, name) = (StreamKind::Listener, conf.name.clone());
            Some(ExpectedStream { kind, expect: conf.expect?, listeners: vec![name.clone()], name })
        });
        let rules = self.rules.iter().filter(|conf| conf.enabled).filter_map(|conf| {
            let (kind, name) = (StreamKind::Rule, conf.rule.name.clone());
            Some(ExpectedStream { kind, name, expect: conf.expect?, listeners: conf.listeners.clone() })
        });
        listeners.chain(rules).collect()
    }

    pub(crate) fn guard_rates(&self) -> (RatesByName, RatesByName) {
        let rules = self.rules.iter().filter_map(|conf| Some((conf.rule.name.clone(), conf.guard?)));
        let actions = self.actions.iter().filter_map(|conf| Some((conf.name.clone(), conf.guard?)));
        (rules.collect(), actions.collect())
    }

    /// Returns the listeners whose deliveries may wait for an operator: a rule or an action of theirs has a guard, or holds
    /// its key.
    pub(crate) fn gating_listeners(&self) -> HashSet<Arc<str>> {
        let holds = |name: &Arc<str>| {
            let action = self.actions.iter().find(|action| action.name == *name);
            action.is_some_and(|action| {
                action.guard.is_some() || action.delivery.limits.on_dead == OnDead::HoldKey
            })
        };
        let gates = |conf: &&RuleConf| {
            conf.enabled && (conf.guard.is_some() || conf.rule.takes_places_of().any(holds))
        };
        self.rules.iter().filter(gates).flat_map(|conf| conf.listeners.iter().cloned()).collect()
    }

    /// Returns how much of a bulk request the rules of a listener and their actions read, for one of its resources.
    pub(crate) fn letter_reads(&self, rules: &[Rule]) -> LetterReads {
        let reads_message = |name: &Arc<str>| {
            let action = self.actions.iter().find(|action| action.name == *name);
            action.is_none_or(|action| {
                let traits = action.driver.conf().traits();
                traits.reads_message || traits.interest.is_some()
            })
        };
        if rules.iter().flat_map(|rule| rule.actions.iter().chain(&rule.fallbacks)).any(reads_message) {
            return LetterReads::Whole;
        }
        LetterReads::Paths(rules.iter().flat_map(Rule::condition_paths).collect())
    }

    /// Returns the widest budget, for a message without a known listener.
    #[must_use]
    pub fn budget(&self) -> Budget {
        let budgets = self.listeners.iter().map(|listener| listener.budget);
        budgets.reduce(Budget::or).unwrap_or_default()
    }

    /// Returns the enabled rules, with the listener's `max_event_age` as default.
    pub(crate) fn rules_of(&self, listener: &ListenerConf) -> Vec<Rule> {
        let rules = self.rules.iter().filter(|r| r.enabled && r.listeners.contains(&listener.name));
        let of_rule =
            |rule: &RuleConf| Rule { max_event_age: rule.max_event_age(listener), ..rule.rule.clone() };
        rules.map(of_rule).collect()
    }
}

impl RuleConf {
    pub(crate) fn max_event_age(&self, listener: &ListenerConf) -> Option<Duration> {
        self.rule.max_event_age.or(listener.max_event_age)
    }
}

impl ListenerConf {
    /// Returns a transport for the broker, without connecting.
    ///
    /// # Errors
    /// The options contradict each other, or name an unusable file.
    pub fn transport(&self) -> Result<Box<dyn Transport>, TransportError> {
        #[cfg(feature = "kafka")]
        if self.driver() == Driver::Kafka {
            return Ok(Box::new(KafkaTransport::new(&self.transport_url, self.kafka.clone())?));
        }
        transport_with(&self.transport_url, self.rabbit.clone())
    }

    /// Returns the file of the certificate that the broker sees, which each connection reads again.
    pub(crate) fn client_certificate(&self) -> Option<PathBuf> {
        #[cfg(feature = "kafka")]
        if self.driver() == Driver::Kafka {
            return self.kafka.client_certificate();
        }
        #[cfg(feature = "amqp1")]
        if self.driver() == Driver::Amqp1 {
            return super::amqp1::client_certificate(self);
        }
        self.rabbit.client_certificate()
    }

    /// Returns options for comparison; contains secrets.
    pub(crate) fn driver_options(&self) -> String {
        #[cfg(feature = "kafka")]
        if self.driver() == Driver::Kafka {
            return format!("{:?}{:?}", self.kafka, self.kafka.key_password().expose());
        }
        format!("{:?}", self.rabbit)
    }

    pub(crate) fn has_driver_options_of(&self, other: &Self) -> bool {
        #[cfg(feature = "kafka")]
        if self.kafka != other.kafka {
            return false;
        }
        self.rabbit == other.rabbit
    }

    /// Whether the exchanges show which services' events arrive: a queue by itself has none, and a topic of Kafka has
    /// those of each service that publishes to it.
    pub(crate) fn names_services(&self) -> bool {
        !self.exchanges.is_empty() && self.driver() != Driver::Kafka
    }

    pub(crate) fn driver(&self) -> Driver {
        Driver::for_url(&self.transport_url)
    }

    pub(crate) fn is_same_group(&self, other: &Self) -> bool {
        brokers(&self.transport_url) == brokers(&other.transport_url) && self.pool == other.pool && {
            #[cfg(feature = "kafka")]
            let is_same = self.kafka.group() == other.kafka.group();
            #[cfg(not(feature = "kafka"))]
            let is_same = true;
            is_same
        }
    }

    fn hosts(&self) -> BTreeSet<String> {
        addresses(&self.transport_url).collect()
    }

    pub(crate) fn read_queues(&self) -> Vec<ReadQueue> {
        if !self.driver().has_queues() {
            return Vec::new();
        }
        let (options, targets, hosts) = (self.options(), self.targets(), self.hosts());
        let declared = self.pool.is_some() && self.declare != Declare::Nothing;
        // The services bind their own queues.
        let bindings = if declared { options.bindings(&targets) } else { Vec::new() };
        let vhost = self.transport_url.virtual_host();
        let own = |queue| OwnQueue { hosts: hosts.clone(), vhost: vhost.to_owned(), queue };
        let queues = options.queues(&targets).into_iter();
        queues.map(|queue| ReadQueue { own: own(queue), declared, bindings: bindings.clone() }).collect()
    }

    /// Returns the dead letter queue and its place.
    pub(crate) fn own_dead_letters(&self) -> Option<OwnQueue> {
        let (hosts, vhost) = (self.hosts(), self.transport_url.virtual_host().to_owned());
        Some(OwnQueue { hosts, vhost, queue: self.dead_letter_queue()? })
    }

    pub(crate) fn subscription(&self) -> ListenerSubscription<'_> {
        ListenerSubscription {
            transport_url: &self.transport_url,
            declare: self.declare,
            exchanges: &self.exchanges,
            topics: &self.topics,
        }
    }

    /// Returns the command that gives a user the permissions that the listener needs.
    pub(crate) fn needed_permissions(&self, user: &str, virtual_host: &str) -> String {
        let (exchanges, queues) = (&self.exchanges, self.queues());
        let exchanges: Vec<&str> = exchanges.iter().map(String::as_str).collect();
        let queues: Vec<&str> = queues.iter().map(String::as_str).collect();
        let Some(dead) = self.dead_letter_queue() else {
            return listener_permissions(user, virtual_host, (&exchanges, &queues), self.declare);
        };
        // The default exchange routes dead letters and returned messages to queues by name.
        let publish = "amq.default";
        let locks = reader_locks(&dead);
        let own = [&queues[..], &[&dead], &locks.each_ref().map(String::as_str)].concat();
        let made =
            if self.declare == Declare::Create { [&own[..], &exchanges].concat() } else { own.clone() };
        let (written, read) = ([&own[..], &[publish]].concat(), [&own[..], &exchanges].concat());
        set_permissions(user, virtual_host, [&made, &written, &read])
    }

    /// Returns the broker with the virtual host, and the queues that the listener reads. On AMQP 1.0, an address names the
    /// virtual host.
    pub(super) fn sources(&self) -> ((BTreeSet<String>, String), Vec<String>) {
        let brokers = brokers(&self.transport_url);
        #[cfg(feature = "amqp1")]
        if self.driver() == Driver::Amqp1 {
            return ((brokers, String::new()), super::amqp1::readable_addresses(self));
        }
        ((brokers, self.transport_url.virtual_host().to_owned()), self.queues())
    }

    #[must_use]
    pub fn queues(&self) -> Vec<String> {
        self.options().queues(&self.targets())
    }

    pub(crate) fn targets(&self) -> Vec<(Target, Priority)> {
        // A listener on Kafka may name no exchange.
        let no_exchange = [DEFAULT_EXCHANGE.to_owned()];
        let exchanges: &[String] = if self.exchanges.is_empty() { &no_exchange[..] } else { &self.exchanges };
        let targets =
            exchanges.iter().flat_map(|x| self.topics.iter().map(move |topic| Target::new(x, topic)));
        let targets =
            targets.flat_map(|target| self.priorities.iter().map(move |p| (target.clone(), p.clone())));
        let canary = exchanges.iter().take(usize::from(self.has_canary));
        targets.chain(canary.map(|x| (Target::new(x, canary::TOPIC), Priority::Info))).collect()
    }

    /// Returns the tag by which other daemons know this host and its rules.
    pub(crate) fn consumer_tag(&self) -> String {
        let uname = rustix::system::uname();
        let host: String = uname.nodename().to_string_lossy().chars().take(LONGEST_HOST).collect();
        format!("osnl@{host}#{}", self.rules_digest)
    }

    pub(crate) fn options(&self) -> ListenOptions {
        ListenOptions {
            bodies: BodyBounds::for_max_body(self.budget.body),
            consumer_tag: self.consumer_tag(),
            pool: self.pool.clone(),
            prefetch: self.prefetch,
            declare: self.declare,
            queue: self.queue.clone(),
            known_groups: BTreeSet::new(),
        }
    }
}

impl ActionConf {
    #[must_use]
    pub fn delivery(&self) -> DeliverySettings {
        self.delivery
    }
}
