//! Whether a dead letter of an action can be retried in order: remembered for a while, since the answer needs a look at all
//! later deliveries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Result;

use super::SqliteReader;

/// The least time between two looks. A long look is repeated after [`SHARE`] times its length, so that it costs little.
const PAUSE: Duration = Duration::from_secs(5);
const SHARE: u32 = 50;

/// The latest answer for each action.
#[derive(Clone, Debug, Default)]
pub(super) struct OvertakenLetters(Arc<Mutex<HashMap<String, Look>>>);

/// An answer, and until when it counts.
#[derive(Clone, Copy, Debug)]
struct Look {
    letters: u64,
    until: Instant,
    are_all: bool,
}

impl OvertakenLetters {
    /// Returns whether each of the action's dead letters is behind a later effect on its resource. The number of letters,
    /// if it changes, asks for another look.
    pub(super) fn are_all(&self, reader: &SqliteReader, action: &str, letters: u64) -> Result<bool> {
        let begun = Instant::now();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(action).copied();
        if let Some(look) = known.filter(|look| look.letters == letters && begun < look.until) {
            return Ok(look.are_all);
        }
        let are_all = reader.are_all_overtaken(action)?;
        let until = Instant::now() + PAUSE.max(begun.elapsed() * SHARE);
        let look = Look { letters, until, are_all };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(action.to_owned(), look);
        Ok(are_all)
    }
}
