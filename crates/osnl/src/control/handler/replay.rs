use std::sync::Arc;

use tokio::time::Instant;

use super::super::ReplayResult;
use super::super::again::Again;
use super::super::refusal::{Code, RequestRefusal};
use super::ControlHandler;
use crate::journal::{Begin, Entry};
use crate::replay::{self, ReplayError, ReplaySettings};

impl ControlHandler {
    pub(super) async fn replay(
        &self,
        events: &[Again],
        keep_ids: bool,
        guarded: bool,
        by: &str,
    ) -> Result<ReplayResult, RequestRefusal> {
        if self.live.is_none() || !self.store.journal.facts().is_durable {
            let why = "events are replayed into a journal on disk that a daemon has; osnl replay appends to that of a \
                       stopped one";
            return Err(RequestRefusal::new(Code::Unsupported, why));
        }
        let journal = self.store.journal.clone().open_to_change().await?;
        let how = ReplaySettings { keep_ids, ..ReplaySettings::default() };
        // All events are parsed before the first is appended.
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            entries.push(self.entry(event, how).await?);
        }
        let kept_already = if keep_ids {
            let known = entries.iter().map(|entry| (entry.received.clone(), entry.notification.clone()));
            let known: Vec<_> = known.collect();
            self.store.journal.keeps(known).await?
        } else {
            0
        };
        if guarded {
            self.guard(&mut entries);
        }
        let asked = entries.len() as u64;
        let appended = replay::append(&*journal, entries, how).await.map_err(|error| match error {
            ReplayError::Stuck { .. } | ReplayError::Unknown { .. } | ReplayError::Closed { .. } => {
                RequestRefusal::new(Code::Unavailable, error.to_string())
            }
        })?;
        tracing::info!(events = appended, asked, by, "an operator replayed events");
        Ok(ReplayResult { appended: appended.saturating_sub(kept_already), kept_already })
    }

    /// Lets guards hold the deliveries that they would hold of the broker's messages.
    fn guard(&self, entries: &mut [Entry]) {
        let Some(guards) = self.guards.as_ref().map(|guards| guards.now()) else { return };
        for Entry { notification, deliveries, .. } in entries {
            for new in deliveries.iter_mut().filter(|new| new.begin == Begin::Live) {
                let own = || {
                    format!("{}#{}", notification.id().unwrap_or_default(), new.resource.unwrap_or_default())
                };
                let key = new.key.clone().unwrap_or_else(own);
                let verdict = guards.verdict(&new.rule, &new.action, &key, Instant::now());
                new.begin = verdict.map_or(Begin::Live, Begin::Held);
            }
        }
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
                let event = self.store.journal.event(number).await?;
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
        let deliveries = again.deliveries.iter().map(super::super::again::RuleDelivery::delivery).collect();
        Ok(replay::entry(received, &Arc::new(notification), deliveries, how))
    }
}
