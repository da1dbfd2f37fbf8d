//! When a delivery is given up although nobody has refused it, and what follows for its key.

use std::time::Duration;

use tokio::time::Instant;

/// Further settings of an action's deliveries. By default nothing is given up for its age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How old a delivery may become, from its first attempt on. The time in which its target is held does not
    /// count, nor that in which it is held itself. `None` is for ever.
    pub max_age: Option<Duration>,
    /// How long a held target may keep a delivery waiting. `None` is for ever.
    pub hold_max: Option<Duration>,
    /// What becomes of the key of a dead letter.
    pub on_dead: OnDead,
}

/// What becomes of the key of a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDead {
    /// What is behind it goes on.
    #[default]
    ReleaseKey,
    /// What is behind it waits until somebody retries or discards it.
    HoldKey,
}

/// Time that passes only while it is told to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    passed: Duration,
    since: Option<Instant>,
}

impl Clock {
    /// At zero; it starts with the first [`Clock::set`].
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_counts_only_while_it_runs() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = Clock::stopped();
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
