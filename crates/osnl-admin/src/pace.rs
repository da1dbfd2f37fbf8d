//! Limits the processor time that clients use: faster requests wait for their turn, so messages and
//! deliveries always get processor time.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// The interval between two turns at full load.
const EACH: Duration = Duration::from_millis(5);
pub(crate) const MOST: usize = 64;
/// Turns that accumulate while idle: as many as there may be connections.
const SAVED: u32 = MOST as u32;

pub(crate) struct Pace {
    latest: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { latest: Mutex::new(Instant::now()) }
    }

    /// Waits for a turn, in the order of the calls. A caller that gives up costs the others no turn.
    pub(crate) async fn turn(&self) {
        let mut latest = self.latest.lock().await;
        let now = Instant::now();
        let saved = now.checked_sub(EACH * SAVED).unwrap_or(now);
        let turn = (*latest).max(saved) + EACH;
        if turn > now {
            sleep_until(turn).await;
        }
        *latest = turn;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_that_were_not_used_are_there_at_once_and_others_wait() {
        let pace = Pace::new();
        let took = async |turns: u32| {
            let begun = Instant::now();
            for _ in 0..turns {
                pace.turn().await;
            }
            begun.elapsed()
        };
        tokio::time::advance(EACH * SAVED * 10).await;
        assert_eq!(took(SAVED).await, Duration::ZERO);
        assert_eq!(took(200).await, EACH * 200);
        tokio::time::advance(EACH * 3).await;
        assert_eq!(took(4).await, EACH);
        for _ in 0..50 {
            assert!(timeout(Duration::ZERO, pace.turn()).await.is_err());
        }
        assert_eq!(took(1).await, EACH);
    }
}
