//! Dead letters put back into their queue by an operator, for which only the failed action is called.

use std::sync::Arc;

use osnl_core::rule::{Mode, Rule};
use osnl_journal::dead_letters::RetriedDelivery;
use osnl_journal::{Begin, NewDelivery};

/// Returns the delivery to repeat, among those that the rules make now. The operator's decision overrides guards and
/// age. A delivery that no rule makes is a dead letter again.
pub(super) fn retried(
    wanted: &RetriedDelivery<'_>,
    rule: Option<&Rule>,
    deliveries: Vec<NewDelivery>,
) -> NewDelivery {
    let action: Arc<str> = wanted.action.into();
    let of_rule = |new: &NewDelivery| *new.rule == *wanted.rule && new.resource == wanted.resource;
    let (own, others): (Vec<_>, Vec<_>) =
        deliveries.into_iter().filter(of_rule).partition(|new| new.action == action);
    let refused = |why: String| NewDelivery {
        resource: wanted.resource,
        begin: Begin::Dead(format!("it cannot be retried: {why}")),
        letter: wanted.letter,
        ..NewDelivery::new(wanted.rule, action.clone(), None)
    };
    let Some(rule) = rule else {
        return refused(format!(
            "rule {} is not there, or does not fire for this event any more",
            wanted.rule
        ));
    };
    match rule.mode {
        Mode::Live => {}
        Mode::Shadow => return refused(format!("rule {} is in shadow, and calls no action", rule.name)),
    }
    let is_called = rule.actions.contains(&action) || rule.fallbacks.contains(&action);
    match own.into_iter().chain(others).next() {
        Some(new) if is_called => {
            let ordered = !rule.unordered.contains(&action);
            let enriched = new.enriched.filter(|_| new.action == action);
            NewDelivery { action, ordered, enriched, begin: Begin::Live, letter: wanted.letter, ..new }
        }
        Some(_) => refused(format!("rule {} calls action {action} no longer", rule.name)),
        None => refused(format!("rule {} asks for nothing of this resource any more", rule.name)),
    }
}
