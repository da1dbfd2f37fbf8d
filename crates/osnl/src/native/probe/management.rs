//! Probes the management API of a listener's broker.

use std::time::Duration;

use osnl_transport::{Declare, Look, QueueLook};
use tokio::time::timeout;

use crate::action::driver::Probe;
use crate::management::client::ApiQuestion;
use crate::management::risk::risks;
use crate::management::{BrokerFacts, QueueFacts, UnknownFact};
use crate::native::ListenerConf;

/// Asks the API about a listener's queues; `look` has the broker's own answers.
pub(super) async fn management(conf: &ListenerConf, look: &Look, limit: Duration) -> Vec<Probe> {
    let section = format!("listener:{}", conf.name);
    let probe = |what: String| Probe::of(section.clone(), what);
    let unproven = |what: String, unknown: &UnknownFact| {
        let found = format!("policies, delivery limit, and other consumers are unknown: {}", unknown.reason);
        probe(what).unproven(found, &unknown.remedy)
    };
    let Some(api) = &conf.management else {
        return vec![unproven("management API".to_owned(), &UnknownFact::not_asked(&conf.name))];
    };
    let (vhost, mut queues) = (conf.transport_url.virtual_host(), conf.queues());
    queues.extend(conf.dead_letter_queue());
    let cluster = look.hosts.iter().find_map(|host| host.reached.as_ref().ok()?.greeting.cluster.as_deref());
    let subject = ApiQuestion { vhost, queues: &queues, cluster };
    let asked = timeout(limit, api.ask(&subject)).await;
    let silent = || {
        UnknownFact::new(
            format!("no answer within {} s", limit.as_secs_f64()),
            "look at host and port of management_url",
        )
    };
    let facts = match asked.unwrap_or_else(|_| Err(silent())) {
        Ok(facts) => facts,
        Err(unknown) => return vec![unproven("management API".to_owned(), &unknown)],
    };
    let is_missing = |queue: &str| {
        conf.dead_letter_queue().is_some_and(|dead| dead == queue)
            || look.queues.iter().any(|(name, found)| *name == queue && matches!(found, QueueLook::Missing))
    };
    let mut probes = Vec::new();
    for (name, found) in &facts.queues {
        let what = format!("management API, queue {name}");
        probes.push(match found {
            Err(_) if is_missing(name) => probe(what).fine("is asked when the queue exists"),
            Err(unknown) => unproven(what, unknown),
            Ok(QueueFacts { policies: Err(unknown), .. }) => unproven(what, unknown),
            Ok(queue) => probe(what).fine(in_words(&facts, queue)),
        });
    }
    let declares = conf.declare != Declare::Nothing;
    for risk in risks(&facts, vhost, &conf.queue, declares) {
        probes.push(probe("management API".to_owned()).warning(risk.message, &risk.remedy));
    }
    probes
}

/// Describes a queue as `quorum, durable, policy "a", no operator policy, 2 consumers, RabbitMQ 3.10.8`.
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
