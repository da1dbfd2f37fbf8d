use std::time::Duration;

use tokio::task::spawn_blocking;

use super::super::refusal::{Code, RequestRefusal};
use super::super::request::delivery_id;
use super::super::rules::TriedEvent;
use super::ControlHandler;
use crate::explain::{ExplainedEvent, Explainer, Trace};
use crate::journal::query::DeliveryDetails;
use crate::native::Native;
use crate::saved;

const MOST_EVENTS: usize = 20;
const LONGEST: Duration = Duration::from_secs(10);

impl ControlHandler {
    /// Tries an event against the rules in force. No service is contacted, and no secret is shown.
    ///
    /// The traces of many rules and a large event take time to make and to show, which must not delay messages. So a
    /// thread calls `show`, and one trial runs at a time.
    pub async fn try_event<T: Send + 'static>(
        &self,
        event: TriedEvent,
        mut show: impl FnMut(&Trace) -> T + Send + 'static,
    ) -> Result<Vec<T>, RequestRefusal> {
        let Some(loaded) = self.loaded() else {
            return Err(RequestRefusal::new(Code::Unsupported, "no daemon with a configuration runs here"));
        };
        let events = match event {
            TriedEvent::Text(text) => TriedEvents::Text(text),
            TriedEvent::Unmatched(number) => {
                let Some(found) = self.ring()?.get(number) else {
                    let why = format!("message {number} is not kept any more");
                    return Err(RequestRefusal::new(Code::NotFound, why));
                };
                let name = format!("unmatched {number}");
                TriedEvents::One(Box::new(ExplainedEvent { name, ..ExplainedEvent::from_unmatched(&found) }))
            }
            TriedEvent::Delivery(id) => TriedEvents::One(Box::new(self.event_of(&id).await?)),
        };
        let tried = async {
            let turn = self.trials.clone().lock_owned().await;
            let on_thread = spawn_blocking(move || {
                let (_turn, conf) = (turn, &loaded.conf);
                let (events, mut explainer) = (events.read(conf)?, Explainer::new(conf));
                Ok(events.into_iter().map(|event| show(&explainer.trace(event))).collect())
            });
            on_thread.await
        };
        let unavailable = |error: String| RequestRefusal::new(Code::Unavailable, error);
        match tokio::time::timeout(LONGEST, tried).await {
            Ok(tried) => tried.map_err(|error| unavailable(error.to_string()))?,
            Err(_) => Err(unavailable("the rules need too long for this event".to_owned())),
        }
    }

    async fn event_of(&self, id: &str) -> Result<ExplainedEvent, RequestRefusal> {
        let number = delivery_id(id)?;
        let found = self.store.journal.show(number).await?;
        let missing = || RequestRefusal::new(Code::NotFound, format!("there is no delivery {id}"));
        let DeliveryDetails { row, received, others, .. } = found.ok_or_else(missing)?;
        let asked = self.store.journal.asked_for([vec![row], others].concat()).await?;
        Ok(ExplainedEvent::from_received(format!("delivery {id}"), &received).with_asked(asked))
    }
}

enum TriedEvents {
    Text(String),
    One(Box<ExplainedEvent>),
}

impl TriedEvents {
    fn read(self, conf: &Native) -> Result<Vec<ExplainedEvent>, RequestRefusal> {
        let bad = |why: String| RequestRefusal::new(Code::BadRequest, why);
        let text = match self {
            Self::One(event) => return Ok(vec![*event]),
            Self::Text(text) => text,
        };
        let events = saved::read_first(&text, MOST_EVENTS + 1).map_err(|error| bad(error.to_string()))?;
        if events.len() > MOST_EVENTS {
            return Err(bad(format!(
                "there are more events in it; allowed are {MOST_EVENTS} at a time, osnl explain takes more"
            )));
        }
        let budget = conf.budget();
        let named = |saved: &saved::RecordedEvent| ExplainedEvent {
            name: format!("line {}", saved.line),
            ..ExplainedEvent::from_saved("", saved, &budget)
        };
        Ok(events.iter().map(named).collect())
    }
}
