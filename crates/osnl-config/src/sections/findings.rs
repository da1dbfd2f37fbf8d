use crate::{ConfigError, Warning};

/// All findings about a configuration, which are reported together.
#[derive(Debug, Default)]
pub struct Findings {
    pub errors: Vec<ConfigError>,
    pub warnings: Vec<Warning>,
}

impl Findings {
    pub fn extend(&mut self, later: Self) {
        self.errors.extend(later.errors);
        self.warnings.extend(later.warnings);
    }
}
