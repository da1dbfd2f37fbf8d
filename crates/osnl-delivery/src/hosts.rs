//! The hosts that events name, for actions whose URL is the event's: a breaker and a pace for each. Pure: the caller
//! passes the time.
//!
//! Such a host belongs to the tenant that named it, so its failures hold only the deliveries to this host. At most
//! [`MOST_HOSTS`] are remembered: the host that was called longest ago is forgotten first, together with its breaker.
//!
//! `breaker.rs` judges the target of an action, over all its keys. Tests: `schedule/tests/held.rs`, `tenants.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use osnl_core::attempt::{ActionError, ErrorClass, LONGEST_ANSWER};
use osnl_model::cut;
use tokio::time::Instant;

use super::breaker::{Breaker, BreakerChange, FailedKey};
use super::gather::CallPace;
use super::limits::{Hold, HostLimits};
use super::outages::Outage;
use super::policy::RetryPolicy;

/// The number of remembered hosts. The number exceeds the calls under way, so that no host in use is forgotten.
pub(super) const MOST_HOSTS: usize = 1024;
const MOST_SHOWN: usize = 20;
const LONGEST_NAME: usize = 261;

/// A host of an event that is down, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldHost {
    /// `host:port`, with escaped characters that a terminal could take for a command.
    pub host: String,
    pub since: Instant,
    pub reason: String,
    pub class: ErrorClass,
    /// The time of the next probe; `None` while a probe runs.
    pub next_probe: Option<Instant>,
}

/// The hosts and dependencies that are down, for the status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldHosts {
    pub hosts: Vec<HeldHost>,
    /// The further hosts that are down, each with the kind of its latest failure.
    pub others: Vec<(String, ErrorClass)>,
    pub outages: Vec<Outage>,
}

/// The state of one host, so that its failures hold only its own deliveries.
#[derive(Debug)]
struct Host {
    breaker: Breaker,
    pace: CallPace,
    /// The calls under way.
    calls: usize,
    /// The number of the latest use: the smallest is forgotten first.
    used: u64,
    /// `None` while the host answers.
    held: Option<HostHold>,
}

/// The hold of one host, with the time that it has kept deliveries waiting.
#[derive(Debug)]
struct HostHold {
    since: Instant,
    /// The latest error, with a reason of a bounded length.
    error: ActionError,
    hold: Hold,
}

/// The breakers and paces of the hosts that events name, so that one tenant's host holds no other tenant.
#[derive(Debug)]
pub(super) struct Hosts {
    limits: HostLimits,
    concurrency: usize,
    /// The most remembered hosts.
    most: usize,
    hosts: HashMap<Arc<str>, Host>,
    /// Counts calls, to find the host that was called longest ago.
    uses: u64,
    /// Whether an attempt may begin; otherwise no hold grows.
    runs: bool,
    /// Whether the held hosts have changed since the status was published.
    changed: bool,
}

impl Hosts {
    pub(super) fn new(limits: HostLimits, concurrency: usize) -> Self {
        let (hosts, most) = (HashMap::new(), MOST_HOSTS);
        Self { limits, concurrency, most, hosts, uses: 0, runs: true, changed: false }
    }

    pub(super) fn change(&mut self, limits: HostLimits, concurrency: usize, now: Instant) {
        (self.limits, self.concurrency) = (limits, concurrency);
        let (most, runs) = (self.calls_at_once(), self.runs);
        for host in self.hosts.values_mut() {
            host.breaker.change(most, now);
            host.pace.change(limits.rate);
            if let Some(held) = &mut host.held {
                held.hold = begin_hold(runs, now);
            }
        }
        self.changed = true;
    }

    pub(super) fn set(&mut self, runs: bool, now: Instant) {
        if std::mem::replace(&mut self.runs, runs) != runs {
            let held = self.hosts.values_mut().filter_map(|host| host.held.as_mut());
            held.for_each(|held| held.hold.set(runs, now));
        }
    }

