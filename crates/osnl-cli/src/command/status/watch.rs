//! `osnl status --watch`: the status again and again. On a terminal it redraws; elsewhere it prints a block each
//! time. Ctrl-C ends it with 0, and so does a reader that has gone, such as `head`.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use osnl::control::Status;
use tokio::sync::mpsc;

use super::super::asking::NoAnswer;
use super::{StatusArgs, look, text, tint};
use crate::app::{self, ProgramSignal, Signals};
use crate::exit::Exit;
use crate::flags::PlaceArgs;
use crate::output::{self, Put, put};
use crate::terminal::{self, Keys, Size, Terminal, cell};

type StatusLook = Result<Status, NoAnswer>;

pub(super) fn run(args: &StatusArgs) -> Exit {
    let looks = looking(args.place.clone(), args.interval);
    let watched = app::block_on(async {
        let mut signals = Signals::catch();
        watch(looks, &mut signals).await
    });
    watched.unwrap_or(Exit::Failed)
}

/// Asks on a thread of its own: a daemon that hangs must not keep Ctrl-C waiting.
fn looking(place: PlaceArgs, interval: Duration) -> mpsc::Receiver<StatusLook> {
    let (sender, looks) = mpsc::channel(1);
    std::thread::spawn(move || {
        // Nothing is ever sent: its time-out is the pause.
        let (_open, pause) = channel::<()>();
        while sender.blocking_send(look(&place)).is_ok() {
            if pause.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    looks
}

async fn watch(mut looks: mpsc::Receiver<StatusLook>, signals: &mut Signals) -> Exit {
    let terminal = terminal::drawable().map(|_| Terminal::enter(Keys::Silent));
    loop {
        let looked = tokio::select! {
            biased;
            signal = signals.next() => match signal {
                ProgramSignal::End(_) => return Exit::Done,
                ProgramSignal::Hangup => continue,
            },
            Some(look) = looks.recv() => look,
            else => return Exit::Failed,
        };
        let block = block(&looked);
        match (&terminal, terminal::size()) {
            (Some(terminal), Some(size)) => terminal.draw(&lines(&block, size)),
            _ => match put(format!("{block}\n").as_bytes()) {
                Put::Done => {}
                Put::Gone => return Exit::Done,
                Put::Failed => return Exit::Failed,
            },
        }
    }
}

fn block(looked: &Result<Status, NoAnswer>) -> String {
    let status = match looked {
        Ok(status) => text(status),
        Err(error) => format!("! {}\n", super::super::asking::short(error.message(), 400)),
    };
    format!("{}\n\n{status}", jiff::Zoned::now().strftime("%F %T"))
}

/// As much as the terminal has room for.
fn lines(block: &str, size: Size) -> Vec<String> {
    let colour = terminal::coloured();
    let fit = |line: &str| {
        let line = cell(line, size.width).trim_end().to_owned();
        if colour { output::tinted(&line, tint) } else { line }
    };
    block.lines().take(size.height).map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_cut_to_the_terminal() {
        let size = Size { width: 10, height: 2 };
        let shown = lines("a line that is long\nsecond\nthird\n", size);
        assert_eq!(shown, ["a line th…", "second"]);
    }
}
