//! Explains for each rule whether and why an event matches, and what its actions would do. Nothing is contacted, no
//! secret is shown.
//!
//! | type | |
//! | --- | --- |
//! | [`ExplainedEvent`] | what is known of an event: [saved](crate::saved) in a file, in the journal, or [unmatched](crate::unmatched) |
//! | [`Explainer`] | applies the rules of a configuration, and makes traces |
//! | [`Trace`] | an event with the [`RuleVerdict`] of each rule, and in it the [`Effect`] of each action |
//! | [`words`], [`json`] | the one form of a trace as text, and as JSON |
//!
//! `osnl explain`, `test`, `replay`, and `tap`, the pages, and retries from the quarantine use the same traces.
//!
//! The conditions are checked in the daemon's order: a listener that receives the message, `enabled`, `stop` of an
//! earlier rule, priorities, patterns, `when`.

mod effects;
mod event;
pub mod json;
mod listeners_for_event;
pub(crate) mod trial;
pub mod words;

use std::sync::Arc;

use osnl_config::template::Names;
use osnl_core::age::{EventAge, order_time};
use osnl_model::{Predicate, Priority, shortened};

pub use self::effects::Effect;
use self::effects::RuleEffects;
pub use self::event::{Content, ExplainedEvent};
pub use self::listeners_for_event::{NotHeard, WhyNot};
pub use self::trial::{Trial, try_actions};
use crate::journal::{Begin, NewDelivery};
use crate::native::{Native, RuleConf};
use crate::rule::{Condition, EventOrder, Mode, RuleMismatch, TimedEvent, WhenMismatch};
use crate::unmatched::FailedBehind;
pub use osnl_core::event::AskedFor;

/// Applies the rules of a configuration to events, one after the other, as a listener receives them.
#[derive(Debug)]
pub struct Explainer<'a> {
    conf: &'a Native,
    /// The listener that is taken to have received the events.
    listener: Option<&'a str>,
    /// The rules of a trace; empty for all. Each rule is evaluated, because one may stop another.
    rules: &'a [String],
    /// Whether an event may be too old, or overtaken by one before it. Events before the first are not known.
    judges_age: bool,
    order: EventOrder,
    events: usize,
}

/// An event with the verdicts of rules.
#[derive(Clone, Debug)]
pub struct Trace {
    pub event: ExplainedEvent,
    /// In the order of the configuration.
    pub rules: Vec<RuleVerdict>,
}

/// The verdict of one rule on an event, with its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleVerdict {
    pub rule: Arc<str>,
    pub ruling: Ruling,
    /// The listeners of a rule that matches if one of them received the event, which the event does not say.
    pub if_received_by: Vec<Arc<str>>,
}

/// The verdict of a rule: the effects, or the condition that fails.
#[derive(Clone, Debug, PartialEq)]
pub enum Ruling {
    /// The rule fires; if only the head is known, the effects are unknown.
    Fires(Vec<Effect>),
    /// All conditions hold, but no listener of the rule receives the event.
    NotHeard(Vec<NotHeard>),
    Disabled,
    Stopped(Arc<str>),
    /// `when` cannot be decided. Each action gets a dead letter, or none in shadow.
    Undecided(String),
    Fails {
        condition: Condition,
        /// `***` if the condition reads a key that seems secret.
        allows: String,
        observed: String,
    },
    /// A payload condition failed at that time; its value is lost.
    Failed(FailedBehind),
    Unknown,
    Unreadable(String),
}

impl<'a> Explainer<'a> {
    #[must_use]
    pub fn new(conf: &'a Native) -> Self {
        Self { conf, listener: None, rules: &[], judges_age: true, order: EventOrder::default(), events: 0 }
    }

    /// Explains events that an operator appends again: none is too old or overtaken.
    #[must_use]
    pub fn for_replay(conf: &'a Native) -> Self {
        Self { judges_age: false, ..Self::new(conf) }
    }

    #[must_use]
    pub fn with_listener(self, listener: Option<&'a str>) -> Self {
        Self { listener, ..self }
    }

    #[must_use]
    pub fn with_rules(self, rules: &'a [String]) -> Self {
        Self { rules, ..self }
    }

    #[must_use]
    pub fn trace(&mut self, event: ExplainedEvent) -> Trace {
        let mut rules = self.verdicts(&event);
        if self.judges_age {
            self.note_order(&event, &mut rules);
        }
        rules.retain(|found| self.rules.is_empty() || self.rules.iter().any(|name| **name == *found.rule));
        Trace { event, rules }
    }

