//! Stories under one seed: see `osnl_testkit::simulation`, and `cargo xtask simulate` to replay one.

use osnl_testkit::simulation::{Story, Sweep, play};

/// Seeds from the long runs whose stories broke a promise once. After a change of the stories they are others, and go.
const BROKE_ONCE: [u64; 12] = [807, 857, 945, 1118, 1232, 1242, 1394, 1707, 2206, 2612, 3228, 3269];
/// The stories that are played twice, each with its trace. The sweep goes on behind them.
const TWICE: u64 = 12;

/// One test, since the log lines of a trace are those of the whole process.
#[test]
fn a_seed_has_one_trace_and_two_hundred_stories_keep_every_promise() {
    for seed in 0..TWICE {
        let (first, again) = (play(&Story::new(seed), true), play(&Story::new(seed), true));
        let differs = first.trace.iter().zip(&again.trace).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first, again, "seed {seed}");
        assert_eq!(first.broken, [""; 0], "seed {seed}");
    }
    for seed in BROKE_ONCE {
        assert_eq!(play(&Story::new(seed), false).broken, [""; 0], "seed {seed}");
    }
    let seeds = 200 - TWICE;
    let end = Sweep { from: TWICE, seeds, until: None, most_broken: 3 }.run();
    assert!(end.broken.is_empty(), "cargo xtask simulate --seed N shows the story: {:#?}", end.broken);
    assert_eq!(end.played, seeds);
}
