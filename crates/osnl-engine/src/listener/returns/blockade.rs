//! Decides when waiting for room becomes a state, and when pushed messages return to the broker. Pure.
//!
//! RabbitMQ closes the channel of a message that is unacknowledged for the consumer time-out (30 min), which counts
//! against the delivery limit of a quorum queue. So the listener returns pushed messages earlier, and fetches none
//! before there is room:
//!
//! | waits for | blocked after | returns after |
//! | --- | --- | --- |
//! | a place in the journal | [`NOTICED`] without progress | `patience` since the push of the oldest untaken message |
//! | the end of a message, with a full window and an obstacle | [`SLOW`] without progress | `patience` without progress |
//!
//! A full window without an obstacle means a slow action, which may take its time. An action that waits for its `rate`
//! is one; the journal bounds the stay of each message.
//!
//! The prefetch stays the same: with a smaller one, a quorum queue would put messages that return again behind the
//! rest.

use std::time::Duration;

use tokio::time::Instant;

use crate::listener::watchdog::SessionStage;

const NOTICED: Duration = Duration::from_secs(1);
/// Like [`NOTICED`], for a full window, whose messages may be slow.
const SLOW: Duration = Duration::from_secs(10);
/// The bounds of the pause after a return.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(3600);

/// Whether a session is free, blocked, or must return its pushed messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listener) enum WaitVerdict {
    Free,
    Blocked { since: Instant },
    GiveBack { since: Instant },
}

/// Judges by the latest progress whether a session is blocked.
#[derive(Debug)]
pub(in crate::listener) struct Blockade {
    patience: Duration,
    prefetch: usize,
    moved_at: Instant,
    /// A time before which no untaken message was pushed.
    fresh_at: Instant,
    taken: usize,
    since: Option<Instant>,
}

impl Blockade {
    pub(in crate::listener) fn new(patience: Duration, prefetch: usize, now: Instant) -> Self {
        Self { patience, prefetch, moved_at: now, fresh_at: now, taken: 0, since: None }
    }

    pub(in crate::listener) fn every(patience: Duration) -> Duration {
        NOTICED.min(patience / 4).max(Duration::from_millis(10))
    }

    pub(in crate::listener) fn taken(&mut self, messages: usize, now: Instant) {
        self.moved_at = now;
        self.taken += messages;
        if self.taken >= self.prefetch {
            self.fresh(now);
        }
    }

    pub(in crate::listener) fn settled(&mut self, now: Instant) {
        self.moved_at = now;
    }

    pub(in crate::listener) fn fresh(&mut self, now: Instant) {
        self.fresh_at = now;
        self.taken = 0;
    }

    pub(in crate::listener) fn judge(
        &mut self,
        stage: SessionStage,
        obstacle: bool,
        now: Instant,
    ) -> WaitVerdict {
        let quiet = now - self.moved_at;
        let (blocked, give_back) = match stage {
            SessionStage::Polling => {
                self.fresh(now);
                (false, false)
            }
            SessionStage::Taking => (false, false),
            SessionStage::Reserving => {
                (quiet >= NOTICED.min(self.patience / 2), now - self.fresh_at >= self.patience)
            }
            SessionStage::WindowFull if obstacle => {
                (quiet >= SLOW.min(self.patience / 2), quiet >= self.patience)
            }
            SessionStage::WindowFull => {
                self.moved_at = now;
                (false, false)
            }
        };
        // A trickle does not end the blockade, until all messages pushed by then are taken.
        let trickles =
            stage != SessionStage::Polling && self.since.is_some_and(|since| self.fresh_at <= since);
        if !(blocked || give_back || trickles) {
            self.since = None;
            return WaitVerdict::Free;
        }
        let since = *self.since.get_or_insert(self.moved_at);
        if give_back { WaitVerdict::GiveBack { since } } else { WaitVerdict::Blocked { since } }
    }
}

