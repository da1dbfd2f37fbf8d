//! Explains for each rule whether and why a notification fires, with the effects of its actions. Nothing is contacted,
//! no secret is shown.
//!
//! The conditions are checked in the daemon's order: a listener that receives the message, `enabled`, `stop` of an
//! earlier rule, priorities, patterns, `when`.

mod compare;
mod effects;
mod in_order;
mod listeners_for_event;
pub(crate) mod sentence;
mod trial;
pub mod words;

use std::sync::Arc;
use std::time::SystemTime;

use osnl_config::template::Names;
use osnl_core::age::EventAge;
use osnl_model::{Budget, Notification, Predicate, Priority, is_secret_path};

pub use self::compare::{EventSample, RuleComparison, RuleSetComparison};
pub use self::effects::Effect;
use self::effects::effects;
pub use self::in_order::EventsInOrder;
pub use self::listeners_for_event::{NotHeard, WhyNot};
use self::sentence::{one_line, pattern, shortened};
pub use self::trial::{Trial, try_actions};
use crate::native::{Native, RuleConf};
use crate::received::ReceivedMessage;
use crate::rule::{Condition, RuleMismatch, WhenMismatch};
use crate::saved::RecordedEvent;
use crate::unmatched::{FailedBehind, UnmatchedMessage};
pub use osnl_core::event::AskedFor;

#[derive(Clone, Debug)]
pub struct ExplainedEvent {
    pub content: Content,
    pub listener: Option<Arc<str>>,
    pub exchange: Option<String>,
    pub routing_key: Option<String>,
    pub received: Option<SystemTime>,
    /// The time for `max_event_age`; `None` skips that check.
    pub read: Option<SystemTime>,
    pub asked: Vec<AskedFor>,
}

#[derive(Clone, Debug)]
pub enum Content {
    Whole(Arc<Notification>),
    Head { head: Arc<Notification>, failed: Vec<FailedBehind> },
    Unreadable(String),
}

impl ExplainedEvent {
    /// Returns a notification whose way to osnl is unknown.
    #[must_use]
    pub fn whole(notification: Notification) -> Self {
        Self {
            content: Content::Whole(Arc::new(notification)),
            listener: None,
            exchange: None,
            routing_key: None,
            received: None,
            read: None,
            asked: Vec::new(),
        }
    }

