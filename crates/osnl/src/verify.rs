//! Asks OpenStack by id whether the resources exist that a target holds, and plans a deletion event for each that is
//! proved gone. A list of the cloud never proves an absence, and is never read.
//!
//! | answer | means |
//! | --- | --- |
//! | 200, of any status: a soft-deleted server exists, a rebuilt one keeps its id | there |
//! | 404 `itemNotFound` of nova with the id, `PortNotFound` of neutron, if the login [sees all](Cloud::sees_all) | gone |
//! | 404 of another form: hidden by a policy, a proxy | unknown |
//! | 403, 500 (a cell of nova that is down), no answer, all else | unknown |
//!
//! A [`Verifier`] asks in stretches. The login is proved before and after each: if a role is taken away meanwhile, the
//! stretch counts for nothing. In a cloud with several regions the operator names the one of the ids. [`DeletionPlanner`] applies the rules to the deletion event, as a
//! [replay](crate::replay) does, and leaves out what the journal knows better.

mod deletion;
mod ids;
#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::pin;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};
use osnl_model::Budget;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

pub use self::deletion::DeletionForm;
pub use self::ids::{IdsError, NotAnId, ResourceId, ResourceIds};
use crate::enrich::Kind;
use crate::explain::{ExplainedEvent, Explainer, Ruling};
use crate::journal::query::{About, DeliveryListRow, Filter, ListPage, RowState};
use crate::journal::sqlite::SqliteReader;
use crate::native::Preview;
use crate::replay::ReplayEvent;
use crate::rule::{Mode, Rule};
pub use osnl_openstack::{Cloud, Unproved};

/// The ids of a stretch: the login is proved once for each, and an interrupted run repeats at most one.
pub const STRETCH: usize = 1000;
/// The requests that wait for an answer at the same time.
const AT_ONCE: usize = 8;
/// The resources about which the journal is asked at once.
const PLANNED_AT_ONCE: usize = 100;
/// If all of the first ids are gone, the cloud is more probably the wrong one.
const FIRST: u64 = 50;
/// The greatest part of all ids that may be gone, in percent.
const MOST_GONE: u64 = 20;
/// The answers without a meaning in a row, after which asking is no use.
const UNKNOWN_IN_A_ROW: u64 = 20;

/// The kind of resource that is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VerifiedKind {
    Server,
    Port,
}

impl VerifiedKind {
    pub const ALL: [Self; 2] = [Self::Server, Self::Port];

    /// Whether a rule may match the deletion event of a resource of this kind, as far as the event type tells.
    pub(crate) fn is_matched_by(self, rule: &Rule) -> bool {
        let matches = |form: &DeletionForm| rule.filter.holds_for_event_type(Some(form.event_type()));
        self.forms().iter().any(|form| matches(form).unwrap_or(true))
    }

    fn kind(self) -> Kind {
        match self {
            Self::Server => Kind::Server,
            Self::Port => Kind::Port,
        }
    }

    fn forms(self) -> &'static [DeletionForm] {
        match self {
            Self::Server => &[DeletionForm::Instance, DeletionForm::VersionedInstance],
            Self::Port => &[DeletionForm::Port],
        }
    }
}

impl FromStr for VerifiedKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "server" => Ok(Self::Server),
            "port" => Ok(Self::Port),
            _ => Err("allowed: server, port"),
        }
    }
}

impl fmt::Display for VerifiedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name())
    }
}

/// The answers so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyTally {
    pub asked: u64,
    pub there: u64,
    pub gone: u64,
    /// Answers that prove neither.
    pub unknown: u64,
}

/// The reason for which a verification stops by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    #[error("all of the first {FIRST} ids are gone: is this the cloud of the ids?")]
    FirstGone,
    #[error("more than {MOST_GONE} % of the ids so far are gone: is this the cloud of the ids?")]
    ManyGone,
    #[error("{UNKNOWN_IN_A_ROW} answers in a row prove nothing")]
    NoAnswers,
}

/// The result for a part of the ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// The time before the first question: what was deleted before is found.
    pub began: SystemTime,
    pub gone: Vec<ResourceId>,
    pub unknown: Vec<(ResourceId, String)>,
    /// Set if the operator has to decide before anything is appended, or if no answer proves anything.
    pub halt: Option<Halt>,
    /// Whether each of the ids was asked about.
    pub is_whole: bool,
}

/// Asks a cloud about ids at a bounded rate.
#[derive(Debug)]
pub struct Verifier {
    cloud: Cloud,
    kind: VerifiedKind,
    /// The most questions a second; `None` for no limit.
    per_second: Option<f64>,
    /// Whether many resources may be gone, as the operator knows.
    allows_many: bool,
    /// Whether all ids are of the region that is asked, as the operator knows.
    is_region_named: bool,
    tally: VerifyTally,
}

enum Answer {
    There,
    Gone,
    Unknown(String),
}

impl Verifier {
    #[must_use]
    pub fn new(cloud: Cloud, kind: VerifiedKind, per_second: Option<f64>) -> Self {
        let (allows_many, is_region_named, tally) = (false, false, VerifyTally::default());
        Self { cloud, kind, per_second, allows_many, is_region_named, tally }
    }

