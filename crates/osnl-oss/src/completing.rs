//! Before the first attempt of a delivery: what no event has told is asked for, once, and kept.
//!
//! The answers are journalled with the delivery, so that each further attempt sends the same, after a restart too. The
//! [`Watcher`] knows them from then on: a later deletion has the details of its instance, even if the APIs have
//! forgotten it.

use std::sync::Arc;

use osnl_core::event::HAPPENED;
use osnl_http::Expiry;
use osnl_transport::BoxFuture;

use super::asked::CloudLookup;
use super::event::Lists;
use super::servers::{Complete, Servers, completed};
use super::told::EventReport;
use super::watched::WatchedActions;
use super::watcher::Watcher;
use osnl_actions::driver::{Interest, SharedObserver};
use osnl_actions::{ActionError, Event};
use osnl_delivery::enrich::EnrichmentStep;
use osnl_delivery::{Answers, Prepare};

/// Asks, before the first attempt of a delivery, for what no event has told of it; what is found is kept with the delivery
/// and remembered.
#[derive(Clone, Debug)]
pub struct CompletionStep {
    /// The source of the answers.
    pub servers: Arc<dyn Servers>,
    /// The event types of allocations and of releases.
    pub lists: Lists,
    /// The memory of the answers.
    pub watcher: Arc<Watcher>,
}

impl CompletionStep {
    /// Returns `None` if no question was needed, or if the answers are already kept.
    ///
    /// # Errors
    /// A source cannot be asked now, and the answers of the others are not kept.
    async fn complete(&self, event: &Event) -> Result<Option<Answers>, ActionError> {
        let before = event.enriched.as_deref();
        if before.is_some_and(|kept| kept.contains_key(HAPPENED)) {
            return Ok(None);
        }
        let calls = match EventReport::of(event, &self.lists) {
            EventReport::Calls(calls) => calls,
            EventReport::Nothing(_) => return Ok(None),
        };
        let (mut all, mut asked) = (Vec::new(), false);
        for call in calls {
            let complete = completed(call.happened, &*self.servers).await?;
            asked |= complete.asked;
            all.push(complete);
        }
        if !asked {
            return Ok(None);
        }
        let found = all.iter().filter(|complete| complete.asked);
        let learnt = self.watcher.learn(found);
        let happened: Vec<_> = all.into_iter().map(|Complete { happened, .. }| happened).collect();
        let mut enriched = before.cloned().unwrap_or_default();
        // As a text: metadata keeps the order of its keys. Texts and numbers can always be written.
        let text = serde_json::to_string(&happened).unwrap_or_default();
        enriched.insert(HAPPENED.to_owned(), text.into());
        Ok(Some(Answers { enriched: Arc::new(enriched), learnt, answered: vec![self.servers.dependency()] }))
    }
}

impl Prepare for CompletionStep {
    fn prepare<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<Option<Answers>, ActionError>> {
        Box::pin(self.complete(event))
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.servers.expiries()
    }
}

/// The interest of an action that has to know what an event means against what was seen before.
pub(crate) fn interest(lists: Lists) -> Interest {
    Interest {
        observer: |earlier| Arc::new(Watcher::new(WatchedActions::default(), earlier)),
        subject: Arc::new(lists),
    }
}

impl SharedObserver for Watcher {
    fn serve(&self, actions: Vec<(Arc<str>, Interest)>) {
        let mut watched = WatchedActions::default();
        for (action, interest) in actions {
            if let Some(lists) = interest.subject.downcast_ref::<Lists>() {
                watched.add(action, lists.clone());
            }
        }
        self.watch(watched);
    }

    fn preparation(self: Arc<Self>, interest: &Interest, step: &EnrichmentStep) -> Option<Arc<dyn Prepare>> {
        let lists = interest.subject.downcast_ref::<Lists>()?.clone();
        Some(Arc::new(CompletionStep { servers: Arc::new(CloudLookup::of(step)), lists, watcher: self }))
    }
}
