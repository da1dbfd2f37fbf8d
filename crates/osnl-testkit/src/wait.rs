use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Returns the pause after a question that took this long.
///
/// Many questions start a program, such as `erl_call` or `osnl`. Asked each 10 ms by four tests at once, these take the
/// cores from what the tests wait for.
fn pause_after(took: Duration, least: Duration) -> Duration {
    (took * 10).clamp(least, LONGEST_PAUSE)
}

/// At the deadline the panic's message contains `description`, which follows "waited 5s for", such as "the
/// queue to be empty".
#[track_caller]
pub fn wait_until(deadline: Duration, description: &str, mut done: impl FnMut() -> bool) {
    assert!(reached(deadline, &mut done), "waited {deadline:?} for {description}");
}

/// Waits as [`wait_until`] does, and lets other tasks run meanwhile. Under paused time `done` must wait for nothing
/// outside the runtime, because the deadline is of that time.
#[cfg(feature = "conformance")]
pub async fn until(deadline: Duration, description: &str, mut done: impl AsyncFnMut() -> bool) {
    let asking = async {
        loop {
            let asked = tokio::time::Instant::now();
            if done().await {
                break;
            }
            tokio::time::sleep(pause_after(asked.elapsed(), Duration::from_millis(1))).await;
        }
    };
    let asked = tokio::time::timeout(deadline, asking).await;
    assert!(asked.is_ok(), "waited {deadline:?} for {description}");
}

pub(crate) fn reached(deadline: Duration, done: &mut dyn FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        let asked = Instant::now();
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::park_timeout(pause_after(asked.elapsed(), PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_as_soon_as_the_answer_is_yes() {
        let mut asked = 0;
        wait_until(Duration::from_secs(60), "the third question", || {
            asked += 1;
            asked == 3
        });
        assert_eq!(asked, 3);
    }

    #[test]
    fn a_question_that_takes_long_is_asked_less_often() {
        let check = |took: u64, pause: u64| {
            assert_eq!(
                pause_after(Duration::from_millis(took), PAUSE),
                Duration::from_millis(pause),
                "{took}"
            );
        };
        check(0, 10);
        check(1, 10);
        check(8, 80);
        check(20, 200);
        check(3_000, 500);
    }

    #[test]
    #[should_panic(expected = "waited 30ms for the moon to fall")]
    fn the_deadline_says_what_was_missing() {
        wait_until(Duration::from_millis(30), "the moon to fall", || false);
    }
}
