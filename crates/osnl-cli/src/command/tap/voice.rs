//! Messages about events and connection: on standard error at once, or kept for a screen, which
//! writes them to standard error at its end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::clean;
use crate::output;

const KEPT: usize = 200;

#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionState {
    pub(super) connected: bool,
    pub(super) host: String,
    pub(super) virtual_host: String,
    pub(super) bound: Vec<String>,
    pub(super) has_topics: bool,
    pub(super) chosen: bool,
    pub(super) dropped: u64,
    pub(super) gaps: u32,
    pub(super) told: VecDeque<(Timestamp, String)>,
}

#[derive(Clone, Debug)]
pub(super) struct TapVoice {
    screen: bool,
    standing: Arc<Mutex<ConnectionState>>,
}

impl TapVoice {
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

    pub(super) fn repeat(&self) {
        let told = std::mem::take(&mut self.standing().told);
        told.iter().for_each(|(_, text)| say(text));
    }
}

pub(super) fn say(text: &str) {
    output::print_to_stderr(format_args!("osnl tap: {}", clean::text(text)));
}
