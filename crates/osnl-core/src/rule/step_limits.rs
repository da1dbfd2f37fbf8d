//! Patterns that exceeded their steps: each case is counted, and each pattern is logged once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use osnl_model::{Mismatch, Observed, StepLimit};

use crate::metrics::Counters;

/// Counts patterns that take too many steps, and logs each once.
pub struct StepLimits {
    counters: Arc<Counters>,
    said: Mutex<BTreeSet<String>>,
}

impl StepLimits {
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { counters, said: Mutex::default() }
    }

    /// Returns the answer of an endpoint's filter, or `false` for an exceeded limit: an endpoint has no dead letters.
    pub fn or_no(&self, answer: Result<bool, StepLimit>) -> bool {
        answer.unwrap_or_else(|limit| {
            self.reached(&limit.pattern, &limit.pattern);
            false
        })
    }

    pub fn observe(&self, mismatch: &Mismatch) {
        match mismatch.observed {
            Observed::StepLimit { .. } => self.reached(&mismatch.pattern, mismatch.shown_pattern()),
            Observed::Absent | Observed::NotText(_) | Observed::NoKeys(_) | Observed::Text(_) => {}
        }
    }

    fn reached(&self, pattern: &str, shown: &str) {
        self.counters.step_limits.increment();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(pattern.to_owned()) {
            tracing::warn!(
                pattern = shown,
                "the pattern was given up after too many steps; a rule with it is undecided, and what it would fire \
                 is a dead letter; an endpoint's filter does not match. \
                 Patterns without nested repetition and look-around need no limit. Said once; counted as step_limits"
            );
        }
    }
}
