//! The decision tree of "nothing arrives": the first step whose evidence is missing, for each exchange of a listener.

use std::collections::BTreeSet;

use osnl_model::nearest;
use osnl_transport::{BrokerVersion, ExchangeInspection};

use super::judge::{Judge, messages};
use super::services::{PRIORITIES, ServiceSetting};
use super::{EXCHANGES, Finding, FindingKind as Kind, FindingSeverity as Severity, QueueRow, TOPICS};

const NOTHING: &str = "nothing reaches the listener from this exchange";
const NO_COPY: &str = "a reader of this exchange gets nothing";

impl Judge<'_> {
    pub(super) fn nothing_arrives(&self) -> Vec<Finding> {
        let survey = self.survey;
        let waits =
            survey.queues.iter().any(|row| row.is_read && row.messages > 0 && survey.wanted.pool.is_some());
        let comes = survey.daemon.has_received == Some(true) || waits;
        // Messages of one exchange say nothing about another that is missing.
        let asked = survey
            .exchanges
            .iter()
            .filter(|(_, inspection)| !comes || matches!(inspection, ExchangeInspection::Missing));
        let silent = asked.filter_map(|(name, inspection)| self.first_answer(name, inspection));
        silent.chain(comes.then(|| self.no_rule_matches()).flatten()).collect()
    }

    fn no_rule_matches(&self) -> Option<Finding> {
        let (daemon, listener) = (&self.survey.daemon, &self.survey.wanted.listener);
        let is_idle = daemon.matched == Some(0) && daemon.received > 0;
        is_idle.then(|| {
            self.finding(
                (Kind::NoRuleMatches, Severity::Note),
                format!("listener {listener}"),
                format!("{} received since the start, and no rule matched one", messages(daemon.received)),
                "no action is called",
                "osnl explain --counts; osnl explain --unmatched".to_owned(),
            )
        })
    }

    fn first_answer(&self, exchange: &str, inspection: &ExchangeInspection) -> Option<Finding> {
        match inspection {
            ExchangeInspection::Missing if self.survey.wanted.creates_exchanges() => None,
            ExchangeInspection::Missing => Some(self.exchange_missing(exchange)),
            ExchangeInspection::Refused(_) => None,
            ExchangeInspection::There(found) if found.other_kind().is_some() => None,
            ExchangeInspection::There(_) => self.nothing_routed(exchange),
        }
    }

    fn exchange_missing(&self, exchange: &str) -> Finding {
        let survey = self.survey;
        let subject = format!("exchange {exchange}");
        let kind = (Kind::ExchangeMissing, Severity::Warning);
        let elsewhere = survey.facts.iter().flat_map(|facts| &facts.exchanges);
        let elsewhere: Vec<&str> = elsewhere
            .filter(|(vhost, name)| name == exchange && vhost != survey.vhost())
            .map(|(vhost, _)| vhost.as_str())
            .collect();
        if let Some(vhost) = elsewhere.first() {
            let seen = format!("it does not exist here, and exists in virtual host {vhost}");
            let command = format!(
                "name virtual host {vhost} in transport_url of [listener:{}]",
                survey.wanted.listener
            );
            return self.finding(kind, subject, seen, self.nothing(), command);
        }
        let here = survey.facts.iter().flat_map(|facts| &facts.exchanges);
        let here = here.filter(|(vhost, _)| vhost == survey.vhost()).map(|(_, name)| name);
        let others = here.chain(&survey.near).filter(|name| !survey.wanted.exchanges.contains(name));
        let named = |near: &str| {
            let names = survey.wanted.exchanges.iter().map(|name| if name == exchange { near } else { name });
            survey.wanted.change("exchange", "--exchange", &names.collect::<Vec<_>>())
        };
        if let Some(near) = nearest(exchange, others.map(String::as_str)) {
            let command = named(near);
            let seen = format!("it does not exist, and {near} does; did you mean {near}?");
            return self.finding(kind, subject, seen, self.nothing(), command);
        }
        let near = nearest(exchange, EXCHANGES).filter(|_| !EXCHANGES.contains(&exchange));
        let sources = self.sources();
        let known: Vec<&str> = sources.iter().map(String::as_str).collect();
        let present: Vec<&str> = self.published().map(|row| row.name.as_str()).collect();
        let seen = match (&known[..], &present[..]) {
            ([], []) if !self.is_inspected() || survey.daemon.has_received == Some(true) => "it does not exist: its service has published nothing here".to_owned(),
            ([], []) => "it does not exist, and no queue <topic>.<priority> either: no service has published a notification in \
                         this virtual host"
                .to_owned(),
            ([], present) => format!(
                "it does not exist: {} has never published here, and other services have (queue {})",
                ServiceSetting::driver(exchange).name(),
                present.join(", ")
            ),
            (known, _) => format!("it does not exist; notifications come here by exchange {}", known.join(", ")),
        };
        let why = "other causes: control_exchange of the service, its virtual host (transport_url)";
        let driver = ServiceSetting::driver(exchange);
        match near {
            Some(near) => {
                let seen = format!("{seen}; did you mean {near}? {why}");
                let command = format!("{}, or {}", named(near), driver.command());
                self.finding(kind, subject, seen, self.nothing(), command)
            }
            None => self.setting(kind, subject, format!("{seen}; {why}"), &driver),
        }
    }

    fn nothing_routed(&self, exchange: &str) -> Option<Finding> {
        let survey = self.survey;
        let wanted = &survey.wanted;
        // A refused look says nothing about the queue.
        // Services alone make queues that are named as their keys.
        let is_service = wanted.priorities.iter().any(|one| PRIORITIES.contains(&one.as_str()));
        if wanted.exchanges.is_empty() || !is_service || !self.is_evidence_whole() {
            return None;
        }
        // A publisher binds each queue to the exchange of its service; a queue of another exchange tells only of another
        // service, unless that exchange passes messages on to this one.
        let is_source = |source: &str| {
            source == exchange
                || survey
                    .facts
                    .as_ref()
                    .is_some_and(|facts| facts.leads(source, |_| true, exchange) == Some(true))
        };
        let is_here = |row: &&QueueRow| {
            row.bindings.as_ref().is_none_or(|all| all.iter().any(|(source, _)| is_source(source)))
        };
        let published: Vec<(&QueueRow, (&str, &str))> =
            self.published().filter(is_here).filter_map(|row| Some((row, row.service()?))).collect();
        let subject = format!("exchange {exchange}");
        if published.is_empty() {
            let sources = self.sources();
            if sources.is_empty() {
                return Some(self.unpublished(exchange, subject));
            }
            let found = sources.into_iter().collect::<Vec<_>>().join(", ");
            let seen = format!(
                "it exists, and the services' queues are bound to exchange {found} only: {exchange} carries no notification"
            );
            let kind = (Kind::OtherExchange, Severity::Warning);
            return Some(self.setting(kind, subject, seen, &ServiceSetting::driver(exchange)));
        }
        let matches = |pattern: &[String], text: &str| pattern.iter().any(|one| is_match(one, text));
        let of_topic: Vec<_> =
            published.iter().filter(|(_, (topic, _))| matches(&wanted.topics, topic)).collect();
        let names = |rows: &[&(&QueueRow, (&str, &str))]| -> String {
            let names: Vec<&str> = rows.iter().map(|(row, _)| row.name.as_str()).collect();
            names.join(", ")
        };
        let all: Vec<_> = published.iter().collect();
        if of_topic.is_empty() {
            let found: BTreeSet<&str> = published.iter().map(|(_, (topic, _))| *topic).collect();
            let found: Vec<&str> = found.into_iter().collect();
            let binds = if wanted.is_of_url() { "not to" } else { "the listener binds topic" };
            let seen = format!(
                "services publish to topic {} (queue {}), and {binds} {}",
                found.join(", "),
                names(&all),
                wanted.topics.join(", ")
            );
            let command = wanted.change("topics", "--topic", &found);
            let finding =
                self.finding((Kind::WrongTopic, Severity::Warning), subject, seen, self.nothing(), command);
            let is_versioned = wanted.topics.iter().any(|topic| topic == TOPICS[1]);
            let setting = ServiceSetting {
                exchange: "nova",
                section: "notifications",
                option: "notification_format",
                value: "both",
            };
            return Some(match is_versioned && exchange == "nova" {
                true => Finding {
                    command: format!("{}, or {}", finding.command, setting.command()).into(),
                    deployers: setting.deployers(),
                    ..finding
                },
                false => finding,
            });
        }
        let is_wanted = |priority: &str| matches(&wanted.priorities, priority);
        let is_none = !of_topic.iter().any(|(_, (_, priority))| is_wanted(priority));
        is_none.then(|| self.wrong_priority(subject, &names(&of_topic)))
    }

    fn wrong_priority(&self, subject: String, published: &str) -> Finding {
        let wanted = &self.survey.wanted;
        let (binds, command) = match wanted.is_of_url() {
            true => ("not with", "leave --priority out: all are looked for then".to_owned()),
            false => {
                let listener = &wanted.listener;
                let command = format!("remove priorities from [listener:{listener}]: all are bound then");
                ("the listener binds", command)
            }
        };
        let seen = format!(
            "services publish with another priority (queue {published}); {binds} {}",
            wanted.priorities.join(", ")
        );
        self.finding((Kind::WrongPriority, Severity::Warning), subject, seen, self.nothing(), command)
    }

    fn unpublished(&self, exchange: &str, subject: String) -> Finding {
        let survey = self.survey;
        let denies = survey.version().is_some_and(BrokerVersion::denies_transient_queues);
        let other = if denies {
            "; or this RabbitMQ refuses the transient queue that a service declares by default: the service's log has 541, and \
             needs amqp_durable_queues = true"
        } else {
            ""
        };
        let is = if self.published().next().is_some() { "is bound to it" } else { "does" };
        let seen = format!(
            "it exists, and no queue <topic>.<priority> {is}, which a publisher of notifications declares: the driver is empty \
             (the default) or noop{other}"
        );
        let severity = if survey.wanted.creates_exchanges() { Severity::Note } else { Severity::Warning };
        self.setting((Kind::NeverPublished, severity), subject, seen, &ServiceSetting::driver(exchange))
    }

    fn published(&self) -> impl Iterator<Item = &QueueRow> {
        let own: &[String] = if self.survey.wanted.pool.is_some() { &self.survey.wanted.queues } else { &[] };
        self.survey
            .queues
            .iter()
            .filter(|row| row.is_there() && row.service().is_some() && !own.contains(&row.name))
    }

    fn is_inspected(&self) -> bool {
        self.survey.queues.iter().any(|row| !row.is_read && row.service().is_some())
    }

    /// Without a pool, the listener itself has made its queues.
    fn is_evidence_whole(&self) -> bool {
        let rows = || self.survey.queues.iter().filter(|row| row.service().is_some());
        self.survey.wanted.pool.is_some()
            && rows().next().is_some()
            && !rows().any(|row| matches!(row.state, super::QueueState::Refused(_)))
    }

    fn sources(&self) -> BTreeSet<String> {
        let bindings = self.published().flat_map(|row| row.bindings.iter().flatten());
        bindings.map(|(exchange, _)| exchange.clone()).collect()
    }

    fn nothing(&self) -> &'static str {
        if self.survey.wanted.is_of_url() { NO_COPY } else { NOTHING }
    }

    fn setting(
        &self,
        kind: (Kind, Severity),
        subject: String,
        seen: String,
        setting: &ServiceSetting<'_>,
    ) -> Finding {
        let finding = self.finding(kind, subject, seen, self.nothing(), setting.command());
        Finding { deployers: setting.deployers(), ..finding }
    }
}

/// Matches one word of a binding's pattern. `*` and `#` stand for a whole topic or priority.
pub(super) fn is_match(pattern: &str, text: &str) -> bool {
    pattern == text || pattern.split('.').any(|word| word == "*" || word == "#")
}
