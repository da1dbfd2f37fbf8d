//! Log lines in their former words.

use std::fmt;

/// The line that versions before 0.2 wrote, a sentence with its fields: the names that other programs had keep it byte
/// for byte, since their monitoring reads it. It is the field `former` of an event, and only put together where it is
/// wanted.
#[derive(Clone, Copy, Debug)]
pub struct Former<'a, S>(pub S, pub &'a [(&'a str, &'a str)]);

impl<S: fmt::Display> fmt::Display for Former<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        self.1.iter().try_for_each(|(name, value)| {
            match !value.is_empty() && !value.contains([' ', '"', '=']) {
                true => write!(f, " {name}={value}"),
                false => write!(f, " {name}={value:?}"),
            }
        })
    }
}
