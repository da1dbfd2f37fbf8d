//! The one model of trouble. An [`Incident`] is a broken part of osnl with its cause, its cost, and the next steps.
//! Pure.
//!
//! The screen, the page, JSON, metrics, exit codes, alerts, and the log of the old programs are views of
//! [`Status::incidents`](super::Status). The effects of a cause, such as old deliveries behind a target that is down, are
//! its symptoms and no incidents.

mod actions;
mod calls;
mod cause;
mod daemon;
mod fold;
mod gaps;
mod journal;
mod listeners;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

use osnl_transport::Remedy;

pub(super) use self::actions::{join_letters, judge_guards, judge_target};
pub(crate) use self::calls::{CallTerms, IncidentCall, KnownIncidents};
pub use self::cause::IncidentCause;
pub(super) use self::daemon::{judge_configuration, judge_expiry, judge_stop, judge_streams, no_daemon};
pub(super) use self::fold::fold;
pub(super) use self::gaps::judge_gaps;
pub(super) use self::journal::{judge_journal, judge_quarantine, judge_suspects, unreadable_journal};
pub(super) use self::listeners::{has_ended, judge_left_queue, judge_listener};
use super::incident_report::{Incident, IncidentActor};
use super::time::span;
pub use crate::incident_kind::{IncidentKind, IncidentSeverity};
use crate::numbers::{counted, grouped};
use crate::queues::{BrokerPlace, FindingKind};

impl From<FindingKind> for IncidentKind {
    fn from(finding: FindingKind) -> Self {
        match finding {
            FindingKind::Unread => Self::ServicesQueueUnread,
            FindingKind::OtherRules => Self::OtherRules,
            FindingKind::SamePool | FindingKind::Rival => Self::QueueShared,
            FindingKind::Left | FindingKind::Growing => Self::QueueUnread,
            FindingKind::ExchangeMissing => Self::ExchangeMissing,
            FindingKind::ExchangeType => Self::ExchangeType,
            FindingKind::PublishersBlocked => Self::PublishersBlocked,
            _ => Self::QueueLossy,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) attention_age: Duration,
    pub(super) max_pending: Option<u64>,
}

impl Incident {
    fn new(
        kind: IncidentKind,
        severity: IncidentSeverity,
        subject: impl Into<String>,
        what: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            severity,
            subject: subject.into(),
            actions: Vec::new(),
            listeners: Vec::new(),
            what: what.into(),
            why: None,
            since: None,
            since_seconds: None,
            waiting: 0,
            oldest_seconds: None,
            for_release: 0,
            must_act: IncidentActor::Operator,
            to_do: None,
            command: None,
            by_itself: None,
            symptoms: Vec::new(),
            has_one_guard: false,
            is_probe_helpful: false,
            words: None,
            full_action: None,
            label: None,
            place: None,
            look_age: None,
        }
    }

    fn for_action(self, action: &str) -> Self {
        Self { actions: vec![action.to_owned()], ..self }
    }

    fn for_listener(self, listener: &str) -> Self {
        Self { listeners: vec![listener.to_owned()], ..self }
    }

    /// Adds a listener, whose name `what` begins with.
    fn named_by_listener(self, listener: &str) -> Self {
        let found = self.for_listener(listener);
        Self { what: format!("{listener}: {}", found.what), words: Some(found.what), ..found }
    }

    fn at(self, place: Option<BrokerPlace>) -> Self {
        Self { place, ..self }
    }

    fn because(self, why: impl Into<String>) -> Self {
        let why: String = why.into();
        Self { why: Some(why).filter(|why| !why.is_empty()), ..self }
    }

    fn labelled(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    fn since(self, since: Option<String>, since_seconds: Option<u64>) -> Self {
        Self { since, since_seconds, ..self }
    }

    fn mended_by(self, to_do: impl Into<String>) -> Self {
        Self { to_do: Some(to_do.into()), ..self }
    }

    fn mended_by_command(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }

    fn mended_by_remedy(self, remedy: Remedy) -> Self {
        match remedy {
            Remedy::Command(line) => self.mended_by_command(line),
            Remedy::Advice(sentence) => self.mended_by(sentence),
            Remedy::ConfigurationAdvice(sentence) => self.mended_by(format!("{sentence}, then osnl reload")),
        }
    }

    fn heals(self, by_itself: impl Into<String>) -> Self {
        Self { must_act: IncidentActor::Osnl, by_itself: Some(by_itself.into()), ..self }
    }

    /// Whether messages are not read, or deliveries are not made, until the incident is over. A new kind counts.
    #[must_use]
    pub fn stops_deliveries(&self) -> bool {
        match self.kind {
            // A queue that no listener of this daemon reads stops nothing of it.
            IncidentKind::QueueUnread => self.severity == IncidentSeverity::Critical,
            IncidentKind::NoDaemon
            | IncidentKind::Stopping
            | IncidentKind::NearBound
            | IncidentKind::NotReloaded
            | IncidentKind::QueueShared
            | IncidentKind::QueueLossy
            | IncidentKind::ServicesQueueUnread
            | IncidentKind::OtherRules
            | IncidentKind::NeverReceived
            | IncidentKind::Gap
            | IncidentKind::DeadLetters
            | IncidentKind::Quarantined
            | IncidentKind::OldEvents
            | IncidentKind::Silent
            | IncidentKind::Certificate => false,
            _ => true,
        }
    }

    #[must_use]
    pub fn doing(&self) -> Option<String> {
        let steps = [&self.command, &self.to_do, &self.by_itself].into_iter().flatten();
        let steps: Vec<&str> = steps.map(String::as_str).collect();
        (!steps.is_empty()).then(|| steps.join("; "))
    }

    /// Returns the cause without numbers that change at each look, for the label of a metric: each new text is a new series.
    /// The subject is a label of its own.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.label.as_deref().or(self.why.as_deref())
    }

