//! The terminal as a screen: for `osnl status --watch`, which draws, and `osnl tap`, which is also typed at.
//!
//! It switches to the second screen, so what was there before comes back, and to keys that are not echoed.
//! It is given back with every end: when the [`Terminal`] is dropped, before a panic is reported, and by [`leave`]
//! for ends that drop nothing. Ctrl-C stays a signal; Ctrl-Z is a key, see [`Terminal::suspend`].
//!
//! | file | what |
//! | --- | --- |
//! | `keys.rs` | what was typed |
//! | `paint.rs` | texts of a tone and a width: pure |
//! | `size.rs` | how large it is, and whether it can be drawn on |
//!
//! Two pages of lists and texts need no widget library, and crossterm alone brings mio, signal-hook, and parking_lot
//! for the same system calls.

mod keys;
mod paint;
mod size;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, Once, PoisonError};

use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

pub(crate) use self::keys::{Input, Key, Keyboard};
pub(crate) use self::paint::{Tone, TonedText, cell, paint, width, wrap};
pub(crate) use self::size::{Size, drawable, size};

/// The second screen, and no cursor in it.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The treatment of keys while the screen is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// They are not echoed, and not read.
    Silent,
    /// Each is read when it is typed.
    Read,
}

/// The state to restore: whether the second screen is shown, and the settings of stdin.
static ENTERED: Mutex<Option<Option<Termios>>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// The second screen, until dropped.
pub(crate) struct Terminal {
    keys: Keys,
}

impl Terminal {
    pub(crate) fn enter(keys: Keys) -> Self {
        // What a panic says must not vanish with the second screen.
        HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                leave();
                report(panic);
            }));
        });
        enter(keys);
        Self { keys }
    }

    /// Draws a whole screen: these lines from the top, nothing else. Nothing once it has been left.
    pub(crate) fn draw(&self, lines: &[String]) {
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

    /// Gives the terminal back and stops, as Ctrl-Z does; goes on when the shell says so.
    pub(crate) fn suspend(&self) {
        leave();
        // All of a pipe's programs, as if the terminal had sent it. Nothing can be done where that is refused.
        let _ = rustix::process::kill_current_process_group(Signal::TSTP);
        // The signal may be taken by another thread: a moment, so that it has come before the screen is entered again.
        let moment = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let _ = rustix::event::poll(&mut [], Some(&moment));
        enter(self.keys);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back, if it was entered.
pub(crate) fn leave() {
    let entered = ENTERED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(stdin) = entered {
        write(LEAVE);
        if let Some(stdin) = stdin {
            // Nothing can be done about a terminal that has gone.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &stdin);
        }
    }
}

/// Returns the width of standard output in columns, if it is a terminal that reports one.
pub(crate) fn columns() -> Option<usize> {
    size().map(|size| size.width).filter(|width| *width > 0)
}

/// Whether colours are wanted on standard output: it is a terminal that knows them, and `NO_COLOR` is not set.
pub(crate) fn coloured() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdout().is_terminal() && are_colours_wanted()
}

/// A word on standard error, in its tone if that is a terminal that wants colours.
pub(crate) fn on_stderr(tone: Tone, text: &str) -> String {
    use std::io::IsTerminal as _;
    if std::io::stderr().is_terminal() && are_colours_wanted() { tone.paint(text) } else { text.to_owned() }
}

/// Whether colours are allowed: neither `NO_COLOR` nor `TERM=dumb` is set.
pub(crate) fn are_colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

fn enter(keys: Keys) {
    let mut entered = ENTERED.lock().unwrap_or_else(PoisonError::into_inner);
    *entered = Some(match keys {
        Keys::Silent => change_stdin(|modes| modes.local_modes.remove(LocalModes::ECHO)),
        Keys::Read => change_stdin(|modes| {
            modes.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN);
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            // No key: a stop must give the screen back first.
            modes.special_codes[SpecialCodeIndex::VSUSP] = 0;
        }),
    });
    write(ENTER);
}

/// Gives what was before, if stdin is a terminal.
fn change_stdin(change: impl FnOnce(&mut Termios)) -> Option<Termios> {
    let before = tcgetattr(std::io::stdin()).ok()?;
    let mut changed = before.clone();
    change(&mut changed);
    tcsetattr(std::io::stdin(), OptionalActions::Now, &changed).ok()?;
    Some(before)
}

fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // A terminal that has gone does not end the program; its signal does.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
