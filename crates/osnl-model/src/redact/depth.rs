use serde_json::Value;

use super::MASK;

/// The number of levels that may still be entered. A deeper value is `***`, so that a value too
/// deep to be examined is not shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemainingDepth {
    levels: usize,
    texts: usize,
}

impl RemainingDepth {
    pub(super) const TOP: Self = Self { levels: 128, texts: 4 };

    pub(super) fn inside(self) -> Option<Self> {
        Some(Self { levels: self.levels.checked_sub(1)?, ..self })
    }

    pub(super) fn in_text(self) -> Option<Self> {
        Some(Self { texts: self.texts.checked_sub(1)?, ..self.inside()? })
    }

    pub(super) const fn levels(self) -> usize {
        self.levels
    }
}

pub(super) fn too_deep() -> Value {
    Value::from(MASK)
}
