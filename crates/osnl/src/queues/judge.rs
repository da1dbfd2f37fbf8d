//! The judgement of a [`Survey`]. Pure.

use std::collections::{BTreeMap, BTreeSet};

use osnl_transport::{
    ALARM_REMEDY, AS_CONFIGURED, BrokerVersion, ExchangeInspection, NO_STREAMS, Remedy, STREAM, shell_quoted,
};

use super::services::{ServiceSetting, bound};
use super::{
    Finding, FindingKind as Kind, FindingSeverity as Severity, QueueRow, QueueState, Survey, Wanted,
};
use crate::management::risk::{QueueRisk, risks};
use crate::numbers::{counted, grouped};

/// A services' queue with more messages than this is not bounded by the policy that osnl names.
const BOUND: u64 = 1000;
const TAG: &str = "osnl";

pub(super) struct Judge<'a> {
    pub(super) survey: &'a Survey,
}

impl Survey {
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let judge = Judge { survey: self };
        let mut found = judge.refusals();
        found.extend(self.alarm.as_ref().map(|reason| judge_alarm(&self.wanted, reason)));
        if let (true, Some(shards)) = (self.is_reached, self.wanted.shards()) {
            found.extend(judge.exchange_types());
            found.extend(judge.shards(shards));
            found.extend(judge.lossy());
        } else if self.is_reached {
            found.extend(judge.permissions());
            found.extend(judge.exchange_types());
            found.extend(judge.exchanges_made_otherwise());
            found.extend(judge.nothing_arrives());
            found.extend(self.queues.iter().flat_map(|row| judge.queue(row)));
            found.extend(judge.lossy());
        }
        sort(&mut found);
        found
    }

    #[must_use]
    pub fn vhost(&self) -> &str {
        self.wanted.url.virtual_host()
    }

    #[must_use]
    pub fn version(&self) -> Option<BrokerVersion> {
        self.greeting.rabbitmq()
    }
}

pub fn sort(found: &mut Vec<Finding>) {
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut seen: Vec<Finding> = Vec::new();
    for finding in found.drain(..) {
        match seen.iter_mut().find(|one| is_same(one, &finding)) {
            Some(one) => join(one, finding),
            None => seen.push(finding),
        }
    }
    *found = seen;
}

/// Whether two listeners have found the same: the counts of a queue change between their looks, and each may have the
/// file of its own service.
fn is_same(one: &Finding, other: &Finding) -> bool {
    let part = |of: &Finding| (of.kind, of.broker.clone(), of.vhost.clone(), of.subject.clone());
    let without_files = |of: &Finding| of.command.replace(&of.files.join(AND), "");
    part(one) == part(other)
        && one.consequence == other.consequence
        && (one.kind.is_counted() || one.seen == other.seen)
        && (one.command == other.command
            || !one.files.is_empty() && !other.files.is_empty() && without_files(one) == without_files(other))
}

const AND: &str = " and ";

/// Adds the files of another finding to a finding's command.
fn join(one: &mut Finding, other: Finding) {
    let before = one.files.join(AND);
    let more: Vec<String> = other.files.into_iter().filter(|file| !one.files.contains(file)).collect();
    if more.is_empty() {
        return;
    }
    one.files.extend(more);
    one.command = one.command.replacen(&before, &one.files.join(AND), 1).into();
    for (deployer, line) in other.deployers {
        one.deployers.entry(deployer).and_modify(|own| *own = format!("{own}; {line}")).or_insert(line);
    }
}

/// Judges a broker that blocks publishers.
pub(crate) fn judge_alarm(wanted: &Wanted, reason: &str) -> Finding {
    Finding {
        kind: Kind::PublishersBlocked,
        severity: Severity::Critical,
        broker: wanted.broker.clone(),
        vhost: wanted.url.virtual_host().to_owned(),
        subject: format!("broker {}", wanted.broker),
        seen: format!("it blocks publishers: {reason}"),
        consequence: "services wait when they publish, RPC of the cloud too, and no notification comes"
            .to_owned(),
        command: Remedy::command(ALARM_REMEDY),
        deployers: BTreeMap::new(),
        files: Vec::new(),
    }
}

