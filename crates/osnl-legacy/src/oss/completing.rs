//! Asks once, before the first attempt of a delivery, for details that no event contained.
//!
//! The answers are stored with the delivery, so that each attempt sends the same, even after a
//! restart. The [`Watcher`] learns the answers: a later deletion has the details of its instance,
//! even if the APIs have forgotten it.

use std::sync::Arc;
use std::time::SystemTime;

use osnl_net::http::Expiry;
use osnl_transport::BoxFuture;

use super::asked::CloudLookup;
use super::event::Lists;
use super::servers::{Complete, Servers, completed};
use super::told::{EventReport, HAPPENED};
use super::watched::WatchedActions;
use super::watcher::Watcher;
use osnl_action::driver::{Interest, SharedObserver};
use osnl_action::{ActionError, Event};
use osnl_delivery::enrich::EnrichmentStep;
use osnl_delivery::{Answers, Prepare};

#[derive(Clone, Debug)]
pub struct CompletionStep {
    pub servers: Arc<dyn Servers>,
    pub lists: Lists,
    pub watcher: Arc<Watcher>,
}

impl CompletionStep {
    async fn complete(&self, event: &Event) -> Result<Option<Answers>, ActionError> {
        let before = event.enriched.as_deref();
        if before.is_some_and(|kept| kept.contains_key(HAPPENED)) {
            return Ok(None);
        }
        let calls = match EventReport::from_event(event, &self.lists) {
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
        // Stored as text, which keeps the order of metadata's keys.
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

    fn failed_at(&self) -> Option<SystemTime> {
        self.servers.failed_at()
    }
}

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
        Some(Arc::new(CompletionStep {
            servers: Arc::new(CloudLookup::for_step(step)),
            lists,
            watcher: self,
        }))
    }
}
