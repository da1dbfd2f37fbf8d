use std::time::Duration;

use tokio::time::Instant;

use super::story::Mood;

/// The target of all daemons.
#[derive(Debug)]
pub(super) struct TargetModel {
    mood: Mood,
    /// Since when no call can succeed; `None` while some can.
    pub(super) down: Option<Instant>,
}

impl Default for TargetModel {
    fn default() -> Self {
        Self { mood: Mood::Well(Duration::ZERO), down: None }
    }
}

impl TargetModel {
    pub(super) fn set(&mut self, mood: Mood, now: Instant) {
        self.mood = mood;
        let is_down = match mood {
            // A target that stumbles over one key is not held.
            Mood::Well(_) | Mood::Busy(_) | Mood::Moody | Mood::Refuses => false,
            Mood::Hangs(_) | Mood::Stumbles | Mood::Cuts | Mood::Locked => false,
            Mood::Down => true,
        };
        self.down = if is_down { Some(self.down.unwrap_or(now)) } else { None };
    }

    pub(super) fn heal(&mut self, now: Instant) {
        self.set(Mood::Well(Duration::from_millis(5)), now);
    }

    pub(super) fn mood(&self) -> Mood {
        self.mood
    }
}
