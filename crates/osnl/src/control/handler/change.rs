//! Changes to deliveries: retry, discard, release, move, pause.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::super::refusal::{Code, RequestRefusal};
use super::super::{
    ChangeResult, ControlRequest, OnProgress, PauseResult, RefusedDelivery, RequestProgress, StartedCalls,
    is_deletion, time,
};
use super::ControlHandler;
use crate::journal::query::{
    Change, ChangeOutcome, DeliveryListRow, Filter, ListPage, Phase, QueryContext, QueryError, RowState,
};
use crate::journal::sqlite::{ChangeRun, SqliteJournal};
use crate::journal::{DeliveryId, Pause, PauseNote};

const NAMED: usize = 1000;
/// The most characters of the reason of a pause.
const LONGEST_REASON: usize = 300;

/// The patience for one request. A commit takes milliseconds; a journal that cannot be written takes until
/// the operator repairs it.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// The time within which a delivery loop gives back deliveries that only wait.
pub(super) const GIVE_BACK_TIME: Duration = Duration::from_millis(500);

impl ControlHandler {
    /// Counts a call that a retry or a release would start.
    pub(super) fn count_call(&self, action: String, calls: &mut Vec<StartedCalls>) {
        match calls.binary_search_by(|of| of.action.cmp(&action)) {
            Ok(at) => calls[at].deliveries += 1,
            Err(at) => {
                let target = self.effect_of(&action);
                calls.insert(at, StartedCalls { action, deliveries: 1, target });
            }
        }
    }

    /// Returns what an action does, such as `DELETE https://…`; `None` without a configuration that has it.
    fn effect_of(&self, action: &str) -> Option<String> {
        let loaded = self.loaded();
        let conf = loaded.iter().flat_map(|loaded| &loaded.conf.actions).find(|conf| *conf.name == *action);
        if let Some(conf) = conf {
            return Some(conf.driver.conf().does());
        }
        if let Some(effect) = self.names.as_ref().and_then(|names| names.effects.get(action)) {
            return Some(effect.clone());
        }
        let mut targets = self.live.iter().flat_map(|live| live.daemon.targets());
        targets.find(|target| **target.name() == *action).map(|target| target.target())
    }

    /// Whether an action deletes, as far as its method tells; `None` without a configuration that has it.
    pub(super) fn may_delete(&self, action: &str) -> Option<bool> {
        self.effect_of(action).map(|effect| is_deletion(&effect))
    }

    /// Whether an action deletes for all that is known.
    #[must_use]
    pub fn deletes(&self, action: &str) -> bool {
        self.may_delete(action) == Some(true)
    }

    pub(super) async fn change(
        &self,
        request: &ControlRequest,
        told: OnProgress<'_>,
    ) -> Result<ChangeResult, RequestRefusal> {
        let (ControlRequest::Retry { filter, dry_run, .. }
        | ControlRequest::Discard { filter, dry_run, .. }
        | ControlRequest::Release { filter, dry_run, .. }
        | ControlRequest::Move { filter, dry_run, .. }) = request
        else {
            return Err(RequestRefusal::new(Code::BadRequest, "changes nothing"));
        };
        if let ControlRequest::Move { to, .. } = request {
            self.is_configured(to)?;
        }
        self.has_names(filter).await?;
        let which = filter.filter(self.context())?;
        if let Some(letters) = self.letters() {
            return self.change_dead_letters(letters, request, &which).await;
        }
        let journal = self.store.journal.clone().open_to_change().await?;
        let named = self.named(&which.ids).await?;
        let mut seen: HashSet<DeliveryId> = HashSet::new();
        let mut changes = ChangeResult { dry_run: *dry_run, ..ChangeResult::default() };
        if let Some(change) = change_of(request, &which) {
            let mut changing = journal.changing(change, *dry_run);
            let mut in_hand = Vec::new();
            select(&mut changing).await?;
            // Each part is committed alone, so that no append waits for the whole change.
            while let Some(changed) = next(&mut changing, changes.changed).await? {
                let (done, of) = changing.progress();
                told(RequestProgress { done, of });
                let ChangeOutcome { changed, refused, under_way } = changed;
                if !named.is_empty() {
                    let refused = refused.iter().map(|(id, _)| id);
                    seen.extend(changed.iter().chain(&under_way).chain(refused));
                }
                changes.changed += changed.len() as u64;
                name(&mut changes.ids, &changed);
                if *dry_run && starts_calls(request) {
                    for row in self.named(&changed).await?.into_iter().filter_map(|(_, row)| row) {
                        self.count_call(row.action, &mut changes.calls);
                    }
                }
                in_hand.extend(under_way);
                for (id, why) in refused {
                    changes.add_refusal(id, why.to_string(), why.is_for_order());
                }
            }
            let done = if *dry_run { HashSet::new() } else { self.given_back(request, &in_hand).await? };
            let (done, left): (Vec<_>, Vec<_>) = in_hand.into_iter().partition(|id| done.contains(id));
            changes.changed += done.len() as u64;
            name(&mut changes.ids, &done);
            changes.under_way = left.len() as u64;
            name(&mut changes.under_way_ids, &left);
        }
        for (id, row) in named.into_iter().filter(|(id, _)| !seen.contains(id)) {
            changes.refuse(id, self.why_not(request, row.as_ref(), &which.context).await?);
        }
        if !dry_run {
            announce(request, changes.changed);
            announce_under_way(request, changes.under_way);
        }
        close(journal).await;
        Ok(changes)
    }

