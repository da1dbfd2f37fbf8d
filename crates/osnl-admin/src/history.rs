//! The measured numbers of the last hour and the last day, every ten seconds, for the plots of the page.
//!
//! Memory is bounded: each series has [`HOUR`] samples of [`EACH`] and [`DAY`] of [`FOLDED`] times that, which is 56
//! KiB. There is one series for all actions together and one for each of the first [`MOST_ACTIONS`] actions: three
//! actions take 224 KiB, 32 or a thousand take 1.8 MiB.
//!
//! Times without measurements are gaps: before the start, while the process or machine was suspended, and,
//! for the backlog alone, while the journal was unreadable. Counts over a gap belong to no sample.

mod percentile;
mod ring;
mod sampler;
mod series;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use osnl::control::Measurements;
use tokio::time::Instant;

pub(crate) use self::percentile::percentile;
pub(crate) use self::sampler::sample;
pub(crate) use self::series::{Backlog, Counts, HistorySample, HistorySeries};
use self::series::{SeriesTotals, measure_action, measure_all};

pub(crate) const EACH: Duration = Duration::from_secs(10);
pub(crate) const HOUR: usize = 360;
/// Samples folded into one point of the 24-hour plot: five minutes.
pub(crate) const FOLDED: usize = 30;
pub(crate) const DAY: usize = 288;
pub(crate) const MOST_ACTIONS: usize = 32;

#[derive(Default)]
pub(crate) struct DaemonHistory {
    latest: Option<(Instant, SystemTime)>,
    samples: u64,
    all: HistorySeries,
    actions: Vec<(Arc<str>, HistorySeries)>,
    more: usize,
}

impl DaemonHistory {
    pub(crate) fn at(&self) -> Option<SystemTime> {
        self.latest.map(|(_, at)| at)
    }

    pub(crate) fn all(&self) -> &HistorySeries {
        &self.all
    }

    pub(crate) fn actions(&self) -> impl Iterator<Item = (&str, &HistorySeries)> {
        self.actions.iter().map(|(name, series)| (&**name, series))
    }

    pub(crate) fn more(&self) -> usize {
        self.more
    }

    pub(crate) fn add(&mut self, now: Instant, at: SystemTime, measured: &Measurements) {
        let passed = self.latest.map_or(EACH, |latest| passed(latest, (now, at)));
        let missed = ((passed.as_secs_f64() / EACH.as_secs_f64()).round() as usize).saturating_sub(1);
        for _ in 0..missed.min(DAY * FOLDED) {
            self.push(|series, is_last| series.skip(is_last));
        }
        self.latest = Some((now, at));
        // An action that is known only from the journal has no values while the journal is unreadable.
        if measured.journal.is_readable {
            let is_there = |name: &str| measured.actions.iter().any(|action| *action.name == *name);
            self.actions.retain(|(name, _)| is_there(name));
        }
        for action in &measured.actions {
            if self.actions.len() < MOST_ACTIONS && !self.actions.iter().any(|(name, _)| *name == action.name)
            {
                self.actions.push((action.name.clone(), HistorySeries::default()));
            }
        }
        self.more = measured.actions.len().saturating_sub(self.actions.len());
        let place = |name: &str| measured.actions.iter().position(|action| *action.name == *name);
        self.actions.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
        let is_readable = measured.journal.is_readable;
        let totals: Vec<Option<(SeriesTotals, Option<Backlog>)>> = self
            .actions
            .iter()
            .map(|(name, _)| place(name).map(|n| measure_action(&measured.actions[n], at, is_readable)))
            .collect();
        let mut totals = std::iter::once(Some(measure_all(measured, at))).chain(totals);
        self.push(|series, is_last| match totals.next().flatten() {
            Some((totals, backlog)) => series.add(totals, passed, backlog, is_last),
            None => series.skip(is_last),
        });
    }

    fn push(&mut self, mut add: impl FnMut(&mut HistorySeries, bool)) {
        self.samples += 1;
        let is_last = self.samples.is_multiple_of(FOLDED as u64);
        let actions = self.actions.iter_mut().map(|(_, series)| series);
        std::iter::once(&mut self.all).chain(actions).for_each(|series| add(series, is_last));
    }
}

/// Returns the time between two moments. The steady clock omits the time of a suspended machine, and the wall
/// clock may be set back.
fn passed((then, at): (Instant, SystemTime), (now, later): (Instant, SystemTime)) -> Duration {
    now.saturating_duration_since(then).max(later.duration_since(at).unwrap_or_default())
}

#[derive(Default)]
pub(crate) struct SharedHistory(Mutex<DaemonHistory>);

impl SharedHistory {
    /// Returns the history; the lock must not be held over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, DaemonHistory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