    #[must_use]
    pub fn naming_region(self, is_region_named: bool) -> Self {
        Self { is_region_named, ..self }
    }

    #[must_use]
    pub fn allowing_many(self, allows_many: bool) -> Self {
        Self { allows_many, ..self }
    }

    /// Lets many resources be gone from now on.
    pub fn allow_many(&mut self) {
        self.allows_many = true;
    }

    #[must_use]
    pub fn tally(&self) -> VerifyTally {
        self.tally
    }

    async fn proved(&self) -> Result<(), Unproved> {
        let kind = self.kind.kind();
        self.cloud.sees_all(kind).await?;
        if self.is_region_named { Ok(()) } else { self.cloud.has_one_region(kind).await }
    }

    /// Asks about ids, in order. Nothing counts unless the login is proved before and after.
    pub async fn stretch(
        &mut self,
        ids: &[ResourceId],
        mut asked: impl FnMut(VerifyTally),
    ) -> Result<Stretch, Unproved> {
        let (began, gone, unknown) = (SystemTime::now(), Vec::new(), Vec::new());
        let mut stretch = Stretch { began, gone, unknown, halt: None, is_whole: true };
        self.proved().await?;
        let (cloud, kind) = (&self.cloud, self.kind);
        let pace = self.per_second.map(|rate| {
            let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        let paced = stream::unfold((ids.iter(), pace), |(mut ids, mut pace)| async move {
            let id = *ids.next()?;
            if let Some(ticks) = &mut pace {
                ticks.tick().await;
            }
            Some((id, (ids, pace)))
        });
        let answers = paced.map(|id| async move { (id, answer(cloud, kind, id).await) }).buffered(AT_ONCE);
        let mut answers = pin!(answers);
        let (mut tally, mut in_a_row) = (self.tally, 0);
        while let Some((id, answer)) = answers.next().await {
            tally.asked += 1;
            in_a_row = if matches!(answer, Answer::Unknown(_)) { in_a_row + 1 } else { 0 };
            match answer {
                Answer::There => tally.there += 1,
                Answer::Gone => {
                    tally.gone += 1;
                    stretch.gone.push(id);
                }
                Answer::Unknown(why) => {
                    tally.unknown += 1;
                    stretch.unknown.push((id, why));
                }
            }
            asked(tally);
            if in_a_row == UNKNOWN_IN_A_ROW {
                stretch.halt = Some(Halt::NoAnswers);
                break;
            }
            if !self.allows_many && tally.asked == FIRST && tally.gone == FIRST {
                stretch.halt = Some(Halt::FirstGone);
                break;
            }
        }
        self.proved().await?;
        stretch.is_whole = stretch.halt.is_none();
        let is_many = tally.gone * 100 > tally.asked * MOST_GONE;
        if is_many && !self.allows_many && stretch.halt != Some(Halt::FirstGone) && !stretch.gone.is_empty() {
            stretch.halt = Some(Halt::ManyGone);
        }
        // The operator may let these ids be asked about again.
        if stretch.is_whole || stretch.halt == Some(Halt::NoAnswers) {
            self.tally = tally;
        }
        Ok(stretch)
    }
}

async fn answer(cloud: &Cloud, kind: VerifiedKind, id: ResourceId) -> Answer {
    let id = id.to_string();
    match cloud.get(kind.kind(), &id).await {
        Ok(object) if object["id"] == id => Answer::There,
        Ok(_) => Answer::Unknown(format!("{kind} {id}: the answer is about another object")),
        Err(error) if error.is_gone() => Answer::Gone,
        Err(error) => Answer::Unknown(error.to_string()),
    }
}

/// The consequence of a resource that is gone.
#[derive(Clone, Debug)]
pub enum DeletionPlan {
    Append(Box<ReplayEvent>),
    LeftOut(LeftOut),
}

/// The reason for which a resource that is gone has no deletion event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The journal has an event about the resource that is younger than `--settled`.
    Young,
    /// An earlier verification has appended the event.
    AlreadyAppended(RowState),
    /// An earlier verification has appended this event, which has ended, and the target holds the id still, or again.
    InVain { event: u64, state: RowState },
    /// No rule gives the action the event, or the action has nothing to do or lacks data.
    NoEffect(String),
}

/// The reason for which the journal cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JournalUnreadable(String);

fn unreadable(error: impl fmt::Display) -> JournalUnreadable {
    JournalUnreadable(error.to_string())
}

/// Plans the deletion events of one action.
#[derive(Debug)]
pub struct DeletionPlanner<'a> {
    explainer: Explainer<'a>,
    action: &'a str,
    kind: VerifiedKind,
    /// The journal, if there is one yet.
    journal: Option<SqliteReader>,
    /// A resource with a younger event is left alone: its own deletion may be on its way.
    settled: Duration,
}

impl<'a> DeletionPlanner<'a> {
    #[must_use]
    pub fn new(
        explainer: Explainer<'a>,
        action: &'a str,
        kind: VerifiedKind,
        journal: Option<SqliteReader>,
        settled: Duration,
    ) -> Self {
        Self { explainer, action, kind, journal, settled }
    }

