//! Wrong tokens: their answers wait, and the log counts them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time between two answers to wrong tokens, from whomever these come.
const EACH: Duration = Duration::from_millis(500);
/// The longest wait, so that an attack does not hold up a mistaken operator for long.
const LONGEST: Duration = Duration::from_secs(10);
const SAID_EACH: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenWay {
    Login,
    Bearer,
}

/// The time before which the answer to a wrong token may not leave; an extension of the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotBefore(pub(crate) Instant);

#[derive(Default)]
pub(crate) struct WrongTokens(Mutex<GuessCount>);

#[derive(Default)]
struct GuessCount {
    latest: Option<Instant>,
    said: Option<Instant>,
    logins: u64,
    bearers: u64,
}

impl WrongTokens {
    pub(crate) fn count(&self, way: TokenWay, by: &str) -> NotBefore {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((logins, bearers)) = count.due(way) {
            tracing::warn!(
                by,
                logins,
                bearers,
                "wrong tokens were refused by the admin endpoint; the numbers are those since the previous such line"
            );
        }
        NotBefore(count.turn())
    }
}

impl GuessCount {
    /// Counts, and returns the counts if these are due in the log.
    fn due(&mut self, way: TokenWay) -> Option<(u64, u64)> {
        match way {
            TokenWay::Login => self.logins += 1,
            TokenWay::Bearer => self.bearers += 1,
        }
        if self.said.is_some_and(|said| said.elapsed() < SAID_EACH) {
            return None;
        }
        self.said = Some(Instant::now());
        Some((std::mem::take(&mut self.logins), std::mem::take(&mut self.bearers)))
    }

    fn turn(&mut self) -> Instant {
        let now = Instant::now();
        let turn = self.latest.map_or(now, |latest| latest.clamp(now, now + LONGEST - EACH)) + EACH;
        self.latest = Some(turn);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wrong_tokens_wait_their_turn_and_the_wait_has_a_bound() {
        let wrong = WrongTokens::default();
        let wait = |way| wrong.count(way, "test").0 - Instant::now();
        assert_eq!(wait(TokenWay::Login), EACH);
        assert_eq!(wait(TokenWay::Bearer), EACH * 2);
        (0..1000).for_each(|_| assert!(wait(TokenWay::Login) <= LONGEST));
        tokio::time::advance(LONGEST).await;
        assert_eq!(wait(TokenWay::Login), EACH);
    }

    #[tokio::test(start_paused = true)]
    async fn one_line_counts_the_wrong_tokens_of_both_ways() {
        let mut count = GuessCount::default();
        assert_eq!(count.due(TokenWay::Login), Some((1, 0)));
        for _ in 0..500 {
            assert_eq!((count.due(TokenWay::Login), count.due(TokenWay::Bearer)), (None, None));
        }
        tokio::time::advance(SAID_EACH).await;
        assert_eq!(count.due(TokenWay::Bearer), Some((500, 501)));
        assert_eq!(count.due(TokenWay::Bearer), None);
    }
}
