//! Refuses names that are neither configured nor in the journal: an empty answer to a mistyped name would look like good
//! news.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use osnl_model::no_such;

use super::super::refusal::{Code, RequestRefusal};
use super::super::{Which, WhichMessages};
use super::ControlHandler;
use crate::journal::query::{Bodies, Filter, ListPage, UnreadableFilter};
use crate::native::{JournalConf, Native};

/// The messages of the quarantine whose queues a refusal names.
const LOOKED_AT: u32 = 1000;

/// The names that a configuration has, and what its actions do.
#[derive(Clone, Debug, Default)]
pub struct ConfiguredNames {
    pub(super) actions: Vec<Arc<str>>,
    pub(super) effects: BTreeMap<Arc<str>, String>,
    pub(super) rules: Vec<Arc<str>>,
    queues: Vec<String>,
    pub(super) retention: Option<Duration>,
}

impl ConfiguredNames {
    #[must_use]
    pub fn new(conf: &Native) -> Self {
        Self {
            actions: conf.actions.iter().map(|action| action.name.clone()).collect(),
            effects: conf
                .actions
                .iter()
                .map(|action| (action.name.clone(), action.driver.conf().does()))
                .collect(),
            rules: conf.rules.iter().map(|rule| rule.rule.name.clone()).collect(),
            queues: conf.listeners.iter().flat_map(|listener| listener.queues()).collect(),
            retention: match &conf.journal {
                JournalConf::Sqlite(options) => Some(options.bounds.retention),
                JournalConf::Memory => None,
            },
        }
    }
}

impl ControlHandler {
    pub(super) fn is_configured(&self, action: &str) -> Result<(), RequestRefusal> {
        match self.actions() {
            Some(actions) if !actions.iter().any(|known| **known == *action) => {
                Err(missing("action", action, actions.iter().map(|known| &**known)))
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
                let refusal = missing(what, name, known.iter().map(|known| &**known));
                // The configuration of a stopped daemon may not be known.
                let more = if known.is_empty() { ", and the journal has no delivery of one" } else { "" };
                return Err(RequestRefusal { message: refusal.message + more, ..refusal });
            }
        }
        Ok(())
    }

    /// Refuses a filter by a queue that no listener reads and from which no message is in quarantine.
    pub(super) async fn has_queue(&self, which: &WhichMessages) -> Result<(), RequestRefusal> {
        let Some(name) = &which.queue else { return Ok(()) };
        let mut known: BTreeSet<String> = self.queue_names().into_iter().collect();
        let of_queue = UnreadableFilter { queue: Some(name.clone()), ..UnreadableFilter::default() };
        if known.contains(name) || !self.store.journal.numbers_quarantined(of_queue).await?.is_empty() {
            return Ok(());
        }
        let all = UnreadableFilter::default();
        let kept = self.store.journal.quarantined(all, 0, LOOKED_AT, Bodies::Left).await?;
        known.extend(kept.iter().map(|message| message.received.origin.queue.to_string()));
        let refusal = missing("queue", name, known.iter().map(String::as_str));
        let more = if known.is_empty() { ", and no message is in quarantine" } else { "" };
        Err(RequestRefusal { message: refusal.message + more, ..refusal })
    }

    fn queue_names(&self) -> Vec<String> {
        match (&self.names, self.loaded()) {
            (Some(names), _) => names.queues.clone(),
            (None, Some(loaded)) => ConfiguredNames::new(&loaded.conf).queues,
            (None, None) => Vec::new(),
        }
    }
}

fn missing<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> RequestRefusal {
    RequestRefusal::new(Code::NotFound, no_such(what, name, known))
}
