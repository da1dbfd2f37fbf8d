//! The status, and the problems that need the operator's attention.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::super::refusal::Refusal;
use super::super::{Failure, JournalStatus, ListenerStatus, Status, TargetReport, Unavailable, time};
use super::reload::{configuration, not_reloaded};
use super::{ControlHandler, Store};
use crate::daemon::ListenerHandle;
use crate::delivery::{Held, Published, TargetState};
use crate::journal::sqlite::{Overview, SqliteJournal, State, Tally};
use crate::journal::{Journal as _, JournalState};
use crate::listener::ListenerState;

/// The data of the store.
#[derive(Default)]
struct Kept {
    overview: Option<Overview>,
    tally: Vec<Tally>,
    oldest: BTreeMap<String, SystemTime>,
    paused: BTreeMap<String, SystemTime>,
}

impl ControlHandler {
    pub(super) async fn status(&self) -> Result<Status, Refusal> {
        // The store may be unreadable, which is often the reason for the request: the rest is answered nevertheless.
        let (kept, unreadable) = match self.kept().await {
            Ok(kept) => (kept, None),
            Err(refusal) if self.live.is_some() => (Kept::default(), Some(refusal.message)),
            Err(refusal) => return Err(refusal),
        };
        let live = self.live.as_ref();
        let targets = self.targets(&kept);
        let listeners = live.iter().flat_map(|live| live.daemon.listeners());
        let listeners: Vec<_> = listeners.map(|heard| listener(&heard)).collect();
        let configuration = live.map(|live| configuration(&live.daemon.reloads().borrow()));
        let journal = self.journal(&kept);
        let mut attention: Vec<String> = unreadable.into_iter().collect();
        if live.is_none() {
            attention.push("no daemon runs on this journal".to_owned());
        }
        attention.extend(configuration.iter().filter_map(not_reloaded));
        attention.extend(about(&listeners, &targets, &journal));
        attention.extend(kept.overview.as_ref().into_iter().flat_map(unread));
        attention.extend(self.most().iter().flat_map(|most| full(&targets, *most)));
        Ok(Status {
            running: live.is_some(),
            healthy: attention.is_empty(),
            attention,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: live.map(|_| std::process::id()),
            started: live.map(|live| time::shown(live.started)),
            uptime_seconds: live.map(|live| time::age(live.started)),
            configuration,
            listeners,
            left_queues: self.left_queues(),
            targets,
            journal,
            counters: live
                .map(|live| live.counters.snapshot())
                .unwrap_or_default()
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        })
    }

    /// Returns `max_pending`, which only a daemon with a durable journal has.
    fn most(&self) -> Option<u64> {
        match &self.store {
            Store::Sqlite(journal, _) => Some(journal.max_pending()),
            Store::Memory(_) | Store::File(_) => None,
        }
    }

    async fn kept(&self) -> Result<Kept, Refusal> {
        if let Store::Memory(journal) = &self.store {
            let mut oldest = BTreeMap::new();
            for row in journal.rows() {
                let first = oldest.entry(row.action).or_insert(row.received);
                *first = row.received.min(*first);
            }
            let paused = journal.paused().borrow().clone();
            return Ok(Kept { overview: None, tally: journal.tally(), oldest, paused });
        }
        let looked = self.read(|reader| {
            let (overview, tally) = (reader.overview()?, reader.tally()?);
            let mut oldest = BTreeMap::new();
            for of in tally.iter().filter(|of| of.state == State::Ready) {
                if let Some(at) = reader.oldest_ready(&of.action)? {
                    oldest.insert(of.action.clone(), at);
                }
            }
            let paused = overview.paused.clone();
            Ok(Kept { overview: Some(overview), tally, oldest, paused })
        });
        Ok(looked.await?.unwrap_or_default())
    }

    /// Configured actions first, in their order; then those that only the journal knows.
    fn targets(&self, kept: &Kept) -> Vec<TargetReport> {
        let live: Vec<Published> = self.live.iter().flat_map(|live| live.daemon.targets()).collect();
        let published: BTreeMap<&str, &Published> =
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
        let report = |name| target(name, configured(name), published.get(name).copied(), kept);
        names.into_iter().map(report).collect()
    }

