//! Before the first attempt of a delivery: what the event does not say is asked for, and the action's condition decided.
//!
//! What was found is journalled before anything is called, so that every further attempt sends the same. It has its own
//! time, beside that of the attempt. Where a service cannot be asked, the delivery waits for this dependency; the target has
//! nothing to do with it.

use std::sync::Arc;

use futures_util::future::join_all;
use osnl_template::Expression;
use osnl_transport::BoxFuture;

use crate::action::{ActionError, Done, ErrorClass, Event};
use crate::enrich::Enrichments;
use crate::journal::{DeliveryId, Journal, Learnt};
use crate::oss::{Completed, Completing};
use crate::rule::{WhenMismatch, holds};

/// What an action wants before it is called.
#[derive(Clone, Debug, Default)]
pub struct Prelude {
    /// What is asked for.
    pub enrichments: Option<Enrichments>,
    /// What must hold.
    pub when: Option<Expression>,
    /// Who is asked for what no event has told of an instance.
    pub completing: Option<Completing>,
}

/// What is left to be called, and what is decided without.
pub(super) struct Prepared {
    pub(super) ids: Vec<DeliveryId>,
    pub(super) events: Vec<Event>,
    pub(super) decided: Vec<Decided>,
    /// The services that were asked and have answered.
    pub(super) answered: Vec<Arc<str>>,
}

/// A delivery that needs no call, or cannot have one now.
pub(super) type Decided = (DeliveryId, Event, Result<Done, ActionError>);

impl Prepared {
    /// What of them nobody can be asked for is decided.
    async fn complete(
        &mut self,
        completing: &Completing,
        journal: &dyn Journal,
    ) -> Vec<BoxFuture<'static, ()>> {
        let asked = join_all(self.events.iter().map(|event| completing.complete(event))).await;
        let (ids, events) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.events));
        let mut kept = Vec::new();
        for ((id, mut event), asked) in ids.into_iter().zip(events).zip(asked) {
            match asked {
                Err(error) => {
                    self.decided.push((id, event, Err(error)));
                    continue;
                }
                Ok(None) => {}
                Ok(Some(Completed { enriched, changes })) => {
                    self.answered.push(completing.servers.dependency());
                    let learnt = Learnt { changes, ..Learnt::default() };
                    kept.push(journal.enriched(id, &enriched, learnt));
                    event.enriched = Some(enriched);
                }
            }
            self.ids.push(id);
            self.events.push(event);
        }
        kept
    }
}

impl Prelude {
    pub(super) async fn prepare(
        &self,
        journal: &dyn Journal,
        ids: Vec<DeliveryId>,
        events: Vec<Event>,
    ) -> Prepared {
        if self.enrichments.is_none() && self.when.is_none() && self.completing.is_none() {
            return Prepared { ids, events, decided: Vec::new(), answered: Vec::new() };
        }
        let asked = join_all(events.iter().map(|event| self.ask(event))).await;
        let mut prepared =
            Prepared { ids: Vec::new(), events: Vec::new(), decided: Vec::new(), answered: Vec::new() };
        let mut kept = Vec::new();
        for ((id, mut event), asked) in ids.into_iter().zip(events).zip(asked) {
            let verdict = match asked {
                Err(error) => Some(Err(error)),
                Ok(None) => self.verdict(&event),
                Ok(Some(resolved)) => {
                    event.enriched = Some(resolved.enriched.clone());
                    prepared.answered.extend(resolved.answered);
                    if resolved.new {
                        let learnt = Learnt { objects: resolved.learnt, ..Learnt::default() };
                        kept.push(journal.enriched(id, &resolved.enriched, learnt));
                    }
                    self.verdict(&event)
                }
            };
            match verdict {
                Some(verdict) => prepared.decided.push((id, event, verdict)),
                None => {
                    prepared.ids.push(id);
                    prepared.events.push(event);
                }
            }
        }
        if let Some(completing) = &self.completing {
            kept.extend(prepared.complete(completing, journal).await);
        }
        // Nothing is sent that a later attempt might send otherwise.
        join_all(kept).await;
        prepared
    }

    async fn ask(&self, event: &Event) -> Result<Option<crate::enrich::Resolved>, ActionError> {
        match &self.enrichments {
            None => Ok(None),
            Some(enrichments) => enrichments.resolve(event).await.map(Some),
        }
    }

    /// What follows from the condition; `None` is that the action is called.
    fn verdict(&self, event: &Event) -> Option<Result<Done, ActionError>> {
        let mismatch = holds(self.when.as_ref()?, &event.names()).err()?;
        let why = mismatch.to_string();
        Some(match mismatch {
            WhenMismatch::False(_) | WhenMismatch::Lacks { .. } => Ok(Done::NothingToDo(why)),
            WhenMismatch::Undecided(_) => Err(ActionError::new(ErrorClass::Content, why)),
        })
    }
}
