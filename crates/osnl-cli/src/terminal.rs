//! The terminal: colours and widths of plain lines, and the full-screen views of `osnl tap` and
//! `osnl status --watch`.
//!
//! ratatui draws the views; crossterm reads keys and switches the modes. In raw mode Ctrl-C and
//! Ctrl-Z are keys: [`read_events`] and [`act`] send their signals. [`close`] restores the
//! terminal. ratatui's hook does so before a panic is reported, and [`leave`] before an exit
//! without drops.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _, stdout};

use osnl::control::StateTone;
use ratatui::backend::IntoCrossterm as _;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, DisableBracketedPaste, Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    self, EnterAlternateScreen, disable_raw_mode, enable_raw_mode, is_raw_mode_enabled,
};
use ratatui::layout::Size;
use ratatui::style::Style;
use ratatui::{DefaultTerminal, Frame};
use rustix::event::{Timespec, poll};
use rustix::process::{Signal, kill_current_process_group};
use unicode_truncate::UnicodeTruncateStr as _;
use unicode_width::UnicodeWidthStr as _;

const SMALLEST: Size = Size::new(72, 18);

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
    pub(crate) fn paint(self, text: &str) -> String {
        Style::from(self).into_crossterm().apply(text).to_string()
    }
}

impl From<StateTone> for Tone {
    fn from(tone: StateTone) -> Self {
        match tone {
            StateTone::Good => Self::Good,
            StateTone::Warn => Self::Warn,
            StateTone::Bad => Self::Bad,
            StateTone::Quiet => Self::Plain,
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

pub(crate) fn clipped(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return text.into();
    }
    let (beginning, _) = text.unicode_truncate(columns.saturating_sub(1));
    format!("{beginning}…").into()
}

pub(crate) fn columns() -> Option<usize> {
    size().map(|size| size.width.into()).filter(|width| *width > 0)
}

pub(crate) fn is_drawable() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !is_dumb && size().is_some_and(|size| size.width >= SMALLEST.width && size.height >= SMALLEST.height)
}

/// Returns the size, but not for a file: crossterm would then report the controlling terminal.
fn size() -> Option<Size> {
    let size = stdout().is_terminal().then(terminal::size)?;
    size.ok().map(Size::from)
}

pub(crate) fn coloured() -> bool {
    stdout().is_terminal() && are_colours_wanted()
}

pub(crate) fn on_stderr(tone: Tone, text: &str) -> String {
    if io::stderr().is_terminal() && are_colours_wanted() { tone.paint(text) } else { text.to_owned() }
}

pub(crate) fn are_colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

pub(crate) fn open() -> io::Result<DefaultTerminal> {
    ratatui::try_init().inspect_err(|_| leave())
}

/// Draws nothing once the terminal was restored, as before another thread's panic is reported.
pub(crate) fn draw(terminal: &mut DefaultTerminal, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
    if is_raw_mode_enabled()? {
        terminal.draw(picture)?;
    }
    Ok(())
}

/// Passes keys and resizes to `take` until it returns `false`. Ctrl-C sends SIGINT, even while a
/// view answers no keys.
///
/// A key at the moment of a resize is read only with the next key: crossterm returns the resize and
/// waits for new input. crossterm reads on its own thread: on a lost terminal its reads never
/// return, and a caller waiting for them could not end.
pub(crate) fn read_events(mut take: impl FnMut(Event) -> bool + Send + 'static) -> io::Result<()> {
    let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    std::thread::Builder::new().spawn(move || {
        while let Ok(event) = event::read() {
            if event == interrupt {
                // All programs of a pipe get the signal; a refusal has no remedy.
                let _ = kill_current_process_group(Signal::INT);
            } else if !take(event) {
                return;
            }
        }
    })?;
    Ok(())
}

pub(crate) fn act(terminal: &mut DefaultTerminal, key: KeyEvent) -> io::Result<bool> {
    match (key.code, key.modifiers) {
        (KeyCode::Char('z'), KeyModifiers::CONTROL) => suspend(terminal)?,
        (KeyCode::Char('l'), KeyModifiers::CONTROL) => repaint(terminal)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn suspend(terminal: &mut DefaultTerminal) -> io::Result<()> {
    leave();
    let _ = kill_current_process_group(Signal::TSTP);
    // Another thread may receive the signal, so this thread waits to be stopped before the screen
    // is entered again.
    let pause = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let _ = poll(&mut [], Some(&pause));
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen)?;
    repaint(terminal)
}

fn repaint(terminal: &mut DefaultTerminal) -> io::Result<()> {
    // `Terminal::clear` asks for the cursor's place, but the thread of the keys would read the
    // answer.
    let size = terminal.size()?;
    terminal.resize(size.into())
}

pub(crate) fn close(mut terminal: DefaultTerminal) {
    leave();
    // On a lost terminal the drop would panic, since standard error is lost too.
    if terminal.show_cursor().is_err() {
        std::mem::forget(terminal);
    }
}

pub(crate) fn leave() {
    if is_raw_mode_enabled().unwrap_or(false) {
        let _ = execute!(stdout(), Show);
        let _ = ratatui::try_restore();
    }
}

pub(crate) fn leave_question() {
    if is_raw_mode_enabled().unwrap_or(false) {
        let _ = disable_raw_mode();
        let _ = execute!(io::stderr(), DisableBracketedPaste, Show);
        let _ = writeln!(io::stderr());
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
