//! The size of a terminal, and whether it can be drawn on.

use std::io::IsTerminal as _;

use rustix::termios::tcgetwinsize;

/// Columns and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// Smaller terminals get lines instead of a screen.
const SMALLEST: Size = Size { width: 72, height: 18 };

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
