//! Decides about which incidents actions are called (`[incidents]`). Pure.
//!
//! An incident begins for the actions when it has lasted for `after`, and ends when two looks have not found it: a broker
//! that starts may end a connection again. After a start it ends only once osnl has run for `after`, since a target that
//! is down is known only from the next attempt. Kinds of one cause are one incident: severity and kinds choose what begins,
//! and what has begun lasts as long as its cause. A part has at most one beginning an hour. While the journal keeps
//! nothing, nothing begins or ends. No action is told about itself, or about an action of its `on_failure`, so that no call
//! is about a call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Incident, IncidentCause, IncidentKind, IncidentSeverity};

/// The least time between two beginnings of one incident.
const PAUSE: u64 = 3600;
/// The looks without an incident after which it has ended.
const LOOKS: u8 = 2;

/// The incidents that are called about, and the actions that are called.
#[derive(Clone, Debug)]
pub(crate) struct CallTerms {
    /// Each action, with itself and the actions of its `on_failure`.
    pub(crate) actions: Vec<(Arc<str>, BTreeSet<Arc<str>>)>,
    pub(crate) after: Duration,
    pub(crate) severity: IncidentSeverity,
    pub(crate) kinds: Vec<IncidentKind>,
    /// The time since the start: what an earlier run has found may not have been tried again before `after`.
    pub(crate) running: Duration,
}

/// A call about the beginning or the end of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncidentCall {
    pub(crate) is_begin: bool,
    pub(crate) incident: Incident,
    pub(crate) part: String,
    pub(crate) lasted: u64,
    pub(crate) actions: Vec<String>,
}

/// The incidents that are known from earlier looks. A file keeps them, so that a restart begins and ends nothing twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownIncidents(Vec<KnownIncident>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownIncident {
    cause: String,
    part: String,
    /// The first look that has found it, in seconds since 1970; `None` if it has ended.
    since: Option<u64>,
    /// The incident at its beginning, and the actions that were called.
    begun: Option<(Incident, Vec<String>)>,
    /// The time of the latest beginning.
    called: Option<u64>,
    #[serde(default)]
    missed: u8,
}

impl KnownIncidents {
    /// Returns the incidents after a look, and the calls that are due. `now`: seconds since 1970.
    pub(crate) fn after(&self, found: &[Incident], terms: &CallTerms, now: u64) -> (Self, Vec<IncidentCall>) {
        let keeps_nothing = |one: &Incident| {
            one.kind.cause() == IncidentCause::NotKept || one.kind == IncidentKind::JournalUnreadable
        };
        if found.iter().any(keeps_nothing) {
            return (self.clone(), Vec::new());
        }
        let place_of = |one: &Incident| (one.kind.cause().to_string(), one.part());
        let there: BTreeSet<(String, String)> = found.iter().map(place_of).collect();
        let (mut next, mut calls, mut seen) = (self.clone(), Vec::new(), BTreeSet::new());
        for incident in found.iter().filter(|one| terms.is_meant(one)) {
            let (cause, part) = place_of(incident);
            if seen.insert((cause.clone(), part.clone())) {
                let known = next.entry(cause, part);
                calls.extend(known.is_found(incident, terms, now));
            }
        }
        for known in &mut next.0 {
            let place = (known.cause.clone(), known.part.clone());
            if known.begun.is_some() && there.contains(&place) {
                known.missed = 0;
            } else if !seen.contains(&place) {
                calls.extend(known.is_missed(terms, now));
            }
        }
        let is_of_use = |one: &KnownIncident| {
            one.since.is_some() || one.called.is_some_and(|called| now < called + PAUSE)
        };
        next.0.retain(is_of_use);
        (next, calls)
    }

    /// Returns the incidents with times that are this many seconds later, for a system clock that is ahead.
    pub(crate) fn shifted(&self, seconds: i64) -> Self {
        let shifted = |at: Option<u64>| at.map(|at| at.saturating_add_signed(seconds));
        let known = self.0.iter().cloned();
        Self(
            known
                .map(|one| KnownIncident { since: shifted(one.since), called: shifted(one.called), ..one })
                .collect(),
        )
    }

