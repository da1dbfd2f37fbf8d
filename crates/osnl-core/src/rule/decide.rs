//! The verdicts of the rules on a whole message, after the head has passed. An undecided rule makes dead letters.

use super::{Mode, Rule, RuleMismatch, RuleSet, WhenMismatch};

use osnl_config::template::Names;

/// The verdicts on one message of the rules whose head predicates hold, in the order of the rules. An undecided rule is in
/// both lists.
#[derive(Debug)]
pub struct Decisions<'a> {
    /// The rules that make deliveries.
    pub decided: Vec<RuleDecision<'a>>,
    /// The rules that did not fire, each with the reason.
    pub failed: Vec<(&'a Rule, RuleMismatch)>,
}

/// A rule that makes deliveries: live ones, or dead letters if it is undecided.
#[derive(Debug)]
pub enum RuleDecision<'a> {
    Fires(&'a Rule),
    /// The rule could not be decided, for this reason.
    Undecided(&'a Rule, String),
}

impl Rule {
    /// Returns whether later rules are skipped once this rule has fired. A rule in shadow skips none: shadow must not
    /// change effects.
    #[must_use]
    pub fn ends_the_turn(&self) -> bool {
        match self.mode {
            Mode::Live => self.stop,
            Mode::Shadow => false,
        }
    }
}

impl RuleSet {
    /// Asks the rules whose head predicates hold, in order, and counts their verdicts. After a rule that fired with
    /// `stop` no other is asked. An undecided rule has not fired.
    #[must_use]
    pub fn decide(&self, names: &Names) -> Decisions<'_> {
        let matching = self.places_matching(&names.notification().head());
        let mut decisions = Decisions { decided: Vec::new(), failed: Vec::new() };
        let mut verdicts = Vec::with_capacity(matching.len());
        let mut ended_by: Option<&Rule> = None;
        for (at, rule) in matching {
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
                            self.step_limits().observe(given_up);
                            let why = format!("rule {}: {mismatch}", rule.name);
                            decisions.decided.push(RuleDecision::Undecided(rule, why));
                        }
                        _ => {}
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
