//! The daemon's state in one line for `systemctl status`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use osnl::daemon::{DaemonState, ListenerHandle, Reloads};
use osnl::delivery::{TargetMonitor, TargetState, TargetStatus};
use osnl::journal::JournalState;
use osnl::listener::ListenerState;
use osnl_model::cut_marked;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::notify::{self, SystemdNotifier};

pub(super) struct SystemdStatus {
    daemon_state: Arc<DaemonState>,
    version: watch::Receiver<u64>,
    reloads: watch::Receiver<Reloads>,
    journal: watch::Receiver<JournalState>,
    listeners: Vec<(ListenerHandle, watch::Receiver<ListenerState>)>,
    targets: Vec<(TargetMonitor, watch::Receiver<TargetStatus>)>,
}

impl SystemdStatus {
    pub(super) fn new(daemon_state: Arc<DaemonState>, journal: watch::Receiver<JournalState>) -> Self {
        let (version, reloads) = (daemon_state.version(), daemon_state.reloads());
        let (listeners, targets) = Default::default();
        let mut status = Self { daemon_state, version, reloads, journal, listeners, targets };
        status.refresh();
        status
    }

    fn refresh(&mut self) {
        self.version.mark_unchanged();
        self.journal.mark_unchanged();
        let with_state = |listener: ListenerHandle| {
            let state = listener.state();
            (listener, state)
        };
        self.listeners = self.daemon_state.listeners().into_iter().map(with_state).collect();
        let with_status = |target: TargetMonitor| {
            let status = target.status();
            (target, status)
        };
        self.targets = self.daemon_state.targets().into_iter().map(with_status).collect();
        // A new receiver counts its current value as unseen, and `changed` would return at once.
        self.listeners.iter_mut().for_each(|(_, state)| state.mark_unchanged());
        self.targets.iter_mut().for_each(|(_, state)| state.mark_unchanged());
    }

    /// Reports each change and `WATCHDOG=1` to `systemd`. Never ends.
    ///
    /// `READY=1` does not wait for the broker: units ordered after this service must start while a
    /// broker is away. The first connection logs `Starting`; `osnl run` words this more plainly. A
    /// reload sends `RELOADING=1`, and `READY=1` at its end, also after a failure.
    pub(super) async fn publish(mut self, systemd: &SystemdNotifier) {
        let mut line = self.line();
        let ready = format!("READY=1\nSTATUS={line}");
        // Sent again with the next watchdog tick.
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
                tracing::info!(target: "osnl::app", former = "Starting", "started and connected");
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
                    self.refresh();
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
        let listeners = self.listeners.iter().map(|(listener, state)| {
            let state = state.borrow().clone();
            let reason = match &state {
                ListenerState::Connecting { .. } => listener.trouble(),
                ListenerState::Blocked { reason, .. } => Some(reason.to_string()),
                ListenerState::Listening
                | ListenerState::Standby
                | ListenerState::Draining
                | ListenerState::Stopped => None,
            };
            (listener.broker(), state, reason)
        });
        let held = self.targets.iter().filter(|(_, status)| match status.borrow().state {
            TargetState::Closed | TargetState::Paused => false,
            TargetState::Open { .. } | TargetState::Probing => true,
        });
        let held =
            held.map(|(target, _)| (target.target(), target.last_failure().map(|failure| failure.answer)));
        let line = line(&self.journal.borrow(), listeners, held);
        let failed = self.reloads.borrow().failed.is_some();
        if failed && line != STOPPING {
            format!("not reloaded, see the log or osnl status; {line}")
        } else {
            line
        }
    }

    async fn changed(&mut self) {
        let listeners = self.listeners.iter_mut().map(|(_, state)| boxed(state));
        let targets = self.targets.iter_mut().map(|(_, state)| boxed(state));
        let others = [boxed(&mut self.version), boxed(&mut self.reloads), boxed(&mut self.journal)];
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

const REASON: usize = 200;

fn shortened(reason: &str) -> String {
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    cut_marked(&line, REASON)
}

fn clauses(what: &str, places: &[(&str, Option<String>)]) -> Vec<String> {
    let mut by_reason: Vec<(Option<String>, Vec<&str>)> = Vec::new();
    for (place, reason) in places {
        let reason = reason.as_deref().map(|reason| shortened(reason.strip_prefix(place).unwrap_or(reason)));
        let reason = reason.map(|reason| reason.trim_start_matches(": ").to_owned());
        match by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, places)) => places.push(place),
            None => by_reason.push((reason, vec![place])),
        }
    }
    let clause = |(reason, places): (Option<String>, Vec<&str>)| {
        let because = reason.map_or(String::new(), |reason| format!(": {reason}"));
        format!("{what} {}{because}", places.join(", "))
    };
    by_reason.into_iter().map(clause).collect()
}

