//! The open gaps of the listeners, and the ways to close them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use osnl_transport::shell_quoted;

use super::super::answer::{ClosedGaps, GapList, GapRow};
use super::super::refusal::{Code, RequestRefusal};
use super::super::time;
use super::ControlHandler;
use crate::actions::k2hr3::K2hr3Conf;
use crate::listener::{Gap, VerifiedAction};

impl ControlHandler {
    pub(super) fn gaps(&self) -> GapList {
        let open = self.gaps.iter().flat_map(|book| book.open_gaps());
        GapList { gaps: open.map(|gap| self.gap_row(gap)).collect() }
    }

    /// `ids`: all gaps if it is empty and `all` is set.
    pub(super) fn dismiss_gaps(
        &self,
        ids: &[u64],
        all: bool,
        by: &str,
    ) -> Result<ClosedGaps, RequestRefusal> {
        if ids.is_empty() != all {
            return Err(RequestRefusal::new(Code::BadRequest, "either numbers of gaps or all are dismissed"));
        }
        let closed = self.gaps.iter().flat_map(|book| book.dismiss((!all).then_some(ids)));
        Ok(self.closed(closed.collect(), by))
    }

    /// Closes the gaps that the verification of an action covers, and of which no other action is left to verify.
    pub(super) fn verified_gaps(
        &self,
        action: &str,
        until: &str,
        by: &str,
    ) -> Result<ClosedGaps, RequestRefusal> {
        let not_a_time = || RequestRefusal::new(Code::BadRequest, format!("until: {until:?} is not a time"));
        let until = time::read(until).ok_or_else(not_a_time)?;
        self.is_configured(action)?;
        let listeners = self.actions_of_listeners().into_iter();
        let listeners = listeners.filter(|(_, actions)| actions.contains(action));
        let needed = listeners.map(|(name, actions)| (name, self.deleting(actions)));
        let by_action = VerifiedAction { action, listeners: needed.collect(), until };
        let closed = self.gaps.iter().flat_map(|book| book.verified(&by_action));
        Ok(self.closed(closed.collect(), by))
    }

    fn closed(&self, closed: Vec<Gap>, by: &str) -> ClosedGaps {
        for Gap { id, listener, .. } in &closed {
            tracing::info!(listener.name = &**listener, gap.id = id, by, "a gap is closed");
        }
        ClosedGaps { closed: closed.into_iter().map(|gap| self.gap_row(gap)).collect() }
    }

    /// Returns the actions of the enabled rules of each listener.
    fn actions_of_listeners(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let loaded = self.loaded();
        for rule in loaded.iter().flat_map(|loaded| &loaded.conf.rules).filter(|rule| rule.enabled) {
            for listener in &rule.listeners {
                let actions = rule.rule.actions.iter().map(ToString::to_string);
                found.entry(listener.to_string()).or_default().extend(actions);
            }
        }
        found
    }

    /// Leaves the actions whose target keeps a resource if its deletion is missed.
    fn deleting(&self, actions: BTreeSet<String>) -> BTreeSet<String> {
        actions.into_iter().filter(|action| self.deletes(action)).collect()
    }

    fn gap_row(&self, gap: Gap) -> GapRow {
        let at = |seconds| time::shown(UNIX_EPOCH + Duration::from_secs(seconds));
        let actions = self.actions_of_listeners().remove(&gap.listener).unwrap_or_default();
        let to_verify: Vec<String> = self.deleting(actions).difference(&gap.verified).cloned().collect();
        let of_k2hr3 = |name: &str| {
            let loaded = self.loaded();
            let mut all = loaded.iter().flat_map(|loaded| &loaded.conf.actions);
            let conf = all.find(|conf| *conf.name == *name);
            conf.is_some_and(|conf| conf.driver.options::<K2hr3Conf>().is_some())
        };
        let command = match to_verify.first() {
            Some(action) => {
                let source = if of_k2hr3(action) { "--from k2hr3" } else { "--ids FILE" };
                format!("osnl verify {} {source} --live", shell_quoted(action))
            }
            None => format!("osnl gaps dismiss {}", gap.id),
        };
        GapRow {
            id: gap.id,
            from: at(gap.from),
            until: at(gap.until),
            seconds: gap.until - gap.from,
            since_seconds: time::age(UNIX_EPOCH + Duration::from_secs(gap.from)),
            cause: gap.cause,
            is_certain: gap.is_certain,
            why: gap.detail.map_or(gap.cause.to_string(), |detail| format!("{}: {detail}", gap.cause)),
            exchanges: gap.exchanges.into_iter().collect(),
            topics: gap.topics.into_iter().collect(),
            listener: gap.listener,
            to_verify,
            command,
        }
    }
}
