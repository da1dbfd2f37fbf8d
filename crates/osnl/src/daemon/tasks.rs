//! The tasks of a daemon, which come and go as its configuration changes.
//!
//! A listener that takes the place of another on the same queue begins when that one has closed its connection: what
//! it had been sent and not taken is in its place in the queue again, so that order survives, with a single active
//! consumer or without. On another queue it begins at once; when it listens, the old queue is unbound, and its listener
//! drains when nothing seems to be left there. Then it is looked again: whatever is in the queue is read by another
//! listener of it ([`Farewell`]), until nothing is. If another change replaces a listener that never got its queue, the
//! old queue waits for the next one: an exchange without a bound queue of ours loses what is published to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use osnl_core::former::Former;
use osnl_transport::TransportError;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::DaemonError;
use super::reload::ReloadChanges;
use crate::delivery::{DeliveryLoop, Remote};
use crate::ends::{self, EndReports, UnexpectedEnd};
use crate::listener::{Farewell, Gauges, Listener, ListenerState, QueueRemains};
use crate::shutdown::Shutdown;

/// A listener that another waits for has this long to settle what is open. What is left goes back to the broker, and
/// is recognised when it comes to the other one.
const GIVES_WAY: Duration = Duration::from_secs(3);
/// After an abort the tasks have this long to notice.
const ABORT_GRACE: Duration = Duration::from_secs(2);

pub(super) struct Tasks {
    shutdown: Shutdown,
    /// The receiver of an unexpected end of tasks that the actions keep running.
    ends: EndReports,
    pub(super) listeners: JoinSet<Result<(), TransportError>>,
    pub(super) deliveries: JoinSet<()>,
    /// Tasks that each wait for a listener before they tell another to drain. A queue that still holds messages after
    /// that is read on.
    pub(super) handovers: JoinSet<Option<Farewell>>,
    seats: Vec<Seat>,
    /// The listeners of the configuration.
    named: watch::Sender<StatesByName>,
    loops: Vec<RunningLoop>,
    /// Nothing has changed yet: a listener that cannot begin ends the daemon.
    starting: bool,
}

/// The state of the listener that has a name by now.
type StatesByName = HashMap<Arc<str>, watch::Receiver<ListenerState>>;

/// A listener that runs, or is about to end.
struct Seat {
    task: Id,
    name: Arc<str>,
    queues: Vec<String>,
    own: Shutdown,
    ended: CancellationToken,
    leaving: bool,
    /// `None` where the queue is not ours to empty.
    farewell: Option<Farewell>,
    state: watch::Receiver<ListenerState>,
    gauges: Arc<Gauges>,
}

/// The means to leave the queue of a running listener.
struct QueueHandover {
    name: Arc<str>,
    own: Shutdown,
    ended: CancellationToken,
    farewell: Option<Farewell>,
    state: watch::Receiver<ListenerState>,
    gauges: Arc<Gauges>,
}

impl Seat {
    fn leave(&mut self) -> QueueHandover {
        self.leaving = true;
        QueueHandover {
            name: self.name.clone(),
            own: self.own.clone(),
            ended: self.ended.clone(),
            farewell: self.farewell.clone(),
            state: self.state.clone(),
            gauges: self.gauges.clone(),
        }
    }
}

/// A delivery loop that runs, or is about to end.
struct RunningLoop {
    task: Id,
    name: Arc<str>,
    remote: Remote,
    ended: CancellationToken,
    leaving: bool,
}

impl Tasks {
    pub(super) fn start(
        shutdown: &Shutdown,
        ends: &EndReports,
        listeners: Vec<Listener>,
        emptying: Vec<Farewell>,
        deliveries: Vec<DeliveryLoop>,
    ) -> Self {
        let mut tasks = Self {
            shutdown: shutdown.clone(),
            ends: ends.clone(),
            listeners: JoinSet::new(),
            deliveries: JoinSet::new(),
            handovers: JoinSet::new(),
            seats: Vec::new(),
            named: watch::Sender::new(StatesByName::new()),
            loops: Vec::new(),
            starting: true,
        };
        for listener in listeners {
            tasks.name(&listener);
            tasks.listen(listener);
        }
        deliveries.into_iter().for_each(|delivery| tasks.deliver(delivery));
        emptying.into_iter().for_each(|farewell| tasks.empty(farewell));
        tasks
    }

    /// Aborts what is under way. A task that does not notice in time is cut off when its set is dropped.
    pub(super) async fn abort(&mut self) {
        self.shutdown.abort.cancel();
        let rest = async {
            while self.deliveries.join_next().await.is_some() {}
            while self.listeners.join_next().await.is_some() {}
        };
        let _ = timeout(ABORT_GRACE, rest).await;
    }

