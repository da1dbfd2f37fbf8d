//! The samples of one action, or of all.

use std::time::{Duration, SystemTime};

use osnl::control::{MeasuredAction, Measurements};
use osnl::journal::query::RowState;

use super::ring::SampleRing;
use super::{DAY, HOUR};

/// Buckets of the time from publication to the effect; the last one has no bound.
pub(crate) const BUCKETS: usize = 13;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistorySample {
    pub(crate) counts: Option<Counts>,
    pub(crate) backlog: Option<Backlog>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) seconds: u32,
    pub(crate) received: u32,
    pub(crate) matched: u32,
    pub(crate) delivered: u32,
    pub(crate) failed: u32,
    pub(crate) latency: [u32; BUCKETS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) pending: u32,
    pub(crate) oldest: u32,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeriesTotals {
    received: u64,
    matched: u64,
    delivered: u64,
    failed: u64,
    latency: [u64; BUCKETS],
}

#[derive(Default)]
pub(crate) struct HistorySeries {
    before: Option<SeriesTotals>,
    hour: SampleRing<HOUR>,
    day: SampleRing<DAY>,
    open: Option<HistorySample>,
}

impl HistorySeries {
    pub(super) fn add(
        &mut self,
        totals: SeriesTotals,
        passed: Duration,
        backlog: Option<Backlog>,
        is_last: bool,
    ) {
        let counts = self.before.replace(totals).map(|before| totals.since(&before, passed));
        self.push(HistorySample { counts, backlog }, is_last);
    }

    pub(super) fn skip(&mut self, is_last: bool) {
        self.before = None;
        self.push(HistorySample::default(), is_last);
    }

    fn push(&mut self, sample: HistorySample, is_last: bool) {
        self.hour.push(sample);
        let open = self.open.get_or_insert_default();
        open.fold(&sample);
        if is_last {
            self.day.push(*open);
            self.open = None;
        }
    }

    pub(crate) fn hour(&self) -> Vec<HistorySample> {
        self.hour.iter().copied().collect()
    }

    pub(crate) fn day(&self) -> Vec<HistorySample> {
        let all = self.day.iter().copied().chain(self.open);
        let more = (self.day.len() + usize::from(self.open.is_some())).saturating_sub(DAY);
        all.skip(more).collect()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.hour.bytes() + self.day.bytes() + size_of::<Self>()
    }
}

impl HistorySample {
    /// Adds another sample: counts are summed, and the larger backlog is kept.
    pub(crate) fn fold(&mut self, other: &Self) {
        if let Some(other) = &other.counts {
            self.counts.get_or_insert_default().fold(other);
        }
        if let Some(other) = other.backlog {
            let own = self.backlog.get_or_insert_default();
            own.pending = own.pending.max(other.pending);
            own.oldest = own.oldest.max(other.oldest);
        }
    }

    pub(crate) fn sum<'a>(samples: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        samples.into_iter().for_each(|sample| sum.fold(sample));
        sum
    }
}

impl Counts {
    fn fold(&mut self, other: &Self) {
        let add = |own: &mut u32, more: u32| *own = own.saturating_add(more);
        add(&mut self.seconds, other.seconds);
        add(&mut self.received, other.received);
        add(&mut self.matched, other.matched);
        add(&mut self.delivered, other.delivered);
        add(&mut self.failed, other.failed);
        self.latency.iter_mut().zip(other.latency).for_each(|(own, more)| add(own, more));
    }
}

impl SeriesTotals {
    /// Totals that have decreased count from 0, such as those of an action that a reload has removed and
    /// brought back.
    fn since(&self, before: &Self, passed: Duration) -> Counts {
        let less = |now: u64, before: u64| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
        let mut latency = [0; BUCKETS];
        for (n, count) in latency.iter_mut().enumerate() {
            *count = less(self.latency[n], before.latency[n]);
        }
        Counts {
            seconds: passed.as_secs_f64().round().max(1.0) as u32,
            received: less(self.received, before.received),
            matched: less(self.matched, before.matched),
            delivered: less(self.delivered, before.delivered),
            failed: less(self.failed, before.failed),
            latency,
        }
    }

    fn add_latency(&mut self, action: &MeasuredAction) {
        let observed = action.series.effect.observed();
        self.latency.iter_mut().zip(observed.buckets).for_each(|(own, count)| *own += count);
    }
}

pub(super) fn measure_all(measured: &Measurements, at: SystemTime) -> (SeriesTotals, Option<Backlog>) {
    let counters = &measured.counters;
    let mut totals = SeriesTotals {
        received: counters.received.get(),
        matched: counters.matched.get(),
        delivered: counters.delivered.get(),
        failed: counters.failures.get(),
        latency: [0; BUCKETS],
    };
    measured.actions.iter().for_each(|action| totals.add_latency(action));
    let backlog = measured.journal.is_readable.then(|| {
        let each = measured.actions.iter().map(|action| backlog(action, at));
        each.fold(Backlog::default(), |sum, one| Backlog {
            pending: sum.pending.saturating_add(one.pending),
            oldest: sum.oldest.max(one.oldest),
        })
    });
    (totals, backlog)
}

pub(super) fn measure_action(
    action: &MeasuredAction,
    at: SystemTime,
    is_readable: bool,
) -> (SeriesTotals, Option<Backlog>) {
    let mut totals = SeriesTotals {
        delivered: action.series.delivered.get(),
        failed: action.series.failures().map(|(_, times)| times).sum(),
        ..SeriesTotals::default()
    };
    totals.add_latency(action);
    (totals, is_readable.then(|| backlog(action, at)))
}

fn backlog(action: &MeasuredAction, at: SystemTime) -> Backlog {
    let count = |state| action.deliveries.get(&state).copied().unwrap_or_default();
    let oldest = action.oldest_pending.and_then(|oldest| at.duration_since(oldest).ok());
    let bounded = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Backlog {
        pending: bounded(count(RowState::Ready) + count(RowState::Waiting)),
        oldest: bounded(oldest.unwrap_or_default().as_secs()),
    }
}
