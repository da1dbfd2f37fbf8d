//! The verdicts of a set's rules on one notification, in their order.

use super::{Mode, Rule, RuleMismatch, RuleSet, WhenMismatch};

use osnl_template::Names;

/// The decisions of a set of rules about one notification.
#[derive(Debug)]
pub struct Decisions<'a> {
    /// The rules that want something to be done.
    pub decided: Vec<RuleDecision<'a>>,
    /// Those whose head predicates hold and that did not fire: the first condition that failed.
    pub failed: Vec<(&'a Rule, RuleMismatch)>,
}

/// A rule that wants something to be done.
#[derive(Debug)]
pub enum RuleDecision<'a> {
    /// It fires.
    Fires(&'a Rule),
    /// It could not be decided, and why: what it would fire is a dead letter.
    Undecided(&'a Rule, String),
}

impl Rule {
    /// Whether the rules after it are not asked once it has fired. What only looks on does not end the others'
    /// turn: a rule in shadow would change what is done.
    #[must_use]
    pub fn ends_the_turn(&self) -> bool {
        match self.mode {
            Mode::Live => self.stop,
            Mode::Shadow => false,
        }
    }
}

impl RuleSet {
    /// Asks the rules whose head predicates hold, in their order, and counts what they say. After one that fired
    /// with `stop` none is asked; one that cannot be decided has not fired.
    #[must_use]
    pub fn decide(&self, names: &Names) -> Decisions<'_> {
        let standing = self.places_standing(&names.notification().head());
        let mut decisions = Decisions { decided: Vec::new(), failed: Vec::new() };
        let mut verdicts = Vec::with_capacity(standing.len());
        let mut ended_by: Option<&Rule> = None;
        for (at, rule) in standing {
            let fired = match ended_by {
                Some(by) => Err(RuleMismatch::Stopped { by: by.name.clone() }),
                None => rule.fires(names),
            };
            verdicts.push((at, fired.as_ref().err().map(Into::into)));
            match fired {
                Ok(()) => {
                    decisions.decided.push(RuleDecision::Fires(rule));
                    if rule.ends_the_turn() {
                        ended_by = Some(rule);
                    }
                }
                Err(mismatch) => {
                    match &mismatch {
                        RuleMismatch::When(WhenMismatch::Undecided(_)) => {
                            let why = format!("rule {}: {mismatch}", rule.name);
                            decisions.decided.push(RuleDecision::Undecided(rule, why));
                        }
                        RuleMismatch::GivenUp(given_up) => {
                            self.step_limits().look_at(given_up);
                            let why = format!("rule {}: {mismatch}", rule.name);
                            decisions.decided.push(RuleDecision::Undecided(rule, why));
                        }
                        RuleMismatch::Filter(_)
                        | RuleMismatch::Priority(_)
                        | RuleMismatch::When(WhenMismatch::False(_) | WhenMismatch::Lacks { .. })
                        | RuleMismatch::Stopped { .. } => {}
                    }
                    tracing::debug!(
                        rule.name = &*rule.name,
                        reason = mismatch.to_string(),
                        "the rule did not fire"
                    );
                    decisions.failed.push((rule, mismatch));
                }
            }
        }
        self.count(verdicts);
        decisions
    }
}

#[cfg(test)]
mod tests;
