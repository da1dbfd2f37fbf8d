//! The daemon's state in one line for `systemctl status`; made from the states that its loops publish.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use osnl::daemon::{DaemonState, Reloads};
use osnl::delivery::{TargetState, TargetStatus};
use osnl::listener::ListenerState;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::notify::{self, Notifier};

/// The loops' states, and where each talks to.
pub(super) struct Status {
    daemon_state: Arc<DaemonState>,
    /// Other loops run.
    version: watch::Receiver<u64>,
    reloads: watch::Receiver<Reloads>,
    listeners: Vec<(String, watch::Receiver<ListenerState>)>,
    targets: Vec<(String, watch::Receiver<TargetStatus>)>,
}

impl Status {
    pub(super) fn of(daemon_state: Arc<DaemonState>) -> Self {
        let (version, reloads) = (daemon_state.version(), daemon_state.reloads());
        let mut status = Self { daemon_state, version, reloads, listeners: Vec::new(), targets: Vec::new() };
        status.look();
        status
    }

    fn look(&mut self) {
        self.version.mark_unchanged();
        let listeners = self.daemon_state.listeners();
        self.listeners = listeners.iter().map(|heard| (heard.broker().to_owned(), heard.state())).collect();
        let targets = self.daemon_state.targets();
        self.targets = targets.iter().map(|target| (target.target(), target.status())).collect();
        // Those of the daemon_state have never been looked at by anybody.
        self.listeners.iter_mut().for_each(|(_, state)| state.mark_unchanged());
        self.targets.iter_mut().for_each(|(_, state)| state.mark_unchanged());
    }

    /// Tells `systemd` of each change, and that this thread gets round to telling it. Never ends.
    ///
    /// `READY=1` does not wait for the broker: a broker that is away at boot is a state, not a failure, and must
    /// not hold up what is ordered after us. `Starting` is logged with the first connection, as k2hr3_osnl does.
    /// While the configuration is read again it is `RELOADING=1`, and `READY=1` when that has ended, well or not.
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
        let (mut begun, mut ended) = (0, 0);
        loop {
            if !started && self.listeners.iter().any(|(_, state)| state.borrow().is_subscribed()) {
                started = true;
                tracing::info!(target: "osnl::app", "Starting");
            }
            tokio::select! {
                () = self.changed() => {
                    let reloads = self.reloads.borrow_and_update().clone();
                    if reloads.begun > begun {
                        begun = reloads.begun;
                        systemd.send(&notify::reloading());
                    }
                    let again = reloads.ended > ended;
                    ended = reloads.ended;
                    self.look();
                    let now = self.line();
                    if now != line || again {
                        let is_ready = again || untold.as_ref().is_some_and(|before| before.starts_with("READY=1"));
                        let status = format!("{}STATUS={now}", if is_ready { "READY=1\n" } else { "" });
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
        let listeners =
            self.listeners.iter().map(|(location, state)| (location.as_str(), state.borrow().clone()));
        let held = self.targets.iter().filter(|(_, status)| match status.borrow().state {
            TargetState::Closed | TargetState::Paused => false,
            TargetState::Open { .. } | TargetState::Probing => true,
        });
        let line = line(listeners, held.map(|(target, _)| target.as_str()));
        let failed = self.reloads.borrow().failed.is_some();
        if failed && line != STOPPING {
            format!("not reloaded, see the log or osnl status; {line}")
        } else {
            line
        }
    }

    /// Waits until any of the loops changes its state, other loops run, or the configuration was read again.
    async fn changed(&mut self) {
        let listeners = self.listeners.iter_mut().map(|(_, state)| boxed(state));
        let targets = self.targets.iter_mut().map(|(_, state)| boxed(state));
        let others = [boxed(&mut self.version), boxed(&mut self.reloads)];
        let mut changes: Vec<_> = listeners.chain(targets).chain(others).collect();
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
    let (mut waiting, mut listening, mut stopped, mut ending) = (Vec::new(), Vec::new(), Vec::new(), false);
    let (mut standby, mut blocked) = (Vec::new(), Vec::new());
    for (location, state) in listeners {
        match state {
            ListenerState::Connecting { .. } => waiting.push(location),
            ListenerState::Listening => listening.push(location),
            ListenerState::Standby => standby.push(location),
            ListenerState::Blocked { .. } => blocked.push(location),
            ListenerState::Draining => ending = true,
            ListenerState::Stopped => stopped.push(location),
        }
    }
    let none = [&waiting, &listening, &standby, &blocked].iter().all(|places| places.is_empty());
    if ending || !stopped.is_empty() && none {
        return STOPPING.to_owned();
    }
    let clause =
        |what: &str, places: Vec<&str>| (!places.is_empty()).then(|| format!("{what} {}", places.join(", ")));
    let clauses = [
        clause("waiting for", waiting),
        clause("blocked, see osnl status:", blocked),
        clause("listening to", listening),
        clause("standing by at", standby),
        clause("has given up", stopped),
    ];
    let mut clauses: Vec<String> = clauses.into_iter().flatten().collect();
    if clauses.is_empty() {
        clauses.push("no listener runs".to_owned());
    }
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
        use ListenerState::{Blocked, Connecting, Draining, Listening, Standby, Stopped};
        let blocked = Blocked { since: std::time::SystemTime::UNIX_EPOCH, reason: "full".into() };
        let waiting = Connecting { attempt: 3 };
        let none: &[&str] = &[];
        for (listeners, held, expected) in [
            (&[("a", waiting.clone())][..], none, "waiting for a"),
            (&[("a", Listening)], none, "listening to a"),
            (&[("a", Listening)], &["K2HR3 at u"], "listening to a; K2HR3 at u is held"),
            (&[("a", waiting.clone())], &["K2HR3 at u"], "waiting for a; K2HR3 at u is held"),
            (
                &[("a", blocked.clone()), ("b", Standby)],
                none,
                "blocked, see osnl status: a; standing by at b",
            ),
            (&[("a", Stopped), ("b", blocked)], none, "blocked, see osnl status: b; has given up a"),
            (
                &[("a", Listening), ("b", waiting.clone()), ("c", Listening)],
                none,
                "waiting for b; listening to a, c",
            ),
            (&[("a", Listening), ("b", Draining)], none, STOPPING),
            (&[("a", Stopped)], &["K2HR3 at u"], STOPPING),
            (&[("a", Stopped), ("b", Listening)], none, "listening to b; has given up a"),
            (&[], none, "no listener runs"),
        ] {
            assert_eq!(
                line(listeners.iter().cloned(), held.iter().copied()),
                expected,
                "{listeners:?} {held:?}"
            );
        }
    }
}
