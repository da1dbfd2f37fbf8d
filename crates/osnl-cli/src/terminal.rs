//! The terminal: its size, its second screen, and giving both back.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::str::FromStr;
use std::sync::{Mutex, Once, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Columns and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// Smaller terminals get lines instead of a screen.
const SMALLEST: Size = Size { width: 72, height: 18 };
/// The second screen, and no cursor in it.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// What must be given back: whether the second screen is shown, and how stdin was.
static ENTERED: Mutex<Option<Option<Termios>>> = Mutex::new(None);
static HOOK: Once = Once::new();

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

/// How large the terminal on stdout is.
pub(super) fn size() -> Option<Size> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    Some(Size { width: size.ws_col.into(), height: size.ws_row.into() })
}

/// Its size, if stdout is a terminal that understands more than lines and is large enough.
pub(super) fn drawable() -> Option<Size> {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let size = size().filter(|size| size.width >= SMALLEST.width && size.height >= SMALLEST.height);
    size.filter(|_| !dumb && std::io::stdout().is_terminal())
}

/// The second screen, until dropped.
pub(super) struct Terminal(());

impl Terminal {
    /// `real`: there is a terminal, whose echo of keys is turned off.
    pub(super) fn enter(real: bool) -> Self {
        // What a panic says must not vanish with the second screen.
        HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                leave();
                report(panic);
            }));
        });
        let mut entered = ENTERED.lock().unwrap_or_else(PoisonError::into_inner);
        *entered = Some(real.then(without_echo).flatten());
        write(ENTER);
        Self(())
    }

    /// Draws a whole screen: these lines from the top, nothing else.
    pub(super) fn draw(&self, lines: &[String]) {
        if ENTERED.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return;
        }
        let mut text = String::from("\x1b[H");
        for (number, line) in lines.iter().enumerate() {
            let end = if number + 1 == lines.len() { "" } else { "\r\n" };
            // To a String, which takes everything.
            let _ = write!(text, "{line}\x1b[K{end}");
        }
        text += "\x1b[J";
        write(&text);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

fn leave() {
    let entered = ENTERED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(stdin) = entered {
        write(LEAVE);
        if let Some(stdin) = stdin {
            // Nothing can be done about a terminal that has gone.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &stdin);
        }
    }
}

/// Turns the echo of keys off; gives what was before.
fn without_echo() -> Option<Termios> {
    let before = tcgetattr(std::io::stdin()).ok()?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(std::io::stdin(), OptionalActions::Now, &quiet).ok()?;
    Some(before)
}

fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // A terminal that has gone does not end the demo; its signal does.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
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
