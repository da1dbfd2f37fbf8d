//! Attempts of deliveries that another daemon may take over: no attempt begins or continues after the journal's term
//! for it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use osnl_core::attempt::ActionError;
use osnl_journal::AttemptTerm;
use tokio::time::{Instant, sleep_until};

const JOURNAL: &str = "journal";

/// Runs an attempt as long as the term lasts; `None` when the term has ended, which drops the attempt.
///
/// The term is checked before each poll of the attempt. So a process that was stopped beyond its term begins no request
/// when it continues, even on a ready connection. A request that is already in the socket may still have its effect.
pub(super) async fn within_term<T>(term: &dyn AttemptTerm, attempt: impl Future<Output = T>) -> Option<T> {
    let mut attempt = pin!(attempt);
    let mut end = pin!(sleep_until(Instant::now()));
    poll_fn(move |context| {
        loop {
            let left = term.left();
            if left.is_zero() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = attempt.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            // The attempt renews the term while it runs, so the end is computed again.
            end.as_mut().reset(Instant::now() + left);
            if end.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Returns the error of an attempt after its term. The target is not to blame, and the delivery waits for the journal.
pub(super) fn term_ended() -> ActionError {
    let why = "this daemon's claim on the delivery has ended: the journal could not be written for so long, or this daemon \
               was stopped; another daemon may make the delivery";
    ActionError::dependency(JOURNAL, why)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    #[derive(Debug)]
    struct Until(Mutex<Instant>);

    impl Until {
        fn of(seconds: u64) -> Self {
            Self(Mutex::new(Instant::now() + Duration::from_secs(seconds)))
        }
    }

    impl AttemptTerm for Until {
        fn left(&self) -> Duration {
            self.0.lock().unwrap().saturating_duration_since(Instant::now())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_ends_with_its_term_and_none_begins_after() {
        let mut has_begun = false;
        let attempt = async { has_begun = true };
        assert_eq!(within_term(&Until::of(0), attempt).await, None);
        assert!(!has_begun);

        let term = Until::of(10);
        let begun = Instant::now();
        assert_eq!(within_term(&term, sleep(Duration::from_secs(60))).await, None);
        assert_eq!(begun.elapsed().as_secs(), 10);

        let term = Until::of(10);
        assert_eq!(within_term(&term, sleep(Duration::from_secs(9))).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_goes_on_while_its_term_grows() {
        let term = Until::of(10);
        let renew = async {
            for _ in 0..10 {
                sleep(Duration::from_secs(5)).await;
                *term.0.lock().unwrap() = Instant::now() + Duration::from_secs(10);
            }
        };
        let attempt = within_term(&term, sleep(Duration::from_secs(55)));
        let (done, ()) = tokio::join!(attempt, renew);
        assert_eq!(done, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_of_an_attempt_is_done_after_its_term_even_if_it_could_go_on() {
        let term = Until::of(10);
        let mut was_sent = false;
        let (connect, connected) = tokio::sync::oneshot::channel();
        let attempt = async {
            let _ = connected.await;
            was_sent = true;
        };
        let stopped = async {
            tokio::task::yield_now().await;
            connect.send(()).unwrap();
            *term.0.lock().unwrap() = Instant::now();
        };
        let (done, ()) = tokio::join!(within_term(&term, attempt), stopped);
        assert_eq!((done, was_sent), (None, false));
    }
}