/// The returns in a row, which lengthen the pause after each. The row ends when all that has returned has come again and
/// ended; each return of a message that does not end counts against the delivery limit of a quorum queue.
#[derive(Debug, Default)]
pub(in crate::listener) struct Returns {
    count: u32,
    last: Option<Instant>,
}

impl Returns {
    pub(in crate::listener) fn given_back(&mut self, patience: Duration, now: Instant) -> Duration {
        let pause = |count: u32| {
            let shortest = SHORTEST.min(patience);
            shortest.saturating_mul(4_u32.saturating_pow(count)).min(LONGEST)
        };
        if self.last.is_some_and(|last| now - last >= LONGEST.max(patience * 4) * 2) {
            self.count = 0;
        }
        let pause = pause(self.count);
        self.count = self.count.saturating_add(1);
        self.last = Some(now);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(300);

    /// Runs a script: `r10` waits for a place for ten seconds, `w10` behind an obstacle, `e10` behind an endpoint,
    /// `p10` for a message; `t5` takes five messages, `s` settles one; `=` expects `free`, `blocked`, or `back`.
    fn check(script: &str) {
        let begun = Instant::now();
        let mut now = begun;
        let mut blockade = Blockade::new(PATIENCE, 20, now);
        let mut verdict = WaitVerdict::Free;
        for word in script.split_whitespace() {
            let (verb, rest) = word.split_at(1);
            match verb {
                "t" => blockade.taken(rest.parse().unwrap(), now),
                "s" => blockade.settled(now),
                "=" => {
                    let seen = match verdict {
                        WaitVerdict::Free => "free",
                        WaitVerdict::Blocked { .. } => "blocked",
                        WaitVerdict::GiveBack { .. } => "back",
                    };
                    assert_eq!(seen, rest, "{script}: {word} at {:?}", now - begun);
                }
                verb => {
                    let (stage, obstacle) = match verb {
                        "r" => (SessionStage::Reserving, true),
                        "w" => (SessionStage::WindowFull, true),
                        "e" => (SessionStage::WindowFull, false),
                        _ => (SessionStage::Polling, false),
                    };
                    for _ in 0..rest.parse::<u32>().unwrap() {
                        now += Duration::from_secs(1);
                        verdict = blockade.judge(stage, obstacle, now);
                    }
                }
            }
        }
    }

    #[test]
    fn waiting_for_room_is_a_state_and_after_minutes_what_was_pushed_goes_back() {
        check("p5 t20 r1 =blocked r298 =blocked r2 =back");
        check("p5 t20 w9 =free w1 =blocked w289 =blocked w1 =back");
        check("p5 t20 w100 s t1 w250 =blocked w50 =back");
        check("t20 e7200 =free");
        check("r30 =blocked p1 =free");
        // A full window with progress is never blocked.
        let flows = "t20 r1 ".repeat(500);
        check(&format!("{flows} =blocked t20 w1 =free"));
    }

    /// The last pushed message would outwait the broker's patience.
    #[test]
    fn a_trickle_does_not_keep_what_was_pushed() {
        check(&format!("t1 {} =back", "r60 t1 s ".repeat(5)));
        check(&format!("t1 {} =blocked", "r60 t1 s ".repeat(4)));
        // A slow session that takes all within the patience.
        check(&format!("t1 {} =blocked t1 p1 =free", "r2 t1 s ".repeat(400)));
    }

    #[test]
    fn a_return_that_follows_another_waits_longer() {
        let (mut returns, mut now) = (Returns::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            pauses.push(returns.given_back(PATIENCE, now).as_secs());
            now += PATIENCE;
        }
        assert_eq!(pauses, [5, 20, 80, 320, 1280, 3600, 3600]);
        // A quorum queue allows twenty returns, which take most of a day.
        assert!(20 * PATIENCE.as_secs() + pauses.iter().sum::<u64>() + 13 * 3600 > 15 * 3600);
        now += Duration::from_secs(3 * 3600);
        assert_eq!(returns.given_back(PATIENCE, now).as_secs(), 5);
    }
}