    fn journal(&self, kept: &Kept) -> JournalStatus {
        let deliveries = kept.tally.iter().map(|of| of.count).sum();
        let (journal, path) = match &self.store {
            Store::Memory(_) => {
                return JournalStatus {
                    store: "memory".to_owned(),
                    state: Some("working".to_owned()),
                    deliveries,
                    ..JournalStatus::default()
                };
            }
            Store::Sqlite(journal, path) => (Some(journal), path),
            Store::File(path) => (None, path),
        };
        let state = journal.map(|journal| journal.state().borrow().clone());
        let (state, reason) = match state {
            None => (None, None),
            Some(JournalState::Working) => (Some("working"), None),
            Some(JournalState::Full { reason, .. }) => (Some("full"), Some(reason)),
            Some(JournalState::Failed { reason, .. }) => (Some("failed"), Some(reason)),
        };
        let overview = kept.overview.as_ref();
        let oldest = overview.and_then(|overview| overview.oldest);
        JournalStatus {
            store: "sqlite".to_owned(),
            path: Some(path.display().to_string()),
            state: state.map(str::to_owned),
            reason,
            bytes: Some(SqliteJournal::bytes(path)),
            events: overview.map(|overview| overview.events),
            deliveries,
            oldest: oldest.map(time::shown),
            oldest_seconds: oldest.map(time::age),
            unreadable: overview.map(|overview| overview.unreadable),
        }
    }
}

fn target(name: &str, configured: Option<bool>, published: Option<&Published>, kept: &Kept) -> TargetReport {
    let count = |states: &[State]| -> u64 {
        let of = kept.tally.iter().filter(|of| of.action == name && states.contains(&of.state));
        of.map(|of| of.count).sum()
    };
    let oldest = kept.oldest.get(name).copied();
    let paused = kept.paused.get(name).copied();
    let mut report = TargetReport {
        action: name.to_owned(),
        configured,
        state: paused.map(|_| TargetState::Paused.name().to_owned()),
        since: paused.map(time::shown),
        since_seconds: paused.map(time::age),
        paused_since: paused.map(time::shown),
        pending: count(&[State::Waiting, State::Ready]),
        oldest_pending: oldest.map(time::shown),
        oldest_pending_seconds: oldest.map(time::age),
        held: count(&[State::Held]),
        dead: count(&[State::Dead]),
        done: count(&[State::Delivered, State::NothingToDo]),
        ..TargetReport::default()
    };
    if let Some(published) = published {
        let status = *published.status().borrow();
        report.target = Some(published.target());
        report.in_flight = published.under_way() as u64;
        report.last_failure =
            published.last_failure().map(|(at, answer)| Failure { at: time::shown(at), answer });
        // The loop notices a moment later than the journal.
        if paused.is_none() {
            report.state = Some(status.state.name().to_owned());
            report.since = Some(time::shown(status.since));
            report.since_seconds = Some(time::age(status.since));
        }
        if let (TargetState::Open { until }, None) = (status.state, paused) {
            report.next_probe_seconds = Some(seconds_until(until));
        }
        let Held { hosts, others, outages } = published.held();
        report.held_hosts = hosts
            .into_iter()
            .map(|held| unavailable(held.host, held.since, held.reason, held.next_probe))
            .collect();
        report.more_held_hosts = others;
        report.dependencies_down = outages
            .into_iter()
            .map(|down| {
                unavailable(down.dependency.to_string(), down.since, down.reason, Some(down.next_try))
            })
            .collect();
    }
    report
}

fn unavailable(name: String, since: SystemTime, reason: String, next: Option<Instant>) -> Unavailable {
    Unavailable {
        name,
        since: time::shown(since),
        since_seconds: time::age(since),
        reason,
        next_probe_seconds: next.map(seconds_until),
    }
}

fn seconds_until(moment: Instant) -> u64 {
    moment.saturating_duration_since(Instant::now()).as_secs_f64().ceil() as u64
}

