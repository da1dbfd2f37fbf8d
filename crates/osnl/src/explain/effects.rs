//! The questions and the effects of the actions of a rule that fires.

use std::sync::Arc;

use osnl_core::event::AskedFor;
use osnl_model::Notification;
use osnl_template::Names;

use super::{is_secret_path, one_line, reason};
use crate::enrich::{Ask, Foreseen, foresee};
use crate::intake::{Parts, narrowed};
use crate::native::{ActionConf, Native, Preview, RuleConf, Wanted};
use crate::rule::{Mode, RuleMismatch, WhenMismatch};

/// The effect of one action of a rule that fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// The action.
    pub action: Arc<str>,
    /// The resource whose order is kept.
    pub key: Option<String>,
    /// The resource of a bulk request, by its index.
    pub resource: Option<u32>,
    /// Whether it would be done, or only recorded.
    pub mode: Mode,
    /// The questions before it, in this order.
    pub asks: Vec<Ask>,
    /// The action's condition, if what is not known yet decides it; `***` if it looks at a key that seems secret.
    pub provided: Option<String>,
    /// The effect that the action would have.
    pub would: Preview,
}

pub(super) fn effects(
    conf: &Native,
    rule: &RuleConf,
    notification: &Notification,
    names: Option<&Names>,
    found: &[AskedFor],
) -> Vec<Effect> {
    let whole = Names::new(Arc::new(notification.clone()));
    let parts = Parts::of_notification(notification);
    let actions = rule.rule.actions.iter();
    let actions = actions.filter_map(|name| conf.actions.iter().find(|action| action.name == *name));
    let effects = actions.flat_map(|action| {
        let (parts, whole) = (&parts, &whole);
        parts.of(&rule.rule).map(move |(resource, key)| {
            let of_part = parts.names(whole, resource).notification().clone();
            let kept = found.iter().find(|found| {
                (found.rule.as_str(), found.action.as_str(), found.resource)
                    == (&*rule.rule.name, &*action.name, resource)
            });
            let mut asks = foresee(conf.asked_by(action), &of_part, kept.map(|kept| &kept.found));
            let mut provided = None;
            let decided = names.map_or(Ok(()), |names| asked(rule, action, names, parts, resource));
            let would = match decided.map_err(|mismatch| reason(&RuleMismatch::When(mismatch))) {
                Err(why) => {
                    // Nobody is asked; what was asked then is told.
                    asks.retain(|ask| matches!(ask.value, Foreseen::Kept(_)));
                    Preview::NotAsked { why }
                }
                Ok(()) => match late(action, &of_part, &asks) {
                    Late::False(why) => Preview::NotAsked { why },
                    late @ (Late::Holds | Late::Open(_)) => {
                        if let Late::Open(when) = late {
                            provided = Some(when);
                        }
                        let (notification, rule) = (&*of_part, &*rule.rule.name);
                        action.preview(&Wanted { notification, rule, resource, asks: &asks })
                    }
                },
            };
            Effect { action: action.name.clone(), key, resource, mode: rule.rule.mode, asks, provided, would }
        })
    });
    effects.collect()
}

/// The condition of an action that looks at what `enrich` brings.
enum Late {
    Holds,
    /// And why.
    False(String),
    /// The decision needs an answer that is not known yet.
    Open(String),
}

fn late(action: &ActionConf, notification: &Arc<Notification>, asks: &[Ask]) -> Late {
    let Some(when) = action.decided_late() else { return Late::Holds };
    let secret = when.paths().any(is_secret_path);
    let source = if secret { "***".to_owned() } else { one_line(when.source()) };
    if asks.iter().any(|ask| ask.value == Foreseen::Unknown) {
        return Late::Open(source);
    }
    let names = Names::new(notification.clone());
    let names = asks.iter().fold(names, |names, ask| ask.named(names, Clone::clone));
    match when.holds(&names) {
        Ok(true) => Late::Holds,
        Ok(false) => Late::False(format!("when is false: {source}")),
        Err(error) => Late::False(format!("when is false: {error}")),
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
