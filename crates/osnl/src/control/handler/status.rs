//! The status: the current state of the daemon, its journal, and its broker.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osnl_core::attempt::{ErrorClass, TARGET_HELD, TOO_OLD, Uncorrected};
use osnl_core::clock::SteppedClock;
use osnl_net::http::{Expiry, ExpiryKind};
use osnl_transport::AS_CONFIGURED;
use tokio::time::{Instant, timeout};

use super::super::incident::{self, Bounds};
use super::super::incident_report::Incident;
use super::super::lag::is_stale;
use super::super::refusal::{Code, RequestRefusal};
use super::super::{
    AttemptFailure, ExpiryStatus, FailingResource, HeldReason, JournalStatus, LagStatus, ListenerStatus,
    PartitionLag, Status, StatusNumbers, TargetReport, Unavailable, time,
};
use super::overseen::{management, other_daemon, silence};
use super::reload::configuration;
use super::{ControlHandler, LiveParts, STORE};
use crate::daemon::ListenerHandle;
use crate::delivery::{HeldHosts, LastFailure, TargetMonitor, TargetState};
use crate::journal::JournalState;
use crate::journal::query::{
    Bodies, DiskUse, FailingKey, HeldBy, HeldCause, JournalNumbers, LatestDead, RowState, Tally,
    UnreadableFilter,
};
use crate::listener::{ANOTHER_LIMIT, DepthGauge, ListenerState, LossyQueue};
use crate::overseer::{Overseen, Overseer};
use crate::queues::BrokerPlace;

/// A delivery with this many failures counts as failing repeatedly.
const SEVERAL: u32 = 5;
const LONG: Duration = Duration::from_secs(60);
const NAMED: usize = 10;

impl ControlHandler {
    pub async fn status(&self) -> Result<Status, RequestRefusal> {
        if let (None, Some(queues)) = (&self.live, self.dead_letter_queues()) {
            queues.count().await;
        }
        // An unreadable store is often the reason for the request, so everything else is answered
        // nevertheless.
        let (kept, disk) = tokio::join!(self.kept_in_time(), self.disk_use());
        self.status_of(kept.as_ref(), disk).await
    }

    pub(super) async fn status_of(
        &self,
        kept: Result<&JournalNumbers, &RequestRefusal>,
        disk: DiskUse,
    ) -> Result<Status, RequestRefusal> {
        let nothing = JournalNumbers::default();
        let (kept, unreadable) = match kept {
            Ok(kept) => (kept, None),
            Err(refusal) if self.live.is_some() => (&nothing, Some(refusal.message.clone())),
            Err(refusal) => return Err(refusal.clone()),
        };
        let live = self.live.as_ref();
        let targets = self.targets(kept);
        let listeners = self.listeners();
        let by_present_clock = |at| self.by_present_clock(at);
        let configuration = live.map(|live| configuration(&live.daemon.reloads().borrow(), by_present_clock));
        let left_queues = self.left_queues();
        let place = one_place(&listeners);
        let journal = JournalStatus { place, ..self.journal(kept, disk) };
        let is_counted = unreadable.is_none();
        let mut incidents: Vec<Incident> = unreadable.into_iter().map(incident::unreadable_journal).collect();
        incidents.extend(live.is_none().then(incident::no_daemon));
        // Of a stopped daemon all deliveries wait for its start.
        let attention_age = if live.is_some() { self.attention_age() } else { Duration::MAX };
        let bounds = Bounds { attention_age, max_pending: journal.max_pending };
        incidents.extend(incident::judge_journal(&journal));
        let stop = live.and_then(|live| live.daemon.stop());
        let running = targets.iter().map(|target| target.in_flight).sum();
        incidents.extend(stop.map(|stop| incident::judge_stop(stop, running)));
        let listening = listeners.iter().filter(|one| stop.is_none() || !incident::has_ended(one));
        incidents.extend(listening.flat_map(incident::judge_listener));
        incidents.extend(targets.iter().flat_map(|target| incident::judge_target(target, &bounds)));
        incident::join_letters(&mut incidents, &targets);
        incidents.extend(incident::judge_guards(&targets));
        let overview = kept.overview.as_ref();
        incidents.extend(overview.and_then(|kept| incident::judge_suspects(kept.suspects)));
        let oldest = self.oldest_quarantined(kept).await;
        incidents.extend(overview.and_then(|kept| incident::judge_quarantine(kept.unreadable, oldest)));
        incidents.extend(left_queues.iter().filter_map(incident::judge_left_queue));
        incidents.extend(incident::judge_gaps(&self.gaps().gaps));
        incidents.extend(live.iter().flat_map(|live| incident::judge_streams(&live.counters)));
        incidents.extend(configuration.iter().filter_map(incident::judge_configuration));
        let expiries = self.expiries();
        incidents.extend(expiries.iter().filter_map(incident::judge_expiry));
        let mut incidents = incident::fold(incidents);
        incident::sort(&mut incidents);
        let is_open = |target: &TargetReport| target.pending + target.in_flight > 0;
        let is_idle = live.iter().flat_map(|live| live.daemon.listeners()).all(|listener| listener.is_idle());
        let rates = live.and_then(|live| live.counters.series.rates.present());
        let started = live.map(|live| by_present_clock(live.started));
        let mut status = Status {
            verdict: String::new(),
            numbers: StatusNumbers {
                received_per_second: rates.map(|rates| rates.received),
                delivered_per_second: rates.map(|rates| rates.delivered),
                rates_over_seconds: rates.map(|rates| rates.over_seconds),
                waiting: is_counted.then(|| targets.iter().map(|target| target.pending).sum()),
                oldest_seconds: targets.iter().filter_map(|target| target.oldest_pending_seconds).max(),
            },
            running: live.is_some(),
            healthy: incidents.is_empty(),
            idle: is_idle && !targets.iter().any(is_open),
            attention_age_seconds: self.attention_age().as_secs(),
            incidents,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: live.map(|_| std::process::id()),
            started: started.map(time::shown),
            uptime_seconds: started.map(time::age),
            configuration,
            listeners,
            left_queues,
            targets,
            expiries,
            journal,
            counters: live
                .map(|live| live.counters.snapshot())
                .unwrap_or_default()
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        };
        status.verdict = status.judged();
        Ok(status)
    }