    /// Returns the broken part for the label of a metric. The listeners of a broker that cannot be reached are one part,
    /// however many of them try at this moment; queues with one name on two brokers are two.
    #[must_use]
    pub fn part(&self) -> String {
        match (&self.place, self.kind) {
            (None, _) => self.subject.clone(),
            (Some(place @ BrokerPlace { vhost: None, .. }), _)
            | (Some(place), IncidentKind::ListenerConnecting) => format!("broker {place}"),
            (Some(place), _) => format!("{} at {place}", self.subject),
        }
    }

    /// Returns the broker whose part is broken, whichever daemon looks; `None` for a part of this daemon.
    #[must_use]
    pub fn broker(&self) -> Option<&str> {
        let is_own = self.kind == IncidentKind::ListenerConnecting;
        self.place.as_ref().filter(|_| !is_own).map(|place| &*place.broker)
    }

    /// Returns the place of the incident on every screen: the sooner an operator should look, the smaller.
    ///
    /// 1. Nothing is read or kept: the daemon stops, the journal is full, a listener has no queue.
    /// 2. Critical incidents: first where an operator must act, then where osnl goes on alone.
    /// 3. Warnings, in the same order.
    /// 4. Warnings behind which nothing waits yet, such as a certificate that ends next week.
    ///
    /// Among equal ones, resources that fail are last, dead letters, deliveries that wait for release, and orphans first,
    /// and then the incident with most deliveries waiting.
    fn place(&self) -> impl Ord + use<> {
        use IncidentKind as Kind;
        let is_critical = self.severity == IncidentSeverity::Critical;
        let part = match self.kind {
            _ if is_critical && self.symptoms.contains(&Kind::ListenerBlocked) => 0,
            Kind::NoDaemon
            | Kind::Stopping
            | Kind::JournalUnreadable
            | Kind::JournalFull
            | Kind::JournalFailed => 0,
            Kind::ListenerConnecting | Kind::ListenerBlocked | Kind::ListenerStalled => 0,
            Kind::ListenerEnded if is_critical => 0,
            Kind::NearBound
            | Kind::NotReloaded
            | Kind::Gap
            | Kind::QueueLossy
            | Kind::OtherRules
            | Kind::OldEvents
            | Kind::Certificate
                if !is_critical =>
            {
                2
            }
            _ => 1,
        };
        let first = [Kind::DeadLetters, Kind::WaitingForRelease, Kind::Suspects, Kind::Orphaned];
        let kind = first.iter().position(|kind| *kind == self.kind).unwrap_or(first.len());
        let is_resource = self.kind == Kind::ResourceFailing && self.must_act == IncidentActor::Osnl;
        let waiting = self.waiting + self.for_release;
        (part, Reverse(self.severity), self.must_act, is_resource, kind, Reverse(waiting))
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.why.iter().try_for_each(|why| write!(f, ": {why}"))?;
        self.doing().iter().try_for_each(|doing| write!(f, "; {doing}"))
    }
}

pub(super) fn sort(incidents: &mut [Incident]) {
    incidents.sort_by_key(Incident::place);
}

fn lasting(seconds: Option<u64>) -> String {
    seconds.map_or(String::new(), |seconds| format!(" for {}", span(seconds)))
}

fn and_more(more: u64, one: &str) -> String {
    match more {
        0 => String::new(),
        more => format!(" (and {})", counted(more, &format!("more {one}"), &format!("more {one}s"))),
    }
}

fn is_near(count: u64, most: u64) -> bool {
    /// Hundredths of a bound from which on it is near.
    const NEAR: u64 = 80;
    count >= most / 100 * NEAR + most % 100 * NEAR / 100
}

pub(super) fn verb(count: u64) -> &'static str {
    if count == 1 { "waits" } else { "wait" }
}
