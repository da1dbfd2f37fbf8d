//! Messages about the events and the connection: on standard error at once, or kept for a screen that shows them and
//! writes them to standard error at its end.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::clean;

/// Lines that are kept for a screen.
const KEPT: usize = 200;

/// The state of the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionState {
    /// Whether messages come at the moment.
    pub(super) connected: bool,
    /// `host:port`, once it was connected.
    pub(super) host: String,
    pub(super) virtual_host: String,
    /// Exchanges that the queue is bound to.
    pub(super) bound: Vec<String>,
    /// The names are topics.
    pub(super) has_topics: bool,
    /// The exchanges are the usual ones: others may exist.
    pub(super) chosen: bool,
    /// Messages that the queue's limit dropped.
    pub(super) dropped: u64,
    /// The number of lost connections.
    pub(super) gaps: u32,
    /// The messages, the newest last; only where a screen shows them.
    pub(super) told: VecDeque<(Timestamp, String)>,
}

/// See the [module](self). Copies share what they know.
#[derive(Clone, Debug)]
pub(super) struct TapVoice {
    screen: bool,
    standing: Arc<Mutex<ConnectionState>>,
}

impl TapVoice {
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

    pub(super) fn standing(&self) -> MutexGuard<'_, ConnectionState> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The screen is over: what it has shown is said once more, where it stays.
    pub(super) fn repeat(&self) {
        let told = std::mem::take(&mut self.standing().told);
        told.iter().for_each(|(_, text)| say(text));
    }
}

/// A line about the events, which are on standard output.
pub(super) fn say(text: &str) {
    // It may have gone with the terminal.
    let _ = writeln!(std::io::stderr(), "osnl tap: {}", clean::text(text));
}