    /// A disk that hangs must not hide the facts that need no disk.
    pub(super) async fn kept_in_time(&self) -> Result<JournalNumbers, RequestRefusal> {
        let mut kept = match self.live {
            None => self.store.journal.numbers().await?,
            Some(_) => match timeout(STORE, self.store.journal.numbers()).await {
                Ok(numbers) => numbers?,
                Err(_) => {
                    let why = format!(
                        "the journal cannot be read: no answer of its disk for {} s",
                        STORE.as_secs()
                    );
                    return Err(RequestRefusal::new(Code::Unavailable, why));
                }
            },
        };
        let failing = kept.failing.values_mut().flatten().flat_map(|of| [&mut of.since, &mut of.at]);
        let held = kept.held.iter_mut().map(|of| &mut of.since);
        let paused = kept.paused.values_mut().map(|of| &mut of.since);
        let times = kept.oldest.values_mut().chain(failing).chain(held).chain(paused);
        times.for_each(|at| *at = self.by_present_clock(*at));
        Ok(kept)
    }

    pub(super) async fn is_pending(&self, action: &str) -> Result<bool, RequestRefusal> {
        let kept = self.kept_in_time().await?;
        let is_open = |of: &Tally| matches!(of.state, RowState::Ready | RowState::Waiting);
        Ok(kept.tally.iter().any(|of| of.action == action && is_open(of)))
    }

    async fn oldest_quarantined(&self, kept: &JournalNumbers) -> Option<(String, SystemTime)> {
        kept.overview.as_ref().filter(|overview| overview.unreadable > 0)?;
        let oldest = self.store.journal.quarantined(UnreadableFilter::default(), 0, 1, Bodies::Left);
        let oldest = timeout(STORE, oldest).await.ok()?.ok()?;
        let oldest = oldest.into_iter().next()?;
        Some((oldest.reason, self.by_present_clock(oldest.received.origin.received)))
    }

