//! Requests about dead letters of `memory://`, which are in queues of the broker: list, show, retry, discard.

use osnl_core::quarantine::Glimpse;
use osnl_transport::QueuedMessage;

use super::super::quarantine::QuarantineChanges;
use super::super::refusal::{Code, RequestRefusal};
use super::super::{ChangeResult, ControlRequest, JournalStatus, time};
use super::{ControlHandler, Store};
use crate::dead_letters::{DeadLetterChange, DeadLetterError, DeadLetterQueues};
use crate::journal::JournalState;
use crate::journal::dead_letters::{DeadLetterRow, id_of};
use crate::journal::sqlite::{DeliveryDetails, DeliveryListRow, Filter, Unreadable, UnreadableFilter};

const NAMED: usize = 1000;

impl From<DeadLetterError> for RequestRefusal {
    fn from(error: DeadLetterError) -> Self {
        Self::new(Code::Unavailable, error.to_string())
    }
}

impl ControlHandler {
    pub(super) fn dead_letter_queues(&self) -> Option<&DeadLetterQueues> {
        match &self.store {
            Store::Memory(_, queues) => Some(&**queues).filter(|queues| !queues.is_empty()),
            Store::Sqlite(..) | Store::Shared(..) => None,
        }
    }

    /// Returns the matching dead letters, and whether more wait than one reading holds; none without such
    /// queues.
    pub(super) async fn dead_letters(
        &self,
        filter: &Filter,
    ) -> Result<(Vec<DeliveryListRow>, bool), RequestRefusal> {
        let Some(queues) = self.dead_letter_queues() else { return Ok(Default::default()) };
        let (found, has_more) = queues.read(|_| false).await?;
        Ok((found.iter().filter_map(row_of).filter(|row| filter.matches(row)).collect(), has_more))
    }

    pub(super) async fn dead_letter(&self, id: u64) -> Result<Option<DeliveryDetails>, RequestRefusal> {
        let Some(queues) = self.dead_letter_queues() else { return Ok(None) };
        let (found, _) = queues.read(|message| id_of(message) == id).await?;
        let message = found.iter().find(|message| id_of(message) == id);
        Ok(message.map(DeadLetterRow::read).and_then(|read| match read {
            DeadLetterRow::Delivery(found) => {
                let (row, received) = *found;
                let (tries, others, behind) = (Vec::new(), Vec::new(), (Vec::new(), 0));
                Some(DeliveryDetails { row, tries, received, ahead: 0, behind, others })
            }
            DeadLetterRow::Unreadable(_) => None,
        }))
    }

    pub(super) async fn change_dead_letters(
        &self,
        queues: &DeadLetterQueues,
        request: &ControlRequest,
        filter: &Filter,
    ) -> Result<ChangeResult, RequestRefusal> {
        let (change, dry_run, by) = match request {
            ControlRequest::Retry { dry_run, by, .. } => (DeadLetterChange::Retry, *dry_run, by),
            ControlRequest::Discard { dry_run, by, .. } => (DeadLetterChange::Discard, *dry_run, by),
            _ => {
                let why = "with memory:// only dead letters can be changed, by retry and discard: what is open is the \
                           broker's; pause and resume work";
                return Err(RequestRefusal::new(Code::Unsupported, why));
            }
        };
        let is_meant = |message: &QueuedMessage| row_of(message).is_some_and(|row| filter.matches(&row));
        let mut changed = Vec::new();
        if dry_run {
            changed = queues.read(|_| false).await?.0.iter().filter(|one| is_meant(one)).map(id_of).collect();
        } else if let Err(error) = queues.change(change, is_meant, &mut changed).await {
            let why = format!("{error}; {} dead letters were changed before", changed.len());
            return Err(RequestRefusal::new(Code::Unavailable, why));
        }
        if !dry_run && !changed.is_empty() {
            let (word, deliveries) = (request.changed_word(), changed.len());
            tracing::info!(change = word, deliveries, by, "an operator changed deliveries");
        }
        let mut changes = ChangeResult { dry_run, changed: changed.len() as u64, ..ChangeResult::default() };
        let ids = changed.iter().take(NAMED).map(|id| crate::journal::DeliveryId(*id).to_string());
        changes.ids = ids.collect();
        for id in filter.ids.iter().filter(|id| !changed.contains(&id.0)) {
            let why = "there is no dead letter of this number, or another filter excludes it; with memory:// only dead \
                       letters can be changed";
            changes.refuse(*id, why.to_owned());
        }
        Ok(changes)
    }

