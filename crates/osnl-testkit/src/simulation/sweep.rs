use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Story, play};

/// Plays many stories, on all cores.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// The first seed.
    pub from: u64,
    pub seeds: u64,
    /// The time at which no further story begins.
    pub until: Option<Instant>,
    /// The broken stories after which no further one begins.
    pub most_broken: usize,
}

/// The end of a sweep.
#[derive(Clone, Debug, Default)]
pub struct SweepEnd {
    pub played: u64,
    /// The seeds whose stories broke a promise, each with the first one.
    pub broken: Vec<(u64, String)>,
    /// The time that passed in all worlds.
    pub passed: Duration,
    /// The longest time of a story, and its seed.
    pub slowest: (Duration, u64),
}

impl Sweep {
    #[must_use]
    pub fn run(&self) -> SweepEnd {
        let (next, end) = (AtomicU64::new(0), Mutex::new(SweepEnd::default()));
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let is_over = self.until.is_some_and(|until| Instant::now() >= until);
                        if seed >= self.seeds
                            || is_over
                            || end.lock().unwrap().broken.len() >= self.most_broken
                        {
                            break;
                        }
                        let (seed, begun) = (self.from + seed, Instant::now());
                        let played = play(&Story::new(seed), false);
                        let mut end = end.lock().unwrap();
                        end.played += 1;
                        end.passed += played.passed;
                        end.slowest = end.slowest.max((begun.elapsed(), seed));
                        end.broken.extend(played.broken.into_iter().next().map(|first| (seed, first)));
                    }
                });
            }
        });
        let mut end = end.into_inner().unwrap();
        end.broken.sort();
        end
    }
}
