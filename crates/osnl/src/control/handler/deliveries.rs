//! Lists deliveries, and shows one with its attempts.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use osnl_config::template::Names;
use osnl_model::mask_secrets;
use serde_json::{Map, Value};

use super::super::refusal::{Code, RequestRefusal};
use super::super::request::{MOST_LISTED, Which, delivery_id};
use super::super::{AttemptAnswer, Delivery, DeliveryObstacle, List, MaskedMessage, Show, StateTotals, time};
use super::ControlHandler;
use crate::delivery::{TargetMonitor, TargetState};
use crate::intake::Parts;
use crate::journal::PausedActions;
use crate::journal::query::{
    BoundedCount, DeliveryDetails, DeliveryListRow, ListPage, Phase, QueryContext, RowOrder, RowState,
};
use crate::received::ReceivedMessage;

pub(super) struct Facts {
    pub(super) context: QueryContext,
    targets: BTreeMap<String, DeliveryTarget>,
}

struct DeliveryTarget {
    name: String,
    max_attempts: u32,
    state: TargetState,
    paused_by: Option<String>,
}

impl ControlHandler {
    pub(super) fn context(&self) -> QueryContext {
        let configured = self.actions();
        QueryContext {
            running: self
                .live
                .iter()
                .flat_map(|live| live.daemon.targets())
                .flat_map(|one| one.running())
                .collect(),
            configured: configured.map(|names| names.iter().map(|name| name.to_string()).collect()),
        }
    }

    pub(super) async fn facts(&self) -> Facts {
        let targets: Vec<TargetMonitor> = self.live.iter().flat_map(|live| live.daemon.targets()).collect();
        let is_paused = |one: &TargetMonitor| one.status().borrow().state == TargetState::Paused;
        // Only the journal knows who has paused an action.
        let paused = match targets.iter().any(is_paused) {
            true => self.store.journal.paused_actions().await.unwrap_or_default(),
            false => PausedActions::new(),
        };
        let target = |one: TargetMonitor| {
            let state = one.status().borrow().state;
            let note = paused.get(&**one.name()).and_then(|pause| pause.note.as_ref());
            let paused_by = note.map(|note| note.by.clone());
            (
                one.name().to_string(),
                DeliveryTarget { name: one.target(), max_attempts: one.max_attempts(), state, paused_by },
            )
        };
        Facts { context: self.context(), targets: targets.into_iter().map(target).collect() }
    }

    pub(super) async fn list(
        &self,
        which: &Which,
        asked: ListedPage<'_>,
        count_at_most: Option<u64>,
    ) -> Result<List, RequestRefusal> {
        let facts = self.facts().await;
        let ListedPage { order, after, limit } = asked;
        if !(1..=MOST_LISTED).contains(&limit) {
            return Err(RequestRefusal::new(
                Code::BadRequest,
                format!("limit: allowed are 1 to {MOST_LISTED}"),
            ));
        }
        self.has_names(which).await?;
        let filter = which.filter(facts.context.clone())?;
        let after = after.map(delivery_id).transpose()?;
        let page = ListPage { order, after, limit: limit + 1 };
        let most = count_at_most.unwrap_or(u64::MAX);
        let (mut rows, counts) = self.store.journal.list(filter, page, most).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|last| last.id.to_string());
        let deliveries = rows.into_iter().map(|row| facts.delivery(row)).collect();
        Ok(List { deliveries, totals: totals(counts), next })
    }

    pub(super) async fn show(&self, id: &str, raw: bool) -> Result<Show, RequestRefusal> {
        let number = delivery_id(id)?;
        let found = self.store.journal.show(number).await?;
        let Some(DeliveryDetails { row, tries, received, ahead, behind, others }) = found else {
            return Err(RequestRefusal::new(Code::NotFound, format!("there is no delivery {id}")));
        };
        let facts = self.facts().await;
        let (behind, more_behind) = behind;
        Ok(Show {
            no_order: self.no_order(&row, &received),
            ahead,
            behind: behind.iter().map(ToString::to_string).collect(),
            more_behind,
            others: others.into_iter().map(|other| facts.delivery(other)).collect(),
            target: facts.targets.get(&row.action).map(|target| target.name.clone()),
            attempts: tries
                .into_iter()
                .map(|one| AttemptAnswer {
                    at: time::shown(one.at),
                    answer: one.answer,
                    request: one.request,
                    took_millis: one.took.map(whole_millis),
                })
                .collect(),
            message: message(&received, raw),
            delivery: facts.delivery(row),
        })
    }

    fn no_order(&self, row: &DeliveryListRow, received: &ReceivedMessage) -> Option<String> {
        let loaded = self.loaded().filter(|_| row.key.is_none())?;
        let rule = &loaded.conf.rules.iter().find(|rule| *rule.rule.name == *row.rule)?.rule;
        let notification = received.decode().ok()?;
        let names = Names::from(notification.clone());
        let names = Parts::new(&notification).names(&names, row.resource);
        Some(rule.key.why_none(&names))
    }
}

