use std::time::Duration;

use tokio::task::spawn_blocking;

use super::super::refusal::{Code, RequestRefusal};
use super::super::request::delivery_id;
use super::super::rules::{RuleTrial, TrialEffect, TrialReport, TriedEvent};
use super::ControlHandler;
use crate::explain::{Content, Effect, EventsInOrder, ExplainedEvent, RuleVerdict, words};
use crate::journal::query::DeliveryDetails;
use crate::native::Native;
use crate::saved;

const MOST_EVENTS: usize = 20;
const LONGEST: Duration = Duration::from_secs(10);

impl ControlHandler {
    /// Tries an event against the rules in force. No service is contacted, and no secret is shown.
    pub async fn try_event(&self, event: TriedEvent) -> Result<Vec<TrialReport>, RequestRefusal> {
        let Some(loaded) = self.loaded() else {
            return Err(RequestRefusal::new(Code::Unsupported, "no daemon with a configuration runs here"));
        };
        let subjects = match event {
            TriedEvent::Text(text) => TriedEvents::Text(text),
            TriedEvent::Unmatched(number) => {
                let Some(found) = self.ring()?.get(number) else {
                    let why = format!("message {number} is not kept any more");
                    return Err(RequestRefusal::new(Code::NotFound, why));
                };
                TriedEvents::One(format!("unmatched {number}"), Box::new(ExplainedEvent::unmatched(&found)))
            }
            TriedEvent::Delivery(id) => {
                TriedEvents::One(format!("delivery {id}"), Box::new(self.event_of(&id).await?))
            }
        };
        // Many rules and a large event take time, which must not delay messages; one trial runs at a time.
        let tried = async {
            let turn = self.trials.clone().lock_owned().await;
            let on_thread = spawn_blocking(move || {
                let (_turn, conf) = (turn, &loaded.conf);
                let (subjects, mut events) = (subjects.read(conf)?, EventsInOrder::default());
                Ok(subjects.iter().map(|(name, subject)| report(conf, name, subject, &mut events)).collect())
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
        Ok(ExplainedEvent::received(&received).with_asked(asked))
    }
}

enum TriedEvents {
    Text(String),
    One(String, Box<ExplainedEvent>),
}

impl TriedEvents {
    fn read(self, conf: &Native) -> Result<Vec<(String, ExplainedEvent)>, RequestRefusal> {
        let bad = |why: String| RequestRefusal::new(Code::BadRequest, why);
        let text = match self {
            Self::One(name, subject) => return Ok(vec![(name, *subject)]),
            Self::Text(text) => text,
        };
        let events = saved::read_first(&text, MOST_EVENTS + 1).map_err(|error| bad(error.to_string()))?;
        if events.len() > MOST_EVENTS {
            return Err(bad(format!(
                "there are more events in it; allowed are {MOST_EVENTS} at a time, osnl explain takes more"
            )));
        }
        let budget = conf.budget();
        let named = |event: &saved::RecordedEvent| {
            (format!("line {}", event.line), ExplainedEvent::saved(event, &budget))
        };
        Ok(events.iter().map(named).collect())
    }
}

fn report(conf: &Native, name: &str, subject: &ExplainedEvent, events: &mut EventsInOrder) -> TrialReport {
    let about = match &subject.content {
        Content::Unreadable(why) => words::masked(&format!("{name}: cannot be read: {why}")),
        Content::Whole(_) | Content::Head { .. } => words::about(name, subject),
    };
    TrialReport { about, rules: events.explain(conf, subject, None).iter().map(trial).collect() }
}

fn trial(verdict: &RuleVerdict) -> RuleTrial {
    let effect = |effect| TrialEffect {
        words: words::would(effect),
        is_dead_letter: Effect::dead_letter(effect).is_some(),
    };
    RuleTrial {
        fires: verdict.ruling.fires(),
        verdict: words::verdict(verdict),
        is_undecided: verdict.ruling.undecided().is_some(),
        effects: verdict.ruling.effects().iter().map(effect).collect(),
    }
}
