//! The depth of masking: one count for arrays, objects, and texts that are read into.

use serde_json::Value;

use super::MASK;

/// The levels that may still be entered. Beyond them everything is `***`, so that a value too deep to be read is not
/// shown either.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemainingDepth {
    levels: usize,
    texts: usize,
}

impl RemainingDepth {
    /// 128 levels, of which 4 may be texts.
    pub(super) const TOP: Self = Self { levels: 128, texts: 4 };

    /// Into an array or an object.
    pub(super) fn inside(self) -> Option<Self> {
        Some(Self { levels: self.levels.checked_sub(1)?, ..self })
    }

    /// Into a text that is JSON or Python.
    pub(super) fn in_text(self) -> Option<Self> {
        Some(Self { texts: self.texts.checked_sub(1)?, ..self.inside()? })
    }

    /// Returns the number of levels that a parsed text may have.
    pub(super) const fn levels(self) -> usize {
        self.levels
    }
}

/// Returns the value that stands for all that is too deep.
pub(super) fn too_deep() -> Value {
    Value::from(MASK)
}