    /// Does what follows from another configuration. Nothing here waits.
    pub(super) fn apply(&mut self, changes: ReloadChanges) {
        self.starting = false;
        for (name, setup) in changes.setups {
            for looping in self.loops.iter().filter(|looping| looping.name == name && !looping.leaving) {
                looping.remote.change(setup.clone());
            }
        }
        for looping in self.loops.iter_mut().filter(|looping| changes.retire.contains(&looping.name)) {
            looping.leaving = true;
            looping.remote.retire();
        }
        changes.deliveries.into_iter().for_each(|delivery| self.deliver(delivery));

        let begins = |name: &Arc<str>| changes.begin.iter().any(|listener| listener.name() == name);
        self.named.send_modify(|named| {
            changes.leave.iter().filter(|name| !begins(name)).for_each(|name| drop(named.remove(name)));
        });
        let mut left = Vec::new();
        for seat in self.seats.iter_mut().filter(|seat| !seat.leaving && changes.leave.contains(&seat.name)) {
            left.push(seat.leave());
        }
        for listener in changes.begin {
            let (name, queues) = (listener.name().clone(), listener.queues());
            self.name(&listener);
            self.listen(listener);
            for mut leaving in left.extract_if(.., |leaving| leaving.name == name) {
                // What reads the same queue takes its place there.
                leaving.farewell = leaving.farewell.filter(|farewell| !queues.contains(farewell.queue()));
                leaving.farewell.as_ref().inspect(|farewell| farewell.begin());
                self.hand_over(leaving);
            }
        }
        left.into_iter().for_each(|leaving| leaving.own.drain.cancel());
    }

    fn name(&self, listener: &Listener) {
        self.named.send_modify(|named| drop(named.insert(listener.name().clone(), listener.state())));
    }

    /// The queue of a listener is left: for another one, as soon as the listener of its name has that.
    fn hand_over(&mut self, leaving: QueueHandover) {
        let QueueHandover { name, own, ended, farewell, state, gauges } = leaving;
        let (shutdown, named) = (self.shutdown.drain.clone(), self.named.subscribe());
        self.handovers.spawn(async move {
            let looks_empty = async {
                is_replaced(&name, named).await;
                if let Some(farewell) = &farewell {
                    farewell.looks_empty(state, &gauges).await;
                }
            };
            tokio::select! {
                () = looks_empty => {}
                // Something else has its place, or the daemon ends: what is left is remembered.
                () = own.drain.cancelled() => return None,
            }
            own.drain.cancel();
            let farewell = farewell?;
            let left = async {
                ended.cancelled().await;
                farewell.left().await
            };
            let left = tokio::select! {
                left = left => left,
                () = shutdown.cancelled() => return None,
            };
            match left {
                QueueRemains::Messages(_) => Some(farewell),
                QueueRemains::Empty | QueueRemains::NotOurs => None,
            }
        });
    }

    /// Reads what is left in a queue, and then leaves it.
    pub(super) fn empty(&mut self, farewell: Farewell) {
        let queue = farewell.queue();
        // What reads the queue by now reads what is in it.
        if self.seats.iter().any(|seat| seat.queues.contains(queue) && seat.farewell.is_some()) {
            return;
        }
        // Its bindings stay until the listener's queue of today has its own: in between, events would reach neither.
        self.listen(farewell.reader());
        let Some(seat) = self.seats.last_mut() else { return };
        seat.farewell = Some(farewell);
        let leaving = seat.leave();
        self.hand_over(leaving);
    }

    fn listen(&mut self, listener: Listener) {
        let own =
            Shutdown { drain: self.shutdown.drain.child_token(), abort: self.shutdown.abort.child_token() };
        let queues = listener.queues();
        let shares = |seat: &&Seat| seat.queues.iter().any(|queue| queues.contains(queue));
        let before: Vec<_> = self.seats.iter().filter(|seat| seat.leaving).filter(shares).collect();
        // An auto-delete queue must not be without a consumer; no order is promised there.
        let before: Vec<_> = before.into_iter().filter(|_| !listener.is_auto_deleted()).collect();
        let before: Vec<_> = before.into_iter().map(|seat| (seat.own.clone(), seat.ended.clone())).collect();
        let (name, ended) = (listener.name().clone(), CancellationToken::new());
        let (farewell, state, gauges) = (listener.farewell(), listener.state(), listener.gauges());
        let (theirs, over) = (own.clone(), ended.clone().drop_guard());
        let task = self.listeners.spawn(async move {
            let _over = over;
            for (shutdown, ended) in before {
                gives_way(&shutdown, &ended).await;
            }
            listener.run(theirs).await
        });
        let (task, leaving) = (task.id(), false);
        self.seats.push(Seat { task, name, queues, own, ended, leaving, farewell, state, gauges });
    }

