//! The calls of an action that this member may begin: the block that was granted last, and what is asked for.
//!
//! The thread that writes asks the database ([`crate::grants`]); delivery loops look here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use osnl_config::Rate;
use osnl_journal::CallTokens;
use osnl_journal::store::clock::whole_millis;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::clock::LeaseClock;
use crate::command::PostgresCommand;
use crate::grants::{CallAnswer, CallOrder, SettledGrant};

/// A loop that waits for an answer looks again after this time, if nothing wakes it.
const ANSWER: Duration = Duration::from_secs(1);

/// A grant in use.
#[derive(Clone, Copy, Debug)]
struct Block {
    number: i64,
    left: u32,
    used: u32,
    /// The time of the window when it was granted.
    at: i64,
    /// The moment before it was asked for; `None` after an answer that was late: it is void.
    sent: Option<Duration>,
    last_used: Duration,
}

impl Block {
    fn is_valid(&self, now: Duration, valid: Duration) -> bool {
        self.sent.is_some_and(|sent| now < sent + valid)
    }

    fn settled(&self) -> SettledGrant {
        let after = self.sent.map_or(Duration::ZERO, |sent| self.last_used.saturating_sub(sent));
        SettledGrant { number: self.number, used: self.used, until: self.at + whole_millis(after) + 2 }
    }
}

#[derive(Debug, Default)]
struct TokenState {
    rate: Option<Rate>,
    block: Option<Block>,
    /// Calls that are prepared and have not begun.
    reserved: u32,
    /// A loop waits for tokens.
    is_wanted: bool,
    /// The thread that writes has been asked.
    is_asked: bool,
    /// By the clock of leases.
    wait_until: Duration,
}

