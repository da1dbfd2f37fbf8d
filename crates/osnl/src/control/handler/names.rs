//! Refuses names that are neither configured nor in the journal: an empty answer to a mistyped name would look like good
//! news.

use osnl_config::{did_you_mean, nearest};

use super::super::Which;
use super::super::refusal::{Code, RequestRefusal};
use super::ControlHandler;
use crate::journal::query::{Filter, ListPage};

impl ControlHandler {
    pub(super) fn is_configured(&self, action: &str) -> Result<(), RequestRefusal> {
        match self.actions() {
            Some(actions) if !actions.iter().any(|known| **known == *action) => {
                Err(missing("action", action, actions.iter().map(|known| &**known).collect()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses a filter by an action or a rule that does not exist. A name that was configured once may have deliveries.
    pub(super) async fn has_names(&self, which: &Which) -> Result<(), RequestRefusal> {
        let actions = self.actions().unwrap_or_default();
        let rules = self.rule_names();
        for (what, name, known) in [("action", &which.action, &actions), ("rule", &which.rule, &rules)] {
            let Some(name) = name else { continue };
            if known.iter().any(|known| **known == **name) {
                continue;
            }
            let filter = match what {
                "action" => Filter { action: Some(name.clone()), ..Filter::default() },
                _ => Filter { rule: Some(name.clone()), ..Filter::default() },
            };
            let (rows, (_, has_more)) =
                self.store.journal.list(filter, ListPage { limit: 1, ..ListPage::default() }, 1).await?;
            if rows.is_empty() && !has_more {
                return Err(missing(what, name, known.iter().map(|known| &**known).collect()));
            }
        }
        Ok(())
    }
}

fn missing(what: &str, name: &str, known: Vec<&str>) -> RequestRefusal {
    let why = match &known[..] {
        // The configuration of a stopped daemon may not be known.
        [] => format!("there is no {what} {name}, and the journal has no delivery of one"),
        _ => {
            let hint = did_you_mean(nearest(name, known.iter().copied()));
            format!("there is no {what} {name}; there are {}{hint}", known.join(", "))
        }
    };
    RequestRefusal::new(Code::NotFound, why)
}
