//! Decides when the client library is asked for messages, and when partitions are paused. Pure.
//!
//! Pausing throws away what the library has fetched already, so a short time without room is only waited for. A longer one
//! pauses: the library has to be asked for its events all the same, or the broker takes the member for dead
//! (`max.poll.interval.ms`).

use std::time::{Duration, Instant};

/// The longest time without room that is only waited for.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// The room for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Another message may be taken.
    Free,
    /// As many as may be open are.
    Full,
    /// Nothing more is wanted.
    Closed,
}

/// The next step of the thread that asks the client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Ask for a message.
    Take,
    /// Wait for room.
    Wait,
    /// Pause all partitions, then [`Serve`](Turn::Serve).
    Pause,
    /// Resume all partitions, then [`Take`](Turn::Take).
    Resume,
    /// Ask for events; no message is expected.
    Serve,
}

/// The state between two steps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    full_since: Option<Instant>,
    is_paused: bool,
}

impl Flow {
    /// Returns the next step.
    pub(super) fn turn(&mut self, room: Room, now: Instant) -> Turn {
        match (room, self.is_paused) {
            (Room::Free, false) => {
                self.full_since = None;
                Turn::Take
            }
            (Room::Free, true) => {
                (self.full_since, self.is_paused) = (None, false);
                Turn::Resume
            }
            (Room::Full | Room::Closed, true) => Turn::Serve,
            (Room::Full, false) => {
                let since = *self.full_since.get_or_insert(now);
                if now.duration_since(since) < PATIENCE {
                    return Turn::Wait;
                }
                self.is_paused = true;
                Turn::Pause
            }
            (Room::Closed, false) => {
                self.is_paused = true;
                Turn::Pause
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[(Room, u64, Turn)]) {
        let (mut flow, begun) = (Flow::default(), Instant::now());
        for (n, (room, after, expected)) in steps.iter().enumerate() {
            let seen = flow.turn(*room, begun + Duration::from_millis(*after));
            assert_eq!(seen, *expected, "step {n} of {steps:?}");
        }
    }

    #[test]
    fn a_short_time_without_room_pauses_nothing() {
        use Room::{Closed, Free, Full};
        check(&[
            (Free, 0, Turn::Take),
            (Full, 1, Turn::Wait),
            (Full, 400, Turn::Wait),
            (Free, 480, Turn::Take),
        ]);
        check(&[
            (Full, 0, Turn::Wait),
            (Full, 499, Turn::Wait),
            (Full, 500, Turn::Pause),
            (Full, 501, Turn::Serve),
        ]);
        // Each time counts anew.
        check(&[
            (Full, 0, Turn::Wait),
            (Free, 400, Turn::Take),
            (Full, 600, Turn::Wait),
            (Full, 1099, Turn::Wait),
        ]);
        check(&[
            (Full, 0, Turn::Wait),
            (Full, 900, Turn::Pause),
            (Full, 950, Turn::Serve),
            (Free, 990, Turn::Resume),
            (Free, 991, Turn::Take),
            (Full, 992, Turn::Wait),
        ]);
        check(&[(Free, 0, Turn::Take), (Closed, 1, Turn::Pause), (Closed, 2, Turn::Serve)]);
        check(&[(Full, 0, Turn::Wait), (Full, 600, Turn::Pause), (Closed, 700, Turn::Serve)]);
    }
}
