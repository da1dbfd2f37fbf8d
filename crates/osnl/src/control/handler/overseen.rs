//! The answers of the management API, in the form of a status.

use super::super::{ManagementStatus, QueueRiskStatus, QueueStatus, time};
use crate::listener::Overseen;
use crate::management::{ConsumerFacts, QueueFacts};

pub(super) fn management(seen: Overseen) -> ManagementStatus {
    let (reason, remedy) = seen.unknown.map(|unknown| (unknown.reason, unknown.remedy)).unzip();
    let risks = seen.risks.into_iter();
    let mut status = ManagementStatus {
        status: if reason.is_some() { "unknown" } else { "known" }.to_owned(),
        reason,
        remedy,
        risks: risks.map(|risk| QueueRiskStatus { message: risk.message, remedy: risk.remedy }).collect(),
        ..ManagementStatus::default()
    };
    if let Some((facts, at)) = seen.facts {
        status.seen_seconds = Some(time::age(at));
        status.version = facts.version;
        status.default_queue_type = facts.default_queue_type;
        status.queues =
            facts.queues.into_iter().filter_map(|(name, found)| Some(queue(name, found.ok()?))).collect();
    }
    status
}

fn queue(queue: String, facts: QueueFacts) -> QueueStatus {
    let policies_known = facts.policies.is_ok();
    let policies = facts.policies.unwrap_or_default();
    let consumer = |ConsumerFacts { tag, connection, user }| format!("{tag} of user {user}, {connection}");
    QueueStatus {
        queue,
        queue_type: facts.queue_type,
        durable: facts.durable,
        policies_known,
        policy: policies.policy,
        operator_policy: policies.operator_policy,
        effective_policy: policies
            .effective
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect(),
        consumers: facts.consumers.into_iter().map(consumer).collect(),
    }
}
