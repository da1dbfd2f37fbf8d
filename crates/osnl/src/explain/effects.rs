//! The effects of a firing rule's actions, with their questions.

use std::sync::Arc;

use osnl_config::template::Names;
use osnl_core::event::AskedFor;
use osnl_core::misfit::Misfit;
use osnl_model::{Notification, bounded_id, shortened};

use crate::enrich::{AnswerForecast, Ask, foresee};
use crate::intake::{Parts, narrowed};
use crate::native::{ActionConf, CallRequest, Native, Preview, RuleConf};
use crate::rule::{Mode, WhenMismatch, holds};

/// One delivery that a rule makes for an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub action: Arc<str>,
    pub key: Option<String>,
    pub resource: Option<u32>,
    /// The id of the resource, whose digest stands for a long one.
    pub id: Option<String>,
    pub mode: Mode,
    /// Whether the delivery waits for earlier ones of its action and key.
    pub ordered: bool,
    pub asks: Vec<Ask>,
    /// The condition, if unknown data decides it; `***` for a key that seems secret.
    pub provided: Option<String>,
    /// The reason of a dead letter for an event that is too old, or overtaken, whose retry has this effect.
    pub too_old: Option<String>,
    pub would: Preview,
}

impl Effect {
    /// Whether the effect is a delivery, or would be one if nothing were too old.
    #[must_use]
    pub fn is_made(&self) -> bool {
        match self.would {
            Preview::NotAsked { .. } | Preview::Undecided { .. } => false,
            Preview::Request { .. }
            | Preview::Line { .. }
            | Preview::Effect { .. }
            | Preview::Nothing { .. }
            | Preview::Unusable { .. } => true,
        }
    }

    #[must_use]
    pub fn dead_letter(&self) -> Option<String> {
        self.too_old.clone().or_else(|| self.misfit().map(String::from))
    }

    /// Returns the reason why every attempt would fail.
    pub(super) fn misfit(&self) -> Option<Misfit> {
        let why = match &self.would {
            Preview::Unusable { why } => Some(why.clone()),
            Preview::Undecided { why } => Some(Misfit::other(why)),
            Preview::Request { .. }
            | Preview::Line { .. }
            | Preview::Effect { .. }
            | Preview::Nothing { .. }
            | Preview::NotAsked { .. } => None,
        };
        why.filter(|_| self.mode == Mode::Live)
    }

    #[must_use]
    pub fn undecided(&self) -> Option<&str> {
        match &self.would {
            Preview::Undecided { why } => Some(why),
            _ => None,
        }
    }
}

/// The effects of a rule on an event.
pub(super) struct RuleEffects<'a> {
    pub(super) conf: &'a Native,
    pub(super) rule: &'a RuleConf,
    pub(super) names: &'a Names,
    pub(super) kept: &'a [AskedFor],
    /// Answers that the action has besides those of its enrichments.
    pub(super) more: &'a [Ask],
    /// Whether the conditions of actions count.
    pub(super) with_conditions: bool,
}

impl RuleEffects<'_> {
    pub(super) fn all(&self, too_old: Option<&str>) -> Vec<Effect> {
        let actions = self.rule.rule.actions.iter();
        let actions = actions.filter_map(|name| self.conf.actions.iter().find(|conf| conf.name == *name));
        let mut effects: Vec<Effect> = actions.flat_map(|action| self.for_action(action)).collect();
        for effect in effects.iter_mut().filter(|effect| effect.mode == Mode::Live && effect.is_made()) {
            effect.too_old = too_old.map(str::to_owned);
        }
        effects
    }

    pub(super) fn for_action(&self, action: &ActionConf) -> Vec<Effect> {
        let parts = Parts::new(self.names.notification());
        // The work of conditions is limited for all rules together, unlike that of an action.
        let whole = Names::new(self.names.notification().clone());
        let effect = |(resource, key)| {
            let of_part = parts.names(&whole, resource).notification().clone();
            self.effect(action, &parts, resource, key, &of_part)
        };
        parts.with_keys(&self.rule.rule, &whole).map(effect).collect()
    }

    fn effect(
        &self,
        action: &ActionConf,
        parts: &Parts<'_>,
        resource: Option<u32>,
        key: Option<String>,
        of_part: &Arc<Notification>,
    ) -> Effect {
        let rule = &self.rule.rule;
        let kept = self.kept.iter().find(|kept| {
            (&*kept.rule, &*kept.action, kept.resource) == (&*rule.name, &*action.name, resource)
        });
        let mut asks = foresee(self.conf.asked_by(action), of_part, kept.map(|kept| &kept.found));
        asks.extend_from_slice(self.more);
        let mut provided = None;
        let decided = match self.with_conditions {
            true => rule.asks(&action.name, &narrowed(rule, self.names, parts, resource)),
            false => Ok(()),
        };
        let would = match decided {
            Err(mismatch) => {
                // A skipped action asks nothing; only earlier answers are shown.
                asks.retain(|ask| matches!(ask.value, AnswerForecast::Kept(_)));
                not_asked(mismatch)
            }
            Ok(()) => match late(action, of_part, &asks) {
                Late::False(preview) => preview,
                late @ (Late::Holds | Late::Open(_)) => {
                    if let Late::Open(when) = late {
                        provided = Some(when);
                    }
                    let (notification, rule) = (&**of_part, &*rule.name);
                    action.preview(&CallRequest { notification, rule, resource, asks: &asks })
                }
            },
        };
        let id = parts.resource(resource).and_then(|found| found.id.as_deref());
        Effect {
            action: action.name.clone(),
            key,
            resource,
            id: id.map(|id| bounded_id(id).into_owned()),
            mode: rule.mode,
            ordered: !rule.unordered.contains(&action.name),
            asks,
            provided,
            too_old: None,
            would,
        }
    }
}

fn not_asked(mismatch: WhenMismatch) -> Preview {
    let is_undecided = matches!(mismatch, WhenMismatch::Undecided(_));
    let why = mismatch.to_string();
    if is_undecided { Preview::Undecided { why } } else { Preview::NotAsked { why } }
}

enum Late {
    Holds,
    False(Preview),
    Open(String),
}

fn late(action: &ActionConf, notification: &Arc<Notification>, asks: &[Ask]) -> Late {
    let Some(when) = action.decided_late() else { return Late::Holds };
    let source = shortened(&when.shown());
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
