//! The live state of a daemon, for every status page, and the bell that requests a reload.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use osnl_core::epoch;
use tokio::sync::{mpsc, oneshot, watch};

use super::reload::{ReloadOutcome, ReloadRefusal, ReloadRefusalReason, ReloadRequest, ReloadScope};
use crate::listener::{Gauges, Listener, ListenerState, Oversight, Stall};
use osnl_delivery::{DeliveryLoop, TargetMonitor};

const WAITING: usize = 16;

pub const ATTENTION_AGE: Duration = Duration::from_secs(15 * 60);

/// The state of the running daemon for observers, and the inbox of their reloads.
pub struct DaemonState {
    shown: Mutex<RunningParts>,
    version: watch::Sender<u64>,
    reloads: watch::Sender<Reloads>,
    attention_age: AtomicU64,
    stop: Mutex<Option<DaemonStop>>,
    asked: mpsc::Sender<ReloadRequest>,
    inbox: Mutex<Option<mpsc::Receiver<ReloadRequest>>>,
}

/// The stop of the daemon that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaemonStop {
    pub since: SystemTime,
    pub is_failure: bool,
}

/// The listeners and actions that run now.
#[derive(Default)]
struct RunningParts {
    listeners: Vec<ListenerHandle>,
    targets: Vec<TargetMonitor>,
}

/// The observable state of one running listener.
#[derive(Clone)]
pub struct ListenerHandle {
    /// The name of its section.
    pub name: Arc<str>,
    /// The hosts and the virtual host, without secrets.
    pub broker: String,
    /// The survey of the broker's queues beside the listener; `None` without one.
    pub oversight: Option<Arc<dyn Oversight>>,
    /// The present state.
    pub state: watch::Receiver<ListenerState>,
    /// The present numbers.
    pub gauges: Arc<Gauges>,
    /// The stall; `None` while messages move.
    pub stall: watch::Receiver<Option<Stall>>,
    /// Whether one of several consumers gets all messages.
    pub exclusive: bool,
    /// The tag of its consumers.
    pub consumer_tag: String,
}

/// The reloads since the start, so that a caller can wait for its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloads {
    pub loaded: SystemTime,
    pub begun: u64,
    pub ended: u64,
    pub failed: Option<(SystemTime, ReloadRefusal)>,
    pub last: Option<EndedReload>,
}

/// The last reload that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedReload {
    pub at: SystemTime,
    pub by: String,
    pub outcome: ReloadOutcome,
}

impl ListenerHandle {
    fn new(listener: &Listener) -> Self {
        Self {
            name: listener.name().clone(),
            broker: listener.location(),
            oversight: listener.oversight().cloned(),
            state: listener.state(),
            gauges: listener.gauges(),
            stall: listener.stall(),
            exclusive: listener.is_exclusive(),
            consumer_tag: listener.consumer_tag().to_owned(),
        }
    }

    pub fn is_idle(&self) -> bool {
        match &*self.state.borrow() {
            ListenerState::Listening => self.gauges.is_idle(),
            ListenerState::Standby => self.gauges.depth().is_none_or(|depth| depth.messages == 0),
            ListenerState::Connecting { .. }
            | ListenerState::Blocked { .. }
            | ListenerState::Draining
            | ListenerState::Stopped => false,
        }
    }

    #[must_use]
    pub fn broker(&self) -> &str {
        &self.broker
    }

    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.gauges.trouble().map(|trouble| trouble.reason)
    }

    #[must_use]
    pub fn state(&self) -> watch::Receiver<ListenerState> {
        self.state.clone()
    }
}

