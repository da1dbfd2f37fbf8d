//! Messages that are kept unread: lists, removal, and another run through the rules.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::super::quarantine::{
    MessageAgain, QuarantineChanges, QuarantineList, QuarantineShow, QuarantinedMessage, WhichMessages,
};
use super::super::refusal::{Code, RequestRefusal};
use super::super::request::{MOST_LISTED, parse_time};
use super::super::{RuleDelivery, time};
use super::ControlHandler;
use super::change::{PATIENCE, close};
use crate::dead_letters::{DeadLetterChange, missing_letter};
use crate::journal::Entry;
use crate::journal::query::{Bodies, QueryError, Unreadable, UnreadableFilter};
use crate::journal::sqlite::SqliteJournal;
use crate::native::LoadedConf;
use crate::quarantine;
use crate::replay::{self, ReplayError, ReplaySettings};

const AT_ONCE: usize = 1000;
const MOST_BY_RULES: usize = 200;
/// After this time no further message is read for a request.
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Retrial {
    journal: Option<Arc<SqliteJournal>>,
    changes: QuarantineChanges,
}

impl ControlHandler {
    pub(super) async fn list_quarantined(
        &self,
        filter: &WhichMessages,
        after: i64,
        limit: u32,
    ) -> Result<QuarantineList, RequestRefusal> {
        if !(1..=MOST_LISTED).contains(&limit) {
            return Err(RequestRefusal::new(
                Code::BadRequest,
                format!("limit: allowed are 1 to {MOST_LISTED}"),
            ));
        }
        self.has_queue(filter).await?;
        let filter = filter.filter()?;
        let mut found =
            self.store.journal.quarantined(filter.clone(), after, limit + 1, Bodies::Left).await?;
        let total = self.store.journal.numbers_quarantined(filter).await?.len() as u64;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(|last| last.id);
        let is_at_least = self.has_more_letters().await;
        Ok(QuarantineList { messages: found.iter().map(message).collect(), total, is_at_least, next })
    }

    pub(super) async fn show_quarantined(
        &self,
        id: i64,
        raw: bool,
    ) -> Result<QuarantineShow, RequestRefusal> {
        let found = self.quarantined(id).await?;
        let properties = &found.received.properties;
        let text = |text: Option<&str>| text.map(str::to_owned);
        Ok(QuarantineShow {
            message: message(&found),
            preview: quarantine::preview(&found.received.body),
            content_type: text(properties.content_type.as_deref()),
            content_encoding: text(properties.content_encoding.as_deref()),
            compression: properties.compression.clone(),
            body_base64: raw.then(|| BASE64_STANDARD.encode(&found.received.body)),
        })
    }

    pub(super) async fn discard_quarantined(
        &self,
        filter: &WhichMessages,
        dry_run: bool,
        by: &str,
    ) -> Result<QuarantineChanges, RequestRefusal> {
        self.has_queue(filter).await?;
        let named = filter.ids.clone();
        if let Some(queues) = self.dead_letter_queues() {
            let change = DeadLetterChange::Discard;
            return self.change_unread_letters(queues, change, filter, (dry_run, by)).await;
        }
        let found = self.store.journal.numbers_quarantined(filter.filter()?).await?;
        let mut changes = QuarantineChanges { dry_run, ..QuarantineChanges::default() };
        if !dry_run && !found.is_empty() {
            let journal = self.store.journal.clone().open_to_change().await?;
            for some in found.chunks(AT_ONCE) {
                forget(&journal, some.to_vec()).await?;
            }
            close(journal).await;
            let (messages, filter) = (found.len(), filter.to_string());
            tracing::warn!(messages, filter, by, "an operator discarded messages of the quarantine");
        }
        found.iter().for_each(|id| changes.changed(*id));
        refuse_missing(&mut changes, &named, &found, false);
        Ok(changes)
    }

    pub(super) async fn retry_quarantined(
        &self,
        messages: &[MessageAgain],
        by: &str,
    ) -> Result<QuarantineChanges, RequestRefusal> {
        let ids = messages.iter().map(|again| again.id).collect();
        let filter = WhichMessages { ids, ..WhichMessages::default() };
        if let Some(queues) = self.dead_letter_queues() {
            return self.change_unread_letters(queues, DeadLetterChange::Retry, &filter, (false, by)).await;
        }
        let mut retrial = Retrial::default();
        for again in messages {
            let entry = self.again(again).await;
            self.retry_one(again.id, entry, &mut retrial).await?;
        }
        Ok(self.ended(retrial, &filter, by).await)
    }