    pub(super) async fn pause(&self, action: &str, note: PauseNote) -> Result<PauseResult, RequestRefusal> {
        let is_fit = |reason: &String| {
            !reason.trim().is_empty()
                && reason.chars().count() <= LONGEST_REASON
                && !reason.contains(osnl_model::is_dangerous)
        };
        if !note.reason.as_ref().is_none_or(is_fit) {
            let why = format!(
                "the reason of a pause must be one line of 1 to {LONGEST_REASON} characters, without control characters"
            );
            return Err(RequestRefusal::new(Code::BadRequest, why));
        }
        let by = note.by.clone();
        self.set_paused(action, Some(note), &by).await
    }

    pub(super) async fn set_paused(
        &self,
        action: &str,
        note: Option<PauseNote>,
        by: &str,
    ) -> Result<PauseResult, RequestRefusal> {
        let known = self.pause_of(action).await?;
        if known.is_none() {
            self.is_configured(action)?;
        }
        let done = if note.is_some() { "paused" } else { "resumed" };
        let set = self.store.journal.set_paused(action, note);
        let unknown = |_| {
            let why = format!(
                "the journal has not answered for {} s: {action} may have been {done}, may be later, or not at all; look at it \
                 with osnl status, then ask again",
                PATIENCE.as_secs()
            );
            RequestRefusal::new(Code::Unavailable, why)
        };
        timeout(PATIENCE, set).await.map_err(unknown)??;
        let now = self.pause_of(action).await?;
        let reason = now.as_ref().and_then(|pause| pause.note.as_ref()?.reason.clone());
        if known != now {
            match &now {
                Some(_) => {
                    tracing::warn!(
                        action.name = action,
                        by,
                        reason,
                        "paused: no attempt starts, deliveries wait"
                    )
                }
                None => tracing::warn!(action.name = action, by, "resumed"),
            }
        }
        Ok(PauseResult {
            action: action.to_owned(),
            changed: known != now,
            until_restart: now.is_some() && !self.store.journal.facts().is_durable,
            paused_since: now.map(|pause| time::shown(pause.since)),
            reason,
        })
    }

    async fn pause_of(&self, action: &str) -> Result<Option<Pause>, RequestRefusal> {
        let paused = self.store.journal.paused_actions().await?;
        Ok(paused.get(action).cloned())
    }

    async fn why_not(
        &self,
        request: &ControlRequest,
        row: Option<&DeliveryListRow>,
        context: &QueryContext,
    ) -> Result<String, RequestRefusal> {
        let Some(row) = row else { return Ok("there is none of this number".to_owned()) };
        let takes = match request {
            ControlRequest::Retry { .. } => "dead letters are retried",
            ControlRequest::Release { .. } => "those that wait for release are released",
            ControlRequest::Discard { .. } => "open and dead ones are discarded",
            ControlRequest::Move { .. } => "open ones are moved",
            _ => "nothing is changed",
        };
        Ok(match (row.state, &row.reason) {
            (RowState::Discarded, Some(reason)) => format!("it is {reason}; only {takes}"),
            (RowState::Ready, _) if matches!(request, ControlRequest::Retry { .. }) => {
                let (phase, action) = (row.phase(context), &row.action);
                let word = phase.word();
                let hint = if phase == Phase::Orphaned {
                    format!("there is no action {action}; osnl deliveries move {} --to ACTION", row.id)
                } else if self.pause_of(action).await?.is_some() {
                    format!("{action} is paused; to go on: osnl actions resume {action}")
                } else if self.live.is_some() {
                    format!("osnl attempts it by itself; now: osnl actions probe {action}")
                } else {
                    "osnl attempts it once it runs: systemctl start osnl".to_owned()
                };
                format!("it is {word}, and {hint}; only {takes}")
            }
            (_, _) => {
                let word = row.phase(context).word();
                format!("it is {word}, or another filter excludes it; only {takes}")
            }
        })
    }

    /// Returns the deliveries that a delivery loop has in hand and gives back within a moment, since they only wait.
    /// The others are under way.
    async fn given_back(
        &self,
        request: &ControlRequest,
        in_hand: &[DeliveryId],
    ) -> Result<HashSet<DeliveryId>, RequestRefusal> {
        let is_done = |row: &DeliveryListRow| match request {
            ControlRequest::Move { to, .. } => row.action == *to,
            // It waits for a later delivery of its resource, which gives way.
            ControlRequest::Retry { .. } => row.state != RowState::Dead,
            // Only a discard applies to claimed deliveries.
            _ => row.state == RowState::Discarded,
        };
        let deadline = Instant::now() + GIVE_BACK_TIME;
        loop {
            let rows = self.named(in_hand).await?;
            let done = rows.iter().filter(|(_, row)| row.as_ref().is_some_and(is_done));
            let done: HashSet<DeliveryId> = done.map(|(id, _)| *id).collect();
            if done.len() == in_hand.len() || Instant::now() >= deadline {
                return Ok(done);
            }
            sleep(PAUSE).await;
        }
    }