    /// Returns the time for which a host that is held has kept a delivery waiting; `None` while the host answers.
    pub(super) fn kept_waiting(
        &self,
        name: &str,
        arrived: Option<Instant>,
        now: Instant,
    ) -> Option<Duration> {
        let held = self.hosts.get(name)?.held.as_ref()?;
        Some(held.hold.kept_waiting(arrived, now))
    }

    pub(super) fn has_held(&self) -> bool {
        self.hosts.values().any(|host| host.held.is_some())
    }

    /// Returns the latest error of a held host; `None` before a call with the settings in force has failed.
    pub(super) fn probed_error(&self, name: &str) -> Option<&ActionError> {
        let host = self.hosts.get(name)?;
        host.held.as_ref().filter(|_| host.breaker.has_opened()).map(|held| &held.error)
    }

    fn calls_at_once(&self) -> usize {
        self.limits.concurrency.map_or(self.concurrency, |most| most.min(self.concurrency))
    }

    pub(super) fn next_at(&mut self, name: &str, fresh: bool, now: Instant) -> Option<Instant> {
        let Some(host) = self.hosts.get_mut(name) else { return Some(now) };
        let paced = host.pace.next_at(now).unwrap_or(now);
        host.breaker.next_at(now, host.calls, fresh).map(|at| at.max(paced))
    }

    pub(super) fn may_begin(&mut self, name: &str, fresh: bool, now: Instant) -> bool {
        self.next_at(name, fresh, now).is_some_and(|at| at <= now)
    }

    /// Whether a host answers, and its rate alone keeps a call from beginning.
    pub(super) fn is_paced(&mut self, name: &str, now: Instant) -> bool {
        let Some(host) = self.hosts.get_mut(name) else { return false };
        host.breaker.is_closed() && host.pace.next_at(now).is_some()
    }

    pub(super) fn begin(&mut self, name: &Arc<str>, now: Instant) {
        let host = self.remembered(name);
        host.breaker.begin();
        host.pace.begin(now);
        host.calls += 1;
    }

    fn remembered(&mut self, name: &Arc<str>) -> &mut Host {
        if !self.hosts.contains_key(name) {
            self.make_room();
        }
        self.uses += 1;
        let (used, calls_at_once, rate) = (self.uses, self.calls_at_once(), self.limits.rate);
        let host = self.hosts.entry(name.clone()).or_insert_with(|| Host {
            breaker: Breaker::new(calls_at_once),
            pace: CallPace::new(rate),
            calls: 0,
            used,
            held: None,
        });
        host.used = used;
        host
    }

