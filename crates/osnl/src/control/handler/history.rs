//! The history of a resource: its deliveries, and the kept messages about it that matched no rule, in one order.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use osnl_model::{Notification, resources};
use tokio::task::spawn_blocking;

use super::super::refusal::{Code, RequestRefusal};
use super::super::{HistoryEntry, HistoryKind, ResourceHistory, Which, time};
use super::ControlHandler;
use super::deliveries::{Facts, totals};
use super::names::ConfiguredNames;
use crate::journal::query::{AttemptRow, DeliveryListRow, ListPage, Phase, RowOrder};
use crate::unmatched::{self, UnmatchedMessage};

/// An entry and its exact time, which the order needs.
type Placed = (SystemTime, HistoryEntry);

impl ControlHandler {
    pub(super) async fn history(
        &self,
        resource: &str,
        limit: u32,
    ) -> Result<ResourceHistory, RequestRefusal> {
        let facts = self.facts().await;
        let which = Which { resource: Some(resource.to_owned()), ..Which::default() };
        let filter = which.filter(facts.context.clone())?;
        let page = ListPage { order: RowOrder::Newest, after: None, limit };
        let (mut rows, counts) = self.store.journal.list(filter, page, u64::MAX).await?;
        let totals = totals(counts);
        let more = totals.all.saturating_sub(rows.len() as u64);
        rows.sort_by_key(|row| row.id);
        let unmatched = self.unmatched_about(resource).await;
        if rows.is_empty() && unmatched.about.is_empty() {
            return Err(self.nothing_about(resource));
        }
        let mut placed: Vec<Placed> = unmatched.about.iter().map(not_matched).collect();
        // Numbers of deliveries in memory name no event.
        let is_durable = self.store.journal.facts().is_durable;
        let tried = rows.iter().filter(|row| row.tries > 0).map(|row| row.id).collect();
        let mut attempts = self.store.journal.attempts(tried).await?;
        let mut seen = HashSet::new();
        for row in rows {
            let event = is_durable.then_some(row.id.0 >> 16);
            if seen.insert((event, row.received, row.queue.clone(), row.message_id.clone())) {
                placed.push(received(&row, event));
            }
            let tries = attempts.remove(&row.id).unwrap_or_default();
            placed.extend(happenings(row, event, tries, &facts));
        }
        placed.sort_by_key(|(at, entry)| (entry.kind == HistoryKind::Pending, *at, entry.event, entry.kind));
        Ok(ResourceHistory {
            resource: resource.to_owned(),
            entries: placed.into_iter().map(|(_, entry)| entry).collect(),
            more,
            unmatched_without_body: unmatched.without_body,
            has_unread: totals.more,
        })
    }

    /// Returns the messages that matched no rule; none if they are not kept or cannot be read.
    async fn unmatched_about(&self, resource: &str) -> UnmatchedAbout {
        let (ring, facts) = (self.rules.clone(), self.store.journal.facts());
        let journal = facts.place.filter(|_| facts.is_durable).map(PathBuf::from);
        let resource = resource.to_owned();
        let found = spawn_blocking(move || {
            let kept = match (ring, journal) {
                // The ring has the messages of this run, the file those of earlier ones too.
                (Some(ring), Some(journal)) => {
                    let is_earlier =
                        |one: &UnmatchedMessage| one.received.is_some_and(|at| at < ring.started());
                    let mut kept = unmatched::read(&journal, usize::MAX).unwrap_or_default();
                    kept.retain(is_earlier);
                    kept.extend(ring.latest());
                    kept
                }
                (Some(ring), None) => ring.latest(),
                (None, Some(journal)) => unmatched::read(&journal, usize::MAX).unwrap_or_default(),
                (None, None) => Vec::new(),
            };
            UnmatchedAbout::new(kept, &resource)
        });
        found.await.unwrap_or_default()
    }

    fn nothing_about(&self, resource: &str) -> RequestRefusal {
        let names = match (&self.names, self.loaded()) {
            (Some(names), _) => Some(names.clone()),
            (None, loaded) => loaded.map(|loaded| Arc::new(ConfiguredNames::new(&loaded.conf))),
        };
        let kept = match names.and_then(|names| names.retention) {
            _ if !self.store.journal.facts().is_durable => "memory:// keeps no ended deliveries".to_owned(),
            Some(retention) => {
                format!("ended deliveries are kept for {} (retention)", time::span(retention.as_secs()))
            }
            None => "ended deliveries are kept for the retention of [journal]".to_owned(),
        };
        let why = format!(
            "nothing is known about {resource:?}: no delivery has it as the id, the name, or the order key of its resource; \
             {kept}; osnl explain --unmatched shows messages that matched no rule"
        );
        RequestRefusal::new(Code::NotFound, why)
    }
}

