use std::sync::Arc;

use osnl_model::Notification;

use super::super::ReplayResult;
use super::super::again::Again;
use super::super::refusal::{Code, RequestRefusal};
use super::change::unavailable;
use super::{ControlHandler, Store};
use crate::journal::sqlite::KeptEvent;
use crate::journal::{Entry, Journal};
use crate::received::ReceivedMessage;
use crate::replay::{self, ReplayError, ReplaySettings};

impl ControlHandler {
    pub(super) async fn replay(
        &self,
        events: &[Again],
        keep_ids: bool,
        by: &str,
    ) -> Result<ReplayResult, RequestRefusal> {
        let journal: &dyn Journal = match &self.store {
            Store::Sqlite(Some(journal), _) => &**journal,
            Store::Shared(journal, _) => &**journal,
            Store::Memory(..) | Store::Sqlite(None, _) => {
                let why = "events are replayed into a journal on disk that a daemon has; osnl replay appends to that of \
                           a stopped one";
                return Err(RequestRefusal::new(Code::Unsupported, why));
            }
        };
        let how = ReplaySettings { keep_ids, ..ReplaySettings::default() };
        // All events are parsed before the first is appended.
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            entries.push(self.entry(event, how).await?);
        }
        let kept_already = if keep_ids {
            let known = entries.iter().map(|entry| (entry.received.clone(), entry.notification.clone()));
            let known: Vec<_> = known.collect();
            self.kept_already(known).await?
        } else {
            0
        };
        let asked = entries.len() as u64;
        let appended = replay::append(journal, entries, how).await.map_err(|error| match error {
            ReplayError::Stuck { .. } | ReplayError::Unknown { .. } | ReplayError::Closed { .. } => {
                RequestRefusal::new(Code::Unavailable, error.to_string())
            }
        })?;
        tracing::info!(events = appended, asked, by, "an operator replayed events");
        Ok(ReplayResult { appended: appended.saturating_sub(kept_already), kept_already })
    }

    /// Counts the messages that are no second events.
    async fn kept_already(
        &self,
        known: Vec<(Arc<ReceivedMessage>, Arc<Notification>)>,
    ) -> Result<u64, RequestRefusal> {
        if let Store::Shared(journal, _) = &self.store {
            return journal.keeps(known).await.map_err(unavailable);
        }
        let keeps = move |reader: &crate::journal::sqlite::SqliteReader| {
            let mut found = 0;
            for (received, notification) in &known {
                found += u64::from(reader.keeps(received, notification)?);
            }
            Ok(found)
        };
        Ok(self.read(keeps).await?.unwrap_or_default())
    }

    async fn event(&self, number: u64) -> Result<Option<KeptEvent>, RequestRefusal> {
        if let Store::Shared(journal, _) = &self.store {
            return journal.event(number).await.map_err(unavailable);
        }
        Ok(self.read(move |reader| reader.event(number)).await?.flatten())
    }

    async fn entry(&self, again: &Again, how: ReplaySettings) -> Result<Entry, RequestRefusal> {
        let bad = |why: String| RequestRefusal::new(Code::BadRequest, why);
        if again.deliveries.is_empty() {
            return Err(bad("an event without deliveries asks for nothing".to_owned()));
        }
        for wanted in &again.deliveries {
            self.is_configured(&wanted.action)?;
        }
        let received = match (again.event, &again.message) {
            (Some(number), None) => {
                let event = self.event(number).await?;
                let gone = || {
                    RequestRefusal::new(Code::NotFound, format!("event {number} is no longer in the journal"))
                };
                event.ok_or_else(gone)?.received
            }
            (None, Some(message)) => message.received()?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(bad("an event has either a number or a message".to_owned()));
            }
        };
        let notification =
            received.decode().map_err(|error| bad(format!("a message cannot be read: {error}")))?;
        let deliveries = again.deliveries.iter().map(super::super::again::RuleWish::delivery).collect();
        Ok(replay::entry(received, &Arc::new(notification), deliveries, how))
    }
}
