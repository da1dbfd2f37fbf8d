use minijinja::{Error, ErrorKind};

pub const FUEL: u64 = 50_000;
pub(crate) const LONGEST_SOURCE: usize = 16 * 1024;
/// The longest output, and the longest intermediate text, in bytes.
pub const LONGEST_OUTPUT: usize = 1024 * 1024;

/// The engine's message about a text that is too long, as the engine has no error kind for that.
pub(super) const TOO_LONG: &str = "the text is too long";

pub(super) fn bound(length: usize) -> Result<(), Error> {
    if length > LONGEST_OUTPUT {
        return Err(Error::new(ErrorKind::InvalidOperation, TOO_LONG));
    }
    Ok(())
}
