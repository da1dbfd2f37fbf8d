use minijinja::{Error, ErrorKind};

pub(super) const FUEL: u64 = 50_000;
/// The values that one evaluation may look at, each in about 0.1 microseconds; a long text counts as several.
pub const WORK: u64 = 2_000_000;
/// The values that conditions may look at in all parts of one message.
pub(super) const PARTS_WORK: u64 = 5_000_000;
pub(crate) const LONGEST_SOURCE: usize = 16 * 1024;
/// The longest output, and the longest intermediate text, in bytes.
pub const LONGEST_OUTPUT: usize = 1024 * 1024;

/// The engine's messages about bounds for which the engine has no error kind.
pub(super) const TOO_LONG: &str = "the text is too long";

pub(super) const TOO_MUCH: &str = "it looks at too many values";

pub(super) fn bound(length: usize) -> Result<(), Error> {
    if length > LONGEST_OUTPUT {
        return Err(Error::new(ErrorKind::InvalidOperation, TOO_LONG));
    }
    Ok(())
}