impl TokenState {
    fn left(&self, now: Duration, valid: Duration) -> u32 {
        self.block.filter(|block| block.is_valid(now, valid)).map_or(0, |block| block.left)
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct RateTokens {
    action: Arc<str>,
    commands: mpsc::UnboundedSender<PostgresCommand>,
    clock: Arc<dyn LeaseClock>,
    /// The time for which a grant is used.
    valid: Duration,
    state: Mutex<TokenState>,
    changes: watch::Sender<u64>,
}

impl RateTokens {
    pub(crate) fn new(
        action: Arc<str>,
        commands: mpsc::UnboundedSender<PostgresCommand>,
        clock: Arc<dyn LeaseClock>,
        valid: Duration,
    ) -> Arc<Self> {
        let (state, changes) = Default::default();
        Arc::new(Self { action, commands, clock, valid, state, changes })
    }

    fn lock(&self) -> MutexGuard<'_, TokenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for tokens unless that is under way, or it is known that there are none; returns when to look again.
    fn ask(&self, state: &mut TokenState, at: Duration, now: Instant) -> Instant {
        state.is_wanted = true;
        if !state.is_asked && at < state.wait_until {
            return now + (state.wait_until - at);
        }
        self.send(state);
        now + ANSWER
    }

    fn send(&self, state: &mut TokenState) {
        if !state.is_asked {
            state.is_asked = self.commands.send(PostgresCommand::Calls(self.action.clone())).is_ok();
        }
    }

    fn tell(&self) {
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// Whether a block is used up or void, and the database does not know it.
    pub(crate) fn is_settled_late(&self) -> bool {
        let (state, now) = (self.lock(), self.clock.now());
        !state.is_asked && state.block.is_some() && state.left(now, self.valid) == 0
    }

    /// Returns what is to be asked. A block that is used up or void is not used any more from then on; at the end of the member
    /// none is.
    pub(crate) fn order(&self, is_last: bool) -> Option<CallOrder> {
        let (mut state, now) = (self.lock(), self.clock.now());
        let is_over = is_last || state.left(now, self.valid) == 0;
        let block = if is_over { state.block.take() } else { None };
        let is_wanted = std::mem::take(&mut state.is_wanted) && is_over && !is_last;
        let rate = state.rate?;
        let settled = block.map(|block| block.settled());
        if settled.is_none() && !is_wanted {
            state.is_asked = false;
            return None;
        }
        state.is_asked = true;
        let takes = is_wanted.then_some(self.valid);
        Some(CallOrder { action: self.action.clone(), rate, settled, takes })
    }

    /// Takes the answer to an order, which was sent after `sent`; `None` if the answer was late. Without an answer it is asked
    /// again.
    pub(crate) fn answered(&self, answer: Option<(CallAnswer, Option<Duration>)>) {
        let (mut state, now) = (self.lock(), self.clock.now());
        state.is_asked = false;
        match answer {
            Some((CallAnswer::Granted { number, calls, at }, sent)) => {
                let last_used = sent.unwrap_or_default();
                state.block = Some(Block { number, left: calls, used: 0, at, sent, last_used });
                state.wait_until = now;
            }
            Some((CallAnswer::Wait(wait), _)) => state.wait_until = now + wait,
            Some((CallAnswer::Settled, _)) => {}
            None => state.wait_until = now + ANSWER,
        }
        drop(state);
        self.tell();
    }
}

impl CallTokens for RateTokens {
    fn next_at(&self, rate: Rate, now: Instant) -> Option<Instant> {
        let (mut state, at) = (self.lock(), self.clock.now());
        state.rate = Some(rate);
        let left = state.left(at, self.valid);
        if left > state.reserved {
            return None;
        }
        // The tokens that are left are about to be used.
        if left > 0 {
            state.is_wanted = true;
            return Some(now + ANSWER);
        }
        Some(self.ask(&mut state, at, now))
    }

    fn known_at(&self, now: Instant) -> Option<Instant> {
        let (state, at) = (self.lock(), self.clock.now());
        if state.left(at, self.valid) > state.reserved || !state.is_wanted && !state.is_asked {
            return None;
        }
        let left = state.wait_until.saturating_sub(at);
        Some(now + if state.is_asked || left.is_zero() { ANSWER } else { left })
    }

    fn reserve(&self) {
        self.lock().reserved += 1;
    }

    fn begin(&self, now: Instant) -> Result<(), Instant> {
        let (mut state, at) = (self.lock(), self.clock.now());
        if state.left(at, self.valid) == 0 {
            return Err(self.ask(&mut state, at, now));
        }
        let mut is_used_up = false;
        if let Some(block) = &mut state.block {
            block.left -= 1;
            block.used += 1;
            block.last_used = at;
            is_used_up = block.left == 0;
        }
        state.reserved = state.reserved.saturating_sub(1);
        if is_used_up {
            self.send(&mut state);
        }
        Ok(())
    }

    fn release(&self) {
        let mut state = self.lock();
        state.reserved = state.reserved.saturating_sub(1);
        drop(state);
        self.tell();
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Seconds(AtomicU64);

    impl LeaseClock for Seconds {
        fn now(&self) -> Duration {
            Duration::from_secs(100 + self.0.load(Ordering::Relaxed))
        }
    }

    struct Rig {
        tokens: Arc<RateTokens>,
        clock: Arc<Seconds>,
        commands: mpsc::UnboundedReceiver<PostgresCommand>,
    }

    const RATE: Rate = Rate { keys: 60, within: Duration::from_secs(60) };

    impl Rig {
        fn new() -> Self {
            let (sender, commands) = mpsc::unbounded_channel();
            let clock = Arc::<Seconds>::default();
            let tokens = RateTokens::new("a".into(), sender, clock.clone(), Duration::from_secs(5));
            Self { tokens, clock, commands }
        }

        /// Looks, and returns whether the database is asked.
        fn asks(&mut self) -> bool {
            assert!(self.tokens.next_at(RATE, Instant::now()).is_some());
            self.commands.try_recv().is_ok()
        }

        fn may(&self) -> bool {
            self.tokens.next_at(RATE, Instant::now()).is_none()
        }

        fn begin(&self) -> bool {
            self.tokens.reserve();
            self.tokens.begin(Instant::now()).is_ok()
        }

        /// Has so many calls granted that were asked for some seconds ago.
        fn grant(&self, calls: u32, ago: Option<u64>) -> Option<SettledGrant> {
            let order = self.tokens.order(false).unwrap();
            let sent = ago.map(|ago| self.clock.now() - Duration::from_secs(ago));
            self.tokens.answered(Some((CallAnswer::Granted { number: 7, calls, at: 1000 }, sent)));
            order.settled
        }
    }

    #[tokio::test]
    async fn calls_begin_with_what_was_granted_and_the_database_is_asked_once() {
        let mut rig = Rig::new();
        assert!(rig.asks() && !rig.asks());
        assert_eq!(rig.grant(2, Some(0)), None);
        assert!(rig.may());
        rig.tokens.reserve();
        assert!(rig.may());
        rig.tokens.reserve();
        assert!(!rig.may() && rig.commands.try_recv().is_err(), "both are about to be used");
        rig.clock.0.fetch_add(3, Ordering::Relaxed);
        assert!(rig.tokens.begin(Instant::now()).is_ok() && rig.tokens.begin(Instant::now()).is_ok());
        assert!(rig.commands.try_recv().is_ok(), "asked when the last one begins");
        let settled = SettledGrant { number: 7, used: 2, until: 4002 };
        assert_eq!(rig.grant(2, Some(0)), Some(settled));
        assert!(rig.may());
        rig.tokens.reserve();
        rig.tokens.release();
        assert!(rig.begin());
    }

    #[tokio::test]
    async fn what_was_granted_is_void_after_a_while_and_after_a_slow_or_late_answer() {
        for ago in [Some(5), Some(60), None] {
            let mut rig = Rig::new();
            assert!(rig.asks());
            rig.grant(2, ago);
            assert!(!rig.may() && !rig.begin(), "{ago:?}");
            assert_eq!(rig.tokens.order(false).unwrap().settled.unwrap().used, 0, "{ago:?}");
        }
        let mut rig = Rig::new();
        assert!(rig.asks());
        rig.grant(2, Some(1));
        assert!(rig.begin() && !rig.tokens.is_settled_late());
        rig.clock.0.fetch_add(4, Ordering::Relaxed);
        assert!(rig.tokens.is_settled_late());
        assert!(!rig.begin());
        assert_eq!(rig.tokens.order(false).unwrap().settled.unwrap().used, 1);
    }

    #[tokio::test]
    async fn where_there_is_none_the_database_is_asked_again_after_the_wait() {
        let mut rig = Rig::new();
        assert!(rig.asks());
        rig.tokens.order(false).unwrap();
        rig.tokens.answered(Some((CallAnswer::Wait(Duration::from_secs(1)), None)));
        assert!(!rig.asks());
        let now = Instant::now();
        assert_eq!(rig.tokens.known_at(now), Some(now + Duration::from_secs(1)));
        rig.clock.0.fetch_add(1, Ordering::Relaxed);
        assert!(rig.asks());
        // A transaction that did not commit.
        rig.tokens.order(false).unwrap();
        rig.tokens.answered(None);
        rig.clock.0.fetch_add(1, Ordering::Relaxed);
        assert!(rig.asks());
    }
}