    fn verdicts(&self, event: &ExplainedEvent) -> Vec<RuleVerdict> {
        let names = event.notification().map(|notification| Names::new(notification.clone()));
        // Each listener asks only its own rules, so `stop` counts per listener.
        let mut ended: Vec<(Arc<str>, Vec<Arc<str>>)> = Vec::new();
        let mut verdicts = Vec::with_capacity(self.conf.rules.len());
        for rule in &self.conf.rules {
            let heard = listeners_for_event::listeners_for_event(self.conf, rule, event, self.listener);
            let if_received =
                listeners_for_event::not_known_to_receive(self.conf, event, self.listener, &heard.by);
            let stops_it = |(_, everywhere): &&(_, Vec<Arc<str>>)| {
                !heard.by.is_empty() && heard.by.iter().all(|listener| everywhere.contains(listener))
            };
            let stopped = ended.iter().find(stops_it).map(|(by, _)| by.clone());
            let ruling = match stopped {
                _ if heard.by.is_empty() && !heard.not_by.is_empty() => Ruling::NotHeard(heard.not_by),
                _ if !rule.enabled => Ruling::Disabled,
                Some(by) => Ruling::Stopped(by),
                None => {
                    let ruling = self.ruling(rule, event, names.as_ref(), &heard.by);
                    if ruling.fires() && rule.rule.ends_the_turn() {
                        ended.push((rule.rule.name.clone(), heard.by));
                    }
                    ruling
                }
            };
            let if_received_by = if ruling.fires() { if_received } else { Vec::new() };
            verdicts.push(RuleVerdict { rule: rule.rule.name.clone(), ruling, if_received_by });
        }
        verdicts
    }

    fn ruling(
        &self,
        rule: &RuleConf,
        event: &ExplainedEvent,
        names: Option<&Names>,
        by: &[Arc<str>],
    ) -> Ruling {
        match (&event.content, names) {
            (Content::Unreadable(reason), _) => Ruling::Unreadable(reason.clone()),
            (Content::Whole(_) | Content::Head { .. }, None) => Ruling::Unknown,
            (Content::Whole(_), Some(names)) => match rule.rule.fires(names) {
                Ok(()) => {
                    let (conf, kept) = (self.conf, &*event.asked);
                    let effects = RuleEffects { conf, rule, names, kept, more: &[], with_conditions: true };
                    Ruling::Fires(effects.all(self.too_old(rule, event, by).as_deref()))
                }
                Err(mismatch) => fails(rule, &mismatch),
            },
            (Content::Head { failed, .. }, Some(names)) => match rule.rule.fires(names) {
                Err(mismatch) if is_of_head(&mismatch) => fails(rule, &mismatch),
                Ok(()) if rule.rule.is_decided_by_head() => Ruling::Fires(Vec::new()),
                Ok(()) | Err(_) => match failed.iter().find(|failed| *failed.rule == *rule.rule.name) {
                    Some(failed) => Ruling::Failed(failed.clone()),
                    None => Ruling::Unknown,
                },
            },
        }
    }

    fn too_old(&self, rule: &RuleConf, event: &ExplainedEvent, by: &[Arc<str>]) -> Option<String> {
        let read = event.read.filter(|_| self.judges_age)?;
        let age = EventAge::from_notification(event.notification()?, read)?;
        let heard = self.conf.listeners.iter().filter(|listener| by.contains(&listener.name));
        let limits: Option<Vec<_>> = heard.map(|listener| rule.max_event_age(listener)).collect();
        age.exceeds(limits?.into_iter().max())
    }

