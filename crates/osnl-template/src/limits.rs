//! Bounds of sources, evaluations, and the texts that they make.

use minijinja::{Error, ErrorKind};

/// Instructions that one evaluation may take.
pub const FUEL: u64 = 50_000;
/// The longest source, in bytes.
pub const LONGEST_SOURCE: usize = 16 * 1024;
/// The longest output, and the longest text made on the way, in bytes.
pub const LONGEST_OUTPUT: usize = 1024 * 1024;

/// The engine's message about a text that is too long; it has no kind for it.
pub(super) const TOO_LONG: &str = "the text is too long";

/// Refuses a text of this length if it exceeds [`LONGEST_OUTPUT`].
pub(super) fn bound(length: usize) -> Result<(), Error> {
    if length > LONGEST_OUTPUT {
        return Err(Error::new(ErrorKind::InvalidOperation, TOO_LONG));
    }
    Ok(())
}
