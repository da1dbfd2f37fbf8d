//! Changes of dead letters of `memory://`, which are in queues of the broker: retry, discard.

use osnl_transport::QueuedMessage;

use super::super::quarantine::QuarantineChanges;
use super::super::refusal::{Code, RequestRefusal};
use super::super::{ChangeResult, ControlRequest};
use super::ControlHandler;
use crate::dead_letters::{DeadLetterChange, DeadLetterError, DeadLetterQueues, row_of, unread};
use crate::journal::dead_letters::id_of;
use crate::journal::query::{Filter, UnreadableFilter};

const NAMED: usize = 1000;

impl From<DeadLetterError> for RequestRefusal {
    fn from(error: DeadLetterError) -> Self {
        Self::new(Code::Unavailable, error.to_string())
    }
}

impl ControlHandler {
    pub(super) fn dead_letter_queues(&self) -> Option<&DeadLetterQueues> {
        self.store.dead_letters.as_deref().filter(|queues| !queues.is_empty())
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
}
