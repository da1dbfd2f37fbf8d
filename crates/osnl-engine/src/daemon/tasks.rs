//! The tasks of a daemon, which change with its configuration.
//!
//! A replacement on the same queue begins after the former connection has closed: pushed messages are then back in
//! their places. On an auto-delete queue the former one ends after the replacement has subscribed. On another queue the
//! listener reads at its turn: see [`QueueExit`].

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use osnl_transport::TransportError;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::DaemonError;
use super::reload::ReloadChanges;
use crate::listener::{Gauges, Listener, ListenerState, OwnQueue, QueueExit, ReadTurn};
use osnl_core::ends::{self, EndReports, UnexpectedEnd};
use osnl_core::shutdown::Shutdown;
use osnl_delivery::{DeliveryLoop, Remote};

/// The time in which a replaced listener may settle open messages, before the rest returns to the broker.
const GIVES_WAY: Duration = Duration::from_secs(3);
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// The tasks of a daemon, which awaits or aborts each.
pub(super) struct Tasks {
    /// The stop of the daemon, which stops each task.
    shutdown: Shutdown,
    /// The reports of tasks that end unexpectedly.
    ends: EndReports,
    /// The tasks of `seats`.
    pub(super) listeners: JoinSet<Result<(), TransportError>>,
    /// The tasks of `loops`.
    pub(super) deliveries: JoinSet<()>,
    /// The tasks that empty the queues of listeners that leave.
    pub(super) exits: JoinSet<()>,
    /// The running listeners.
    seats: Vec<Seat>,
    /// The running delivery loops.
    loops: Vec<RunningLoop>,
    /// Whether nothing was reloaded yet, so that a failing listener ends the daemon.
    starting: bool,
}

/// A running listener, with the tokens that end it and report its end.
struct Seat {
    /// The task of the listener.
    task: Id,
    /// The name of its section.
    name: Arc<str>,
    /// The queues that it reads.
    queues: Vec<OwnQueue>,
    /// The numbers of the listener, which know whether its queues are auto-delete queues.
    gauges: Arc<Gauges>,
    /// The stop of this listener alone.
    own: Shutdown,
    /// Cancelled when its task ends.
    ended: CancellationToken,
    /// Whether a reload has ended it.
    leaving: bool,
    /// The former listeners that it waits for before it reads.
    turns: Vec<ReadTurn>,
    /// The end of its own reading, for the next listener; `None` unless its queues are emptied.
    exit: Option<ReadTurn>,
}

impl Seat {
    fn reads_any(&self, queues: &[OwnQueue]) -> bool {
        self.queues.iter().any(|was| queues.iter().any(|now| now.is_same(was)))
    }
}

