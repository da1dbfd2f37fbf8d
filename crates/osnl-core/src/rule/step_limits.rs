//! Patterns that had to be given up: counted each time, said once for each pattern.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use osnl_model::{Mismatch, Saw, StepLimit};

use crate::metrics::Counters;

/// The patterns that one listener has reported already. At most one entry for each pattern.
pub struct StepLimits {
    counters: Arc<Counters>,
    said: Mutex<BTreeSet<String>>,
}

impl StepLimits {
    /// None yet; each is counted.
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { counters, said: Mutex::default() }
    }

    /// The answer of an endpoint's filter, or no if there is none: an endpoint has no dead letters.
    pub fn or_no(&self, answer: Result<bool, StepLimit>) -> bool {
        answer.unwrap_or_else(|limit| {
            self.reached(&limit.pattern);
            false
        })
    }

    /// Takes note if that is why a filter did not match.
    pub fn look_at(&self, mismatch: &Mismatch) {
        match mismatch.saw {
            Saw::StepLimit { .. } => self.reached(&mismatch.pattern),
            Saw::Absent | Saw::NotText(_) | Saw::NoKeys(_) | Saw::Text(_) => {}
        }
    }

    fn reached(&self, pattern: &str) {
        self.counters.step_limits.increment();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(pattern.to_owned()) {
            tracing::warn!(
                pattern,
                "the pattern was given up after too many steps; a rule with it is undecided, and what it would fire \
                 is a dead letter; an endpoint's filter does not match. \
                 Patterns without nested repetition and look-around need no limit. Said once; counted as step_limits"
            );
        }
    }
}