fn line<'a>(
    journal: &JournalState,
    listeners: impl Iterator<Item = (&'a str, ListenerState, Option<String>)>,
    held: impl Iterator<Item = (String, Option<String>)>,
) -> String {
    let (mut waiting, mut listening, mut stopped, mut ending) = (Vec::new(), Vec::new(), Vec::new(), false);
    let (mut standby, mut blocked) = (Vec::new(), Vec::new());
    for (location, state, reason) in listeners {
        match state {
            ListenerState::Connecting { .. } => waiting.push((location, reason)),
            ListenerState::Listening => listening.push((location, reason)),
            ListenerState::Standby => standby.push((location, reason)),
            ListenerState::Blocked { .. } => blocked.push((location, reason)),
            ListenerState::Draining => ending = true,
            ListenerState::Stopped => stopped.push((location, reason)),
        }
    }
    let none = [&waiting, &listening, &standby, &blocked].iter().all(|places| places.is_empty());
    if ending || !stopped.is_empty() && none {
        return STOPPING.to_owned();
    }
    let mut clauses = [
        clauses("waiting for", &waiting),
        clauses("blocked:", &blocked),
        clauses("listening to", &listening),
        clauses("standing by at", &standby),
        clauses("has given up", &stopped),
    ]
    .concat();
    if clauses.is_empty() {
        clauses.push("no listener runs".to_owned());
    }
    match journal {
        // A blocked listener already gives the journal as its reason.
        JournalState::Full { reason, .. } | JournalState::Failed { reason, .. } if blocked.is_empty() => {
            clauses.insert(0, shortened(reason));
        }
        JournalState::Working | JournalState::Full { .. } | JournalState::Failed { .. } => {}
    }
    clauses.extend(held.map(|(target, reason)| {
        let because = reason.map_or(String::new(), |reason| format!(": {}", shortened(&reason)));
        format!("{target} is down{because}")
    }));
    clauses.join("; ")
}

pub(super) const STOPPING: &str = "stopping: waiting for running attempts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_waited_for() {
        use ListenerState::{Blocked, Connecting, Draining, Listening, Standby, Stopped};
        let blocked = Blocked { since: std::time::SystemTime::UNIX_EPOCH, reason: "full".to_owned().into() };
        let waiting = Connecting { attempt: 3 };
        let refused = Some("login refused");
        let none: &[(&str, &str)] = &[];
        for (listeners, held, expected) in [
            (&[("a", waiting.clone(), None)][..], none, "waiting for a"),
            (&[("a", waiting.clone(), Some("a: login\nrefused"))], none, "waiting for a: login refused"),
            (
                &[
                    ("a", waiting.clone(), refused),
                    ("b", waiting.clone(), refused),
                    ("c", waiting.clone(), None),
                ],
                none,
                "waiting for a, b: login refused; waiting for c",
            ),
            (&[("a", Listening, None)], none, "listening to a"),
            (&[("a", Listening, None)], &[("K2HR3 at u", "")], "listening to a; K2HR3 at u is down"),
            (
                &[("a", Listening, None)],
                &[("K2HR3 at u", "HTTP 503")],
                "listening to a; K2HR3 at u is down: HTTP 503",
            ),
            (
                &[("a", blocked.clone(), Some("the journal is full")), ("b", Standby, None)],
                none,
                "blocked: a: the journal is full; standing by at b",
            ),
            (&[("a", Stopped, None), ("b", blocked, None)], none, "blocked: b; has given up a"),
            (
                &[("a", Listening, None), ("b", waiting.clone(), None), ("c", Listening, None)],
                none,
                "waiting for b; listening to a, c",
            ),
            (&[("a", Listening, None), ("b", Draining, None)], none, STOPPING),
            (&[("a", Stopped, None)], &[("K2HR3 at u", "")], STOPPING),
            (&[("a", Stopped, None), ("b", Listening, None)], none, "listening to b; has given up a"),
            (&[], none, "no listener runs"),
        ] {
            let of = listeners
                .iter()
                .map(|(place, state, reason)| (*place, state.clone(), reason.map(str::to_owned)));
            let reasons = held.iter().map(|(target, reason)| {
                ((*target).to_owned(), Some((*reason).to_owned()).filter(|reason| !reason.is_empty()))
            });
            assert_eq!(line(&JournalState::Working, of, reasons), expected, "{listeners:?} {held:?}");
        }
        let since = std::time::SystemTime::UNIX_EPOCH;
        let failed = JournalState::Failed { reason: "the journal j cannot be written".to_owned(), since };
        for (state, expected) in [
            (Listening, "the journal j cannot be written; listening to a"),
            (Draining, STOPPING),
            (
                Blocked { since, reason: "the journal j cannot be written".to_owned().into() },
                "blocked: a: the journal j cannot be written",
            ),
        ] {
            let reason = match &state {
                Blocked { reason, .. } => Some(reason.to_string()),
                _ => None,
            };
            let listeners = std::iter::once(("a", state, reason));
            assert_eq!(line(&failed, listeners, std::iter::empty()), expected);
        }
        let waits = std::iter::once(("a", waiting, Some("x".repeat(1000))));
        let long = line(&JournalState::Working, waits, std::iter::empty());
        assert_eq!(long.chars().count(), "waiting for a: …".chars().count() + REASON);
    }
}
