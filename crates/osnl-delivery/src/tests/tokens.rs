//! Calls that begin with tokens which several daemons share.

use osnl_config::Rate;
use osnl_journal::CallTokens;

use super::failing::moody_with;
use super::*;

/// Tokens that the test grants.
#[derive(Debug, Default)]
struct TestTokens {
    state: Mutex<TestState>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct TestState {
    left: u32,
    reserved: u32,
    asked: u32,
}

impl TestTokens {
    fn grant(&self, calls: u32) {
        self.state.lock().unwrap().left += calls;
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn asked(&self) -> u32 {
        self.state.lock().unwrap().asked
    }
}

/// The loop is woken by changes alone.
const LONG: Duration = Duration::from_secs(100_000);

impl CallTokens for TestTokens {
    fn next_at(&self, _: Rate, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock().unwrap();
        let may = state.left > state.reserved;
        state.asked += u32::from(!may);
        (!may).then_some(now + LONG)
    }

    fn known_at(&self, now: Instant) -> Option<Instant> {
        Some(now + LONG)
    }

    fn reserve(&self) {
        self.state.lock().unwrap().reserved += 1;
    }

    fn begin(&self, now: Instant) -> Result<(), Instant> {
        let mut state = self.state.lock().unwrap();
        if state.left == 0 {
            return Err(now + LONG);
        }
        (state.left, state.reserved) = (state.left - 1, state.reserved - 1);
        Ok(())
    }

    fn release(&self) {
        self.state.lock().unwrap().reserved -= 1;
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// A loop of four calls at once, and its tokens.
async fn stage(failure: Option<ErrorClass>, rate: bool) -> (Rig, Arc<TestTokens>) {
    let mut rig = Rig::start(failure, Duration::from_secs(1));
    let tokens = Arc::<TestTokens>::default();
    let rate = rate.then_some(Rate { keys: 9, within: Duration::from_secs(60) });
    let settings = DeliverySettings {
        rate,
        ..DeliverySettings::sample(9, Duration::from_secs(1), Duration::from_secs(1))
    };
    let shared: Arc<dyn CallTokens> = tokens.clone();
    drop(moody_with(&mut rig, None, Some(shared), settings, Arc::default()).await);
    (rig, tokens)
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn attempts(rig: &Rig) -> u32 {
    *rig.action.attempts.lock().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_begins_with_a_token_and_waits_without() {
    let (rig, tokens) = stage(None, true).await;
    let mut receipts = Vec::new();
    for key in ["1", "2", "3", "4", "5"] {
        receipts.push(rig.append(key).await);
    }
    settle().await;
    assert_eq!(attempts(&rig), 0);
    for (granted, expected) in [(2, 2), (1, 3), (2, 5)] {
        tokens.grant(granted);
        settle().await;
        assert_eq!(attempts(&rig), expected);
    }
    for receipt in receipts {
        assert_eq!(receipt.await, Settle::Acknowledge);
    }
    assert_eq!(tokens.state.lock().unwrap().reserved, 0);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_void_when_the_call_begins_is_waited_for() {
    let (rig, tokens) = stage(None, true).await;
    // Gone between the look and the beginning.
    let reserved = ReservedCall::of(tokens.clone());
    tokens.reserve();
    let mut begin = std::pin::pin!(reserved.begin());
    assert!(timeout(Duration::from_secs(60), begin.as_mut()).await.is_err());
    tokens.grant(1);
    begin.await;
    tokens.reserve();
    drop(ReservedCall::of(tokens.clone()));
    assert_eq!(tokens.state.lock().unwrap().reserved, 0, "one that does not begin is given back");
    rig.stop().await;
}

/// Tokens that are asked for and not used are missing on other daemons.
#[tokio::test(start_paused = true)]
async fn tokens_are_asked_for_when_a_call_could_begin() {
    let (rig, tokens) = stage(Some(ErrorClass::Connect), true).await;
    assert_eq!(tokens.asked(), 0);
    tokens.grant(1);
    let _receipts = [rig.append("1").await, rig.append("2").await];
    while attempts(&rig) == 0 {
        settle().await;
    }
    settle().await;
    // The target is held: nothing is asked before the probe is due.
    let asked = tokens.asked();
    settle().await;
    tokens.grant(0);
    settle().await;
    assert_eq!(tokens.asked(), asked);
    rig.stop().await;
    let (rig, tokens) = stage(None, false).await;
    assert_eq!(rig.append("1").await.await, Settle::Acknowledge);
    assert_eq!(tokens.asked(), 0, "without a rate");
    rig.stop().await;
}
