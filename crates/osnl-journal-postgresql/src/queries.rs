use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use osnl_core::event::AskedFor;
use osnl_core::received::ReceivedMessage;
use osnl_journal::query::{
    Answer, Bodies, BoundedCount, CauseGroup, Change, ChangeOutcome, ChangeSteps, DeliveryDetails,
    DeliveryListRow, DiskUse, Filter, JournalChanges, JournalNumbers, JournalQueries, KeptEvent, ListPage,
    QueryError, StoreFacts, Unreadable, UnreadableFilter,
};
use osnl_journal::{DeliveryId, Journal as _, PausedActions};
use osnl_model::Notification;
use osnl_transport::BoxFuture;

use crate::PostgresJournal;
use crate::session::Session;
use crate::view::events;

const AT_ONCE: usize = 500;

fn answer<'a, T: 'a>(asking: impl Future<Output = Result<T, String>> + Send + 'a) -> Answer<'a, T> {
    Box::pin(async move { asking.await.map_err(QueryError::Unavailable) })
}

impl JournalQueries for PostgresJournal {
    fn facts(&self) -> StoreFacts {
        StoreFacts {
            kind: "postgresql",
            place: Some(self.options.url.to_string()),
            state: Some(self.shared.state.borrow().clone()),
            is_durable: true,
            max_pending: Some(self.shared.gate.max_pending()),
            max_dead: Some(self.options.bounds.max_dead),
            max_bytes: None,
        }
    }

    fn is_at(&self, place: PathBuf) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(place == Path::new(&self.options.url.to_string())))
    }

    fn disk_use(&self) -> BoxFuture<'_, DiskUse> {
        Box::pin(std::future::ready(DiskUse::default()))
    }

    fn numbers(&self) -> Answer<'_, JournalNumbers> {
        answer(async move {
            let found = self.view.numbers(&self.options, &self.shared.token()).await?;
            let seen = self.shared.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Ok(JournalNumbers { members: seen.members, unowned: Some(seen.unowned), refused, ..found })
        })
    }

    fn paused_actions(&self) -> Answer<'_, PausedActions> {
        Box::pin(std::future::ready(Ok(self.shared.paused.borrow().clone())))
    }

    fn list(
        &self,
        filter: Filter,
        page: ListPage,
        most: u64,
    ) -> Answer<'_, (Vec<DeliveryListRow>, BoundedCount)> {
        answer(async move { self.view.list(&self.options, &filter, &page, most).await })
    }

    fn groups(&self, filter: Filter, most: u64) -> Answer<'_, (Vec<CauseGroup>, BoundedCount)> {
        answer(async move { self.view.groups(&self.options, &filter, most).await })
    }

    fn show(&self, id: DeliveryId) -> Answer<'_, Option<DeliveryDetails>> {
        answer(self.view.show(&self.options, id))
    }

    fn asked_for(&self, deliveries: Vec<DeliveryListRow>) -> Answer<'_, Vec<AskedFor>> {
        answer(async move {
            let query = async |session: &mut Session| events::asked_for(session, &[deliveries]).await;
            Ok(self.view.read(&self.options, query).await?.pop().unwrap_or_default())
        })
    }

    fn event(&self, number: u64) -> Answer<'_, Option<KeptEvent>> {
        answer(self.view.event(&self.options, number))
    }

    fn keeps(&self, messages: Vec<(Arc<ReceivedMessage>, Arc<Notification>)>) -> Answer<'_, u64> {
        answer(async move { self.view.keeps(&self.options, &messages).await })
    }

    fn quarantined(
        &self,
        filter: UnreadableFilter,
        after: i64,
        limit: u32,
        bodies: Bodies,
    ) -> Answer<'_, Vec<Unreadable>> {
        answer(async move { self.view.quarantined(&self.options, &filter, (after, limit), bodies).await })
    }

    fn numbers_quarantined(&self, filter: UnreadableFilter) -> Answer<'_, Vec<i64>> {
        answer(async move { self.view.numbers_quarantined(&self.options, &filter).await })
    }

    fn set_paused<'a>(&'a self, action: &'a str, by: Option<&'a str>) -> Answer<'a, ()> {
        answer(async move {
            self.view.set_paused(&self.options, action, by).await?;
            // The other members see it at their next look.
            let mut paused: PausedActions = self.shared.paused.borrow().clone();
            if by.is_some() {
                paused.entry(action.to_owned()).or_insert_with(SystemTime::now);
            } else {
                paused.remove(action);
            }
            self.shared.set_paused(paused);
            Ok(())
        })
    }

    fn open_to_change(self: Arc<Self>) -> Answer<'static, Arc<dyn JournalChanges>> {
        let can_be_changed = self.state().borrow().can_be_changed();
        Box::pin(async move { can_be_changed.map(|()| self as Arc<dyn JournalChanges>) })
    }
}

impl JournalChanges for PostgresJournal {
    fn changing(&self, change: Change, is_dry_run: bool) -> Box<dyn ChangeSteps + '_> {
        Box::new(ChangeRun { journal: self, change, is_dry_run, selected: None, at: 0 })
    }

    fn forget_quarantined(&self, ids: Vec<i64>) -> Answer<'_, u64> {
        answer(async move { self.view.forget_quarantined(&self.options, &ids).await })
    }
}

impl PostgresJournal {
    pub(crate) async fn select(&self, change: &Change) -> Result<Vec<DeliveryId>, String> {
        self.view.select(&self.options, change).await
    }

    /// Asks the owning daemons to change deliveries; a dry run changes nothing. A daemon that does not answer
    /// has changed nothing, and the result reports that.
    pub(crate) async fn change(
        &self,
        change: &Change,
        ids: Vec<DeliveryId>,
        is_dry_run: bool,
    ) -> Result<ChangeOutcome, String> {
        self.view.change(&self.options, &self.shared, (change, &ids, is_dry_run)).await
    }
}

struct ChangeRun<'a> {
    journal: &'a PostgresJournal,
    change: Change,
    is_dry_run: bool,
    selected: Option<Vec<DeliveryId>>,
    at: usize,
}

impl ChangeSteps for ChangeRun<'_> {
    fn progress(&self) -> (u64, u64) {
        (self.at as u64, self.selected.as_ref().map_or(0, |selected| selected.len() as u64))
    }

    fn next(&mut self) -> Answer<'_, Option<ChangeOutcome>> {
        answer(async move {
            if self.selected.is_none() {
                self.selected = Some(self.journal.select(&self.change).await?);
            }
            let selected = self.selected.as_deref().unwrap_or_default();
            let rest = selected.get(self.at..).unwrap_or_default();
            let ids: Vec<DeliveryId> = rest.iter().take(AT_ONCE).copied().collect();
            if ids.is_empty() {
                return Ok(None);
            }
            self.at += ids.len();
            self.journal.change(&self.change, ids, self.is_dry_run).await.map(Some)
        })
    }
}