    /// Forgets idle hosts until there is room for one more.
    fn make_room(&mut self) {
        while self.hosts.len() >= self.most {
            let idle = self.hosts.iter().filter(|(_, host)| host.calls == 0);
            let oldest = idle.min_by_key(|(_, host)| host.used).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return };
            self.hosts.remove(&oldest);
            self.changed = true;
        }
    }

    pub(super) fn ended(&mut self, name: &str) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.calls = host.calls.saturating_sub(1);
        }
    }

    pub(super) fn success(&mut self, name: &str, now: Instant) -> BreakerChange {
        let Some(host) = self.hosts.get_mut(name) else { return BreakerChange::None };
        let change = host.breaker.success(now);
        self.record(name, change, None, now)
    }

    pub(super) fn neutral(&mut self, name: &str, now: Instant) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.breaker.neutral(now);
        }
    }

    pub(super) fn failure(
        &mut self,
        name: &Arc<str>,
        failed: FailedKey<'_>,
        error: &ActionError,
        policy: &RetryPolicy,
        now: Instant,
    ) -> BreakerChange {
        let change = self.remembered(name).breaker.failure(failed, error, policy, now);
        self.record(name, change, Some(error), now)
    }

    fn record(
        &mut self,
        name: &str,
        change: BreakerChange,
        error: Option<&ActionError>,
        now: Instant,
    ) -> BreakerChange {
        let runs = self.runs;
        let Some(host) = self.hosts.get_mut(name) else { return change };
        if host.breaker.is_closed() {
            self.changed |= host.held.take().is_some();
        } else if let Some(error) = error.filter(|error| !error.class.is_final()) {
            // A final error is of one event. The error of the host stands, also for others that wait for it.
            let reason = cut(&error.reason, LONGEST_ANSWER).to_owned();
            let error = ActionError { reason, ..error.clone() };
            let before = host.held.take().map(|held| (held.since, held.hold));
            let (since, hold) = before.unwrap_or_else(|| (now, begin_hold(runs, now)));
            host.held = Some(HostHold { since, error, hold });
            self.changed = true;
        }
        change
    }

    pub(super) fn breaker(&self, name: &str) -> Option<&Breaker> {
        self.hosts.get(name).map(|host| &host.breaker)
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Returns the hosts that have been down longest, and the name and the latest failure of each other one.
    pub(super) fn held(&self) -> (Vec<HeldHost>, Vec<(String, ErrorClass)>) {
        let mut held: Vec<_> = self
            .hosts
            .iter()
            .filter_map(|(name, host)| host.held.as_ref().map(|held| (name, host, held)))
            .collect();
        held.sort_unstable_by(|a, b| (a.2.since, a.0).cmp(&(b.2.since, b.0)));
        let others = held.split_off(held.len().min(MOST_SHOWN)).into_iter();
        let others = others.map(|(name, _, held)| (shown_name(name), held.error.class)).collect();
        let shown = |(name, host, held): (&Arc<str>, &Host, &HostHold)| HeldHost {
            host: shown_name(name),
            since: held.since,
            reason: cut(&held.error.to_string(), LONGEST_ANSWER).to_owned(),
            class: held.error.class,
            next_probe: host.breaker.next_probe_at(false),
        };
        (held.into_iter().map(shown).collect(), others)
    }
}

fn begin_hold(runs: bool, now: Instant) -> Hold {
    let mut hold = Hold::begin(now);
    hold.set(runs, now);
    hold
}

/// Returns a host's name for a status and the journal.
pub(super) fn shown_name(host: &str) -> String {
    host.chars().take(LONGEST_NAME).flat_map(shown_char).collect()
}

/// Escapes all but plain characters, because events supply the names.
fn shown_char(c: char) -> impl Iterator<Item = char> {
    let plain = c.is_ascii_graphic() && c != '\\';
    let escaped = (!plain).then(|| c.escape_unicode()).into_iter().flatten();
    plain.then_some(c).into_iter().chain(escaped)
}

#[cfg(test)]
mod tests {
    use osnl_config::Rate;

    use super::*;
    use crate::breaker::tests::POLICY;

    fn fails(hosts: &mut Hosts, name: &str, now: Instant) -> BreakerChange {
        let known: Arc<str> = name.into();
        hosts.begin(&known, now);
        hosts.ended(&known);
        fails_unannounced(hosts, name, now)
    }

    /// As with a URL that needs an enrichment: the host is known after the call only.
    fn fails_unannounced(hosts: &mut Hosts, name: &str, now: Instant) -> BreakerChange {
        let failed = FailedKey { key: "k", before: false };
        let error = ActionError::new(ErrorClass::Connect, "refused");
        hosts.failure(&name.into(), failed, &error, &POLICY, now)
    }

    #[test]
    fn a_host_that_fails_holds_itself_and_is_shown_with_its_next_probe() {
        let now = Instant::now();
        let mut hosts = Hosts::new(HostLimits::default(), 4);
        assert_eq!(fails(&mut hosts, "bad\u{1b}[31m\\:80", now), BreakerChange::Opened);
        assert!(!hosts.may_begin("bad\u{1b}[31m\\:80", true, now));
        assert!(hosts.may_begin("good:80", true, now));
        let (held, others) = hosts.held();
        let shown: Vec<_> = held.iter().map(|held| (held.host.as_str(), held.reason.as_str())).collect();
        assert_eq!((shown, others), (vec![("bad\\u{1b}[31m\\u{5c}:80", "cannot connect: refused")], vec![]));
        assert_eq!(
            (held[0].class, held[0].next_probe),
            (ErrorClass::Connect, Some(now + Duration::from_secs(1)))
        );
        hosts.change(HostLimits::default(), 4, now);
        assert!(hosts.may_begin("bad\u{1b}[31m\\:80", false, now));
    }