impl DaemonState {
    pub(crate) fn new(listeners: &[Listener], deliveries: &[DeliveryLoop]) -> Self {
        let (asked, inbox) = mpsc::channel(WAITING);
        let reloads = Reloads { loaded: epoch::now(), begun: 0, ended: 0, failed: None, last: None };
        let state = Self {
            shown: Mutex::default(),
            version: watch::Sender::new(0),
            reloads: watch::Sender::new(reloads),
            attention_age: AtomicU64::new(0),
            stop: Mutex::default(),
            asked,
            inbox: Mutex::new(Some(inbox)),
        };
        state.set_attention_age(ATTENTION_AGE);
        state.show(listeners.iter().map(ListenerHandle::new), deliveries.iter().map(DeliveryLoop::published));
        state
    }

    #[must_use]
    pub fn listeners(&self) -> Vec<ListenerHandle> {
        self.with(|shown| shown.listeners.clone())
    }

    #[must_use]
    pub fn targets(&self) -> Vec<TargetMonitor> {
        self.with(|shown| shown.targets.clone())
    }

    #[must_use]
    pub fn attention_age(&self) -> Duration {
        Duration::from_millis(self.attention_age.load(Ordering::Relaxed))
    }

    pub fn set_attention_age(&self, age: Duration) {
        let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.attention_age.store(millis, Ordering::Relaxed);
    }

    pub fn stop(&self) -> Option<DaemonStop> {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin_stop(&self, is_failure: bool) {
        let stop = DaemonStop { since: epoch::now(), is_failure };
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
    }

    #[must_use]
    pub fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    #[must_use]
    pub fn reloads(&self) -> watch::Receiver<Reloads> {
        self.reloads.subscribe()
    }

    /// Requests a reload without waiting; one waiting request covers many.
    pub fn request_reload(&self, by: &str) {
        let scope = ReloadScope::Configuration;
        let _ = self.asked.try_send(ReloadRequest { by: by.to_owned(), scope, answer: None });
    }

    pub fn request_secrets(&self) {
        let (by, scope) = ("a refusal".to_owned(), ReloadScope::Secrets);
        let _ = self.asked.try_send(ReloadRequest { by, scope, answer: None });
    }

    pub async fn reload(&self, scope: ReloadScope, by: &str) -> ReloadOutcome {
        let (answer, answered) = oneshot::channel();
        let ending = || {
            let errors = vec!["the daemon is ending, or cannot read its configuration again".to_owned()];
            ReloadOutcome::Refused(ReloadRefusal { reason: ReloadRefusalReason::Unsupported, errors })
        };
        if self.asked.send(ReloadRequest { by: by.to_owned(), scope, answer: Some(answer) }).await.is_err() {
            return ending();
        }
        answered.await.unwrap_or_else(|_| ending())
    }

    pub(super) fn change(
        &self,
        begun: &[Listener],
        replaced: &[Arc<str>],
        deliveries: &[DeliveryLoop],
        (listeners, actions): &(Vec<Arc<str>>, Vec<Arc<str>>),
    ) {
        let before = self.with(std::mem::take);
        let kept = before.listeners.into_iter().filter(|heard| !replaced.contains(&heard.name));
        let heard: Vec<_> = kept.chain(begun.iter().map(ListenerHandle::new)).collect();
        let targets: Vec<_> = deliveries.iter().map(DeliveryLoop::published).chain(before.targets).collect();
        let listeners = listeners.iter().filter_map(|name| heard.iter().find(|heard| heard.name == *name));
        let actions = actions.iter().filter_map(|name| targets.iter().find(|target| target.name() == name));
        self.show(listeners.cloned(), actions.cloned());
        self.version.send_modify(|version| *version += 1);
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut Reloads)) {
        self.reloads.send_modify(note);
    }

    pub(crate) fn inbox(&self) -> Option<mpsc::Receiver<ReloadRequest>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn show(
        &self,
        listeners: impl Iterator<Item = ListenerHandle>,
        targets: impl Iterator<Item = TargetMonitor>,
    ) {
        let shown = RunningParts { listeners: listeners.collect(), targets: targets.collect() };
        self.with(|now| *now = shown);
    }

    fn with<T>(&self, with: impl FnOnce(&mut RunningParts) -> T) -> T {
        with(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
