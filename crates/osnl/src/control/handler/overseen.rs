use super::super::{ManagementStatus, QueueStatus, time};
use crate::management::{ConsumerFacts, QueueFacts};
use crate::overseer::Overseen;
use crate::queues::{Finding, tag_parts};

pub(super) fn silence(seen: &Overseen) -> Option<Finding> {
    seen.findings.iter().find(|finding| finding.kind.explains_silence()).cloned()
}

pub(super) fn other_daemon(seen: &Overseen, own_tag: &str) -> Option<String> {
    let (facts, _) = seen.facts.as_ref()?;
    let queues = facts.queues.iter().filter_map(|(_, found)| found.as_ref().ok());
    let mut tags: Vec<&str> = queues.flat_map(|queue| &queue.consumers).map(|one| one.tag.as_str()).collect();
    // Another daemon on this host with the same rules has the same tag.
    let own = tags.iter().position(|tag| *tag == own_tag)?;
    tags.remove(own);
    tags.into_iter().filter_map(tag_parts).map(|(host, _)| host.to_owned()).next()
}

pub(super) fn management(seen: Overseen) -> ManagementStatus {
    let (reason, remedy) = seen.unknown.map(|unknown| (unknown.reason, unknown.remedy)).unzip();
    let findings = seen.findings.iter().filter(|finding| !finding.kind.explains_silence());
    let mut status = ManagementStatus {
        status: if reason.is_some() { "unknown" } else { "known" }.to_owned(),
        reason,
        remedy,
        looked_seconds: seen.at.map(time::age),
        findings: findings.cloned().collect(),
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