    fn deliver(&mut self, delivery: DeliveryLoop) {
        let (name, remote, ended) = (delivery.name().clone(), delivery.remote(), CancellationToken::new());
        let before = self.loops.iter().filter(|looping| looping.leaving && looping.name == name);
        let before: Vec<_> = before.map(|looping| looping.ended.clone()).collect();
        let (shutdown, over) = (self.shutdown.clone(), ended.clone().drop_guard());
        let task = self.deliveries.spawn(self.ends.clone().within(async move {
            let _over = over;
            for ended in before {
                ended.cancelled().await;
            }
            delivery.run(shutdown).await;
        }));
        self.loops.push(RunningLoop { task: task.id(), name, remote, ended, leaving: false });
    }

    /// A listener ended; the error is what ends the daemon over it.
    pub(super) fn listener_ended(
        &mut self,
        ended: Result<(Id, Result<(), TransportError>), JoinError>,
    ) -> Result<(), DaemonError> {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let Some(at) = self.seats.iter().position(|seat| seat.task == task) else { return Ok(()) };
        let seat = self.seats.swap_remove(at);
        let name = || format!("listener {}", seat.name);
        match ended {
            Err(error) => Err(panicked(name(), error)),
            Ok((_, Ok(()))) if seat.own.drain.is_cancelled() || seat.own.abort.is_cancelled() => {
                // When the daemon ends, so does each listener.
                if !self.shutdown.drain.is_cancelled() {
                    tracing::info!(listener.name = &*seat.name, "the listener has ended");
                }
                Ok(())
            }
            Ok((_, Ok(()))) => Err(by_itself(name())),
            Ok((_, Err(error))) if self.starting => Err(DaemonError::Listener(error)),
            Ok((_, Err(error))) => {
                let listener = &*seat.name;
                tracing::error!(
                    listener.name = listener,
                    error = error.to_string(),
                    former = %Former(
                        format_args!("the listener cannot go on: {error}; correct its section and reload"),
                        &[("listener.name", listener)]
                    ),
                    "the listener cannot continue: correct its section and reload"
                );
                Ok(())
            }
        }
    }

    /// A delivery loop ended; the error is what ends the daemon over it.
    pub(super) fn delivery_ended(&mut self, ended: Result<(Id, ()), JoinError>) -> Result<(), DaemonError> {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, ())| *task);
        let Some(at) = self.loops.iter().position(|looping| looping.task == task) else { return Ok(()) };
        let looping = self.loops.swap_remove(at);
        let name = || format!("delivery loop of action {}", looping.name);
        match ended {
            Err(error) => Err(panicked(name(), error)),
            Ok(_) if looping.leaving || self.shutdown.drain.is_cancelled() => Ok(()),
            Ok(_) if self.shutdown.abort.is_cancelled() => Ok(()),
            Ok(_) => Err(by_itself(name())),
        }
    }
}

/// A task that panicked.
pub(super) fn panicked(task: String, error: JoinError) -> DaemonError {
    let message = match error.try_into_panic() {
        Ok(panic) => ends::message(&*panic),
        Err(error) => error.to_string(),
    };
    DaemonError::Unexpected(UnexpectedEnd { task, message })
}

/// Returns the error of a task that ended without having been told to.
fn by_itself(task: String) -> DaemonError {
    DaemonError::Unexpected(UnexpectedEnd { task, message: "nothing told it to end".to_owned() })
}

/// Waits until the listener that has this name by then has its queue, or until none has the name.
async fn is_replaced(name: &str, mut named: watch::Receiver<StatesByName>) {
    loop {
        let Some(mut state) = named.borrow_and_update().get(name).cloned() else { return };
        let has_queue = async {
            if state.wait_for(has_queue).await.is_err() {
                // It has ended without: it cannot go on, or the next one is about to have the name.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = has_queue => return,
            changed = named.changed() => if changed.is_err() { return },
        }
    }
}

/// Whether a listener in this state has opened its queue, and bound it.
fn has_queue(state: &ListenerState) -> bool {
    match state {
        ListenerState::Listening
        | ListenerState::Standby
        | ListenerState::Blocked { .. }
        | ListenerState::Draining => true,
        ListenerState::Connecting { .. } | ListenerState::Stopped => false,
    }
}

async fn gives_way(shutdown: &Shutdown, ended: &CancellationToken) {
    shutdown.drain.cancel();
    if timeout(GIVES_WAY, ended.cancelled()).await.is_err() {
        shutdown.abort.cancel();
        ended.cancelled().await;
    }
}