    /// Returns the matching unreadable messages, oldest first; with its body if one is requested by number.
    pub(super) async fn unread_letters(
        &self,
        queues: &DeadLetterQueues,
        filter: &UnreadableFilter,
    ) -> Result<Vec<Unreadable>, RequestRefusal> {
        let wants_body = |message: &QueuedMessage| filter.ids.len() == 1 && is_named(filter, message);
        let (found, _) = queues.read(wants_body).await?;
        let mut found: Vec<Unreadable> = found.iter().filter_map(|message| unread(message, filter)).collect();
        found.sort_by_key(|one| one.id);
        Ok(found)
    }

    /// Returns messages to the queue of their listener, or removes them.
    pub(super) async fn change_unread_letters(
        &self,
        queues: &DeadLetterQueues,
        change: DeadLetterChange,
        filter: &UnreadableFilter,
        (dry_run, by): (bool, &str),
    ) -> Result<QuarantineChanges, RequestRefusal> {
        let is_meant = |message: &QueuedMessage| unread(message, filter).is_some();
        let mut changed = Vec::new();
        if dry_run {
            changed = queues.read(|_| false).await?.0.iter().filter(|one| is_meant(one)).map(id_of).collect();
        } else {
            queues.change(change, is_meant, &mut changed).await?;
        }
        let messages = changed.len();
        match change {
            _ if dry_run || messages == 0 => {}
            DeadLetterChange::Retry => {
                tracing::info!(messages, by, "an operator retried messages of the quarantine");
            }
            DeadLetterChange::Discard => {
                tracing::warn!(messages, by, "an operator discarded messages of the quarantine");
            }
        }
        let mut changes = QuarantineChanges { dry_run, ..QuarantineChanges::default() };
        let changed: Vec<i64> = changed.into_iter().filter_map(|id| i64::try_from(id).ok()).collect();
        changed.iter().for_each(|id| changes.changed(*id));
        super::quarantine::refuse_missing(&mut changes, &filter.ids, &changed);
        Ok(changes)
    }

    /// Returns the state of a journal in memory; its dead letters are those that the broker has reported.
    pub(super) fn memory_status(queues: &DeadLetterQueues, deliveries: u64) -> JournalStatus {
        let states = queues.states();
        let names: Vec<&str> = states.iter().map(|state| &*state.queue).collect();
        let trouble = states.iter().find_map(|state| state.trouble.clone());
        let since = trouble.as_ref().map(|(since, _)| *since);
        let state = match trouble.clone() {
            Some((since, reason)) => JournalState::Full { reason, since },
            None => JournalState::Working,
        };
        JournalStatus {
            store: "memory".to_owned(),
            path: (!names.is_empty()).then(|| format!("dead letters in queue {}", names.join(", "))),
            state: Some(state.name().to_owned()),
            reason: trouble.map(|(_, reason)| reason),
            since: since.map(time::shown),
            since_seconds: since.map(time::age),
            dead: states.iter().filter_map(|state| state.count).sum(),
            deliveries,
            ..JournalStatus::default()
        }
    }
}

fn row_of(message: &QueuedMessage) -> Option<DeliveryListRow> {
    match DeadLetterRow::read(message) {
        DeadLetterRow::Delivery(found) => Some(found.0),
        DeadLetterRow::Unreadable(_) => None,
    }
}

fn is_named(filter: &UnreadableFilter, message: &QueuedMessage) -> bool {
    i64::try_from(id_of(message)).is_ok_and(|id| filter.ids.contains(&id))
}

/// Returns the message if it is unreadable and matches.
fn unread(message: &QueuedMessage, filter: &UnreadableFilter) -> Option<Unreadable> {
    let DeadLetterRow::Unreadable(found) = DeadLetterRow::read(message) else { return None };
    let UnreadableFilter { ids, queue, reason, since, until } = filter;
    let received = found.received.origin.received;
    let is_meant = (ids.is_empty() || ids.contains(&found.id))
        && queue.as_ref().is_none_or(|queue| **queue == *found.received.origin.queue)
        && reason.as_ref().is_none_or(|reason| found.reason.contains(&**reason))
        && since.is_none_or(|since| received >= since)
        && until.is_none_or(|until| received < until);
    let glimpse = Glimpse::of(&found.received.body);
    is_meant.then(|| Unreadable { glimpse, ..*found })
}
