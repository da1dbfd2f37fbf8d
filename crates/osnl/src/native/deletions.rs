//! Checks rules of an action `k2hr3` against the catalogue: the action deletes hosts, so other events are useless or
//! delete a live host.

use std::collections::BTreeSet;

use osnl_config::Warning;

use super::kinds::RULE;
use super::{LoadedConf, RuleConf};
use crate::actions::k2hr3::{DELETIONS, K2hr3Conf, K2hr3Events};

const NAMED: usize = 3;

impl LoadedConf {
    /// Warns of rules whose events the action `k2hr3` ignores, or deletes hosts for without a deletion.
    #[must_use]
    pub fn not_deletions(&self) -> Vec<Warning> {
        let enabled = self.conf.rules.iter().filter(|rule| rule.enabled);
        enabled.flat_map(|rule| self.not_deletions_of(rule)).collect()
    }

    fn not_deletions_of(&self, rule: &RuleConf) -> Vec<Warning> {
        let actions = rule.rule.actions.iter().chain(&rule.rule.fallbacks);
        let options = actions.filter_map(|name| {
            let action = self.conf.actions.iter().find(|action| action.name == *name)?;
            Some((name, action.driver.options::<K2hr3Conf>()?.events))
        });
        let mut warnings = Vec::new();
        for (action, events) in options {
            let known: BTreeSet<&str> =
                self.conf.events_of(rule).events.iter().map(|event| event.event_type).collect();
            let others: Vec<&str> = known.iter().filter(|name| !DELETIONS.contains(name)).copied().collect();
            let finding = match events {
                K2hr3Events::Deletions if !known.is_empty() && others.len() == known.len() => self
                    .at_event_type(
                        rule,
                        &format!("matches no deletion, so [action:{action}] never does anything"),
                    )
                    .allowed(format!("the deletions are {}", DELETIONS.join(", "))),
                K2hr3Events::All if !others.is_empty() => {
                    let named = others.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
                    let more = if others.len() > NAMED { ", ..." } else { "" };
                    let problem = format!(
                        "lets events through that are not deletions ({named}{more}), and [action:{action}] deletes \
                         their host all the same (events = all)"
                    );
                    self.at_event_type(rule, &problem)
                        .allowed(r"match the deletions alone, such as ^port\.delete\.end$")
                }
                K2hr3Events::Deletions | K2hr3Events::All => continue,
            };
            warnings.push(Warning(finding));
        }
        warnings
    }

    fn at_event_type(&self, rule: &RuleConf, problem: &str) -> osnl_config::Finding {
        self.finding(RULE, &rule.rule.name, "event_type", problem)
    }
}
