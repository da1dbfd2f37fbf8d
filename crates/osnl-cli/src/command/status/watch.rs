//! `--watch` of `osnl status` and `osnl queues`. Redraws on a terminal, else prints a block each time. Ctrl-C or a
//! closed pipe, such as of `head`, ends with 0.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::Event;
use ratatui::text::{Line, Span, Text};
use tokio::sync::mpsc;

use crate::app::{self, ProgramSignal, Signals};
use crate::exit::Exit;
use crate::output::{Put, Tint, put};
use crate::terminal::{self, clipped};

pub(in crate::command) fn run(
    render: impl Fn() -> String + Send + 'static,
    interval: Duration,
    tint: Tint,
) -> Exit {
    let screens = screens_of(render, interval);
    let watched = app::block_on(async {
        let mut signals = Signals::catch();
        watch(screens, tint, &mut signals).await
    });
    watched.unwrap_or(Exit::Failed)
}

/// Asks on its own thread, so that a hung daemon does not delay Ctrl-C.
fn screens_of(render: impl Fn() -> String + Send + 'static, interval: Duration) -> mpsc::Receiver<String> {
    let (sender, screens) = mpsc::channel(1);
    std::thread::spawn(move || {
        // Nothing is ever sent, so the time-out of a receive is the pause.
        let (_open, pause) = channel::<()>();
        while sender.blocking_send(render()).is_ok() {
            if pause.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    screens
}

async fn watch(screens: mpsc::Receiver<String>, tint: Tint, signals: &mut Signals) -> Exit {
    let mut terminal = terminal::is_drawable().then(terminal::open).and_then(Result::ok);
    let ended = watch_on(terminal.as_mut(), screens, tint, signals).await;
    if let Some(terminal) = terminal {
        terminal::close(terminal);
    }
    ended
}

async fn watch_on(
    mut terminal: Option<&mut DefaultTerminal>,
    mut screens: mpsc::Receiver<String>,
    tint: Tint,
    signals: &mut Signals,
) -> Exit {
    let (sender, mut events) = mpsc::channel(1);
    if terminal.is_some() {
        terminal::read_events(move |event| sender.blocking_send(event).is_ok());
    }
    let mut shown = String::new();
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
        let Some(terminal) = &mut terminal else {
            match put(format!("{shown}\n").as_bytes()) {
                Put::Done => continue,
                Put::Gone => return Exit::Done,
                Put::Failed => return Exit::Failed,
            }
        };
        // An error means that the terminal is gone.
        if redraw(terminal, &shown, tint, event).is_err() {
            return Exit::Done;
        }
    }
}

fn redraw(terminal: &mut DefaultTerminal, shown: &str, tint: Tint, event: Option<Event>) -> io::Result<()> {
    if let Some(Event::Key(key)) = event {
        terminal::act(terminal, key)?;
    }
    terminal::draw(terminal, |frame| {
        frame.render_widget(picture(shown, frame.area().width, tint), frame.area());
    })
}

fn block(screen: &str) -> String {
    format!("{}\n\n{screen}", jiff::Zoned::now().strftime("%F %T"))
}

fn picture(block: &str, width: u16, tint: Tint) -> Text<'static> {
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
    block.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_cut_to_the_terminal() {
        let shown = picture("! a line that is long\nsecond", 10, |_| None);
        assert_eq!(shown.to_string(), "! a line …\nsecond");
    }
}
