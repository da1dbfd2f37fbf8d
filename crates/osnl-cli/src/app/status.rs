//! What the daemon waits for, in one line for `systemctl status`; made from the states that its loops publish.

use std::pin::Pin;
use std::task::Poll;

use osnl::daemon::Daemon;
use osnl::delivery::{BreakerState, DeliveryLoop};
use osnl::listener::{Listener, ListenerState};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::notify::Notifier;

/// The loops' states, and where each talks to.
pub(super) struct Status {
    listeners: Vec<(String, watch::Receiver<ListenerState>)>,
    targets: Vec<(String, watch::Receiver<BreakerState>)>,
}

impl Status {
    pub(super) fn of(daemon: &Daemon) -> Self {
        let listener = |listener: &Listener| (listener.location(), listener.state());
        let target = |delivery: &DeliveryLoop| (delivery.target(), delivery.state());
        Self {
            listeners: daemon.listeners.iter().map(listener).collect(),
            targets: daemon.deliveries.iter().map(target).collect(),
        }
    }

    /// Tells `systemd` of each change, and that this thread gets round to telling it. Never ends.
    ///
    /// `READY=1` does not wait for the broker: a broker that is away at boot is a state, not a failure, and must
    /// not hold up what is ordered after us. `Starting` is logged with the first connection, as k2hr3_osnl does.
    pub(super) async fn tell(mut self, systemd: &Notifier) {
        let mut line = self.line();
        let ready = format!("READY=1\nSTATUS={line}");
        // What the manager had no room for is told with the next sign of life.
        let mut untold = (!systemd.send(&ready)).then_some(ready);
        let mut alive = systemd.watchdog.map(|every| {
            let mut alive = interval(every);
            alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
            alive
        });
        let mut started = false;
        loop {
            if !started && self.listeners.iter().any(|(_, state)| *state.borrow() == ListenerState::Listening)
            {
                started = true;
                tracing::info!(target: "osnl::app", "Starting");
            }
            tokio::select! {
                () = self.changed() => {
                    let now = self.line();
                    if now != line {
                        let status = match untold.take() {
                            Some(before) if before.starts_with("READY=1") => format!("READY=1\nSTATUS={now}"),
                            Some(_) | None => format!("STATUS={now}"),
                        };
                        untold = (!systemd.send(&status)).then_some(status);
                        line = now;
                    }
                }
                () = tick(&mut alive) => {
                    if untold.as_ref().is_some_and(|untold| systemd.send(untold)) {
                        untold = None;
                    }
                    systemd.send("WATCHDOG=1");
                }
            }
        }
    }

    fn line(&self) -> String {
        let listeners = self.listeners.iter().map(|(location, state)| (location.as_str(), *state.borrow()));
        let held = self.targets.iter().filter(|(_, state)| match *state.borrow() {
            BreakerState::Closed => false,
            BreakerState::Open { .. } | BreakerState::Probing => true,
        });
        line(listeners, held.map(|(target, _)| target.as_str()))
    }

    /// Waits until any of the loops changes its state.
    async fn changed(&mut self) {
        let listeners = self.listeners.iter_mut().map(|(_, state)| boxed(state));
        let mut changes: Vec<_> =
            listeners.chain(self.targets.iter_mut().map(|(_, state)| boxed(state))).collect();
        std::future::poll_fn(|context| {
            let any = changes.iter_mut().any(|change| change.as_mut().poll(context).is_ready());
            if any { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn boxed<T>(state: &mut watch::Receiver<T>) -> Pin<Box<dyn Future<Output = ()> + '_>> {
    Box::pin(async {
        if state.changed().await.is_err() {
            // The loop has ended; there will be no other change.
            std::future::pending().await
        }
    })
}

async fn tick(alive: &mut Option<Interval>) {
    match alive {
        Some(alive) => {
            alive.tick().await;
        }
        None => std::future::pending().await,
    }
}

fn line<'a>(
    listeners: impl Iterator<Item = (&'a str, ListenerState)>,
    held: impl Iterator<Item = &'a str>,
) -> String {
    let (mut waiting, mut listening, mut ending) = (Vec::new(), Vec::new(), false);
    for (location, state) in listeners {
        match state {
            ListenerState::Connecting { .. } => waiting.push(location),
            ListenerState::Listening => listening.push(location),
            ListenerState::Draining | ListenerState::Stopped => ending = true,
        }
    }
    if ending {
        return STOPPING.to_owned();
    }
    let clause =
        |what: &str, places: Vec<&str>| (!places.is_empty()).then(|| format!("{what} {}", places.join(", ")));
    let mut clauses: Vec<String> =
        [clause("waiting for", waiting), clause("listening to", listening)].into_iter().flatten().collect();
    clauses.extend(held.map(|target| format!("{target} is held")));
    clauses.join("; ")
}

/// The line while what is in work is finished.
pub(super) const STOPPING: &str = "stopping: what is in work is finished";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_waited_for() {
        use ListenerState::{Connecting, Draining, Listening, Stopped};
        let waiting = Connecting { attempt: 3 };
        let none: &[&str] = &[];
        for (listeners, held, expected) in [
            (&[("a", waiting)][..], none, "waiting for a"),
            (&[("a", Listening)], none, "listening to a"),
            (&[("a", Listening)], &["K2HR3 at u"], "listening to a; K2HR3 at u is held"),
            (&[("a", waiting)], &["K2HR3 at u"], "waiting for a; K2HR3 at u is held"),
            (&[("a", Listening), ("b", waiting), ("c", Listening)], none, "waiting for b; listening to a, c"),
            (&[("a", Listening), ("b", Draining)], none, STOPPING),
            (&[("a", Stopped)], &["K2HR3 at u"], STOPPING),
        ] {
            assert_eq!(
                line(listeners.iter().copied(), held.iter().copied()),
                expected,
                "{listeners:?} {held:?}"
            );
        }
    }
}
