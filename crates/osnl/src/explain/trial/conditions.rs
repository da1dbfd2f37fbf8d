//! Decides whether a rule may fire on some event like an example, whose values stand for any values.

use osnl_config::template::conjuncts::{conjuncts, outside};
use osnl_config::template::{EvalError, Expression, Names};
use osnl_model::Observed;

use crate::native::{ActionConf, RuleConf};

const COMPARISONS: [&str; 9] =
    ["==", "!=", "<", ">", " not in ", " in ", " is match", " is search", " is startingwith"];
const FIXED: [&str; 1] = ["event_type"];

pub(super) struct Conditions(Vec<WhenCondition>);

struct WhenCondition {
    when: Expression,
    depends_on_values: bool,
}

impl Conditions {
    pub(super) fn new(rule: &RuleConf, action: &ActionConf) -> Self {
        let own = rule.rule.conditions.get(&action.name);
        let of_fallback = rule.rule.on_failure.values().find(|to| to.action == action.name);
        let of_fallback = of_fallback.and_then(|to| to.when.as_ref()).filter(|_| own.is_none());
        let all = [rule.rule.when.as_ref(), own, of_fallback];
        Self(all.into_iter().flatten().flat_map(sides).collect())
    }

    pub(super) fn may_hold(&self, rule: &RuleConf, names: &Names) -> bool {
        self.patterns_may_match(rule, names)
            && self.0.iter().all(|side| match side.when.holds(names) {
                Ok(true) => true,
                Ok(false) => side.depends_on_values,
                // An undecided condition is a dead letter itself, and the example's values may be its cause.
                Err(
                    EvalError::Lacks { .. }
                    | EvalError::Fuel
                    | EvalError::Work
                    | EvalError::TooLong
                    | EvalError::Failed { .. },
                ) => false,
            })
    }

    fn patterns_may_match(&self, rule: &RuleConf, names: &Names) -> bool {
        let notification = names.notification();
        let nested = rule.rule.nested.iter().map(|nested| nested.matches(notification));
        let all = std::iter::once(rule.rule.filter.matches(notification)).chain(nested);
        all.map(|matches| matches.map_err(|mismatch| mismatch.observed)).all(|matches| match matches {
            Ok(()) | Err(Observed::Text(_) | Observed::StepLimit { .. }) => true,
            Err(Observed::Absent | Observed::NotText(_) | Observed::NoKeys(_)) => false,
        })
    }
}

fn sides(when: &Expression) -> Vec<WhenCondition> {
    let split = conjuncts(when.source()).unwrap_or_default();
    let sides: Option<Vec<WhenCondition>> =
        split.into_iter().map(|source| Expression::new(source.trim()).ok().map(side)).collect();
    // The values of enrichments are unknown.
    sides.filter(|sides| !sides.is_empty()).unwrap_or_else(|| vec![side(when.clone())])
}

fn side(when: Expression) -> WhenCondition {
    let source = when.source();
    let compares = COMPARISONS.iter().any(|sign| outside(source, sign).is_some());
    let is_fixed = when.paths().all(|path| FIXED.contains(&path));
    WhenCondition { depends_on_values: compares && !is_fixed, when }
}
