//! The effects of a firing rule's actions, with their questions.

use std::sync::Arc;

use osnl_config::template::Names;
use osnl_core::event::AskedFor;
use osnl_model::{Notification, is_secret_path};

use super::sentence::{one_line, reason};
use crate::enrich::{AnswerForecast, Ask, foresee};
use crate::intake::{Parts, narrowed};
use crate::native::{ActionConf, CallRequest, Native, Preview, RuleConf};
use crate::rule::{Mode, RuleMismatch, WhenMismatch, holds};

#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub action: Arc<str>,
    pub key: Option<String>,
    pub resource: Option<u32>,
    pub mode: Mode,
    pub asks: Vec<Ask>,
    /// The condition, if unknown data decides it; `***` for a key that seems secret.
    pub provided: Option<String>,
    /// The reason of a dead letter for an event that is too old, or overtaken, whose retry has this effect.
    pub too_old: Option<String>,
    pub would: Preview,
}

impl Effect {
    #[must_use]
    pub fn dead_letter(&self) -> Option<&str> {
        if let Some(why) = &self.too_old {
            return Some(why);
        }
        match (&self.would, self.mode) {
            (Preview::Unusable { why } | Preview::Undecided { why }, Mode::Live) => Some(why),
            (Preview::Unusable { .. } | Preview::Undecided { .. }, Mode::Shadow)
            | (
                Preview::Request { .. }
                | Preview::Line { .. }
                | Preview::Effect { .. }
                | Preview::Nothing { .. }
                | Preview::NotAsked { .. },
                Mode::Live | Mode::Shadow,
            ) => None,
        }
    }

    #[must_use]
    pub fn undecided(&self) -> Option<&str> {
        match &self.would {
            Preview::Undecided { why } => Some(why),
            _ => None,
        }
    }
}

pub(super) fn effects(
    conf: &Native,
    rule: &RuleConf,
    notification: &Notification,
    names: Option<&Names>,
    found: &[AskedFor],
    too_old: Option<&str>,
) -> Vec<Effect> {
    let actions = rule.rule.actions.iter();
    let actions = actions.filter_map(|name| conf.actions.iter().find(|action| action.name == *name));
    let parts = Parts::of_notification(notification);
    let whole = Names::new(Arc::new(notification.clone()));
    let effects = actions.flat_map(|action| {
        let (parts, whole) = (&parts, &whole);
        let of = DeliverySubjects { parts, whole, names, found };
        parts
            .of(&rule.rule, whole)
            .map(move |(resource, key)| effect(conf, rule, action, &of, resource, key, &[]))
    });
    let judged = effects.map(|effect| match (&effect.would, effect.mode) {
        (Preview::NotAsked { .. } | Preview::Undecided { .. }, _) | (_, Mode::Shadow) => effect,
        (_, Mode::Live) => Effect { too_old: too_old.map(str::to_owned), ..effect },
    });
    judged.collect()
}

pub(super) struct ActionTrial<'a> {
    pub(super) conf: &'a Native,
    pub(super) rule: &'a RuleConf,
    pub(super) action: &'a ActionConf,
    pub(super) more: Vec<Ask>,
}

impl ActionTrial<'_> {
    pub(super) fn unusable(&self, notification: &Notification) -> Option<String> {
        let Self { conf, rule, action, more } = self;
        let parts = Parts::of_notification(notification);
        let whole = Names::new(Arc::new(notification.clone()));
        let of = DeliverySubjects { parts: &parts, whole: &whole, names: None, found: &[] };
        let effects = parts
            .of(&rule.rule, &whole)
            .map(|(resource, key)| effect(conf, rule, action, &of, resource, key, more));
        effects.into_iter().find_map(|effect| effect.dead_letter().map(str::to_owned))
    }
}

struct DeliverySubjects<'a> {
    parts: &'a Parts<'a>,
    whole: &'a Names,
    /// `None` skips conditions of actions.
    names: Option<&'a Names>,
    found: &'a [AskedFor],
}

fn effect(
    conf: &Native,
    rule: &RuleConf,
    action: &ActionConf,
    of: &DeliverySubjects<'_>,
    resource: Option<u32>,
    key: Option<String>,
    more: &[Ask],
) -> Effect {
    let of_part = of.parts.names(of.whole, resource).notification().clone();
    let kept = of.found.iter().find(|found| {
        (found.rule.as_str(), found.action.as_str(), found.resource)
            == (&*rule.rule.name, &*action.name, resource)
    });
    let mut asks = foresee(conf.asked_by(action), &of_part, kept.map(|kept| &kept.found));
    asks.extend_from_slice(more);
    let mut provided = None;
    let decided = of.names.map_or(Ok(()), |names| asked(rule, action, names, of.parts, resource));
    let would = match decided {
        Err(mismatch) => {
            // A skipped action asks nothing; only earlier answers are shown.
            asks.retain(|ask| matches!(ask.value, AnswerForecast::Kept(_)));
            not_asked(mismatch)
        }
        Ok(()) => match late(action, &of_part, &asks) {
            Late::False(preview) => preview,
            late @ (Late::Holds | Late::Open(_)) => {
                if let Late::Open(when) = late {
                    provided = Some(when);
                }
                let (notification, rule) = (&*of_part, &*rule.rule.name);
                action.preview(&CallRequest { notification, rule, resource, asks: &asks })
            }
        },
    };
    Effect {
        action: action.name.clone(),
        key,
        resource,
        mode: rule.rule.mode,
        asks,
        provided,
        too_old: None,
        would,
    }
}

fn not_asked(mismatch: WhenMismatch) -> Preview {
    let is_undecided = matches!(mismatch, WhenMismatch::Undecided(_));
    let why = reason(&RuleMismatch::When(mismatch));
    if is_undecided { Preview::Undecided { why } } else { Preview::NotAsked { why } }
}

enum Late {
    Holds,
    False(Preview),
    Open(String),
}

fn late(action: &ActionConf, notification: &Arc<Notification>, asks: &[Ask]) -> Late {
    let Some(when) = action.decided_late() else { return Late::Holds };
    let secret = when.paths().any(is_secret_path);
    let source = if secret { "***".to_owned() } else { one_line(when.source()) };
    if asks.iter().any(|ask| ask.value == AnswerForecast::Unknown) {
        return Late::Open(source);
    }
    let names = Names::new(notification.clone());
    let names = asks.iter().fold(names, |names, ask| ask.named(names, Clone::clone));
    match holds(when, &names) {
        Ok(()) => Late::Holds,
        Err(WhenMismatch::False(_)) => {
            Late::False(Preview::NotAsked { why: format!("when is false: {source}") })
        }
        Err(mismatch @ (WhenMismatch::Lacks { .. } | WhenMismatch::Undecided(_))) => {
            Late::False(not_asked(mismatch))
        }
    }
}

fn asked(
    rule: &RuleConf,
    action: &ActionConf,
    names: &Names,
    parts: &Parts<'_>,
    resource: Option<u32>,
) -> Result<(), WhenMismatch> {
    rule.rule.asks(&action.name, &narrowed(&rule.rule, names, parts, resource))
}
