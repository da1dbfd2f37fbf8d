//! The open gaps of the listeners, and the ways to close them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use osnl_transport::shell_quoted;

use super::super::answer::{ClosedGaps, GapList, GapRow};
use super::super::refusal::{Code, RequestRefusal};
use super::super::time;
use super::ControlHandler;
use crate::actions::k2hr3::K2hr3Conf;
use crate::listener::{Gap, GapVerification};
use crate::verify::VerifiedKind;

/// Actions, each with the kinds of resources whose deletion it gets.
type ActionKinds = BTreeMap<String, BTreeSet<VerifiedKind>>;

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

    /// Closes the gaps that the verification of an action covers, and that need no other one.
    pub(super) fn verified_gaps(
        &self,
        action: &str,
        kind: VerifiedKind,
        until: &str,
        by: &str,
    ) -> Result<ClosedGaps, RequestRefusal> {
        let not_a_time = || RequestRefusal::new(Code::BadRequest, format!("until: {until:?} is not a time"));
        let until = time::read(until).ok_or_else(not_a_time)?;
        self.is_configured(action)?;
        let fed = self.actions_of_listeners().into_iter().filter(|(_, actions)| actions.contains_key(action));
        let needed = |(listener, actions): (String, ActionKinds)| {
            let needed = actions.iter().filter(|(name, _)| *name == action || self.deletes(name));
            let names: BTreeSet<String> =
                needed.flat_map(|(name, kinds)| verifications(name, kinds)).collect();
            (listener, names)
        };
        let name = verification(action, kind);
        let by_run = GapVerification { name, listeners: fed.map(needed).collect(), until };
        let closed = self.gaps.iter().flat_map(|book| book.verified(&by_run));
        Ok(self.closed(closed.collect(), by))
    }

    fn closed(&self, closed: Vec<Gap>, by: &str) -> ClosedGaps {
        for Gap { id, listener, .. } in &closed {
            tracing::info!(listener.name = &**listener, gap.id = id, by, "a gap is closed");
        }
        ClosedGaps { closed: closed.into_iter().map(|gap| self.gap_row(gap)).collect() }
    }

    /// Returns the actions of the enabled rules of each listener.
    fn actions_of_listeners(&self) -> BTreeMap<String, ActionKinds> {
        let mut found: BTreeMap<String, ActionKinds> = BTreeMap::new();
        let loaded = self.loaded();
        for rule in loaded.iter().flat_map(|loaded| &loaded.conf.rules).filter(|rule| rule.enabled) {
            let matched = VerifiedKind::ALL.into_iter().filter(|kind| kind.is_matched_by(&rule.rule));
            let matched: BTreeSet<VerifiedKind> = matched.collect();
            for listener in &rule.listeners {
                let actions = found.entry(listener.to_string()).or_default();
                for action in &rule.rule.actions {
                    let kinds = actions.entry(action.to_string()).or_default();
                    // K2HR3 holds instances, of whatever events it is told.
                    if self.is_k2hr3(action) {
                        kinds.insert(VerifiedKind::Server);
                    } else {
                        kinds.extend(&matched);
                    }
                }
            }
        }
        found
    }

    fn is_k2hr3(&self, action: &str) -> bool {
        let loaded = self.loaded();
        let mut all = loaded.iter().flat_map(|loaded| &loaded.conf.actions);
        let conf = all.find(|conf| *conf.name == *action);
        conf.is_some_and(|conf| conf.driver.options::<K2hr3Conf>().is_some())
    }

    fn gap_row(&self, gap: Gap) -> GapRow {
        let at = |seconds| time::shown(UNIX_EPOCH + Duration::from_secs(seconds));
        let actions = self.actions_of_listeners().remove(&gap.listener).unwrap_or_default();
        let deleting = actions.iter().filter(|(action, _)| self.deletes(action));
        let each = deleting.flat_map(|(action, kinds)| kinds.iter().map(move |kind| (action, *kind)));
        let open: Vec<(&String, VerifiedKind)> =
            each.filter(|(action, kind)| !gap.verified.contains(&verification(action, *kind))).collect();
        let mut to_verify: Vec<String> = open.iter().map(|(action, _)| (*action).clone()).collect();
        to_verify.dedup();
        let command = match open.first() {
            Some((action, kind)) => {
                let source = if self.is_k2hr3(action) { "--from k2hr3" } else { "--ids FILE" };
                let kind = if *kind == VerifiedKind::Port { " --kind port" } else { "" };
                format!("osnl verify {}{kind} {source} --live", shell_quoted(action))
            }
            None => format!("osnl gaps dismiss {}", gap.id),
        };
        GapRow {
            id: gap.id,
            from: at(gap.from),
            until: at(gap.until),
            seconds: gap.until - gap.from,
            since_seconds: time::age(self.by_present_clock(UNIX_EPOCH + Duration::from_secs(gap.from))),
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

/// Returns the verifications that the gaps of an action need. One of other kinds of resources is never made.
fn verifications(action: &str, kinds: &BTreeSet<VerifiedKind>) -> Vec<String> {
    match kinds.is_empty() {
        true => vec![format!("other {action}")],
        false => kinds.iter().map(|kind| verification(action, *kind)).collect(),
    }
}

/// Returns the name of a verification, which the file of gaps has.
fn verification(action: &str, kind: VerifiedKind) -> String {
    format!("{kind} {action}")
}
