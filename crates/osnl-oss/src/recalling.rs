//! The meaning of messages against the rows of a journal that several daemons share.
//!
//! The rows that a message needs follow from each other: a port's names its instance and its floating IPs, those their
//! addresses. So the meaning is computed with the rows that are there, and names the rows that it has looked for in vain; the
//! journal reads them, all at once, and asks again.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use osnl_core::recall::{ReadRows, Recall, RecallReport, RecalledMeaning, Recollection};
use osnl_model::Notification;

use super::event::Occurrence;
use super::instance::Nic;
use super::memory::Memory;
use super::servers::Complete;
use super::watched::WatchedActions;

/// Computes meanings for the actions that a watcher serves.
#[derive(Debug)]
pub(super) struct RowRecall {
    pub(super) watched: Arc<RwLock<WatchedActions>>,
}

/// The part of an answer that is remembered.
type Fact = (Occurrence, Vec<Nic>);

/// Returns answers of APIs as facts for [`RowRecall`].
pub(super) fn facts<'a>(found: impl Iterator<Item = &'a Complete>) -> String {
    let facts: Vec<Fact> = found.map(|found| (found.happened.clone(), found.nics.clone())).collect();
    // Texts and numbers can always be written.
    serde_json::to_string(&facts).unwrap_or_default()
}

impl Recall for RowRecall {
    fn recall(
        &self,
        reports: &[RecallReport<'_>],
        rows: &ReadRows,
    ) -> Result<Recollection, BTreeSet<String>> {
        let lists = self.watched.read().unwrap_or_else(PoisonError::into_inner).lists.clone();
        let mut memory = Memory::of_rows(rows);
        let (mut meanings, mut handled) = (Vec::new(), Vec::new());
        for report in reports {
            match report {
                RecallReport::Message(n, payload) => {
                    let told = lists.as_ref().map(|lists| memory.meaning(n, payload.as_deref(), lists));
                    let happened = told.unwrap_or_default();
                    let keys = memory.keys(&happened);
                    handled.extend((!happened.is_empty()).then_some(*n));
                    meanings.push(RecalledMeaning { happened: written(&happened), keys });
                }
                RecallReport::Facts(facts) => {
                    let facts: Vec<Fact> = serde_json::from_str(facts).unwrap_or_default();
                    for (happened, nics) in facts {
                        memory.learn(&Complete { happened, nics, asked: true });
                    }
                    meanings.push(RecalledMeaning::default());
                }
            }
        }
        let unread = memory.unread();
        if !unread.is_empty() {
            return Err(unread);
        }
        handled.into_iter().for_each(say_handled);
        Ok(Recollection { meanings, changes: memory.changes() })
    }
}

/// Returns the form in which a meaning is kept. Texts and numbers can always be written.
pub(super) fn written(happened: &[Occurrence]) -> Option<Arc<str>> {
    serde_json::to_string(happened).ok().map(Into::into)
}

/// The program's log has this line for each event.
pub(super) fn say_handled(n: &Notification) {
    let event_type = n.event_type.as_deref().unwrap_or_default();
    tracing::info!(
        event.type = event_type,
        former = format_args!("Handle event `{event_type}`."),
        "handling an event"
    );
}