    async fn named(
        &self,
        ids: &[DeliveryId],
    ) -> Result<Vec<(DeliveryId, Option<DeliveryListRow>)>, RequestRefusal> {
        let mut named = Vec::new();
        for some in ids.chunks(NAMED) {
            let filter = Filter { ids: some.to_vec(), ..Filter::default() };
            let page = ListPage { limit: u32::MAX, ..ListPage::default() };
            let (mut rows, _) = self.store.journal.list(filter, page, 1).await?;
            for id in some {
                let at = rows.iter().position(|row| row.id == *id);
                named.push((*id, at.map(|at| rows.swap_remove(at))));
            }
        }
        Ok(named)
    }
}

impl ChangeResult {
    pub(super) fn refuse(&mut self, id: DeliveryId, why: String) {
        self.add_refusal(id, why, false);
    }

    fn add_refusal(&mut self, id: DeliveryId, why: String, is_for_order: bool) {
        self.refused += 1;
        if self.refusals.len() < NAMED {
            self.refusals.push(RefusedDelivery { id: id.to_string(), why, is_for_order });
        }
    }
}

pub(super) fn starts_calls(request: &ControlRequest) -> bool {
    matches!(request, ControlRequest::Retry { .. } | ControlRequest::Release { .. })
}

/// Writes an operator's change to the log, unless it concerns no delivery. A delivery that is released or discarded does
/// not come back, so that is a warning.
pub(super) fn announce(request: &ControlRequest, deliveries: u64) {
    let Some((action, filter, by)) = concerned(request).filter(|_| deliveries > 0) else { return };
    let (change, message) = (request.changed_word(), "an operator changed deliveries");
    match request {
        ControlRequest::Retry { .. } => {
            tracing::info!(change, deliveries, action.name = action, filter, by, "{message}")
        }
        _ => tracing::warn!(change, deliveries, action.name = action, filter, by, "{message}"),
    }
}

/// Writes to the log that a change waits for attempts that run.
pub(super) fn announce_under_way(request: &ControlRequest, deliveries: u64) {
    let Some((action, filter, by)) = concerned(request).filter(|_| deliveries > 0) else { return };
    let change = request.changed_word();
    tracing::warn!(
        change,
        deliveries,
        action.name = action,
        filter,
        by,
        "an operator changed deliveries: the change waits for the end of their attempts"
    );
}

/// Returns the action of a change, its filter, and the operator.
fn concerned(request: &ControlRequest) -> Option<(Option<&str>, String, &str)> {
    let (ControlRequest::Retry { filter: which, by, .. }
    | ControlRequest::Discard { filter: which, by, .. }
    | ControlRequest::Release { filter: which, by, .. }
    | ControlRequest::Move { filter: which, by, .. }) = request
    else {
        return None;
    };
    Some((which.action.as_deref(), which.to_string(), by))
}

/// Drops the journal on a blocking thread: closing the file of a stopped daemon waits for the writer.
pub(super) async fn close(journal: Arc<SqliteJournal>) {
    // A journal that cannot be closed was closed by a panic, which has been reported.
    let _ = spawn_blocking(move || drop(journal)).await;
}

fn name(names: &mut Vec<String>, ids: &[DeliveryId]) {
    let room = NAMED.saturating_sub(names.len());
    names.extend(ids.iter().take(room).map(ToString::to_string));
}

/// Selects the deliveries. Only the writer is waited for with patience: a large file may take minutes to be read.
async fn select(changing: &mut ChangeRun<'_>) -> Result<(), RequestRefusal> {
    let begun = timeout(PATIENCE, changing.begin()).await.map_err(|_| not_now("nothing was changed"))?;
    begun.map_err(QueryError::from)?;
    Ok(changing.select().await.map_err(QueryError::from)?)
}

async fn next(changing: &mut ChangeRun<'_>, before: u64) -> Result<Option<ChangeOutcome>, RequestRefusal> {
    let next = timeout(PATIENCE, changing.next()).await.map_err(|_| {
        let done = format!(
            "{before} deliveries were changed before, and up to a thousand more are as soon as it can"
        );
        not_now(&done)
    })?;
    Ok(next.map_err(QueryError::from)?)
}

fn not_now(done: &str) -> RequestRefusal {
    let why =
        format!("the journal cannot be written now; {done}: look at it with osnl status, then ask again");
    RequestRefusal::new(Code::Unavailable, why)
}

fn change_of(request: &ControlRequest, which: &Filter) -> Option<Change> {
    let which = which.clone();
    Some(match request {
        ControlRequest::Retry { out_of_order, .. } => Change::Retry { which, out_of_order: *out_of_order },
        ControlRequest::Discard { by, .. } => Change::Discard { which, by: by.clone() },
        ControlRequest::Release { .. } => Change::Release { which },
        ControlRequest::Move { to, .. } => Change::Move { which, to: to.clone() },
        _ => return None,
    })
}