pub(super) fn totals((counts, more): BoundedCount) -> StateTotals {
    let mut totals = StateTotals { more, ..StateTotals::default() };
    for (_, phase, count) in counts {
        totals.all += count;
        *totals.by_state.entry(phase.word().to_owned()).or_default() += count;
    }
    totals
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ListedPage<'a> {
    pub(super) order: RowOrder,
    pub(super) after: Option<&'a str>,
    pub(super) limit: u32,
}

impl Facts {
    /// Returns what all pending deliveries of an action wait for.
    pub(super) fn obstacle(&self, action: &str) -> Option<DeliveryObstacle> {
        let target = self.targets.get(action)?;
        match target.state {
            TargetState::Paused => Some(DeliveryObstacle::ActionPaused { by: target.paused_by.clone() }),
            TargetState::Open { .. } | TargetState::Probing => Some(DeliveryObstacle::TargetDown),
            TargetState::Closed => None,
        }
    }

    pub(super) fn delivery(&self, row: DeliveryListRow) -> Delivery {
        let phase = row.phase(&self.context);
        let target = self.targets.get(&row.action);
        let waits_for = match phase {
            Phase::ForRelease => Some(DeliveryObstacle::Release),
            Phase::Ready | Phase::Retrying => self.obstacle(&row.action),
            _ => None,
        };
        let held_until = match target.map(|target| target.state) {
            Some(TargetState::Open { until }) => Some(time::wall_time(until)),
            Some(TargetState::Closed | TargetState::Probing | TargetState::Paused) | None => None,
        };
        let is_paused = target.is_some_and(|target| matches!(target.state, TargetState::Paused));
        // No attempt begins before a held target is probed, or while it is paused.
        let due = row.due.filter(|_| phase == Phase::Retrying && !is_paused);
        let next = due.map(|due| held_until.map_or(due, |probe| due.max(probe)));
        let has_succeeded = matches!(row.state, RowState::Delivered | RowState::NothingToDo);
        Delivery {
            id: row.id.to_string(),
            state: phase,
            waits_for: waits_for
                .or_else(|| row.waits_for.map(|id| DeliveryObstacle::Delivery { id: id.to_string() })),
            next_attempt: next.map(time::shown),
            next_attempt_seconds: next.map(time::until),
            received: time::shown(row.received),
            age_seconds: time::age(row.received),
            ended: row.ended.map(time::shown),
            action: row.action,
            rule: row.rule,
            event_type: row.event_type,
            key: row.key,
            resource_id: row.resource_id,
            resource_name: row.resource_name,
            failed_attempts: row.tries,
            attempts_made: row.tries + u32::from(has_succeeded),
            attempts_counted: row.attempts,
            attempts_allowed: target.map(|target| target.max_attempts),
            reason: row.reason,
            last_answer: row.last_answer,
            took_millis: row.took.map(whole_millis),
            queue: row.queue,
            message_id: row.message_id,
            copies: row.copies,
        }
    }
}

fn message(received: &ReceivedMessage, raw: bool) -> MaskedMessage {
    let origin = &received.origin;
    let mut message = MaskedMessage {
        listener: origin.listener.to_string(),
        queue: origin.queue.to_string(),
        exchange: origin.exchange.clone(),
        routing_key: origin.routing_key.clone(),
        redelivered: origin.redelivered,
        bytes: received.body.len() as u64,
        digest: received.digest().to_string(),
        publisher_id: None,
        priority: None,
        timestamp: None,
        context: Map::new(),
        payload: Value::Null,
        unreadable: None,
        body_base64: raw.then(|| BASE64_STANDARD.encode(&received.body)),
    };
    match received.decode() {
        Ok(read) => {
            message.publisher_id = read.publisher_id;
            message.priority = read.priority.map(|priority| priority.to_string());
            message.timestamp = read.timestamp;
            message.payload = mask_secrets(&read.payload);
            if let Value::Object(context) = mask_secrets(&Value::Object(read.context)) {
                message.context = context;
            }
        }
        Err(error) => message.unreadable = Some(error.to_string()),
    }
    message
}

fn whole_millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
