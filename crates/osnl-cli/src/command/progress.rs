//! The progress of long work, on standard error: a bar with rate and time left on a terminal, else a line every ten
//! seconds. Ctrl-C says what was done and ends with 130, or cancels the work, which then removes what it has begun.
//!
//! Two lines of drawing need no crate of widgets.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use osnl::control::RequestProgress;
use osnl::journal::sqlite::upkeep::{Observer, UpkeepProgress};

use super::asking::age;
use crate::app::Signals;

/// The interval between two lines where no terminal is.
const LINE: Duration = Duration::from_secs(10);
/// The interval between two drawings.
const DRAW: Duration = Duration::from_millis(100);
/// Work that takes less needs no bar.
const QUIET: Duration = Duration::from_millis(700);
/// The cells of the bar.
const BAR: usize = 24;
/// The exit status after Ctrl-C.
const INTERRUPTED: i32 = 130;

/// A display of progress; it disappears when it is dropped.
pub(super) struct Display(Arc<ProgressState>);

struct ProgressState {
    /// As the lines name what is done: `deliveries`.
    what: &'static str,
    /// As the line after Ctrl-C has it: `retried`.
    done: &'static str,
    begun: Instant,
    is_terminal: bool,
    is_over: AtomicBool,
    is_cancelled: AtomicBool,
    state: Mutex<DisplayState>,
}

#[derive(Default)]
struct DisplayState {
    latest: RequestProgress,
    shown: Option<Instant>,
    is_drawn: bool,
}

impl Display {
    /// Begins; from now on Ctrl-C ends the program with a line that says what was done.
    pub(super) fn start(what: &'static str, done: &'static str) -> Self {
        let shared = Arc::new(ProgressState::new(what, done));
        let interrupted = shared.clone();
        // Without the thread Ctrl-C ends the program as ever.
        let _ = std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || interrupted.wait());
        Self(shared)
    }

    /// Begins; from now on Ctrl-C, SIGTERM, and SIGHUP cancel the work by its observer. A second one ends the program.
    pub(super) fn cancelling(what: &'static str) -> Self {
        let shared = Arc::new(ProgressState::new(what, ""));
        let interrupted = shared.clone();
        let (caught, catches) = mpsc::channel();
        let thread = std::thread::Builder::new().name("ctrl-c".to_owned());
        // No file is begun before signals are caught.
        if thread.spawn(move || interrupted.wait_to_cancel(&caught)).is_ok() {
            let _ = catches.recv();
        }
        Self(shared)
    }

    /// Returns an observer that shows progress as `unit` converts it, and cancels the work after a signal.
    pub(super) fn observer(&self, unit: fn(RequestProgress) -> RequestProgress) -> Observer {
        let shared = self.0.clone();
        Arc::new(move |UpkeepProgress { done, of }| {
            let progress = unit(RequestProgress { done, of });
            if progress.of > 0 {
                shared.show(progress);
            }
            match shared.is_cancelled.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    }

    /// Shows it, if that is due.
    pub(super) fn show(&self, progress: RequestProgress) {
        self.0.show(progress);
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        self.0.clear();
    }
}

impl ProgressState {
    fn new(what: &'static str, done: &'static str) -> Self {
        Self {
            what,
            done,
            begun: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            is_over: AtomicBool::new(false),
            is_cancelled: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    fn show(&self, progress: RequestProgress) {
        let mut state = self.lock();
        state.latest = progress;
        let due = if self.is_terminal { DRAW } else { LINE };
        let first = if self.is_terminal { QUIET } else { LINE };
        let is_due = match state.shown {
            Some(shown) => shown.elapsed() >= due,
            None => self.begun.elapsed() >= first,
        };
        if !is_due {
            return;
        }
        state.shown = Some(Instant::now());
        let line = line(progress, self.what, self.begun.elapsed());
        let mut stderr = std::io::stderr();
        // Nothing depends on it.
        let _ = if self.is_terminal {
            state.is_drawn = true;
            write!(stderr, "\r{} {line}\x1b[K", bar(progress)).and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "osnl: {line}")
        };
    }

    fn wait_to_cancel(&self, caught: &mpsc::Sender<()>) {
        let _ = crate::app::block_on(async {
            // A file-size limit then fails a write, instead of ending the program.
            let mut signals = Signals::catch();
            let _ = caught.send(());
            signals.next().await;
            self.is_cancelled.store(true, Ordering::Relaxed);
            signals.next().await;
        });
        std::process::exit(INTERRUPTED);
    }

    fn lock(&self) -> MutexGuard<'_, DisplayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self) {
        if std::mem::take(&mut self.lock().is_drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn wait(&self) {
        let Ok(Ok(())) = crate::app::block_on(tokio::signal::ctrl_c()) else { return };
        if !self.is_over.load(Ordering::Relaxed) {
            self.clear();
            let RequestProgress { done, of } = self.lock().latest;
            let _ = writeln!(
                std::io::stderr(),
                "osnl: interrupted: at least {done} of {of} {} were {}; run the command again for the others",
                self.what,
                self.done
            );
        }
        std::process::exit(INTERRUPTED);
    }
}

/// `1200 of 5000 deliveries, 300/s, 13 s left`.
fn line(RequestProgress { done, of }: RequestProgress, what: &str, since: Duration) -> String {
    let rate = done as f64 / since.as_secs_f64().max(0.001);
    let mut line = format!("{done} of {of} {what}, {rate:.0}/s");
    if rate > 0.0 && of > done {
        line.push_str(&format!(", {} left", age(((of - done) as f64 / rate).ceil() as u64)));
    }
    line
}

fn bar(RequestProgress { done, of }: RequestProgress) -> String {
    let full = if of == 0 { 0 } else { (done.min(of) as usize * BAR) / of as usize };
    format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left_are_shown() {
        let progress = |done, of| RequestProgress { done, of };
        let two = Duration::from_secs(2);
        assert_eq!(line(progress(600, 1500), "events", two), "600 of 1500 events, 300/s, 3 s left");
        assert_eq!(line(progress(1500, 1500), "events", two), "1500 of 1500 events, 750/s");
        assert_eq!(line(progress(0, 0), "events", two), "0 of 0 events, 0/s");
        assert_eq!(bar(progress(0, 0)), format!("[{}]", ".".repeat(24)));
        assert_eq!(bar(progress(6, 12)), format!("[{}{}]", "#".repeat(12), ".".repeat(12)));
        assert_eq!(bar(progress(13, 12)), format!("[{}]", "#".repeat(24)));
    }
}
