//! `--watch` of `osnl status` and `osnl queues`. Redraws on a terminal, where keys scroll, else prints a block each time.
//! q, Ctrl-C, or a closed pipe, such as of `head`, ends with 0.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind};
use ratatui::text::{Line, Span, Text};
use tokio::sync::mpsc;

use crate::app::{self, ProgramSignal, Signals};
use crate::command::sources::complain;
use crate::exit::Exit;
use crate::output::{self, Put, Tint, put};
use crate::terminal::{self, clipped};

pub(in crate::command) fn run(
    render: impl Fn() -> String + Send + 'static,
    interval: Duration,
    tint: Tint,
) -> Exit {
    let screens = match screens_of(render, interval) {
        Ok(screens) => screens,
        Err(error) => {
            complain(&format!("no thread asks the daemon: {error}"));
            return Exit::Failed;
        }
    };
    let watched = app::block_on(async {
        let mut signals = Signals::catch();
        watch(screens, tint, &mut signals).await
    });
    watched.unwrap_or(Exit::Failed)
}

/// Asks on its own thread, so that a hung daemon does not delay Ctrl-C.
fn screens_of(
    render: impl Fn() -> String + Send + 'static,
    interval: Duration,
) -> io::Result<mpsc::Receiver<String>> {
    let (sender, screens) = mpsc::channel(1);
    std::thread::Builder::new().spawn(move || {
        // Nothing is ever sent, so the time-out of a receive is the pause.
        let (_open, pause) = channel::<()>();
        while sender.blocking_send(render()).is_ok() {
            if pause.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    })?;
    Ok(screens)
}

async fn watch(screens: mpsc::Receiver<String>, tint: Tint, signals: &mut Signals) -> Exit {
    let mut terminal = terminal::is_drawable().then(terminal::open).and_then(Result::ok);
    let (sender, events) = mpsc::channel(1);
    let keys = match &terminal {
        Some(_) => terminal::read_events(move |event| sender.blocking_send(event).is_ok()),
        None => Ok(()),
    };
    let ended = match &keys {
        Ok(()) => watch_on(terminal.as_mut(), (screens, events), tint, signals).await,
        Err(_) => Exit::Failed,
    };
    if let Some(terminal) = terminal {
        terminal::close(terminal);
    }
    if let Err(error) = keys {
        complain(&format!("no thread reads the keys: {error}"));
    }
    ended
}

async fn watch_on(
    mut terminal: Option<&mut DefaultTerminal>,
    (mut screens, mut events): (mpsc::Receiver<String>, mpsc::Receiver<Event>),
    tint: Tint,
    signals: &mut Signals,
) -> Exit {
    let (mut shown, mut top) = (String::new(), 0);
    loop {
        let event = tokio::select! {
            biased;
            signal = signals.next() => match signal {
                ProgramSignal::End(_) => return Exit::Done,
                // Under nohup the status continues.
                ProgramSignal::Hangup if terminal.is_none() => continue,
                ProgramSignal::Hangup => return Exit::Done,
            },
            Some(event) = events.recv() => Some(event),
            Some(screen) = screens.recv() => {
                shown = block(&screen);
                None
            }
            else => return Exit::Failed,
        };
        if matches!(event, Some(Event::Key(key)) if key.code == KeyCode::Char('q')) {
            return Exit::Done;
        }
        let Some(terminal) = &mut terminal else {
            match put(format!("{shown}\n").as_bytes()) {
                Put::Done => continue,
                Put::Gone => return Exit::Done,
                Put::Failed => return Exit::Failed,
            }
        };
        // An error means that the terminal is gone.
        if redraw(terminal, (&shown, &mut top), tint, event).is_err() {
            return Exit::Done;
        }
    }
}

fn redraw(
    terminal: &mut DefaultTerminal,
    (shown, top): (&str, &mut usize),
    tint: Tint,
    event: Option<Event>,
) -> io::Result<()> {
    let key = match event {
        Some(Event::Key(key)) if key.kind != KeyEventKind::Release => Some(key),
        _ => None,
    };
    let key = match key {
        Some(key) => (!terminal::act(terminal, key)?).then_some(key),
        None => None,
    };
    terminal::draw(terminal, |frame| {
        let area = frame.area();
        let (lines, height) = (shown.lines().count(), usize::from(area.height));
        *top = scrolled(*top, key, lines, height);
        frame.render_widget(picture(shown, (*top, height), area.width, tint), area);
    })
}

/// Returns the first line to show. A screen that fits begins with its first line.
fn scrolled(top: usize, key: Option<KeyEvent>, lines: usize, height: usize) -> usize {
    // The last row says how to scroll.
    let page = height.saturating_sub(1).max(1);
    let last = if lines <= height { 0 } else { lines.saturating_sub(page) };
    let top = match key.map(|key| key.code) {
        Some(KeyCode::Down | KeyCode::Char('j')) => top.saturating_add(1),
        Some(KeyCode::Up | KeyCode::Char('k')) => top.saturating_sub(1),
        Some(KeyCode::PageDown | KeyCode::Char(' ')) => top.saturating_add(page),
        Some(KeyCode::PageUp) => top.saturating_sub(page),
        Some(KeyCode::Home | KeyCode::Char('g')) => 0,
        Some(KeyCode::End | KeyCode::Char('G')) => last,
        Some(_) | None => top,
    };
    top.min(last)
}

fn block(screen: &str) -> String {
    output::for_locale(&format!("{}\n\n{screen}", jiff::Timestamp::now().strftime("%FT%TZ"))).into_owned()
}

fn picture(block: &str, (top, height): (usize, usize), width: u16, tint: Tint) -> Text<'static> {
    let line = |line: &str| {
        let line = clipped(line, width.into()).into_owned();
        match tint(&line).filter(|_| terminal::are_colours_wanted()) {
            Some((tone, part)) => Line::from(vec![
                Span::raw(line[..part.start].to_owned()),
                Span::styled(line[part.clone()].to_owned(), tone),
                Span::raw(line[part.end..].to_owned()),
            ]),
            None => Line::from(line),
        }
    };
    let lines: Vec<&str> = block.lines().collect();
    if lines.len() <= height {
        return lines.into_iter().map(line).collect();
    }
    let shown = lines.iter().skip(top).take(height.saturating_sub(1));
    let last = (top + shown.len()).to_string();
    let hint = format!("lines {} to {last} of {}: arrows and Page keys scroll, q ends", top + 1, lines.len());
    shown.map(|text| line(text)).chain([line(&hint)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_cut_to_the_terminal() {
        let shown = picture("! a line that is long\nsecond", (0, 9), 10, |_| None);
        assert_eq!(shown.to_string(), "! a line …\nsecond");
    }

    #[test]
    fn keys_scroll_a_screen_that_does_not_fit_and_its_last_row_says_so() {
        let key = |code| Some(KeyEvent::from(code));
        for (top, code, expected) in [
            (0, KeyCode::Down, 1),
            (1, KeyCode::Up, 0),
            (0, KeyCode::Up, 0),
            (0, KeyCode::Char(' '), 3),
            (5, KeyCode::PageDown, 7),
            (5, KeyCode::PageUp, 2),
            (0, KeyCode::End, 7),
            (7, KeyCode::Home, 0),
            (7, KeyCode::Char('x'), 7),
        ] {
            assert_eq!(scrolled(top, key(code), 10, 4), expected, "{top} {code:?}");
        }
        // Fewer lines came, or the window has grown.
        assert_eq!((scrolled(7, None, 5, 4), scrolled(7, None, 5, 5)), (2, 0));
        let block = "a\nb\nc\nd\ne";
        let shown = picture(block, (1, 4), 80, |_| None).to_string();
        assert_eq!(shown, "b\nc\nd\nlines 2 to 4 of 5: arrows and Page keys scroll, q ends");
        assert_eq!(picture(block, (0, 5), 80, |_| None).to_string(), block);
    }
}
