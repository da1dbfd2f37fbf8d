//! Numbers that change with each message are counted continuously; all others are read here, from the live
//! state and from the journal's file on a blocking thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use osnl_core::metrics::{ActionSeries, ListenerSeries, StreamState};
use osnl_transport::QueueDepths;
use tokio::time::Instant;

use super::super::{GapRow, Incident, LagStatus};
use super::ControlHandler;
use super::status::{lag, present_depth};
use crate::daemon::{DaemonState, ListenerHandle};
use crate::dead_letters::{DeadLetterQueueState, DeadLetterQueues};
use crate::delivery::TargetMonitor;
use crate::journal::JournalState;
use crate::journal::query::{DiskUse, Overview, RowState, Tally};
use crate::metrics::Counters;

/// The values of the daemon at one moment, for metrics and the page's plots.
#[derive(Clone, Debug)]
pub struct Measurements {
    pub started: SystemTime,
    pub counters: Arc<Counters>,
    pub listeners: Vec<MeasuredListener>,
    /// Actions in the order of the configuration, then those that only the journal knows.
    pub actions: Vec<MeasuredAction>,
    pub rules: BTreeMap<Arc<str>, u64>,
    /// Each guard, `rule` or `action` with its name, and whether it would hold a further resource.
    pub guards: Vec<(&'static str, Arc<str>, bool)>,
    pub streams: Vec<StreamState>,
    pub journal: MeasuredJournal,
    pub loaded: SystemTime,
    /// Whether the latest reload succeeded; true before the first one.
    pub is_reloaded: bool,
    pub incidents: Vec<Incident>,
}

/// The values of one listener.
#[derive(Clone, Debug)]
pub struct MeasuredListener {
    pub name: Arc<str>,
    pub state: &'static str,
    pub is_stalled: bool,
    pub series: Arc<ListenerSeries>,
    pub last_message: Option<SystemTime>,
    /// The depths that the broker reported within the last seconds.
    pub waiting: QueueDepths,
    pub lag: Option<LagStatus>,
    /// The last valid second, since 1970.
    pub certificate_ends: Option<i64>,
    /// The open gaps: those that are only possible, and the certain ones.
    pub gaps: [u64; 2],
}

/// The values of one action.
#[derive(Clone, Debug)]
pub struct MeasuredAction {
    pub name: Arc<str>,
    pub state: Option<&'static str>,
    pub series: Arc<ActionSeries>,
    pub under_way: usize,
    /// The number of restarts of the action's program; `None` without a long-running program.
    pub restarts: Option<u64>,
    /// The last valid second, since 1970.
    pub certificate_ends: Option<i64>,
    /// The deliveries in the journal.
    pub deliveries: BTreeMap<RowState, u64>,
    /// When the message of the oldest that waits for no release reached us.
    pub oldest_pending: Option<SystemTime>,
}

/// The values of the journal.
#[derive(Clone, Debug, Default)]
pub struct MeasuredJournal {
    pub state: &'static str,
    pub is_readable: bool,
    /// Bytes on the disk; `None` in memory, or if the disk does not answer in time.
    pub bytes: Option<u64>,
    pub max_bytes: Option<u64>,
    pub free_bytes: Option<u64>,
    pub quarantined: Option<u64>,
    pub dead_letters: Vec<DeadLetterQueueState>,
}

fn by_action(tally: &[Tally]) -> BTreeMap<&str, BTreeMap<RowState, u64>> {
    let mut deliveries: BTreeMap<&str, BTreeMap<RowState, u64>> = BTreeMap::new();
    for of in tally {
        *deliveries.entry(&of.action).or_default().entry(of.state).or_default() += of.count;
    }
    deliveries
}

impl ControlHandler {
    pub async fn measurements(&self) -> Option<Measurements> {
        let live = self.live.as_ref()?;
        // An unreadable journal is a measurement too.
        let (kept, disk) = tokio::join!(self.kept_in_time(), self.disk_use());
        // The same judgement as every screen's.
        let incidents =
            self.status_of(kept.as_ref(), disk).await.map_or_else(|_| Vec::new(), |status| status.incidents);
        let kept = kept.ok();
        let journal = self.measured_journal(kept.as_ref().map(|kept| kept.overview.as_ref()), disk);
        let kept = kept.unwrap_or_default();
        let all = by_action(&kept.tally);
        let (daemon, series) = (&live.daemon, &live.counters.series);
        let published = daemon.targets();
        let mut names: Vec<Arc<str>> = published.iter().map(|target| target.name().clone()).collect();
        let orphaned = all.keys().filter(|name| !names.iter().any(|known| **known == ***name));
        names.extend(orphaned.map(|name| Arc::from(*name)).collect::<Vec<_>>());
        let action = |name: Arc<str>| {
            let target = published.iter().find(|target| *target.name() == name);
            MeasuredAction {
                state: target.map(|target| target.status().borrow().state.name()),
                series: series.action(&name),
                under_way: target.map_or(0, TargetMonitor::under_way),
                restarts: target.and_then(TargetMonitor::restarts),
                certificate_ends: target.and_then(TargetMonitor::certificate_ends),
                deliveries: all.get(&*name).cloned().unwrap_or_default(),
                oldest_pending: kept.oldest.get(&*name).copied(),
                name,
            }
        };
        let reloads = daemon.reloads().borrow().clone();
        Some(Measurements {
            started: live.started,
            counters: live.counters.clone(),
            listeners: listeners(daemon, &live.counters, &self.gaps().gaps),
            actions: names.into_iter().map(action).collect(),
            rules: self.rules.as_ref().map(|ring| ring.fired()).unwrap_or_default(),
            guards: self.guards.as_ref().map(|now| now.now().states(Instant::now())).unwrap_or_default(),
            streams: live.counters.series.streams.states(SystemTime::now()),
            journal,
            loaded: reloads.loaded,
            is_reloaded: reloads.failed.is_none(),
            incidents,
        })
    }

    /// `overview`: `None` if the journal could not be read.
    fn measured_journal(&self, overview: Option<Option<&Overview>>, disk: DiskUse) -> MeasuredJournal {
        let facts = self.store.journal.facts();
        MeasuredJournal {
            state: facts.state.unwrap_or(JournalState::Working).name(),
            is_readable: overview.is_some(),
            bytes: disk.bytes,
            max_bytes: facts.max_bytes,
            free_bytes: disk.free_bytes,
            quarantined: overview.flatten().map(|overview| overview.unreadable),
            dead_letters: self.dead_letter_queues().map(DeadLetterQueues::states).unwrap_or_default(),
        }
    }
}

fn listeners(daemon: &DaemonState, counters: &Counters, gaps: &[GapRow]) -> Vec<MeasuredListener> {
    let open = |name: &str, is_certain: bool| {
        gaps.iter().filter(|gap| gap.listener == name && gap.is_certain == is_certain).count() as u64
    };
    let measured = |listener: ListenerHandle| MeasuredListener {
        state: listener.state.borrow().name(),
        is_stalled: listener.stall.borrow().is_some(),
        series: counters.series.listener(&listener.name),
        last_message: listener.gauges.last_message(),
        waiting: present_depth(&listener).map(|_| listener.gauges.waiting()).unwrap_or_default(),
        lag: lag(&listener),
        certificate_ends: listener.gauges.opened().certificate_ends,
        gaps: [false, true].map(|is_certain| open(&listener.name, is_certain)),
        name: listener.name,
    };
    daemon.listeners().into_iter().map(measured).collect()
}