    /// Makes dead letters of effects that an earlier event has overtaken, for rules with `order_by_event_time`.
    fn note_order(&mut self, event: &ExplainedEvent, verdicts: &mut [RuleVerdict]) {
        self.events += 1;
        let Some(notification) = event.notification() else { return };
        let Some(time) = order_time(notification, event.read) else { return };
        let message = notification.id().map_or_else(|| self.events.to_string(), str::to_owned);
        for RuleVerdict { rule, ruling, .. } in verdicts {
            let mut rules = self.conf.rules.iter().filter(|conf| conf.rule.order_by_event_time);
            let Ruling::Fires(effects) = ruling else { continue };
            let Some(conf) = rules.find(|conf| conf.rule.name == *rule) else { continue };
            let heard = listeners_for_event::listeners_for_event(self.conf, conf, event, self.listener);
            let begins = |effect: &&mut Effect| {
                effect.is_made() && effect.mode == Mode::Live && effect.too_old.is_none()
            };
            for effect in effects.iter_mut().filter(begins) {
                let Some(key) = &effect.key else { continue };
                let (rule, source) = (&conf.rule.name, &conf.rule.key);
                let timed = |listener| TimedEvent { rule, listener, source, key, time, message: &message };
                let events = heard.by.iter().map(timed);
                match events.clone().find_map(|event| self.order.overtaken(event)) {
                    Some(why) => effect.too_old = Some(why),
                    None => events.for_each(|event| self.order.note(event)),
                }
            }
        }
    }
}

impl Trace {
    #[must_use]
    pub fn is_match(&self) -> bool {
        self.rules.iter().any(|found| found.ruling.fires())
    }

    pub fn effects(&self) -> impl Iterator<Item = (&Arc<str>, &Effect)> {
        self.rules.iter().flat_map(|found| found.ruling.effects().iter().map(|effect| (&found.rule, effect)))
    }

    /// Returns the number of deliveries that would become dead letters at once, a rule without decision as one.
    #[must_use]
    pub fn dead_letters(&self) -> usize {
        let undecided = self.rules.iter().filter(|found| found.ruling.undecided().is_some());
        self.effects().filter(|(_, effect)| effect.dead_letter().is_some()).count() + undecided.count()
    }

    /// Returns the deliveries that an append of the event makes.
    pub fn deliveries(&self) -> impl Iterator<Item = NewDelivery> {
        self.effects().filter(|(_, effect)| effect.is_made()).map(|(rule, effect)| NewDelivery {
            resource: effect.resource,
            ordered: effect.ordered,
            begin: match effect.mode {
                Mode::Live => Begin::Live,
                Mode::Shadow => Begin::Shadow,
            },
            ..NewDelivery::new(rule.clone(), effect.action.clone(), effect.key.clone())
        })
    }
}

impl Ruling {
    #[must_use]
    pub fn fires(&self) -> bool {
        matches!(self, Self::Fires(_))
    }

    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        match self {
            Self::Fires(effects) => effects,
            _ => &[],
        }
    }

    #[must_use]
    pub fn undecided(&self) -> Option<&str> {
        match self {
            Self::Undecided(why) => Some(why),
            _ => None,
        }
    }
}

fn is_of_head(mismatch: &RuleMismatch) -> bool {
    match Condition::from(mismatch) {
        Condition::Priority | Condition::Filter(Predicate::PublisherId | Predicate::EventType) => true,
        Condition::Filter(Predicate::Context(_) | Predicate::Metadata(_) | Predicate::Payload(_))
        | Condition::When
        | Condition::Stopped => false,
    }
}

fn fails(rule: &RuleConf, mismatch: &RuleMismatch) -> Ruling {
    let condition = Condition::from(mismatch);
    match mismatch {
        RuleMismatch::Priority(priority) => {
            let allowed = rule.rule.priorities.iter().flatten().map(Priority::as_str);
            let observed =
                priority.as_ref().map_or("missing".to_owned(), |p| format!("\"{}\"", shortened(p.as_str())));
            Ruling::Fails { condition, allows: allowed.collect::<Vec<_>>().join(", "), observed }
        }
        RuleMismatch::Filter(mismatch) => Ruling::Fails {
            condition,
            allows: mismatch.shown_pattern().to_owned(),
            observed: mismatch.observed.to_string(),
        },
        RuleMismatch::When(WhenMismatch::False(when)) => {
            Ruling::Fails { condition, allows: shortened(&when.shown()), observed: when.to_string() }
        }
        RuleMismatch::When(WhenMismatch::Lacks { name }) => {
            let allows = rule.rule.when.as_ref().map(|when| shortened(&when.shown()));
            let observed = format!("the event has no {name}");
            Ruling::Fails { condition, allows: allows.unwrap_or_default(), observed }
        }
        RuleMismatch::When(WhenMismatch::Undecided(_)) | RuleMismatch::GivenUp(_) => {
            Ruling::Undecided(mismatch.to_string())
        }
        RuleMismatch::Stopped { by } => Ruling::Stopped(by.clone()),
    }
}

#[cfg(test)]
mod tests;
