//! The terminal: colours and widths of plain lines, and the full-screen views of `osnl tap` and `osnl status --watch`.
//!
//! ratatui draws the views; crossterm reads their keys and switches the modes. In raw mode Ctrl-C and Ctrl-Z are keys:
//! [`read_events`] and [`act`] send their signals. [`close`] gives the terminal back; ratatui's hook does it before
//! a panic is reported, and [`leave`] at an end of the program that drops nothing.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, stdout};

use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{self, EnterAlternateScreen, enable_raw_mode, is_raw_mode_enabled};
use ratatui::layout::Size;
use ratatui::style::Style;
use ratatui::{DefaultTerminal, Frame};
use rustix::event::{Timespec, poll};
use rustix::process::{Signal, kill_current_process_group};
use unicode_truncate::UnicodeTruncateStr as _;
use unicode_width::UnicodeWidthStr as _;

/// Smaller terminals get lines instead of a screen.
const SMALLEST: Size = Size::new(72, 18);

/// The colour of a text on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Dim,
    Good,
    Warn,
    Bad,
    Strong,
}

impl Tone {
    /// The text as a terminal shows it in this tone.
    pub(crate) fn paint(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Dim => format!("\x1b[2m{text}\x1b[0m"),
            Self::Good => format!("\x1b[32m{text}\x1b[0m"),
            Self::Warn => format!("\x1b[33m{text}\x1b[0m"),
            Self::Bad => format!("\x1b[31m{text}\x1b[0m"),
            Self::Strong => format!("\x1b[1m{text}\x1b[0m"),
        }
    }
}

impl From<Tone> for Style {
    fn from(tone: Tone) -> Self {
        match tone {
            Tone::Plain => Self::new(),
            Tone::Dim => Self::new().dim(),
            Tone::Good => Self::new().green(),
            Tone::Warn => Self::new().yellow(),
            Tone::Bad => Self::new().red(),
            Tone::Strong => Self::new().bold(),
        }
    }
}

/// Cuts a text to these columns; a text that was cut ends in `…`.
pub(crate) fn clipped(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return text.into();
    }
    let (beginning, _) = text.unicode_truncate(columns.saturating_sub(1));
    format!("{beginning}…").into()
}

/// Returns the width of standard output in columns, if it is a terminal that reports one.
pub(crate) fn columns() -> Option<usize> {
    size().map(|size| size.width.into()).filter(|width| *width > 0)
}

/// Whether a screen can be drawn: standard output is a terminal, understands more than lines, and is large enough.
pub(crate) fn is_drawable() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !is_dumb && size().is_some_and(|size| size.width >= SMALLEST.width && size.height >= SMALLEST.height)
}

/// crossterm asks the controlling terminal even where standard output is a file.
fn size() -> Option<Size> {
    let size = stdout().is_terminal().then(terminal::size)?;
    size.ok().map(Size::from)
}

/// Whether colours are wanted on standard output: it is a terminal that knows them, and `NO_COLOR` is not set.
pub(crate) fn coloured() -> bool {
    stdout().is_terminal() && are_colours_wanted()
}

/// A word on standard error, in its tone if that is a terminal that wants colours.
pub(crate) fn on_stderr(tone: Tone, text: &str) -> String {
    if io::stderr().is_terminal() && are_colours_wanted() { tone.paint(text) } else { text.to_owned() }
}

/// Whether colours are allowed: neither `NO_COLOR` nor `TERM=dumb` is set.
pub(crate) fn are_colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// Begins a full-screen view.
pub(crate) fn open() -> io::Result<DefaultTerminal> {
    ratatui::try_init().inspect_err(|_| leave())
}

/// Draws a picture. Nothing once the terminal was given back, as it is before a panic of another thread is reported.
pub(crate) fn draw(terminal: &mut DefaultTerminal, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
    if is_raw_mode_enabled()? {
        terminal.draw(picture)?;
    }
    Ok(())
}

/// Hands on keys and resizes until `take` refuses one. Ctrl-C sends its signal, also while a view answers no keys.
///
/// A key that comes in the same moment as a resize is read with the next key: crossterm returns the resize and waits for
/// new input. crossterm reads on a thread of its own: on a terminal that has gone its reads never return, and a caller that waits
/// for them could not end.
pub(crate) fn read_events(mut take: impl FnMut(Event) -> bool + Send + 'static) {
    let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if event == interrupt {
                // All programs of a pipe get it. Nothing can be done where that is refused.
                let _ = kill_current_process_group(Signal::INT);
            } else if !take(event) {
                return;
            }
        }
    });
}

/// Carries out Ctrl-Z, and Ctrl-L, which draws everything anew. Returns whether the key was one of them.
pub(crate) fn act(terminal: &mut DefaultTerminal, key: KeyEvent) -> io::Result<bool> {
    match (key.code, key.modifiers) {
        (KeyCode::Char('z'), KeyModifiers::CONTROL) => suspend(terminal)?,
        (KeyCode::Char('l'), KeyModifiers::CONTROL) => repaint(terminal)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Gives the terminal back and stops; continues when the shell asks for it.
fn suspend(terminal: &mut DefaultTerminal) -> io::Result<()> {
    leave();
    let _ = kill_current_process_group(Signal::TSTP);
    // Another thread may take the signal: it stops this one within the moment, before the screen is entered again.
    let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let _ = poll(&mut [], Some(&moment));
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen)?;
    repaint(terminal)
}

/// Clears the screen; the next picture is drawn as a whole.
fn repaint(terminal: &mut DefaultTerminal) -> io::Result<()> {
    // `Terminal::clear` asks for the cursor, whose answer only the thread of the keys could read.
    let size = terminal.size()?;
    terminal.resize(size.into())
}

/// Ends a full-screen view.
pub(crate) fn close(mut terminal: DefaultTerminal) {
    leave();
    // Dropped on a terminal that has gone, it would panic: standard error has gone too.
    if terminal.show_cursor().is_err() {
        std::mem::forget(terminal);
    }
}

/// Gives the terminal back, if a view has it.
pub(crate) fn leave() {
    if is_raw_mode_enabled().unwrap_or(false) {
        // A terminal that has gone needs nothing.
        let _ = execute!(stdout(), Show);
        let _ = ratatui::try_restore();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_columns() {
        for (text, columns, expected) in [
            ("port", 6, "port"),
            ("port", 4, "port"),
            ("port", 3, "po…"),
            ("仮想", 4, "仮想"),
            ("仮想機", 4, "仮…"),
            ("仮想", 3, "仮…"),
            ("e\u{301}é", 2, "e\u{301}é"),
        ] {
            assert_eq!(clipped(text, columns), expected, "{text} {columns}");
        }
    }
}
