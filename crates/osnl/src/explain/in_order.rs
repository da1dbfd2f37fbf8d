use osnl_model::Timestamp;

use super::{Effect, ExplainedEvent, RuleVerdict, explain};
use crate::native::{Native, Preview};
use crate::rule::{EventOrder, Mode, TimedEvent};

/// Events that are explained one after the other, as a listener receives them: one that an event before it has overtaken
/// becomes a dead letter of a rule with `order_by_event_time`. Events that are not among them are not known.
#[derive(Debug, Default)]
pub struct EventsInOrder {
    order: EventOrder,
    events: usize,
}

impl EventsInOrder {
    pub fn explain(
        &mut self,
        conf: &Native,
        subject: &ExplainedEvent,
        listener: Option<&str>,
    ) -> Vec<RuleVerdict> {
        let mut verdicts = explain(conf, subject, listener);
        self.events += 1;
        let Some(notification) = subject.notification() else { return verdicts };
        let time = notification.timestamp.as_deref().and_then(|time| Timestamp::parse(time).ok());
        let Some(time) = time else { return verdicts };
        let message = notification.id().map_or_else(|| self.events.to_string(), str::to_owned);
        for verdict in &mut verdicts {
            let mut rules = conf.rules.iter().map(|rule| &rule.rule);
            if !rules.any(|rule| rule.name == verdict.rule && rule.order_by_event_time) {
                continue;
            }
            let rule = verdict.rule.clone();
            for effect in verdict.ruling.effects_mut().iter_mut().filter(|effect| is_made(effect)) {
                let Some(key) = &effect.key else { continue };
                let event = TimedEvent { rule: &rule, key, time, message: &message };
                match self.order.overtaken(event) {
                    Some(why) => effect.too_old = Some(why),
                    None => self.order.note(event),
                }
            }
        }
        verdicts
    }
}

/// Whether the event makes a delivery that begins to be carried out.
fn is_made(effect: &Effect) -> bool {
    let is_asked = match effect.would {
        Preview::NotAsked { .. } | Preview::Undecided { .. } => false,
        Preview::Request { .. }
        | Preview::Line { .. }
        | Preview::Effect { .. }
        | Preview::Nothing { .. }
        | Preview::Unusable { .. } => true,
    };
    is_asked && effect.mode == Mode::Live && effect.too_old.is_none()
}