/// A running delivery loop, with the token that reports its end.
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
        deliveries: Vec<DeliveryLoop>,
    ) -> Self {
        let mut tasks = Self {
            shutdown: shutdown.clone(),
            ends: ends.clone(),
            listeners: JoinSet::new(),
            deliveries: JoinSet::new(),
            exits: JoinSet::new(),
            seats: Vec::new(),
            loops: Vec::new(),
            starting: true,
        };
        listeners.into_iter().for_each(|listener| tasks.listen(listener, &[]));
        deliveries.into_iter().for_each(|delivery| tasks.deliver(delivery));
        tasks
    }

    /// Aborts the tasks, and drops those that do not end in time.
    pub(super) async fn abort(&mut self) {
        self.shutdown.abort.cancel();
        let rest = async {
            while self.deliveries.join_next().await.is_some() {}
            while self.listeners.join_next().await.is_some() {}
        };
        let _ = timeout(ABORT_GRACE, rest).await;
    }

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

        let mut turns: Vec<(Arc<str>, ReadTurn)> = Vec::new();
        for seat in self.seats.iter_mut().filter(|seat| !seat.leaving && changes.leave.contains(&seat.name)) {
            seat.leaving = true;
            let waiting = seat.turns.iter().filter(|turn| !turn.over.is_cancelled()).cloned();
            turns.extend(waiting.map(|turn| (seat.name.clone(), turn)));
            let Some(exit) = changes.exits.iter().find(|exit| exit.listener == seat.name) else { continue };
            let turn = ReadTurn { queues: exit.names(), ..ReadTurn::default() };
            seat.exit = Some(turn.clone());
            turns.push((seat.name.clone(), turn.clone()));
            let (own, ended) = (seat.own.clone(), seat.ended.clone());
            self.exits.spawn(leave(exit.clone(), turn, own, ended, self.shutdown.drain.clone()));
        }
        let taken: Vec<Arc<str>> = changes.begin.iter().map(|listener| listener.name().clone()).collect();
        let read: Vec<OwnQueue> = changes.begin.iter().flat_map(Listener::own_queues).collect();
        for mut listener in changes.begin {
            let of = turns.extract_if(.., |(name, _)| name == listener.name());
            listener.after(of.map(|(_, turn)| turn).collect());
            self.listen(listener, &read);
        }
        turns.into_iter().for_each(|(_, turn)| turn.bound.cancel());
        // The next listener of a name or a queue ends the one before.
        let is_followed = |seat: &Seat| taken.contains(&seat.name) || seat.reads_any(&read);
        let gone = |seat: &&Seat| seat.leaving && seat.exit.is_none() && !is_followed(seat);
        for Seat { own, ended, .. } in self.seats.iter().filter(gone) {
            let (own, ended) = (own.clone(), ended.clone());
            self.exits.spawn(async move { gives_way(&own, &ended).await });
        }
    }

    /// Starts a listener, which ends the former listeners on its queues. `read`: the queues of all listeners that begin now.
    fn listen(&mut self, listener: Listener, read: &[OwnQueue]) {
        let own = self.shutdown.child();
        let (name, queues) = (listener.name().clone(), listener.own_queues());
        // A leaving listener ends for the next one on its queues. If no listener begins on them, and it has no exit, it ends
        // for the next one of its name.
        let follows = |seat: &&Seat| {
            let by_name = seat.exit.is_none() && seat.name == name && !seat.reads_any(read);
            seat.leaving && (seat.reads_any(&queues) || by_name)
        };
        let gauges = listener.gauges();
        let before = self.seats.iter().filter(follows).map(|seat| {
            // The broker may not tell the next listener about the queue.
            let stays = gauges.is_auto_deleted() || seat.gauges.is_auto_deleted();
            gauges.set_auto_deleted(stays);
            (seat.own.clone(), seat.ended.clone(), seat.exit.clone(), stays)
        });
        let before: Vec<_> = before.collect();
        let (ended, turns) = (CancellationToken::new(), listener.turns().to_vec());
        let (theirs, over) = (own.clone(), ended.clone().drop_guard());
        let task = self.listeners.spawn(async move {
            let _over = over;
            let mut beside = Vec::new();
            for (shutdown, ended, exit, stays) in before {
                if stays {
                    beside.push((shutdown.drain.clone().drop_guard(), shutdown, ended));
                    continue;
                }
                gives_way(&shutdown, &ended).await;
                if let Some(ReadTurn { over, .. }) = exit {
                    over.cancelled().await;
                }
            }
            let mut state = listener.state();
            // An auto-delete queue without a consumer would lose messages.
            let take_over = async move {
                let _ = state.wait_for(ListenerState::is_subscribed).await;
                for (_, shutdown, ended) in &beside {
                    gives_way(shutdown, ended).await;
                }
                pending::<Infallible>().await
            };
            tokio::select! {
                biased;
                result = listener.run(theirs) => result,
                never = take_over => match never {},
            }
        });
        let (task, leaving, exit) = (task.id(), false, None);
        self.seats.push(Seat { task, name, queues, gauges, own, ended, leaving, turns, exit });
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
                    "the listener cannot continue: correct its section and reload"
                );
                Ok(())
            }
        }
    }

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

pub(super) fn panicked(task: String, error: JoinError) -> DaemonError {
    let message = match error.try_into_panic() {
        Ok(panic) => ends::message(&*panic),
        Err(error) => error.to_string(),
    };
    DaemonError::Unexpected(UnexpectedEnd { task, message })
}

fn by_itself(task: String) -> DaemonError {
    DaemonError::Unexpected(UnexpectedEnd { task, message: "nothing told it to end".to_owned() })
}

async fn leave(
    exit: QueueExit,
    turn: ReadTurn,
    own: Shutdown,
    ended: CancellationToken,
    stop: CancellationToken,
) {
    let emptied = async {
        turn.bound.cancelled().await;
        if exit.is_replaced {
            exit.emptied().await;
        }
    };
    tokio::select! {
        biased;
        () = emptied => {}
        // The record of queues keeps the rest.
        () = own.drain.cancelled() => {}
    }
    gives_way(&own, &ended).await;
    turn.over.cancel();
    tokio::select! {
        biased;
        () = exit.count() => {}
        () = stop.cancelled() => {}
    }
}

async fn gives_way(shutdown: &Shutdown, ended: &CancellationToken) {
    shutdown.drain.cancel();
    if timeout(GIVES_WAY, ended.cancelled()).await.is_err() {
        shutdown.abort.cancel();
        ended.cancelled().await;
    }
}
