//! The rate of an action, which holds over all daemons: calls are counted where they arrive.
//!
//! A call arrives a moment after it has begun, so a window at the target is shorter by that moment. Calls that a stopped
//! daemon or a silent network may have kept for longer are left out.

use std::time::{Duration, Instant};

use super::window::FaultWindow;

/// The calls that may begin within a time.
pub(super) const CALLS: usize = 200;
pub(super) const WITHIN: Duration = Duration::from_secs(20);
/// A call arrives within this time, unless a fault keeps it.
const MOMENT: Duration = Duration::from_secs(1);

/// A call of the action with the rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct RatedCall {
    pub(super) daemon: usize,
    pub(super) at: Instant,
}

/// Returns the most calls in a window, of those that came in time. `delays` are the times in which a daemon's calls were kept.
pub(super) fn most_in_a_window(calls: &[RatedCall], delays: &[FaultWindow]) -> usize {
    let is_late = |call: &RatedCall| {
        delays.iter().any(|delay| {
            delay.daemon == Some(call.daemon) && delay.from <= call.at && call.at <= delay.until + MOMENT
        })
    };
    let in_time: Vec<Instant> = calls.iter().filter(|call| !is_late(call)).map(|call| call.at).collect();
    let (mut first, mut most) = (0, 0);
    for (n, at) in in_time.iter().enumerate() {
        while in_time[first] + (WITHIN - MOMENT) <= *at {
            first += 1;
        }
        most = most.max(n + 1 - first);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_in_time_are_counted_in_each_window() {
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let calls: Vec<RatedCall> =
            [0, 1, 18, 19, 20, 40, 41].map(|second| RatedCall { daemon: 1, at: at(second) }).into();
        assert_eq!(most_in_a_window(&calls, &[]), 3);
        let mut delay = FaultWindow { daemon: Some(1), from: at(17), until: at(18) };
        assert_eq!(most_in_a_window(&calls, &[delay]), 2);
        delay.daemon = Some(0);
        assert_eq!(most_in_a_window(&calls, &[delay]), 3);
        assert_eq!(most_in_a_window(&[], &[]), 0);
    }
}
