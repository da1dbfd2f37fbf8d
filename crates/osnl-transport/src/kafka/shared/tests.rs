//! When the consumer hears of what the thread has brought.

use futures_util::FutureExt as _;

use super::*;

/// The number of fetched messages, that of rejected ones, whether no further message is there, milliseconds since the begin, and
/// whether the consumer hears of it.
type Step = (usize, usize, bool, u64, bool);

fn fetched(shared: &SharedState) -> FetchedMessage {
    FetchedMessage {
        assignment: 1,
        offset: 0,
        redelivered: false,
        body: Bytes::new(),
        cut: None,
        properties: Properties::default(),
        share: shared.body_flow.share(0),
    }
}

/// The consumer takes everything as soon as it has heard of it.
fn check(steps: &[Step]) {
    let (shared, begun) = (SharedState::default(), Instant::now());
    for (n, &(wanted, rejected, is_idle, after, expected)) in steps.iter().enumerate() {
        let mut state = shared.lock();
        state.fetched.extend(std::iter::repeat_with(|| fetched(&shared)).take(wanted));
        state.rejected += rejected;
        let tells = state.tells(is_idle, begun + Duration::from_millis(after));
        assert_eq!(tells, expected, "step {n} of {steps:?}");
        let has_any = !state.fetched.is_empty() || state.rejected > 0;
        assert_eq!(state.has_untold(), has_any && !tells, "step {n} of {steps:?}");
        if tells {
            state.fetched.clear();
            state.rejected = 0;
        }
    }
}

#[test]
fn the_consumer_hears_at_once_of_the_last_messages_and_of_several_of_a_backlog_together() {
    check(&[(0, 0, true, 0, false), (1, 0, true, 0, true), (0, 1, true, 1, true), (0, 0, false, 2, false)]);
    // Wanted ones wait for others, but not for long.
    check(&[(1, 0, false, 0, false), (1, 0, false, 1, false), (0, 0, false, 2, true)]);
    check(&[(1, 0, false, 0, false), (0, 0, true, 1, true)]);
    check(&[(31, 0, false, 0, false), (1, 0, false, 0, true)]);
    // Rejected ones are only counted there, so they wait longer.
    check(&[(0, 900, false, 0, false), (0, 900, false, 19, false), (0, 0, false, 20, true)]);
    check(&[(0, 900, false, 0, false), (1, 0, false, 3, true)]);
    // Each time counts anew.
    check(&[
        (1, 0, false, 0, false),
        (0, 0, false, 2, true),
        (1, 0, false, 3, false),
        (0, 0, false, 5, true),
    ]);
}

/// Otherwise a fetched message waits as long as a rebalance or a full window takes.
#[test]
fn the_consumer_hears_of_everything_before_the_thread_waits() {
    let shared = SharedState::default();
    shared.lock().fetched.push_back(fetched(&shared));
    let arrived = shared.arrived.notified();
    assert!(!shared.lock().tells(false, Instant::now()));
    assert!(!shared.wait_until(Duration::ZERO, |state| state.fetched.is_empty()));
    assert!(arrived.now_or_never().is_some(), "it was not woken");
}
