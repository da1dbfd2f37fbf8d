use crate::{ConfigError, Warning};

#[derive(Debug, Default)]
pub struct Findings {
    /// Errors, in the order of discovery.
    pub errors: Vec<ConfigError>,
    /// Warnings, in the order of discovery.
    pub warnings: Vec<Warning>,
}

impl Findings {
    pub fn extend(&mut self, later: Self) {
        self.errors.extend(later.errors);
        self.warnings.extend(later.warnings);
    }
}
