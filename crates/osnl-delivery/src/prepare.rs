//! Work before the first attempt of a delivery: preparations ask for values that the event lacks, and the action's
//! condition is decided.
//!
//! Answers are journalled before the call, so that every further attempt sends the same. A preparation has its own
//! time-out. If a service is unreachable, the delivery waits for this dependency, and the target is not to blame.
//!
//! A step that only asks before an attempt implements [`Prepare`], and needs no place in the other layers.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::join_all;
use osnl_config::template::Expression;
use osnl_core::attempt::{ActionError, Completion, ErrorClass};
use osnl_core::event::{EnrichedValues, Event};
use osnl_core::rule::{WhenMismatch, holds};
use osnl_journal::{DeliveryId, Journal, LearntFacts};
use osnl_net::http::Expiry;
use osnl_transport::BoxFuture;

/// A question that is asked before the first attempt of a delivery, and whose answer is journalled.
pub trait Prepare: fmt::Debug + Send + Sync {
    /// Fails if a service is unreachable now, and then no answer is kept; or if no attempt can ever be made.
    fn prepare<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<Option<Answers>, ActionError>>;

    fn expiries(&self) -> Vec<Expiry>;

    fn failed_at(&self) -> Option<SystemTime>;
}

/// The values that a preparation has found for one event.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    pub enriched: Arc<EnrichedValues>,
    /// Facts for later events, which the journal keeps.
    pub learnt: LearntFacts,
    /// The dependencies that have answered, whose outages end.
    pub answered: Vec<Arc<str>>,
}

/// The steps before an attempt of one action, in order.
#[derive(Clone, Debug, Default)]
pub struct Preparation(Vec<PreparationStep>);

/// A question, or the action's condition, which may use earlier answers.
#[derive(Clone, Debug)]
enum PreparationStep {
    Ask(Arc<dyn Prepare>),
    When(Expression),
}

/// The deliveries of a call after the preparation: those to be called, and those already decided.
pub(super) struct PreparedBatch {
    pub(super) ids: Vec<DeliveryId>,
    pub(super) events: Vec<Event>,
    /// Deliveries for which no call is made: the condition is false, or a question has failed.
    pub(super) decided: Vec<DecidedDelivery>,
    /// The dependencies that have answered.
    pub(super) answered: Vec<Arc<str>>,
}

/// A delivery whose result is known without a call.
pub(super) type DecidedDelivery = (DeliveryId, Event, Result<Completion, ActionError>);

impl Preparation {
    pub fn ask(&mut self, asked: Arc<dyn Prepare>) {
        self.0.push(PreparationStep::Ask(asked));
    }

    pub fn require(&mut self, when: Expression) {
        self.0.push(PreparationStep::When(when));
    }

    fn asked(&self) -> impl Iterator<Item = &dyn Prepare> {
        self.0.iter().filter_map(|step| match step {
            PreparationStep::Ask(asked) => Some(&**asked),
            PreparationStep::When(_) => None,
        })
    }

    pub(super) fn expiries(&self) -> Vec<Expiry> {
        self.asked().flat_map(Prepare::expiries).collect()
    }

    pub(super) fn failed_at(&self) -> Option<SystemTime> {
        self.asked().filter_map(Prepare::failed_at).max()
    }

    pub(super) async fn prepare(
        &self,
        journal: &dyn Journal,
        ids: Vec<DeliveryId>,
        events: Vec<Event>,
    ) -> PreparedBatch {
        let mut prepared = PreparedBatch { ids, events, decided: Vec::new(), answered: Vec::new() };
        let mut kept = Vec::new();
        for step in &self.0 {
            match step {
                PreparationStep::Ask(asked) => kept.extend(prepared.ask(&**asked, journal).await),
                PreparationStep::When(when) => prepared.decide(when),
            }
        }
        // A later attempt must send the same values, so the call waits for the journal.
        join_all(kept).await;
        prepared
    }
}

impl PreparedBatch {
    async fn ask(&mut self, asked: &dyn Prepare, journal: &dyn Journal) -> Vec<BoxFuture<'static, ()>> {
        let answers = join_all(self.events.iter().map(|event| asked.prepare(event))).await;
        let (ids, events) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.events));
        let mut kept = Vec::new();
        for ((id, mut event), answers) in ids.into_iter().zip(events).zip(answers) {
            match answers {
                Err(error) => {
                    self.decided.push((id, event, Err(error)));
                    continue;
                }
                Ok(None) => {}
                Ok(Some(Answers { enriched, learnt, answered })) => {
                    self.answered.extend(answered);
                    kept.push(journal.enriched(id, &enriched, learnt));
                    event.enriched = Some(enriched);
                }
            }
            self.ids.push(id);
            self.events.push(event);
        }
        kept
    }

    fn decide(&mut self, when: &Expression) {
        let (ids, events) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.events));
        for (id, event) in ids.into_iter().zip(events) {
            match verdict(when, &event) {
                Some(verdict) => self.decided.push((id, event, verdict)),
                None => {
                    self.ids.push(id);
                    self.events.push(event);
                }
            }
        }
    }
}

fn verdict(when: &Expression, event: &Event) -> Option<Result<Completion, ActionError>> {
    let mismatch = holds(when, &event.names()).err()?;
    let why = mismatch.to_string();
    Some(match mismatch {
        WhenMismatch::False(_) | WhenMismatch::Lacks { .. } => Ok(Completion::NothingToDo(why)),
        WhenMismatch::Undecided(_) => Err(ActionError::new(ErrorClass::Content, why)),
    })
}
