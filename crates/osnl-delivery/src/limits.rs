//! The limits at which a delivery is given up although no target has refused it, and the consequence for its key.
//!
//! A pause in the journal is added to the age at its beginning. The journal has no clock that stops, and a clock per
//! waiting delivery would need a second list in memory. If a change of settings ends the pause, the journal takes back the
//! rest.

use std::time::Duration;

use osnl_config::Rate;
use tokio::time::Instant;

/// The bounds beyond which a delivery becomes a dead letter although no target has refused it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryLimits {
    /// The longest age of a delivery since its first attempt. Time in which its target or the delivery is held does not
    /// count. A wait for a host that the event names counts, also before the first attempt.
    pub max_age: Option<Duration>,
    /// The longest time for which a target that is down keeps a delivery waiting; `None` for no limit.
    pub hold_max: Option<Duration>,
    pub on_dead: OnDead,
}

/// The consequence of a dead letter for later deliveries of its key: they go on, or wait for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDead {
    #[default]
    ReleaseKey,
    HoldKey,
}

osnl_config::words!(OnDead: "release_key" => OnDead::ReleaseKey, "hold_key" => OnDead::HoldKey);

/// The limits for each host that events name. By default they equal the limits of the action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostLimits {
    /// The most concurrent calls to one host; `None` for the action's limit.
    pub concurrency: Option<usize>,
    /// The most calls to one host within a time; `None` for the action's limit.
    pub rate: Option<Rate>,
}

/// A stopwatch for ages that must not grow while no attempt may begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct PausableClock {
    /// The time counted before the latest start.
    passed: Duration,
    /// The latest start; `None` while stopped.
    since: Option<Instant>,
}

impl PausableClock {
    pub(super) fn stopped() -> Self {
        Self { passed: Duration::ZERO, since: None }
    }

    pub(super) fn at(&self, now: Instant) -> Duration {
        self.passed + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(super) fn set(&mut self, runs: bool, now: Instant) {
        if runs != self.since.is_some() {
            self.passed = self.at(now);
            self.since = runs.then_some(now);
        }
    }
}

/// The clock stops while no attempt may begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    clock: PausableClock,
    /// The beginning of the hold; a delivery that arrived earlier has waited for all of it.
    since: Instant,
    /// The latest start of the clock, and the time counted before; `None` before the first start.
    resumed: Option<(Instant, Duration)>,
    /// The latest stop; `None` while the clock runs.
    stopped: Option<Instant>,
}

impl Hold {
    pub(super) fn begin(now: Instant) -> Self {
        Self { clock: PausableClock::stopped(), since: now, resumed: None, stopped: None }
    }

    pub(super) fn set(&mut self, runs: bool, now: Instant) {
        match (runs, self.clock.since) {
            (true, None) => (self.resumed, self.stopped) = (Some((now, self.clock.at(now))), None),
            (false, Some(_)) => self.stopped = Some(now),
            (true, Some(_)) | (false, None) => {}
        }
        self.clock.set(runs, now);
    }

    pub(super) fn lasted(&self, now: Instant) -> Duration {
        self.clock.at(now)
    }

    /// Returns the least possible time if pauses make the time unknown.
    pub(super) fn kept_waiting(&self, arrived: Option<Instant>, now: Instant) -> Duration {
        let lasted = self.lasted(now);
        match (arrived.filter(|at| *at > self.since), self.resumed) {
            (None, _) => lasted,
            (Some(at), Some((resumed, _))) if at >= resumed => {
                lasted.min(self.stopped.unwrap_or(now).saturating_duration_since(at))
            }
            (Some(_), Some((_, before))) => lasted.saturating_sub(before),
            (Some(_), None) => Duration::ZERO,
        }
    }

    pub(super) fn reaches(&self, most: Duration, now: Instant) -> Option<Instant> {
        self.clock.since?;
        now.checked_add(most.checked_sub(self.lasted(now))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_counts_neither_stops_nor_what_was_before_an_arrival() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut hold = Hold::begin(at(100));
        hold.set(true, at(100));
        let kept = |hold: &Hold, arrived, now| hold.kept_waiting(Some(at(arrived)), at(now)).as_secs();
        assert_eq!([kept(&hold, 5, 110), kept(&hold, 104, 110)], [10, 6]);
        assert_eq!(hold.reaches(Duration::from_secs(30), at(110)), Some(at(130)));
        hold.set(false, at(110));
        assert_eq!([kept(&hold, 5, 500), kept(&hold, 300, 500)], [10, 0]);
        assert_eq!(hold.reaches(Duration::from_secs(30), at(500)), None);
        hold.set(true, at(500));
        let found = [5, 104, 300, 505].map(|arrived| kept(&hold, arrived, 507));
        assert_eq!(found, [17, 7, 7, 2]);
        assert_eq!(hold.kept_waiting(None, at(507)).as_secs(), 17);
    }

    #[test]
    fn a_clock_counts_only_while_it_runs() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = PausableClock::stopped();
        assert_eq!(clock.at(at(5)), Duration::ZERO);
        clock.set(true, at(5));
        clock.set(true, at(7));
        assert_eq!(clock.at(at(8)), Duration::from_secs(3));
        clock.set(false, at(9));
        assert_eq!(clock.at(at(100)), Duration::from_secs(4));
        clock.set(true, at(100));
        assert_eq!(clock.at(at(101)), Duration::from_secs(5));
    }
}
