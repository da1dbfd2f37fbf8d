use std::fmt;
use std::sync::Arc;

use osnl_journal::Obstacle;

/// The reason for which a listener reads nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockReason {
    pub words: Arc<str>,
    /// The action that has no place for another delivery, if that is the reason.
    pub full_action: Option<Arc<str>>,
}

impl From<String> for BlockReason {
    fn from(words: String) -> Self {
        Self { words: words.into(), full_action: None }
    }
}

impl From<&Obstacle> for BlockReason {
    fn from(obstacle: &Obstacle) -> Self {
        let full_action = match obstacle {
            Obstacle::ActionFull { action, .. } => Some(action.clone()),
            Obstacle::Full { .. } | Obstacle::Failed { .. } | Obstacle::NoPlace { .. } => None,
        };
        Self { full_action, ..obstacle.to_string().into() }
    }
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}