    fn listeners(&self) -> Vec<ListenerStatus> {
        let Some(live) = &self.live else { return Vec::new() };
        let series = &live.counters.series;
        let clock = series.streams.clock();
        let mut listeners: Vec<ListenerStatus> =
            live.daemon.listeners().iter().map(|heard| listener(heard, clock)).collect();
        // Two listeners of this daemon may read one queue.
        let places: Vec<(String, Vec<String>)> =
            listeners.iter().map(|one| (one.broker.clone(), one.queues.clone())).collect();
        for listener in &mut listeners {
            let series = series.listener(&listener.name);
            // A reload that changes the pool begins with another gauge.
            listener.messages = series.received.get();
            listener.last_event_age_seconds = series.ages.last().map(|age| age.as_secs());
            listener.old_events_seconds = series.ages.running(SystemTime::now()).map(|age| age.as_secs());
            let same = |(broker, queues): &&(String, Vec<String>)| {
                *broker == listener.broker && queues.iter().any(|queue| listener.queues.contains(queue))
            };
            listener.own_consumers = places.iter().filter(same).count() as u64;
        }
        listeners
    }

    fn expiries(&self) -> Vec<ExpiryStatus> {
        let Some(LiveParts { daemon, admin_expiry, .. }) = &self.live else { return Vec::new() };
        let mut all: Vec<(String, Expiry)> = Vec::new();
        for listener in daemon.listeners() {
            let opened = listener.gauges.opened();
            if let (Some(host), Some(ends)) = (opened.host, opened.certificate_ends) {
                let what = format!("the certificate of {host}");
                let expiry = Expiry { kind: ExpiryKind::Server, what, ends };
                all.push((format!("listener {}", listener.name), expiry));
            }
        }
        for listener in self.loaded().iter().flat_map(|loaded| &loaded.conf.listeners) {
            let expiry = listener.client_certificate().and_then(|file| Expiry::for_client_file(&file));
            all.extend(expiry.map(|expiry| (format!("listener {}", listener.name), expiry)));
        }
        for target in daemon.targets() {
            let of = |expiry| (format!("action {}", target.name()), expiry);
            all.extend(target.expiries().into_iter().map(of));
        }
        let admin_expiry = admin_expiry.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.extend(admin_expiry.map(|expiry| ("admin endpoint".to_owned(), expiry)));
        all.sort_by(|(_, a), (_, b)| (a.ends, &a.what).cmp(&(b.ends, &b.what)));
        all.dedup_by(|(_, a), (_, b)| a == b);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let status = |(subject, Expiry { kind, what, ends }): (String, Expiry)| ExpiryStatus {
            subject,
            kind,
            what,
            ends: time::shown(UNIX_EPOCH + Duration::from_secs(ends.max(0).unsigned_abs())),
            ends_seconds: ends.saturating_sub_unsigned(now),
        };
        all.into_iter().map(status).collect()
    }

