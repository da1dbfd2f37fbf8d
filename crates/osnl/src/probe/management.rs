//! Probes the management API of a listener's broker.

use std::time::Duration;

use osnl_transport::{BrokerInspection, RabbitTransport};
use tokio::time::timeout;

use crate::action::driver::Probe;
use crate::management::{BrokerFacts, QueueFacts, UnknownFact};
use crate::native::ListenerConf;
use crate::queues::{DaemonCounts, Finding, FindingKind, FindingSeverity, Survey};

/// Asks the API and the services' queues; `look` has the broker's own answers. The findings are those that no other probe
/// has.
pub(super) async fn surveyed(
    conf: &ListenerConf,
    transport: &RabbitTransport,
    (inspection, daemon): (&BrokerInspection, DaemonCounts),
    limit: Duration,
) -> (Vec<Probe>, Vec<Finding>) {
    let Some(wanted) = conf.wanted() else { return (Vec::new(), Vec::new()) };
    let services = async {
        timeout(limit, wanted.inspect_services(transport, inspection, limit)).await.unwrap_or_default()
    };
    let alarm = async {
        let is_reached = inspection.hosts.iter().any(|host| host.reached.is_ok());
        if is_reached { transport.blocks_publishers(limit).await } else { None }
    };
    let (facts, services, alarm) = tokio::join!(wanted.facts(inspection, limit), services, alarm);
    let probes = probe_facts(conf, &[wanted.queues.clone(), wanted.dead_letters.clone()].concat(), &facts);
    let survey = wanted.survey_inspections(inspection, &services, facts);
    let mut findings = Survey { daemon, alarm, ..survey }.findings();
    findings.retain(|found| match found.kind {
        FindingKind::Unread => true,
        FindingKind::Unreachable
        | FindingKind::Permissions
        | FindingKind::QueueMissing
        | FindingKind::QueueRefused
        | FindingKind::ExchangeType
        | FindingKind::Growing
        | FindingKind::Differs => false,
        _ => found.severity > FindingSeverity::Note,
    });
    (probes, findings)
}

fn probe_facts(
    conf: &ListenerConf,
    queues: &[String],
    facts: &Result<BrokerFacts, UnknownFact>,
) -> Vec<Probe> {
    let section = format!("listener:{}", conf.name);
    let probe = |what: String| Probe::new(section.clone(), what);
    let unproven = |what: String, unknown: &UnknownFact| {
        let found = format!("policies, delivery limit, and other consumers are unknown: {}", unknown.reason);
        probe(what).unproven(found, &unknown.remedy)
    };
    let facts = match facts {
        Ok(facts) => facts,
        Err(unknown) => return vec![unproven("management API".to_owned(), unknown)],
    };
    let of_queue = |name: &String| {
        let what = format!("management API, queue {name}");
        match facts.queues.iter().find(|(of, _)| of == name) {
            None => probe(what).fine("is asked when the queue exists"),
            Some((_, Err(unknown) | Ok(QueueFacts { policies: Err(unknown), .. }))) => {
                unproven(what, unknown)
            }
            Some((_, Ok(queue))) => probe(what).fine(in_words(facts, queue)),
        }
    };
    queues.iter().map(of_queue).collect()
}

fn in_words(facts: &BrokerFacts, queue: &QueueFacts) -> String {
    let mut words = vec![queue.queue_type.clone().unwrap_or_else(|| "type unknown".to_owned())];
    words.extend(queue.durable.map(|durable| if durable { "durable" } else { "transient" }.to_owned()));
    let policies = queue.policies.clone().unwrap_or_default();
    for (kind, name) in [("policy", &policies.policy), ("operator policy", &policies.operator_policy)] {
        words.push(name.as_ref().map_or_else(|| format!("no {kind}"), |name| format!("{kind} \"{name}\"")));
    }
    let default = facts.default_queue_type.iter();
    words.extend(default.map(|kind| format!("default queue type of the virtual host {kind}")));
    words.extend(facts.version.iter().map(|version| format!("RabbitMQ {version}")));
    words.join(", ")
}