    /// Takes back a call that the journal did not take, so that the next look decides again.
    pub(crate) fn undo(&mut self, call: IncidentCall, now: u64) {
        let known = self.entry(call.incident.kind.cause().to_string(), call.part);
        if call.is_begin {
            (known.begun, known.called) = (None, None);
        } else {
            known.since = Some(now.saturating_sub(call.lasted));
            (known.begun, known.missed) = (Some((call.incident, call.actions)), LOOKS - 1);
        }
    }

    fn entry(&mut self, cause: String, part: String) -> &mut KnownIncident {
        let at = self.0.iter().position(|one| one.cause == cause && one.part == part);
        let at = at.unwrap_or_else(|| {
            let (since, begun, called, missed) = (None, None, None, 0);
            self.0.push(KnownIncident { cause, part, since, begun, called, missed });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl KnownIncident {
    fn is_found(&mut self, incident: &Incident, terms: &CallTerms, now: u64) -> Option<IncidentCall> {
        self.missed = 0;
        let lasts = incident.since_seconds.unwrap_or(0);
        // A clock that was ahead delays no beginning.
        let since = (*self.since.get_or_insert(now.saturating_sub(lasts))).min(now);
        let is_due = now >= since + terms.after.as_secs();
        let is_free = self.called.is_none_or(|called| now >= called + PAUSE || now < called);
        self.since = Some(since);
        if self.begun.is_some() || !is_due || !is_free {
            return None;
        }
        let is_about = |of: &BTreeSet<Arc<str>>| incident.actions.iter().any(|name| of.contains(&**name));
        let told = terms.actions.iter().filter(|(_, of)| !is_about(of));
        let actions: Vec<String> = told.map(|(name, _)| name.to_string()).collect();
        if actions.is_empty() {
            return None;
        }
        (self.begun, self.called) = (Some((incident.clone(), actions.clone())), Some(now));
        Some(self.call(true, incident.clone(), actions, now - since))
    }

    fn is_missed(&mut self, terms: &CallTerms, now: u64) -> Option<IncidentCall> {
        if self.begun.is_some() && terms.running < terms.after {
            return None;
        }
        self.missed = self.missed.saturating_add(1);
        if self.missed < LOOKS {
            return None;
        }
        let since = self.since.take();
        let (incident, mut actions) = self.begun.take()?;
        actions.retain(|name| terms.actions.iter().any(|(known, _)| **known == **name));
        let lasted = now.saturating_sub(since.unwrap_or(now));
        (!actions.is_empty()).then(|| self.call(false, incident, actions, lasted))
    }

    fn call(&self, is_begin: bool, incident: Incident, actions: Vec<String>, lasted: u64) -> IncidentCall {
        IncidentCall { is_begin, incident, part: self.part.clone(), lasted, actions }
    }
}

impl CallTerms {
    fn is_meant(&self, incident: &Incident) -> bool {
        let is_own = matches!(incident.kind, IncidentKind::NoDaemon | IncidentKind::Stopping);
        let is_of_kind = self.kinds.is_empty() || self.kinds.contains(&incident.kind);
        incident.severity >= self.severity && is_of_kind && !is_own
    }
}

impl IncidentCall {
    /// Returns the resource of the event: the kind and the part.
    pub(crate) fn resource(&self) -> String {
        format!("{}/{}", self.incident.kind.name(), self.part)
    }

    pub(crate) fn event_type(&self) -> &'static str {
        if self.is_begin { "osnl.incident.begin" } else { "osnl.incident.end" }
    }

    /// Returns the payload, which templates read as `incident`: the incident as `osnl status` has it, without `null`, and
    /// with all next steps as `to_do`.
    pub(crate) fn payload(&self) -> Value {
        let mut payload = serde_json::to_value(&self.incident).unwrap_or_default();
        for value in payload.as_object_mut().into_iter().flat_map(|object| object.values_mut()) {
            if value.is_null() {
                *value = json!("");
            }
        }
        payload["to_do"] = json!(self.incident.doing().unwrap_or_default());
        payload["resource"] = json!(self.resource());
        payload["state"] = json!(if self.is_begin { "begin" } else { "end" });
        payload["lasted_seconds"] = json!(self.lasted);
        payload
    }
}