    /// Appends one message and removes it from the quarantine, so that one body is in memory.
    async fn retry_one(
        &self,
        id: i64,
        entry: Result<Entry, RequestRefusal>,
        retrial: &mut Retrial,
    ) -> Result<(), RequestRefusal> {
        let entry = match entry {
            Ok(entry) => entry,
            Err(refusal) => {
                retrial.changes.refuse(id, refusal.message);
                return Ok(());
            }
        };
        let journal = match retrial.journal.take() {
            Some(journal) => journal,
            None => self.store.journal.clone().open_to_change().await?,
        };
        // With its own ids, a message that was appended before a failure is no second event when it is
        // appended again.
        let how = ReplaySettings { keep_ids: true, ..ReplaySettings::default() };
        match replay::append(&*journal, vec![entry], how).await {
            Ok(_) => {
                forget(&journal, vec![id]).await?;
                retrial.changes.changed(id);
            }
            Err(
                error
                @ (ReplayError::Stuck { .. } | ReplayError::Unknown { .. } | ReplayError::Closed { .. }),
            ) => {
                retrial.changes.refuse(id, format!("it stays here: {error}"));
            }
        }
        retrial.journal = Some(journal);
        Ok(())
    }

    async fn ended(&self, retrial: Retrial, filter: &WhichMessages, by: &str) -> QuarantineChanges {
        let Retrial { journal, changes } = retrial;
        if let Some(journal) = journal {
            close(journal).await;
            let filter = filter.to_string();
            tracing::info!(
                messages = changes.changed,
                filter,
                by,
                "an operator retried messages of the quarantine"
            );
        }
        changes
    }

    /// Sends messages through the rules in force; `osnl quarantine retry` uses the rules of the files.
    ///
    /// # Errors
    /// No daemon runs here, it keeps no quarantine, more than 200 messages match, or the journal cannot be
    /// read or written.
    pub async fn retry_by_rules(
        &self,
        filter: &WhichMessages,
        dry_run: bool,
        by: &str,
    ) -> Result<QuarantineChanges, RequestRefusal> {
        let Some(loaded) = self.loaded() else {
            return Err(RequestRefusal::new(Code::Unsupported, "no daemon with a configuration runs here"));
        };
        self.has_queue(filter).await?;
        if let Some(queues) = self.dead_letter_queues() {
            let change = DeadLetterChange::Retry;
            return self.change_unread_letters(queues, change, filter, (dry_run, by)).await;
        }
        let named = filter.ids.clone();
        let found = self.store.journal.numbers_quarantined(filter.filter()?).await?;
        if found.len() > MOST_BY_RULES {
            let why = format!(
                "{} messages match; allowed are {MOST_BY_RULES} at a time: search for fewer, or use osnl quarantine retry",
                found.len()
            );
            return Err(RequestRefusal::new(Code::BadRequest, why));
        }
        let begun = Instant::now();
        let changes = QuarantineChanges { dry_run, ..QuarantineChanges::default() };
        let mut retrial = Retrial { changes, ..Retrial::default() };
        refuse_missing(&mut retrial.changes, &named, &found, false);
        for id in found {
            if begun.elapsed() > LONGEST {
                retrial.changes.refuse(id, "there was no time left for it: retry fewer messages at a time");
                continue;
            }
            match self.planned(id, loaded.clone()).await {
                Ok(_) if dry_run => retrial.changes.changed(id),
                Ok((again, found)) => {
                    let entry = self.can_be_made(&again).and_then(|()| entry(&again, found));
                    self.retry_one(id, entry, &mut retrial).await?;
                }
                Err(why) => retrial.changes.refuse(id, why),
            }
        }
        Ok(self.ended(retrial, filter, by).await)
    }