    /// Configured actions first, in their order; then those that only the journal knows.
    fn targets(&self, kept: &JournalNumbers) -> Vec<TargetReport> {
        let live: Vec<TargetMonitor> = self.live.iter().flat_map(|live| live.daemon.targets()).collect();
        let published: BTreeMap<&str, &TargetMonitor> =
            live.iter().map(|target| (&**target.name(), target)).collect();
        let actions = self.actions();
        let mut names: Vec<&str> = actions.iter().flatten().map(Arc::as_ref).collect();
        let known =
            kept.tally.iter().map(|of| of.action.as_str()).chain(kept.paused.keys().map(String::as_str));
        for name in known {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let configured =
            |name: &str| actions.as_ref().map(|known| known.iter().any(|known| **known == *name));
        let terms = self.loaded().map(|loaded| loaded.conf.journal_terms()).unwrap_or_default();
        let backlog = |name: &str| {
            let is_live = published.contains_key(name);
            self.live.as_ref().filter(|_| is_live).map(|live| live.counters.series.action(name))
        };
        // A file keeps what waits, up to `max_pending`.
        let is_kept_at_broker = self.store.journal.facts().max_pending.is_none();
        let behind = |name: &str| backlog(name)?.backlog.falling_behind(is_kept_at_broker);
        let clock = self.live.as_ref().map(|live| live.counters.series.streams.clock());
        let report = |name: &str| TargetReport {
            falling_behind: behind(name),
            rates: backlog(name).and_then(|series| series.backlog.present()),
            deletes: self.may_delete(name),
            overflows: terms.get(name).is_some_and(|terms| terms.overflows),
            ..target(name, configured(name), published.get(name).copied().zip(clock), kept)
        };
        names.into_iter().map(report).collect()
    }

    fn journal(&self, kept: &JournalNumbers, disk: DiskUse) -> JournalStatus {
        let of = |state: Option<RowState>| -> u64 {
            kept.tally
                .iter()
                .filter(|of| state.is_none_or(|state| of.state == state))
                .map(|of| of.count)
                .sum()
        };
        let (deliveries, dead) = (of(None), of(Some(RowState::Dead)) + kept.dead_in_queues);
        let facts = self.store.journal.facts();
        let (reason, since) = match &facts.state {
            None | Some(JournalState::Working) => (None, None),
            Some(JournalState::Full { reason, since } | JournalState::Failed { reason, since }) => {
                (Some(reason.clone()), Some(self.by_present_clock(*since)))
            }
        };
        let overview = kept.overview.as_ref();
        let oldest = overview.and_then(|overview| overview.oldest);
        let done = [RowState::Delivered, RowState::NothingToDo, RowState::Discarded, RowState::Shadow];
        let done: u64 = done.into_iter().map(|state| of(Some(state))).sum();
        // History is removed when its space is needed; its share of the file is about its share of the
        // deliveries.
        let open_bytes = kept.used.map(|used| match deliveries {
            0 => 0,
            all => (used as f64 * (all - done) as f64 / all as f64) as u64,
        });
        JournalStatus {
            store: facts.kind.to_owned(),
            path: facts.place,
            place: None,
            state: facts.state.as_ref().map(|state| state.name().to_owned()),
            reason,
            since: since.map(time::shown),
            since_seconds: since.map(time::age),
            bytes: disk.bytes,
            open_bytes,
            max_bytes: facts.max_bytes,
            wal_bytes: disk.wal_bytes,
            wal_held_seconds: facts.wal_held.map(|held| held.as_secs()),
            wal_reader: disk.wal_reader,
            free_bytes: disk.free_bytes,
            events: overview.map(|overview| overview.events),
            deliveries,
            dead,
            has_unread_letters: kept.has_unread_letters,
            max_dead: facts.max_dead,
            max_pending: facts.max_pending,
            oldest: oldest.map(time::shown),
            oldest_seconds: oldest.map(time::age),
            quarantined: overview.map(|overview| overview.unreadable),
        }
    }
}

/// Returns why deliveries of an action wait for release. The reasons of guards go before that of a crash, whose
/// deliveries are counted as suspects, and which may be older than the first that a guard keeps back.
fn held_reason(kept: &JournalNumbers, action: &str) -> Option<HeldReason> {
    let held: Vec<&HeldCause> = kept.held.iter().filter(|of| of.action == action).collect();
    let guards: Vec<&HeldCause> = held.iter().copied().filter(|of| of.by == HeldBy::Guard).collect();
    let meant = if guards.is_empty() { held.get(..1)? } else { &guards[..] };
    let first = meant.first()?;
    Some(HeldReason {
        reasons: meant.iter().filter_map(|of| of.reason.clone()).collect(),
        count: meant.iter().map(|of| of.count).sum(),
        since: time::shown(first.since),
        since_seconds: time::age(first.since),
        is_crash: first.by == HeldBy::UnexpectedEnd,
    })
}

/// Returns the cause of a dead letter without the times of its reason, which differ from letter to letter.
fn letter_label(dead: &LatestDead) -> Option<String> {
    match dead.cause.as_deref() {
        Some(TARGET_HELD | TOO_OLD) => dead.cause.clone(),
        Some(_) | None => dead.answer.clone().or_else(|| dead.cause.clone()),
    }
}

fn target(
    name: &str,
    configured: Option<bool>,
    published: Option<(&TargetMonitor, &SteppedClock)>,
    kept: &JournalNumbers,
) -> TargetReport {
    let count = |states: &[RowState]| -> u64 {
        let of = kept.tally.iter().filter(|of| of.action == name && states.contains(&of.state));
        of.map(|of| of.count).sum()
    };
    let oldest = kept.oldest.get(name).copied();
    let paused = kept.paused.get(name);
    let note = paused.and_then(|pause| pause.note.as_ref());
    let latest_dead = kept.latest_dead.get(name);
    let mut report = TargetReport {
        action: name.to_owned(),
        configured,
        paused_since: paused.map(|pause| time::shown(pause.since)),
        paused_by: note.map(|note| note.by.clone()),
        paused_reason: note.and_then(|note| note.reason.clone()),
        pending: count(&[RowState::Waiting, RowState::Ready]),
        oldest_pending: oldest.map(time::shown),
        oldest_pending_seconds: oldest.map(time::age),
        returns: kept.returns.get(name).copied().unwrap_or_default(),
        for_release: count(&[RowState::Held]),
        dead: count(&[RowState::Dead]),
        held_reason: held_reason(kept, name),
        dead_reason: latest_dead.and_then(|dead| dead.reason.clone()),
        uncorrected: latest_dead.and_then(|dead| Uncorrected::from_cause(dead.cause.as_deref()?)),
        dead_answer: latest_dead.and_then(|dead| dead.answer.clone()),
        dead_host: latest_dead.and_then(|dead| dead.host.clone()),
        dead_label: latest_dead.and_then(letter_label),
        is_overtaken: kept.overtaken.contains(name),
        done: count(&[RowState::Delivered, RowState::NothingToDo, RowState::Shadow]),
        shadow: count(&[RowState::Shadow]),
        ..TargetReport::default()
    };
    // The loop notices the pause a moment after the journal.
    let mut state = paused.map(|pause| (TargetState::Paused, pause.since));
    if let Some((published, clock)) = published {
        let time_of_day = |at: Instant| clock.time_of_day(clock.millis(at));
        let status = *published.status().borrow();
        report.target = Some(published.target());
        report.in_flight = published.under_way() as u64;
        report.last_failure =
            published.last_failure().map(|LastFailure { at, answer, remedy, class }| AttemptFailure {
                at: time::shown(at),
                answer,
                remedy,
                is_refusal: class.is_some_and(ErrorClass::is_refusal),
                class,
            });
        let (state, since) = *state.get_or_insert((status.state, time_of_day(status.since)));
        if let TargetState::Open { until } = state {
            report.next_probe_seconds = Some(seconds_until(until));
        }
        let down = add_held(&mut report, published.held(), time_of_day);
        fail(&mut report, kept.failing.get(name), (state == TargetState::Closed).then_some(since), &down);
    }
    if let Some((state, since)) = state {
        report.state = Some(state.name().to_owned());
        report.since = Some(time::shown(since));
        report.since_seconds = Some(time::age(since));
    }
    report
}

/// Adds the hosts and the dependencies that are down; returns the hosts, each with the kind of its latest failure.
fn add_held(
    report: &mut TargetReport,
    held: HeldHosts,
    time_of_day: impl Fn(Instant) -> SystemTime,
) -> HashMap<String, ErrorClass> {
    let HeldHosts { hosts, others, outages } = held;
    report.more_down_hosts = others.len();
    let down = hosts.iter().map(|held| (held.host.clone(), held.class)).chain(others).collect();
    report.down_hosts = hosts
        .into_iter()
        .map(|held| Unavailable {
            class: Some(held.class),
            ..unavailable(held.host, time_of_day(held.since), held.reason, held.next_probe)
        })
        .collect();
    report.dependencies_down = outages
        .into_iter()
        .map(|down| Unavailable {
            needs_operator: down.needs_operator,
            remedy: down.remedy,
            ..unavailable(
                down.dependency.to_string(),
                time_of_day(down.since),
                down.reason,
                Some(down.next_try),
            )
        })
        .collect();
    down
}

/// Adds the resources that fail repeatedly. Failures while the target was held are the target's, those with the cause for
/// which their host is down are the host's, and a wait for a service that is down is the service's.
fn fail(
    report: &mut TargetReport,
    failing: Option<&Vec<FailingKey>>,
    reachable: Option<SystemTime>,
    down: &HashMap<String, ErrorClass>,
) {
    let is_of_host = |failing: &FailingKey| {
        let down = failing.host.as_ref().and_then(|host| down.get(host));
        failing.class.zip(down).is_some_and(|(class, down)| class.is_of_host(*down))
    };
    let is_dependency_down = !report.dependencies_down.is_empty();
    let waits = |failing: &FailingKey| match failing.class {
        _ if !is_dependency_down => false,
        Some(class) => class == ErrorClass::Dependency,
        // The journal keeps no kind of a failure before the call.
        None => failing.answer.starts_with(&ErrorClass::Dependency.to_string()),
    };
    let is_failing = |failing: &&FailingKey| {
        let lasts = Duration::from_secs(time::age(failing.since));
        let is_other = is_of_host(failing) || waits(failing);
        let is_its_own = reachable.is_none_or(|since| failing.at > since) && !is_other;
        is_its_own && (failing.tries >= SEVERAL || lasts >= LONG)
    };
    let failing: Vec<&FailingKey> = failing.into_iter().flatten().filter(is_failing).collect();
    report.more_failing = failing.len().saturating_sub(NAMED) as u64;
    report.failing = failing.into_iter().take(NAMED).map(failing_resource).collect();
}

fn failing_resource(failing: &FailingKey) -> FailingResource {
    FailingResource {
        id: failing.id.to_string(),
        resource: failing.resource.clone(),
        failed_attempts: failing.tries,
        since: time::shown(failing.since),
        since_seconds: time::age(failing.since),
        at: time::shown(failing.at),
        answer: failing.answer.clone(),
    }
}

fn unavailable(name: String, since: SystemTime, reason: String, next: Option<Instant>) -> Unavailable {
    Unavailable {
        name,
        since: time::shown(since),
        since_seconds: time::age(since),
        reason,
        next_probe_seconds: next.map(seconds_until),
        class: None,
        needs_operator: false,
        remedy: None,
    }
}

fn seconds_until(at: Instant) -> u64 {
    at.saturating_duration_since(Instant::now()).as_secs_f64().ceil() as u64
}

fn listener(heard: &ListenerHandle, clock: &SteppedClock) -> ListenerStatus {
    let opened = heard.gauges.opened();
    let since = heard.gauges.since().map(|at| clock.by_present(at));
    let last = heard.gauges.last_message();
    let state = heard.state.borrow().clone();
    let trouble = match &state {
        // A listener that reads its queue may wait for its exchange.
        ListenerState::Connecting { .. } | ListenerState::Listening | ListenerState::Standby => {
            heard.gauges.trouble()
        }
        ListenerState::Blocked { .. } | ListenerState::Draining | ListenerState::Stopped => None,
    };
    let (reason, full_action) = match &state {
        ListenerState::Blocked { reason, .. } => (Some(reason.to_string()), reason.full_action.as_deref()),
        ListenerState::Connecting { .. }
        | ListenerState::Listening
        | ListenerState::Standby
        | ListenerState::Draining
        | ListenerState::Stopped => (trouble.as_ref().map(|trouble| trouble.reason.clone()), None),
    };
    let until = |next: SystemTime| {
        let left = next.duration_since(SystemTime::now()).unwrap_or_default();
        left.as_secs_f64().ceil() as u64
    };
    let depth = present_depth(heard);
    let waiting_since = depth.as_ref().and_then(|depth| depth.waiting_since);
    let overseer = Overseer::from_handle(heard);
    let seen = overseer.map(Overseer::seen);
    ListenerStatus {
        name: heard.name.to_string(),
        state: state.name().to_owned(),
        reason,
        remedy: trouble.as_ref().and_then(|trouble| trouble.remedy.clone()),
        needs_operator: trouble.as_ref().is_some_and(|trouble| trouble.needs_operator),
        full_action: full_action.map(str::to_owned),
        since: since.map(time::shown),
        since_seconds: since.map(time::age),
        attempts: trouble.as_ref().map(|trouble| trouble.attempts).filter(|attempts| *attempts > 0),
        next_attempt: trouble.as_ref().map(|trouble| time::shown(trouble.next)),
        next_attempt_seconds: trouble.as_ref().map(|trouble| until(trouble.next)),
        stalled: heard.stall.borrow().as_ref().map(|stall| stall.kind.to_string()),
        broker: heard.broker.clone(),
        place: overseer.map(Overseer::place),
        queue_messages: depth.as_ref().map(|depth| depth.messages),
        consumers: depth.as_ref().map(|depth| depth.consumers),
        own_consumers: 1,
        // A queue that another program has made may share its messages out.
        exclusive: heard.exclusive && opened.is_as_configured,
        queue_lossy: opened.lossy.as_ref().map(|LossyQueue { queue, differs, how }| match differs {
            Some(differs) => format!("queue {queue} was declared with other settings ({differs}): {how}"),
            None => format!("queue {queue} can lose messages: {how}"),
        }),
        lossy_queue: opened.lossy.as_ref().map(|lossy| lossy.queue.clone()),
        queue_remedy: opened.lossy.as_ref().map(|lossy| match lossy.differs {
            Some(_) => AS_CONFIGURED.to_owned(),
            None => ANOTHER_LIMIT.to_owned(),
        }),
        never_received_seconds: heard.gauges.never_received().map(|reads| reads.as_secs()),
        silence: seen.as_ref().and_then(silence),
        standing_by_for: standing_by_for(heard, seen.as_ref(), &state),
        consumer_tag: heard.consumer_tag.clone(),
        management: seen.map(management),
        queue_created: heard.gauges.created().map(time::shown),
        queue_created_seconds: heard.gauges.created().map(time::age),
        unbound: trouble.is_some() && state.is_subscribed() && heard.gauges.gaps().is_unbound,
        missing_exchanges: match state.is_subscribed() {
            true => heard.gauges.gaps().missing.into_iter().collect(),
            false => Vec::new(),
        },
        exchange_remedy: heard.gauges.trouble().and_then(|trouble| trouble.remedy),
        queue_seen_seconds: depth.as_ref().map(|depth| depth.at.elapsed().as_secs()),
        queue_waiting_since: waiting_since.map(|at| time::shown(clock.time_of_day(clock.millis(at)))),
        queue_waiting_seconds: waiting_since.map(|at| at.elapsed().as_secs()),
        lag: lag(heard),
        queues: opened.queues,
        messages: heard.gauges.messages(),
        reconnects: heard.gauges.reconnects(),
        last_message: last.map(time::shown),
        last_message_seconds: last.map(time::age),
        ..ListenerStatus::default()
    }
}

/// Returns the counts of the queues of a listener. `None` without a subscription, and while the broker does not answer: what
/// it has told before may have changed since.
pub(super) fn present_depth(heard: &ListenerHandle) -> Option<DepthGauge> {
    let state = heard.state.borrow().clone();
    heard.gauges.depth().filter(|depth| is_present(depth, &state))
}

fn is_present(depth: &DepthGauge, state: &ListenerState) -> bool {
    state.is_subscribed() && !is_stale(depth.at)
}

/// Returns the place of all listeners; `None` if they have several.
fn one_place(listeners: &[ListenerStatus]) -> Option<BrokerPlace> {
    let mut places = listeners.iter().map(|listener| &listener.place);
    let first = places.next()?.as_ref()?;
    places.all(|place| place.as_ref() == Some(first)).then(|| first.clone())
}

fn standing_by_for(heard: &ListenerHandle, seen: Option<&Overseen>, state: &ListenerState) -> Option<String> {
    let seen = seen.filter(|_| *state == ListenerState::Standby)?;
    other_daemon(seen, &heard.consumer_tag)
}

pub(super) fn lag(heard: &ListenerHandle) -> Option<LagStatus> {
    let partitions = heard.gauges.partitions()?;
    let is_subscribed = heard.state.borrow().is_subscribed();
    let group = heard.gauges.opened().queues.into_iter().next();
    let partitions: Vec<PartitionLag> =
        partitions.iter().map(|seen| PartitionLag::new(seen, is_subscribed, Instant::now())).collect();
    Some(LagStatus::new(group.unwrap_or_default(), partitions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::DeliveryId;

    fn failing_key(class: Option<ErrorClass>, answer: &str) -> FailingKey {
        FailingKey {
            id: DeliveryId(1),
            resource: None,
            tries: SEVERAL,
            since: UNIX_EPOCH,
            at: UNIX_EPOCH,
            answer: answer.to_owned(),
            class,
            host: None,
        }
    }

    #[test]
    fn a_wait_for_a_service_that_is_down_is_no_failure_of_a_resource() {
        let waits = "a dependency is down: [enrich:port] http://neutron/v2.0/ports/1: refused";
        let check = |class, answer: &str, is_down: bool, is_shown: bool| {
            let down = unavailable("[enrich:port]".to_owned(), UNIX_EPOCH, "refused".to_owned(), None);
            let dependencies_down = if is_down { vec![down] } else { Vec::new() };
            let mut report = TargetReport { dependencies_down, ..TargetReport::default() };
            fail(&mut report, Some(&vec![failing_key(class, answer)]), None, &HashMap::new());
            assert_eq!(report.failing.len(), usize::from(is_shown), "{class:?} {answer} {is_down}");
        };
        check(None, waits, true, false);
        check(Some(ErrorClass::Dependency), waits, true, false);
        check(None, waits, false, true);
        check(None, "status 400: [enrich:port] no such query", true, true);
        check(Some(ErrorClass::Status(500)), "status 500: a dependency is down", true, true);
    }

    #[test]
    fn a_failure_for_which_a_host_is_down_is_none_of_a_resource() {
        use ErrorClass::{Busy, Connect, Content, Refused, Reset, Status};
        let check = |host: Option<&str>, class, down: &[(&str, ErrorClass)], is_shown: bool| {
            let host_name = host.map(str::to_owned);
            let failing = FailingKey { host: host_name, ..failing_key(class, "the same of each") };
            let down = down.iter().map(|(host, class)| ((*host).to_owned(), *class)).collect();
            let mut report = TargetReport::default();
            fail(&mut report, Some(&vec![failing]), None, &down);
            assert_eq!(report.failing.len(), usize::from(is_shown), "{host:?} {class:?} {down:?}");
        };
        check(Some("h1:443"), Some(Connect), &[("h1:443", Connect)], false);
        check(Some("h1:443"), Some(Status(503)), &[("h0:443", Busy(None)), ("h1:443", Reset)], false);
        // Another host, which answers, and the target of the configuration.
        check(Some("h2:443"), Some(Connect), &[("h1:443", Connect)], true);
        check(None, Some(Connect), &[("h1:443", Connect)], true);
        // A refusal is the host's if the host refuses all with it.
        check(Some("h1:443"), Some(Status(401)), &[("h1:443", Status(401))], false);
        check(Some("h1:443"), Some(Status(409)), &[("h1:443", Status(401))], true);
        check(Some("h1:443"), Some(Refused(Some(409))), &[("h1:443", Connect)], true);
        check(Some("h1:443"), Some(Connect), &[("h1:443", Status(401))], true);
        // No call was made, or could be.
        check(Some("h1:443"), Some(Content), &[("h1:443", Connect)], true);
        check(None, None, &[("h1:443", Connect)], true);
    }

    #[test]
    fn the_label_of_dead_letters_is_the_same_for_each_of_one_cause() {
        let check = |reason: &str, cause: Option<&str>, answer: Option<&str>, expected: Option<&str>| {
            let [reason, cause, answer] = [Some(reason), cause, answer].map(|text| text.map(str::to_owned));
            assert_eq!(letter_label(&LatestDead { reason, cause, answer, host: None }).as_deref(), expected);
        };
        let answer = Some("status 409: locked");
        check("status 409: locked (after 3611 s: retry_max_age)", Some("status 409"), answer, answer);
        // It waited for a host that its event names, and was never called.
        let connect = Some("cannot connect");
        check("cannot connect: h (for 61 s, and hold_max is over)", connect, None, connect);
        let held = "the target was down for 3607 s, and hold_max is over";
        check(held, Some(TARGET_HELD), answer, Some(TARGET_HELD));
        let old = "too old: published 2026-03-26T09:00:00Z, 244 d before it was read; the limit is 1 d (max_event_age)";
        check(old, Some(TOO_OLD), None, Some(TOO_OLD));
        check("max_pending is reached (on_full = dead_letter)", None, None, None);
    }

    #[test]
    fn a_count_is_shown_while_the_broker_answers() {
        let asked = |seconds| DepthGauge {
            messages: 362,
            consumers: 1,
            at: Instant::now() - Duration::from_secs(seconds),
            waiting_since: None,
            arrived: None,
        };
        for (seconds, state, expected) in [
            (10, ListenerState::Listening, true),
            (10, ListenerState::Standby, true),
            (90, ListenerState::Listening, false),
            (1, ListenerState::Connecting { attempt: 1 }, false),
            (1, ListenerState::Stopped, false),
        ] {
            assert_eq!(is_present(&asked(seconds), &state), expected, "{seconds} s, {state:?}");
        }
    }
}