    #[must_use]
    pub fn received(received: &ReceivedMessage) -> Self {
        let origin = &received.origin;
        Self {
            content: match received.decode() {
                Ok(notification) => Content::Whole(Arc::new(notification)),
                Err(error) => Content::Unreadable(error.to_string()),
            },
            listener: Some(origin.listener.clone()),
            exchange: Some(origin.exchange.clone()),
            routing_key: Some(origin.routing_key.clone()),
            received: Some(origin.received),
            read: Some(origin.received),
            asked: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_asked(self, asked: Vec<AskedFor>) -> Self {
        Self { asked, ..self }
    }

    #[must_use]
    pub fn saved(saved: &RecordedEvent, budget: &Budget) -> Self {
        let plain = budget.plain_body(&saved.body, &saved.properties.content_info());
        Self {
            content: match plain.and_then(|plain| budget.decode(&plain)) {
                Ok(notification) => Content::Whole(Arc::new(notification)),
                Err(error) => Content::Unreadable(error.to_string()),
            },
            listener: None,
            exchange: saved.exchange.clone(),
            routing_key: saved.routing_key.clone(),
            received: saved.received,
            read: saved.received,
            asked: Vec::new(),
        }
    }

    #[must_use]
    pub fn unmatched(unmatched: &UnmatchedMessage) -> Self {
        let head = || Notification {
            event_type: unmatched.event_type.clone(),
            publisher_id: unmatched.publisher_id.clone(),
            priority: unmatched.priority.as_deref().map(Priority::parse),
            message_id: unmatched.message_id.clone(),
            ..Notification::default()
        };
        Self {
            content: match unmatched.decoded() {
                Some(notification) => Content::Whole(Arc::new(notification)),
                None => Content::Head { head: Arc::new(head()), failed: unmatched.failed.clone() },
            },
            listener: Some(unmatched.listener.clone()),
            exchange: Some(unmatched.exchange.clone()),
            routing_key: Some(unmatched.routing_key.clone()),
            received: unmatched.received,
            read: unmatched.received,
            asked: Vec::new(),
        }
    }

    #[must_use]
    pub fn notification(&self) -> Option<&Arc<Notification>> {
        match &self.content {
            Content::Whole(notification) => Some(notification),
            Content::Head { head, .. } => Some(head),
            Content::Unreadable(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct RuleVerdict {
    pub rule: Arc<str>,
    pub ruling: Ruling,
    pub if_received_by: Vec<Arc<str>>,
}

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

impl RuleVerdict {
    pub fn dead_letters(&self) -> impl Iterator<Item = &Effect> {
        self.ruling.effects().iter().filter(|effect| effect.dead_letter().is_some())
    }

    #[must_use]
    pub fn dead_letter_count(&self) -> usize {
        self.dead_letters().count() + usize::from(self.ruling.undecided().is_some())
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

    fn effects_mut(&mut self) -> &mut [Effect] {
        match self {
            Self::Fires(effects) => effects,
            _ => &mut [],
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

#[must_use]
pub fn explain(conf: &Native, subject: &ExplainedEvent, listener: Option<&str>) -> Vec<RuleVerdict> {
    verdicts(conf, subject, listener, true)
}

fn verdicts(
    conf: &Native,
    subject: &ExplainedEvent,
    listener: Option<&str>,
    previews: bool,
) -> Vec<RuleVerdict> {
    let names = subject.notification().map(|notification| Names::new(notification.clone()));
    // Each listener asks only its own rules, so `stop` counts per listener.
    let mut ended: Vec<(Arc<str>, Vec<Arc<str>>)> = Vec::new();
    let mut verdicts = Vec::with_capacity(conf.rules.len());
    for rule in &conf.rules {
        let heard = listeners_for_event::listeners_for_event(conf, rule, subject, listener);
        let if_received = listeners_for_event::not_known_to_receive(conf, subject, listener, &heard.by);
        let stops_it = |(_, everywhere): &&(_, Vec<Arc<str>>)| {
            !heard.by.is_empty() && heard.by.iter().all(|listener| everywhere.contains(listener))
        };
        let stopped = ended.iter().find(stops_it).map(|(by, _)| by.clone());
        let ruling = match (stopped, &names) {
            _ if heard.by.is_empty() && !heard.not_by.is_empty() => Ruling::NotHeard(heard.not_by),
            _ if !rule.enabled => Ruling::Disabled,
            (Some(by), _) => Ruling::Stopped(by),
            (None, names) => {
                let too_old = too_old(conf, rule, subject, &heard.by);
                let ruling = ruling(conf, rule, subject, names.as_ref(), previews, too_old.as_deref());
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

fn too_old(conf: &Native, rule: &RuleConf, subject: &ExplainedEvent, by: &[Arc<str>]) -> Option<String> {
    let age = EventAge::from_notification(subject.notification()?, subject.read?)?;
    let heard = conf.listeners.iter().filter(|listener| by.contains(&listener.name));
    let limits: Option<Vec<_>> = heard.map(|listener| rule.max_event_age(listener)).collect();
    age.exceeds(limits?.into_iter().max())
}

fn ruling(
    conf: &Native,
    rule: &RuleConf,
    subject: &ExplainedEvent,
    names: Option<&Names>,
    previews: bool,
    too_old: Option<&str>,
) -> Ruling {
    let fires = || names.map_or(Ok(()), |names| rule.rule.fires(names));
    match &subject.content {
        Content::Unreadable(reason) => Ruling::Unreadable(reason.clone()),
        Content::Whole(notification) => match fires() {
            Ok(()) if !previews => Ruling::Fires(Vec::new()),
            Ok(()) => Ruling::Fires(effects(conf, rule, notification, names, &subject.asked, too_old)),
            Err(mismatch) => fails(rule, &mismatch),
        },
        Content::Head { failed, .. } => match fires() {
            Err(mismatch) if of_head(&mismatch) => fails(rule, &mismatch),
            Ok(()) if rule.rule.is_decided_by_head() => Ruling::Fires(Vec::new()),
            Ok(()) | Err(_) => match failed.iter().find(|failed| failed.rule == rule.rule.name) {
                Some(failed) => Ruling::Failed(failed.clone()),
                None => Ruling::Unknown,
            },
        },
    }
}

fn of_head(mismatch: &RuleMismatch) -> bool {
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
            allows: pattern(mismatch).to_owned(),
            observed: shortened(&mismatch.observed.to_string()),
        },
        RuleMismatch::When(WhenMismatch::False(when)) => {
            let secret = when.observed().iter().any(|(name, _)| is_secret_path(name));
            let allows = if secret { "***".to_owned() } else { one_line(when.source()) };
            Ruling::Fails { condition, allows, observed: when.to_string() }
        }
        RuleMismatch::When(WhenMismatch::Lacks { name }) => {
            let source = rule.rule.when.as_ref().map(|when| one_line(when.source()));
            let observed = format!("the event has no {name}");
            Ruling::Fails { condition, allows: source.unwrap_or_default(), observed }
        }
        RuleMismatch::When(WhenMismatch::Undecided(_)) | RuleMismatch::GivenUp(_) => {
            Ruling::Undecided(mismatch.to_string())
        }
        RuleMismatch::Stopped { by } => Ruling::Stopped(by.clone()),
    }
}

#[cfg(test)]
mod tests;