#[derive(Default)]
struct UnmatchedAbout {
    about: Vec<UnmatchedMessage>,
    without_body: u64,
}

impl UnmatchedAbout {
    fn new(kept: Vec<UnmatchedMessage>, resource: &str) -> Self {
        let mut found = Self::default();
        for message in kept {
            match message.decoded() {
                Some(notification) if is_about(&notification, resource) => found.about.push(message),
                Some(_) => {}
                None => found.without_body += 1,
            }
        }
        found
    }
}

fn is_about(notification: &Notification, wanted: &str) -> bool {
    resources(notification).iter().any(|resource| {
        let key = resource.key();
        let names = [resource.id.as_deref(), resource.name, key.as_deref()];
        names.into_iter().flatten().any(|name| name.eq_ignore_ascii_case(wanted))
    })
}

fn entry(at: SystemTime, kind: HistoryKind) -> HistoryEntry {
    HistoryEntry { at: time::shown(at), kind, ..HistoryEntry::default() }
}

fn not_matched(message: &UnmatchedMessage) -> Placed {
    let at = message.received.unwrap_or(SystemTime::UNIX_EPOCH);
    let entry = HistoryEntry {
        event_type: message.event_type.clone(),
        message_id: message.message_id.clone(),
        queue: Some(message.queue.to_string()),
        ..entry(at, HistoryKind::NotMatched)
    };
    (at, entry)
}

fn received(row: &DeliveryListRow, event: Option<u64>) -> Placed {
    let entry = HistoryEntry {
        event,
        event_type: row.event_type.clone(),
        message_id: row.message_id.clone(),
        queue: Some(row.queue.clone()),
        ..entry(row.received, HistoryKind::Received)
    };
    (row.received, entry)
}

/// Returns the entries of one delivery: the rule that matched, the failed attempts, and its end or present state.
fn happenings(
    row: DeliveryListRow,
    event: Option<u64>,
    tries: Vec<AttemptRow>,
    facts: &Facts,
) -> Vec<Placed> {
    let (received, ended) = (row.received, row.ended);
    let delivery = facts.delivery(row);
    let own = |at, kind| HistoryEntry {
        event,
        delivery: Some(delivery.id.clone()),
        action: Some(delivery.action.clone()),
        rule: Some(delivery.rule.clone()),
        message_id: delivery.message_id.clone(),
        ..entry(at, kind)
    };
    let mut placed = vec![(received, own(received, HistoryKind::Matched))];
    placed.extend(tries.into_iter().map(|failed| {
        let detail = Some(failed.answer);
        (failed.at, HistoryEntry { detail, ..own(failed.at, HistoryKind::AttemptFailed) })
    }));
    let is_open = !matches!(
        delivery.state,
        Phase::Dead | Phase::Delivered | Phase::NoActionNeeded | Phase::Shadow | Phase::Discarded
    );
    let (at, kind) = match ended.filter(|_| !is_open) {
        Some(at) => (at, HistoryKind::Ended),
        None if is_open => (SystemTime::now(), HistoryKind::Pending),
        // A dead letter in a queue of the broker.
        None => (received, HistoryKind::Ended),
    };
    let last = HistoryEntry {
        state: Some(delivery.state),
        attempts: Some(delivery.attempts_made),
        waits_for: delivery.waits_for.clone(),
        next_attempt: delivery.next_attempt.clone(),
        detail: delivery.reason.clone().or_else(|| delivery.last_answer.clone()),
        ..own(at, kind)
    };
    placed.push((at, last));
    placed
}

#[cfg(test)]
mod tests {
    use osnl_model::Notification;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_about_the_id_the_name_and_the_key_of_its_resource() {
        let notification = Notification {
            event_type: Some("port.delete.end".to_owned()),
            payload: json!({"port": {"id": "A-1", "name": "web"}}),
            ..Notification::default()
        };
        for (wanted, expected) in [("a-1", true), ("WEB", true), ("other", false), ("", false)] {
            assert_eq!(is_about(&notification, wanted), expected, "{wanted}");
        }
        let kept = vec![UnmatchedMessage::default(), UnmatchedMessage::default()];
        let found = UnmatchedAbout::new(kept, "web");
        assert_eq!((found.about.len(), found.without_body), (0, 2));
    }
}