impl Judge<'_> {
    pub(super) fn finding(
        &self,
        (kind, severity): (Kind, Severity),
        subject: String,
        seen: String,
        consequence: &str,
        command: impl Into<Remedy>,
    ) -> Finding {
        Finding {
            kind,
            severity,
            broker: self.survey.wanted.broker.clone(),
            vhost: self.survey.vhost().to_owned(),
            subject,
            seen,
            consequence: consequence.to_owned(),
            command: command.into(),
            deployers: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    fn refusals(&self) -> Vec<Finding> {
        let severity = if self.survey.is_reached { Severity::Warning } else { Severity::Critical };
        let consequence = match severity {
            Severity::Critical => "nothing is read",
            Severity::Note | Severity::Warning => "nothing is read when the other hosts are down",
        };
        let refusal = |(host, reason, remedy): &(String, String, Option<Remedy>)| {
            let command = remedy.clone().unwrap_or_else(|| Remedy::command("osnl check --connect"));
            let subject = format!("host {host}");
            self.finding((Kind::Unreachable, severity), subject, reason.clone(), consequence, command)
        };
        self.survey.refusals.iter().map(refusal).collect()
    }

    fn permissions(&self) -> Option<Finding> {
        let wanted = &self.survey.wanted;
        let seen = self.survey.denied.first()?.clone();
        let consequence = "the listener cannot create, bind, or read its queue";
        let subject = format!("listener {}", wanted.listener);
        let kind = (Kind::Permissions, Severity::Critical);
        Some(self.finding(kind, subject, seen, consequence, Remedy::command(wanted.permissions.clone())))
    }

    fn exchange_types(&self) -> Vec<Finding> {
        let wrong = |(name, inspection): &(String, ExchangeInspection)| {
            let ExchangeInspection::There(found) = inspection else { return None };
            let kind = found.other_kind()?;
            let command = match self.survey.wanted.is_of_url() {
                true => "name the service's control_exchange by --exchange".to_owned(),
                false => format!(
                    "name the service's control_exchange in exchange of [listener:{}]; if {name} is that one, delete it: \
                     the service declares it anew, as a topic exchange, and osnl binds its queue again",
                    self.survey.wanted.listener
                ),
            };
            Some(self.finding(
                (Kind::ExchangeType, Severity::Critical),
                format!("exchange {name}"),
                format!("its type is {kind}, not topic"),
                if kind == "fanout" {
                    "every message of it comes, whatever its topic, and no service that declares it as a topic exchange \
                     publishes to it (406)"
                } else {
                    "no notification comes by it: oslo.messaging publishes to topic exchanges"
                },
                command,
            ))
        };
        self.survey.exchanges.iter().filter_map(wrong).collect()
    }

    /// An exchange that osnl would create otherwise. RabbitMQ before 4.3 deletes a transient one at its restart, and the
    /// program that declares the exchange first decides.
    fn exchanges_made_otherwise(&self) -> Vec<Finding> {
        let wanted = &self.survey.wanted;
        let ours = wanted.rabbit.queue().as_oslo().durable;
        let word = |durable: bool| if durable { "durable" } else { "transient" };
        let differing = |(name, inspection): &(String, ExchangeInspection)| {
            let ExchangeInspection::There(found) = inspection else { return None };
            let theirs = found.durable.filter(|theirs| *theirs != ours)?;
            Some(self.finding(
                (Kind::ExchangeDiffers, Severity::Warning),
                format!("exchange {name}"),
                format!("it is {}, and with declare = create osnl makes a {} one", word(theirs), word(ours)),
                "once it is gone and osnl is first, the broker refuses its service (406), whose RPC uses it too",
                format!("amqp_durable_queues = {theirs} in [listener:{}]", wanted.listener),
            ))
        };
        self.survey.exchanges.iter().filter(|_| wanted.creates_exchanges()).filter_map(differing).collect()
    }

    fn queue(&self, row: &QueueRow) -> Vec<Finding> {
        match &row.state {
            QueueState::Missing if row.is_read && !self.survey.wanted.declares() => {
                let command =
                    format!("create it, or correct queue in [listener:{}]", self.survey.wanted.listener);
                let kind = (Kind::QueueMissing, Severity::Critical);
                let seen = "it does not exist, and with queue = NAME osnl creates nothing".to_owned();
                vec![self.queue_finding(row, kind, seen, "nothing is read", command)]
            }
            // Missing permissions are a finding of the listener.
            QueueState::Refused(words) if row.is_read && self.survey.denied.is_empty() => {
                let command = row.remedy.clone().unwrap_or_else(|| Remedy::command("osnl check --connect"));
                let kind = (Kind::QueueRefused, Severity::Critical);
                vec![self.queue_finding(row, kind, words.clone(), "nothing is read", command)]
            }
            QueueState::Missing | QueueState::Refused(_) => Vec::new(),
            QueueState::There if row.is_read => self.own(row),
            QueueState::There => self.unread(row).into_iter().chain(self.transient(row)).collect(),
        }
    }

    pub(super) fn queue_finding(
        &self,
        row: &QueueRow,
        kind: (Kind, Severity),
        seen: String,
        consequence: &str,
        command: impl Into<Remedy>,
    ) -> Finding {
        self.finding(kind, format!("queue {}", row.name), seen, consequence, command)
    }

    fn own(&self, row: &QueueRow) -> Vec<Finding> {
        if row.queue_type.as_deref() == Some(STREAM) {
            let kind = (Kind::QueueRefused, Severity::Critical);
            let seen = "it is a stream, which osnl does not read".to_owned();
            return vec![self.queue_finding(row, kind, seen, "nothing is read", NO_STREAMS.to_owned())];
        }
        [
            self.growing(row),
            self.rival(row),
            self.other_rules(row),
            self.not_bound(row),
            self.passed_on(row),
            self.same_pool(row),
            self.differs(row),
            self.classic_on_cluster(row),
            self.transient(row),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn growing(&self, row: &QueueRow) -> Option<Finding> {
        let grows = growing(row);
        let waiting = messages(row.messages);
        let (severity, seen, consequence, command) = match (row.consumers, grows) {
            (0, _) if row.messages > 0 => (
                Severity::Warning,
                format!("{waiting}, no consumer{}", grown(row)),
                "it grows, and no action is called: on the broker that carries RPC too",
                Remedy::command("systemctl start osnl"),
            ),
            (1.., true) if row.messages > BOUND => (
                Severity::Warning,
                format!("{waiting}, and {}", grown(row).trim_start_matches(", ")),
                "its consumer is slower than the services, so actions come ever later",
                Remedy::command("osnl status  # which action holds it up"),
            ),
            _ => return None,
        };
        Some(self.queue_finding(row, (Kind::Growing, severity), seen, consequence, command))
    }

    fn rival(&self, row: &QueueRow) -> Option<Finding> {
        let wanted = &self.survey.wanted;
        let is_exclusive = wanted.kind.single_active_consumer;
        let own = self.survey.daemon.consumers.as_ref()?.get(&row.name).copied().unwrap_or(0);
        let others = row.consumers.saturating_sub(own);
        let is_standby = is_exclusive && row.differs.is_none();
        let consumers = || row.facts.iter().flat_map(|facts| &facts.consumers);
        let are_osnl = consumers().count() > 0 && consumers().all(|one| tag_parts(&one.tag).is_some());
        if others == 0 || (is_standby && (own > 0 || are_osnl)) {
            return None;
        }
        let readers = if others == 1 { "1 consumer is" } else { "consumers are" };
        let count = if others == 1 { String::new() } else { format!("{} ", grouped(others)) };
        let who: Vec<String> =
            consumers().map(|one| format!("{} of {}", one.tag, one.connection)).take(5).collect();
        let who = if who.is_empty() { String::new() } else { format!(" ({})", who.join("; ")) };
        let (severity, consequence) = match is_standby {
            true => (
                Severity::Warning,
                "right if that is osnl on another host; another program would get the messages",
            ),
            false => (Severity::Critical, "each message goes to one of the consumers only"),
        };
        let command = format!(
            "write a pool of its own in [listener:{}]; to see the consumers: rabbitmqctl list_consumers -p {}",
            wanted.listener,
            shell_quoted(self.survey.vhost())
        );
        let seen = format!("{count}{readers} not of this configuration's daemon{who}");
        Some(self.queue_finding(row, (Kind::Rival, severity), seen, consequence, command))
    }

    fn other_rules(&self, row: &QueueRow) -> Option<Finding> {
        // Tags stay as they are when rules are loaded again, so all are compared as at their start.
        let own = self.survey.daemon.rules_digest.as_ref().unwrap_or(&self.survey.wanted.rules_digest);
        let consumers = &row.facts.as_ref()?.consumers;
        let other = consumers.iter().find_map(|one| {
            let (host, digest) = tag_parts(&one.tag)?;
            (digest != own).then(|| format!("osnl on {host} ({})", one.connection))
        })?;
        Some(self.queue_finding(
            row,
            (Kind::OtherRules, Severity::Warning),
            format!("{other} connected to it with other rules"),
            "the rules of the one that is not active never run",
            "give both the same rules, or each a pool, and restart osnl on both".to_owned(),
        ))
    }

    fn not_bound(&self, row: &QueueRow) -> Option<Finding> {
        let missing: Vec<String> = self
            .survey
            .unbound()
            .into_iter()
            .filter(|one| one.queue == row.name)
            .map(|one| format!("{} of {}", one.routing_key, one.exchange))
            .collect();
        (!missing.is_empty()).then(|| {
            self.queue_finding(
                row,
                (Kind::NotBound, Severity::Critical),
                format!("it is not bound with {}", missing.join(", ")),
                "these notifications do not reach the listener",
                Remedy::command("osnl queues --apply  # makes the bindings; a running osnl does so too"),
            )
        })
    }

    fn passed_on(&self, row: &QueueRow) -> Option<Finding> {
        let missing = self.survey.missing();
        let missing = missing.iter().filter(|(one, ways)| one.queue == row.name && !ways.is_empty());
        let (keys, ways): (Vec<String>, Vec<&[&str]>) =
            missing.map(|(one, ways)| (format!("{} of {}", one.routing_key, one.exchange), &**ways)).unzip();
        let ways: BTreeSet<&str> = ways.concat().into_iter().collect();
        (!keys.is_empty()).then(|| {
            self.queue_finding(
                row,
                (Kind::NotBound, Severity::Note),
                format!(
                    "it is not bound with {} itself, and may get the same by exchange {}",
                    keys.join(", "),
                    ways.into_iter().collect::<Vec<_>>().join(", ")
                ),
                "these notifications come by bindings between exchanges, or not at all; osnl queues --apply leaves the queue alone",
                Remedy::command(format!(
                    "rabbitmqctl list_bindings -p {}  # what passes on which key; a running osnl makes its own bindings",
                    shell_quoted(self.survey.vhost())
                )),
            )
        })
    }

    fn same_pool(&self, row: &QueueRow) -> Option<Finding> {
        let (wanted, bindings) = (&self.survey.wanted, row.bindings.as_ref()?);
        if !wanted.declares() || wanted.pool.is_none() {
            return None;
        }
        let is_wanted = |exchange: &str, key: &str| {
            wanted.bindings.iter().any(|one| one.exchange == exchange && one.routing_key == key)
        };
        let is_way = |exchange: &str| {
            let mut wanted = wanted.bindings.iter().filter(|one| one.queue == row.name);
            wanted.any(|one| self.survey.passes_on(one, exchange) == Some(true))
        };
        let others: Vec<String> = bindings
            .iter()
            .filter(|(exchange, key)| !exchange.is_empty() && !is_wanted(exchange, key) && !is_way(exchange))
            .map(|(exchange, key)| match &**key {
                "" => format!("\"\" of {exchange}"),
                key => format!("{key} of {exchange}"),
            })
            .collect();
        (!others.is_empty()).then(|| {
            self.queue_finding(
                row,
                (Kind::SamePool, Severity::Warning),
                format!("it is bound with {} too, which [listener:{}] does not name", others.join(", "), wanted.listener),
                "a program with the same pool, or an earlier configuration, fills it with other messages",
                format!("write another pool in [listener:{}], or osnl queues --apply  # removes osnl's former bindings", wanted.listener),
            )
        })
    }

    pub(super) fn differs(&self, row: &QueueRow) -> Option<Finding> {
        let seen = match (&row.differs, &row.drops) {
            (Some(differs), Some(drops)) => format!("{differs}; it {drops}"),
            (Some(differs), None) => differs.clone(),
            // The management API shows the limit with its policy.
            (None, Some(drops)) if row.facts.is_none() => format!("it {drops}"),
            (None, _) => return None,
        };
        let kind = (Kind::Differs, Severity::Warning);
        Some(self.queue_finding(row, kind, seen, "osnl uses it as it is", AS_CONFIGURED.to_owned()))
    }

    fn classic_on_cluster(&self, row: &QueueRow) -> Option<Finding> {
        let nodes = self.survey.facts.as_ref()?.nodes.filter(|nodes| *nodes > 1)?;
        if row.queue_type.as_deref() != Some("classic") {
            return None;
        }
        let command =
            format!("queue_type = quorum and another pool in [listener:{}]", self.survey.wanted.listener);
        Some(self.queue_finding(
            row,
            (Kind::ClassicOnCluster, Severity::Warning),
            format!("it is a classic queue on a cluster of {nodes} nodes, so one node has it"),
            "while that node is down nothing is read, and what is published is lost",
            command,
        ))
    }

    fn transient(&self, row: &QueueRow) -> Option<Finding> {
        let wanted = &self.survey.wanted;
        // A queue that osnl only reads is among the risks.
        (row.durable == Some(false) && (!row.is_read || wanted.declares())).then_some(())?;
        let exchange = wanted.exchanges.first().map_or("nova", String::as_str);
        let others = wanted.exchanges.iter().skip(1).map(String::as_str);
        if row.is_read && wanted.pool.is_some() {
            let command = format!("durable = true and another pool in [listener:{}]", wanted.listener);
            let seen = "it is transient".to_owned();
            let consequence =
                "a restart of the broker deletes it with its messages, and RabbitMQ 4.3 refuses it";
            return Some(self.queue_finding(
                row,
                (Kind::TransientQueue, Severity::Note),
                seen,
                consequence,
                command,
            ));
        }
        let setting = |exchange| ServiceSetting {
            exchange,
            section: "oslo_messaging_rabbit",
            option: "amqp_durable_queues",
            value: "true",
        };
        let consequence = "RabbitMQ 4.3 refuses it by default, and then the services publish nothing";
        let kind = (Kind::TransientQueue, Severity::Note);
        let of = |setting: ServiceSetting<'_>| {
            let command = setting.command_and(
                "and so for each service that fills this queue; then stop them, delete their transient queues and exchanges, \
                 which the broker does not change (406), and start them",
            );
            let finding = self.queue_finding(row, kind, "it is transient".to_owned(), consequence, command);
            Finding { deployers: setting.deployers(), files: vec![setting.file()], ..finding }
        };
        let mut finding = of(setting(exchange));
        others.for_each(|exchange| join(&mut finding, of(setting(exchange))));
        Some(finding)
    }

    fn lossy(&self) -> Vec<Finding> {
        let Some(facts) = &self.survey.facts else { return Vec::new() };
        let (wanted, vhost) = (&self.survey.wanted, self.survey.vhost());
        let known =
            facts.queues.iter().filter_map(|(name, found)| Some((name.as_str(), found.as_ref().ok()?)));
        let risks = known.flat_map(|queue| {
            let risks = risks(queue, vhost, &wanted.kind, wanted.declares(), facts.major());
            risks.into_iter().map(move |risk| (queue.0, risk))
        });
        risks
            .map(|(name, QueueRisk { seen, consequence, remedy })| {
                let kind = (Kind::Lossy, Severity::Warning);
                self.finding(kind, format!("queue {name}"), seen, &consequence, remedy)
            })
            .collect()
    }

    fn unread(&self, row: &QueueRow) -> Option<Finding> {
        let (topic, _) = row.service()?;
        if row.messages == 0 || row.consumers > 0 {
            return None;
        }
        let policies = row.facts.as_ref().and_then(|facts| facts.policies.as_ref().ok());
        let effective = policies.iter().flat_map(|policies| policies.effective.keys());
        let arguments = row.facts.iter().flat_map(|facts| facts.arguments.keys());
        let mut limits =
            effective.map(String::as_str).chain(arguments.map(|name| name.trim_start_matches("x-")));
        let is_bounded = limits
            .any(|limit| matches!(limit, "max-length" | "max-length-bytes" | "message-ttl" | "expires"));
        if is_bounded {
            return None;
        }
        let is_sure = policies.is_some() || growing(row) || row.messages > BOUND;
        let severity = if is_sure { Severity::Warning } else { Severity::Note };
        let unknown = if is_sure { "" } else { "; whether a policy bounds it is not known" };
        let seen = format!("{}, no consumer{}{unknown}", messages(row.messages), grown(row));
        let consequence = "the services create it and fill it; unread, it fills the memory and disk of the broker that carries RPC";
        let command = Remedy::command(bound(self.survey.vhost(), topic, policies));
        Some(self.queue_finding(row, (Kind::Unread, severity), seen, consequence, command))
    }
}

#[must_use]
pub fn tag_parts(tag: &str) -> Option<(&str, &str)> {
    let (program, rest) = tag.split_once('@')?;
    (program == TAG).then_some(())?;
    rest.rsplit_once('#')
}

fn growing(row: &QueueRow) -> bool {
    row.growth.is_some_and(|growth| growth > 0.0)
}

fn grown(row: &QueueRow) -> String {
    match row.growth {
        Some(growth) if growth > 0.0 => format!(", grows by {growth:.1}/s"),
        Some(_) | None => String::new(),
    }
}

pub(super) fn messages(count: u64) -> String {
    counted(count, "message", "messages")
}