    #[test]
    fn an_event_at_fault_is_no_reason_for_what_waits_for_its_host() {
        let (now, name): (_, Arc<str>) = (Instant::now(), "h:80".into());
        let mut hosts = Hosts::new(HostLimits::default(), 4);
        fails(&mut hosts, &name, now);
        for class in [ErrorClass::Content, ErrorClass::Rejected] {
            let failed = FailedKey { key: "k", before: false };
            let own = ActionError::new(class, "its own");
            assert_eq!(hosts.failure(&name, failed, &own, &POLICY, now), BreakerChange::None);
            let error = hosts.probed_error(&name).unwrap();
            assert_eq!(error.to_string(), "cannot connect: refused");
        }
    }

    #[test]
    fn a_long_answer_is_shown_in_part() {
        let (now, name): (_, Arc<str>) = (Instant::now(), "h:80".into());
        let mut hosts = Hosts::new(HostLimits::default(), 4);
        hosts.begin(&name, now);
        hosts.ended(&name);
        let failed = FailedKey { key: "k", before: false };
        let answer = ActionError::new(ErrorClass::Connect, "ü".repeat(100_000));
        assert_eq!(hosts.failure(&name, failed, &answer, &POLICY, now), BreakerChange::Opened);
        assert_eq!(hosts.held().0[0].reason.len(), LONGEST_ANSWER);
    }

    #[test]
    fn the_host_that_was_called_longest_ago_is_forgotten_first() {
        let now = Instant::now();
        for fails in [fails, fails_unannounced] {
            let mut hosts = Hosts { most: 3, ..Hosts::new(HostLimits::default(), 4) };
            hosts.begin(&"busy:80".into(), now);
            for name in ["a:80", "b:80", "c:80", "d:80"] {
                fails(&mut hosts, name, now);
            }
            let mut left: Vec<_> = hosts.hosts.keys().map(|name| name.to_string()).collect();
            left.sort_unstable();
            assert_eq!(left, ["busy:80", "c:80", "d:80"]);
        }
    }

    #[test]
    fn no_host_has_more_calls_than_its_limits() {
        let now = Instant::now();
        let rate = Some(Rate { keys: 3, within: Duration::from_secs(10) });
        let mut hosts = Hosts::new(HostLimits { concurrency: Some(2), rate }, 8);
        let name: Arc<str> = "h:80".into();
        for _ in 0..2 {
            assert!(hosts.may_begin(&name, true, now));
            hosts.begin(&name, now);
        }
        assert_eq!(hosts.next_at(&name, true, now), None, "two are under way");
        hosts.ended(&name);
        assert!(hosts.may_begin(&name, true, now));
        hosts.begin(&name, now);
        hosts.ended(&name);
        assert_eq!(hosts.next_at(&name, true, now), Some(now + Duration::from_secs(10)));
        assert!(hosts.may_begin("other:80", true, now));
    }

    #[test]
    fn a_status_tells_the_reasons_of_a_bounded_number_of_held_hosts() {
        let mut hosts = Hosts::new(HostLimits::default(), 4);
        let now = Instant::now();
        for n in 0..MOST_SHOWN + 7 {
            fails(&mut hosts, &format!("h{n}:80"), now);
        }
        let (held, others) = hosts.held();
        assert_eq!((held.len(), others.len()), (MOST_SHOWN, 7));
        assert!(others.iter().all(|(name, class)| name.ends_with(":80") && *class == ErrorClass::Connect));
    }
}
