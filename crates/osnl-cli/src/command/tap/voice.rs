//! What is said about the events, and how the connection stands: on standard error at once, or kept for a screen that
//! shows it and says it on standard error when it is over.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::clean;

/// Lines that are kept for a screen.
const KEPT: usize = 200;

/// How the connection stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// Whether messages come at the moment.
    pub(super) connected: bool,
    /// `host:port`, once it was connected.
    pub(super) host: String,
    pub(super) virtual_host: String,
    /// Exchanges that the queue is bound to.
    pub(super) bound: Vec<String>,
    /// Nobody named them: others may exist.
    pub(super) chosen: bool,
    /// Messages that the queue's limit dropped.
    pub(super) dropped: u64,
    /// How often the connection was lost.
    pub(super) gaps: u32,
    /// What was said, the last one last; only where a screen shows it.
    pub(super) told: VecDeque<(Timestamp, String)>,
}

/// See the [module](self). Copies share what they know.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    screen: bool,
    standing: Arc<Mutex<Standing>>,
}

impl Voice {
    /// `screen`: lines are kept for it.
    pub(super) fn new(screen: bool) -> Self {
        Self { screen, standing: Arc::default() }
    }

    pub(super) fn say(&self, text: &str) {
        if !self.screen {
            say(text);
            return;
        }
        let told = &mut self.standing().told;
        if told.len() >= KEPT {
            told.pop_front();
        }
        told.push_back((Timestamp::now(), clean::text(text).into_owned()));
    }

    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The screen is over: what it has shown is said once more, where it stays.
    pub(super) fn repeat(&self) {
        let told = std::mem::take(&mut self.standing().told);
        told.iter().for_each(|(_, text)| say(text));
    }
}

/// A line about the events, which are on standard output.
#[expect(clippy::print_stderr, reason = "where everything goes that is no event")]
pub(super) fn say(text: &str) {
    eprintln!("osnl tap: {}", clean::text(text));
}
