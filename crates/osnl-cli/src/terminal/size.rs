//! The size of a terminal, and whether it can be drawn on.

use std::io::IsTerminal as _;
use std::str::FromStr;

use rustix::termios::tcgetwinsize;

/// Columns and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// Smaller terminals get lines instead of a screen.
const SMALLEST: Size = Size { width: 72, height: 18 };

impl FromStr for Size {
    type Err = String;

    /// `100x30`
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('x').and_then(|(width, height)| {
            Some(Self { width: width.parse().ok()?, height: height.parse().ok()? })
        });
        numbers
            .filter(|size| size.width >= SMALLEST.width && size.height >= SMALLEST.height)
            .ok_or_else(|| format!("a size such as 100x30, at least {}x{}", SMALLEST.width, SMALLEST.height))
    }
}

/// Returns the size of the terminal on stdout.
pub(crate) fn size() -> Option<Size> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    Some(Size { width: size.ws_col.into(), height: size.ws_row.into() })
}

/// Its size, if stdout is a terminal that understands more than lines and is large enough.
pub(crate) fn drawable() -> Option<Size> {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let size = size().filter(|size| size.width >= SMALLEST.width && size.height >= SMALLEST.height);
    size.filter(|_| !dumb && std::io::stdout().is_terminal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_too_small_ones_refused() {
        for (text, expected) in [
            ("100x30", Some((100, 30))),
            ("72x18", Some((72, 18))),
            ("71x30", None),
            ("100x17", None),
            ("100", None),
            ("100x", None),
            ("-100x30", None),
            ("", None),
        ] {
            let size = text.parse::<Size>().ok().map(|size| (size.width, size.height));
            assert_eq!(size, expected, "{text}");
        }
    }
}
