//! Findings about a configuration, errors and warnings apart.

use crate::{ConfigError, Warning};

/// The findings so far.
#[derive(Debug, Default)]
pub struct Findings {
    /// Errors, in the order they were found.
    pub errors: Vec<ConfigError>,
    /// Warnings, in the order they were found.
    pub warnings: Vec<Warning>,
}

impl Findings {
    /// Adds later findings.
    pub fn extend(&mut self, later: Self) {
        self.errors.extend(later.errors);
        self.warnings.extend(later.warnings);
    }
}