    async fn planned(&self, id: i64, loaded: Arc<LoadedConf>) -> Result<(MessageAgain, Unreadable), String> {
        let found = self.quarantined(id).await.map_err(|refusal| refusal.message)?;
        is_whole(&found).map_err(|refusal| refusal.message)?;
        let received = found.received.clone();
        let planned = spawn_blocking(move || MessageAgain::planned(&loaded.conf, id, received));
        let again = planned.await.unwrap_or_else(|error| Err(error.to_string()))?;
        Ok((again, found))
    }

    async fn again(&self, again: &MessageAgain) -> Result<Entry, RequestRefusal> {
        self.can_be_made(again)?;
        let found = self.quarantined(again.id).await?;
        is_whole(&found)?;
        entry(again, found)
    }

    fn can_be_made(&self, again: &MessageAgain) -> Result<(), RequestRefusal> {
        if again.deliveries.is_empty() {
            return Err(RequestRefusal::new(Code::BadRequest, "no rule asks for anything"));
        }
        again.deliveries.iter().try_for_each(|wanted| self.is_configured(&wanted.action))
    }

    async fn quarantined(&self, id: i64) -> Result<Unreadable, RequestRefusal> {
        let filter = UnreadableFilter { ids: vec![id], ..UnreadableFilter::default() };
        let found = self.store.journal.quarantined(filter, -1, 1, Bodies::Read).await?.pop();
        found.ok_or_else(|| {
            RequestRefusal::new(Code::NotFound, format!("there is no message {id} in the quarantine"))
        })
    }
}

pub(super) fn refuse_missing(changes: &mut QuarantineChanges, named: &[i64], found: &[i64], has_more: bool) {
    for id in named.iter().filter(|id| !found.contains(id)) {
        let why = "there is no message with this number, or another filter excludes it".to_owned();
        changes.refuse(*id, missing_letter(why, has_more));
    }
}

fn is_whole(found: &Unreadable) -> Result<(), RequestRefusal> {
    if found.extent.is_whole() {
        return Ok(());
    }
    let why = format!(
        "only the first {} of its {} bytes are kept: it cannot be retried",
        found.received.body.len(),
        found.size
    );
    Err(RequestRefusal::new(Code::Unsupported, why))
}

fn entry(again: &MessageAgain, found: Unreadable) -> Result<Entry, RequestRefusal> {
    let unread = |error| RequestRefusal::new(Code::Unsupported, format!("it still cannot be read: {error}"));
    let notification = found.received.decode().map_err(unread)?;
    let deliveries = again.deliveries.iter().map(RuleDelivery::delivery).collect();
    let how = ReplaySettings { keep_ids: true, ..ReplaySettings::default() };
    Ok(replay::entry(found.received, &Arc::new(notification), deliveries, how))
}

async fn forget(journal: &SqliteJournal, ids: Vec<i64>) -> Result<(), RequestRefusal> {
    let not_now = |_| {
        RequestRefusal::new(
            Code::Unavailable,
            "the journal cannot be written now; what was asked for is done as soon as it can: look at it with osnl status",
        )
    };
    let forgotten = timeout(PATIENCE, journal.forget_quarantined(ids)).await.map_err(not_now)?;
    Ok(forgotten.map_err(QueryError::from)?)
}

impl WhichMessages {
    pub(super) fn filter(&self) -> Result<UnreadableFilter, RequestRefusal> {
        Ok(UnreadableFilter {
            ids: self.ids.clone(),
            queue: self.queue.clone(),
            reason: self.reason.clone(),
            since: parse_time("since", self.since.as_deref())?,
            until: parse_time("until", self.until.as_deref())?,
        })
    }
}

fn message(found: &Unreadable) -> QuarantinedMessage {
    let origin = &found.received.origin;
    QuarantinedMessage {
        id: found.id,
        received: time::shown(origin.received),
        age_seconds: time::age(origin.received),
        reason: found.reason.clone(),
        listener: origin.listener.to_string(),
        queue: origin.queue.to_string(),
        exchange: origin.exchange.clone(),
        routing_key: origin.routing_key.clone(),
        redelivered: origin.redelivered,
        publisher_id: found.glimpse.publisher_id.clone(),
        message_id: found.glimpse.message_id.clone(),
        event_type: found.glimpse.event_type.clone(),
        digest: found.digest.clone(),
        bytes: found.size,
        is_whole: found.extent.is_whole(),
    }
}