fn listener(heard: &ListenerHandle) -> ListenerStatus {
    let opened = heard.gauges.opened();
    let last = heard.gauges.last_message();
    let state = heard.state.borrow().clone();
    let trouble = heard.gauges.trouble();
    let (reason, next) = match (&state, trouble) {
        (ListenerState::Blocked { reason, .. }, _) => (Some(reason.to_string()), None),
        (
            ListenerState::Connecting { .. } | ListenerState::Listening | ListenerState::Standby,
            Some(trouble),
        ) => (Some(trouble.reason), Some(trouble.next)),
        (ListenerState::Connecting { .. } | ListenerState::Listening | ListenerState::Standby, None)
        | (ListenerState::Draining | ListenerState::Stopped, _) => (None, None),
    };
    let since = heard.gauges.since();
    let next = next.map(|next| next.duration_since(SystemTime::now()).unwrap_or_default());
    ListenerStatus {
        name: heard.name.to_string(),
        state: state.name().to_owned(),
        reason,
        since: since.map(time::shown),
        since_seconds: since.map(time::age),
        next_attempt_seconds: next.map(|next| next.as_secs_f64().ceil() as u64),
        stalled: heard.stall.borrow().as_ref().map(|stall| stall.kind.to_string()),
        broker: heard.broker.clone(),
        waiting_at_connect: opened.host.as_ref().map(|_| opened.waiting),
        queues: opened.queues,
        messages: heard.gauges.messages(),
        reconnects: heard.gauges.reconnects(),
        last_message: last.map(time::shown),
        last_message_seconds: last.map(time::age),
    }
}

fn about(listeners: &[ListenerStatus], targets: &[TargetReport], journal: &JournalStatus) -> Vec<String> {
    let mut attention = Vec::new();
    if let (Some(state), Some(reason)) = (&journal.state, &journal.reason) {
        attention.push(format!("the journal is {state}: {reason}"));
    }
    for listener in listeners {
        let ListenerStatus { name, state, broker, reason, stalled, .. } = listener;
        let since = listener.since_seconds.filter(|_| reason.is_some());
        let since = since.map(|seconds| format!(", for {seconds} s")).unwrap_or_default();
        match (state.as_str(), reason, stalled) {
            ("listening" | "standby", _, Some(stalled)) => {
                attention.push(format!("listener {name} is stalled: {stalled}"));
            }
            ("listening" | "standby", Some(reason), None) => {
                attention.push(format!("listener {name}: {reason}"));
            }
            ("listening" | "standby", None, None) => {}
            (_, Some(reason), _) => attention.push(format!("listener {name} is {state}{since}: {reason}")),
            (_, None, _) => attention.push(format!("listener {name} is {state}: {broker}")),
        }
    }
    for target in targets {
        let name = &target.action;
        match target.state.as_deref() {
            Some("paused") => attention.push(format!("{name} is paused; osnl deliveries resume {name}")),
            Some("open" | "probing") => {
                let answer = target.last_failure.as_ref().map_or("", |failure| &failure.answer);
                attention.push(format!("{name} is held: {answer}; nothing is lost, it is tried again"));
            }
            Some(_) | None => {}
        }
        for down in &target.dependencies_down {
            let (dependency, since, reason) = (&down.name, down.since_seconds, &down.reason);
            attention.push(format!(
                "{dependency} is down for {since} s: {reason}; deliveries of {name} that need it wait, the others go out"
            ));
        }
        if target.held > 0 {
            let held = deliveries(target.held);
            attention.push(format!("{held} of {name} held; osnl deliveries list --state held"));
        }
        if target.dead > 0 {
            let dead = deliveries(target.dead);
            attention.push(format!("{dead} of {name} given up; osnl deliveries list --state dead"));
        }
        if let (Some(false), open @ 1..) = (target.configured, target.pending + target.held) {
            let open = deliveries(open);
            attention.push(format!(
                "{open} of {name}, which is not configured: orphaned; osnl deliveries move --action {name} --to ACTION"
            ));
        }
    }
    attention
}

/// Messages that were not read, and deliveries that may have ended the process.
fn unread(overview: &Overview) -> Vec<String> {
    let mut attention = Vec::new();
    match overview.unreadable {
        0 => {}
        1 => attention.push("1 message is in quarantine; osnl quarantine list".to_owned()),
        many => attention.push(format!("{many} messages are in quarantine; osnl quarantine list")),
    }
    if overview.suspects > 0 {
        let held = deliveries(overview.suspects);
        attention.push(format!(
            "{held} held since the process ended unexpectedly each time while attempting: look at them with osnl \
             deliveries list --state held before you release them"
        ));
    }
    attention
}

/// Actions that have as many deliveries open as they may.
fn full(targets: &[TargetReport], most: u64) -> Vec<String> {
    let full = targets.iter().filter(|target| target.pending + target.held >= most);
    let line = |target: &TargetReport| {
        let name = &target.action;
        format!(
            "{name} has reached max_pending ({most}): until some are delivered, what its rules want stays with the \
             broker, or is given up with on_full = dead_letter"
        )
    };
    full.map(line).collect()
}

fn deliveries(count: u64) -> String {
    if count == 1 { "1 delivery".to_owned() } else { format!("{count} deliveries") }
}