    /// Plans the events of resources that were gone when they were asked about, after `began`.
    pub fn plan(
        &mut self,
        gone: &[ResourceId],
        began: SystemTime,
    ) -> Result<Vec<(ResourceId, DeletionPlan)>, JournalUnreadable> {
        let mut plans = Vec::with_capacity(gone.len());
        for ids in gone.chunks(PLANNED_AT_ONCE) {
            let rows = self.known(ids)?;
            for id in ids {
                plans.push((*id, self.planned(*id, &rows, began)?));
            }
        }
        Ok(plans)
    }

    /// Returns the deliveries of events about these resources, oldest first.
    fn known(&self, ids: &[ResourceId]) -> Result<Vec<DeliveryListRow>, JournalUnreadable> {
        let Some(journal) = &self.journal else { return Ok(Vec::new()) };
        let about = ids.iter().map(|id| About::Resource(id.to_string()));
        let own = ids.iter().flat_map(|id| self.message_ids(*id)).map(About::Named);
        let filter = Filter { about: about.chain(own).collect(), ..Filter::default() };
        journal.list(&filter, &ListPage { limit: u32::MAX, ..ListPage::default() }).map_err(unreadable)
    }

    fn message_ids(&self, id: ResourceId) -> impl Iterator<Item = String> {
        self.kind.forms().iter().map(move |form| form.message_id(self.action, id))
    }

    fn planned(
        &mut self,
        id: ResourceId,
        rows: &[DeliveryListRow],
        began: SystemTime,
    ) -> Result<DeletionPlan, JournalUnreadable> {
        let (text, own) = (id.to_string(), self.message_ids(id).collect::<Vec<_>>());
        let is_own = |row: &&DeliveryListRow| row.message_id.as_ref().is_some_and(|id| own.contains(id));
        let is_about = |row: &&DeliveryListRow| About::Resource(text.clone()).matches(row);
        let last = rows.iter().rfind(is_about);
        let since = began.checked_sub(self.settled).unwrap_or(SystemTime::UNIX_EPOCH);
        let is_young = last.is_some_and(|row| row.received >= since);
        if let Some(row) = rows.iter().rfind(is_own) {
            let is_vain = match row.state {
                RowState::Delivered | RowState::NothingToDo => !is_young && row.received < since,
                RowState::Shadow => true,
                RowState::Waiting
                | RowState::Ready
                | RowState::Held
                | RowState::Dead
                | RowState::Discarded => false,
            };
            return Ok(DeletionPlan::LeftOut(match is_vain {
                true => LeftOut::InVain { event: row.id.0 >> 16, state: row.state },
                false => LeftOut::AlreadyAppended(row.state),
            }));
        }
        if is_young {
            return Ok(DeletionPlan::LeftOut(LeftOut::Young));
        }
        let known = match (&self.journal, last) {
            (Some(journal), Some(row)) => journal.event(row.id.0 >> 16).map_err(unreadable)?,
            (_, None) | (None, _) => None,
        };
        let payload = known.and_then(|known| known.received.decode().ok()).map(|known| known.payload);
        let mut why = None;
        for form in self.kind.forms() {
            let Some(event) = form.event(self.action, id, payload.as_ref()) else { continue };
            let explained = ExplainedEvent::from_saved("verify", &event, &Budget::MOST);
            let mut event = ReplayEvent::from_saved(event, explained, Vec::new(), &mut self.explainer);
            match self.effect(&mut event) {
                Ok(()) => return Ok(DeletionPlan::Append(Box::new(event))),
                Err(reason) => {
                    why.get_or_insert_with(|| format!("{}: {reason}", form.event_type()));
                }
            }
        }
        Ok(DeletionPlan::LeftOut(LeftOut::NoEffect(why.unwrap_or_default())))
    }

    /// Leaves the deliveries of the action alone in a trace, or returns why it has none.
    fn effect(&self, event: &mut ReplayEvent) -> Result<(), String> {
        let mut why = format!("no rule calls action {} for it", self.action);
        for verdict in &mut event.trace.rules {
            let Ruling::Fires(effects) = &mut verdict.ruling else { continue };
            effects.retain(|effect| *effect.action == *self.action);
            if effects.iter().any(|effect| effect.mode == Mode::Shadow) {
                "its rule has mode = shadow".clone_into(&mut why);
                effects.retain(|effect| effect.mode == Mode::Live);
            }
            effects.retain(|effect| match &effect.would {
                Preview::Request { .. } | Preview::Line { .. } | Preview::Effect { .. } => true,
                Preview::Nothing { why: reason }
                | Preview::NotAsked { why: reason }
                | Preview::Undecided { why: reason } => {
                    why.clone_from(reason);
                    false
                }
                Preview::Unusable { why: reason } => {
                    why = reason.to_string();
                    false
                }
            });
        }
        if event.trace.deliveries().next().is_some() { Ok(()) } else { Err(why) }
    }
}
