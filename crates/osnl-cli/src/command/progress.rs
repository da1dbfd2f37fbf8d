//! The progress of long work on standard error: a bar with rate and time left on a terminal, else a
//! line every ten seconds, also where `TERM` is `dumb`. Ctrl-C prints the progress and ends with
//! 130, or cancels the work, which then removes its partial file.
//!
//! No bar has a thread of its own: only updates draw, so nothing is drawn after the work.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, mpsc};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use osnl::control::{RequestProgress, grouped};
use osnl::journal::sqlite::upkeep::{Observer, UpkeepProgress};

use super::asking::age;
use crate::app::Signals;
use crate::output;

const LINE: u64 = 10;
const QUIET: Duration = Duration::from_millis(700);
/// The bar of work with a known total. Without colours, so `NO_COLOR` needs no handling.
const BAR: &str = "[{bar:24}] {human_pos} of {human_len} {msg}, {rate}, {eta} left";
const INTERRUPTED: i32 = 130;
/// The number of displays whose threads wait for a signal. Only the thread of the newest ends the program.
static WAITING: AtomicU64 = AtomicU64::new(0);

pub(super) struct Display(Arc<ProgressState>);

struct ProgressState {
    done: &'static str,
    bar: ProgressBar,
    is_terminal: bool,
    is_drawn: Once,
    lines: AtomicU64,
    is_cancelled: AtomicBool,
    /// The advice for the rest after an interruption.
    rest: Mutex<String>,
}

impl Display {
    /// Starts a display. From now on Ctrl-C prints the progress and ends the program.
    pub(super) fn start(what: &'static str, done: &'static str) -> Self {
        let shared = Arc::new(ProgressState::new(what, done));
        let interrupted = shared.clone();
        let _ = std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || interrupted.wait());
        Self(shared)
    }

    /// Starts a display of work that Ctrl-C ends, or that handles signals itself.
    pub(super) fn plain(what: &'static str) -> Self {
        Self(Arc::new(ProgressState::new(what, "")))
    }

    /// Starts a display. From now on Ctrl-C, SIGTERM, and SIGHUP cancel the work by its observer. A
    /// second signal ends the program.
    pub(super) fn cancelling(what: &'static str) -> Self {
        let shared = Arc::new(ProgressState::new(what, ""));
        let interrupted = shared.clone();
        let (caught, catches) = mpsc::channel();
        let thread = std::thread::Builder::new().name("ctrl-c".to_owned());
        // Signals must be caught before the work creates a file.
        if thread.spawn(move || interrupted.wait_to_cancel(&caught)).is_ok() {
            let _ = catches.recv();
        }
        Self(shared)
    }

    /// Returns an observer that shows progress as `unit` converts it, and cancels the work after a
    /// signal.
    pub(super) fn observer(&self, unit: fn(RequestProgress) -> RequestProgress) -> Observer {
        let shared = self.0.clone();
        Arc::new(move |UpkeepProgress { done, of }| {
            let progress = unit(RequestProgress { done, of });
            if of == 0 {
                shared.show_without_total((done > 0).then_some(progress.done));
            } else if progress.of > 0 {
                shared.show(progress);
            }
            match shared.is_cancelled.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    }

    pub(super) fn show(&self, progress: RequestProgress) {
        self.0.show(progress);
    }

    /// Sets the advice that an interruption prints.
    pub(super) fn advise(&self, rest: String) {
        *self.0.rest.lock().unwrap_or_else(PoisonError::into_inner) = rest;
    }

    /// Hides the bar while something is printed.
    pub(super) fn hide_while<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.bar.suspend(print)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.0.bar.finish_and_clear();
    }
}

impl ProgressState {
    fn new(what: &'static str, done: &'static str) -> Self {
        let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
        let rate = move |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&rate(state.per_sec(), what));
        };
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        Self {
            done,
            bar: bar.with_style(style.progress_chars("#.").with_key("rate", rate)).with_message(what),
            is_terminal: !ProgressDrawTarget::stderr().is_hidden(),
            is_drawn: Once::new(),
            lines: AtomicU64::new(0),
            is_cancelled: AtomicBool::new(false),
            rest: Mutex::new("run the command again for the others".to_owned()),
        }
    }

    fn show(&self, RequestProgress { done, of }: RequestProgress) {
        if self.is_terminal && self.bar.elapsed() >= QUIET {
            self.is_drawn.call_once(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
        }
        self.bar.update(|state| {
            state.set_len(of);
            state.set_pos(done);
        });
        let due = self.bar.elapsed().as_secs() / LINE;
        if !self.is_terminal && self.lines.fetch_max(due, Ordering::Relaxed) < due {
            output::print_to_stderr(format_args!("osnl: {}", line(&self.bar)));
        }
    }

    /// Shows work whose total is unknown in lines: a stream, or SQLite's check of pages, which counts nothing.
    fn show_without_total(&self, done: Option<u64>) {
        let elapsed = self.bar.elapsed();
        let due = elapsed.as_secs() / LINE + u64::from(self.is_terminal && elapsed >= QUIET);
        if self.lines.fetch_max(due, Ordering::Relaxed) < due {
            let line = without_total(done, &self.bar.message());
            self.bar.suspend(|| output::print_to_stderr(format_args!("osnl: {line}")));
        }
    }

    fn wait_to_cancel(&self, caught: &mpsc::Sender<()>) {
        let _ = crate::app::block_on(async {
            // This also catches SIGXFSZ, so that a file-size limit fails a write instead of ending
            // the program.
            let mut signals = Signals::catch();
            WAITING.fetch_add(1, Ordering::Relaxed);
            let _ = caught.send(());
            signals.next().await;
            self.is_cancelled.store(true, Ordering::Relaxed);
            signals.next().await;
        });
        self.bar.finish_and_clear();
        std::process::exit(INTERRUPTED);
    }

    fn wait(&self) {
        let number = WAITING.fetch_add(1, Ordering::Relaxed) + 1;
        let Ok(Ok(())) = crate::app::block_on(tokio::signal::ctrl_c()) else { return };
        if WAITING.load(Ordering::Relaxed) != number {
            return;
        }
        if !self.bar.is_finished() {
            let (done, of) = (self.bar.position(), self.bar.length());
            self.bar.finish_and_clear();
            if let Some(of) = of {
                output::print_to_stderr(format_args!(
                    "osnl: interrupted: at least {} of {} {} were {}; {}",
                    grouped(done),
                    grouped(of),
                    self.bar.message(),
                    self.done,
                    self.rest.lock().unwrap_or_else(PoisonError::into_inner)
                ));
            }
        }
        std::process::exit(INTERRUPTED);
    }
}

fn line(bar: &ProgressBar) -> String {
    let (done, of, left) = (grouped(bar.position()), grouped(bar.length().unwrap_or_default()), bar.eta());
    let left = if left.is_zero() { String::new() } else { format!(", {} left", age(left.as_secs())) };
    let what = bar.message();
    format!("{done} of {of} {what}, {}{left}", rate(bar.per_sec(), &what))
}

fn without_total(done: Option<u64>, what: &str) -> String {
    match done {
        Some(done) => format!("{} {what} so far", grouped(done)),
        None => "checking the pages of the file".to_owned(),
    }
}

/// Returns a rate with its unit: work is counted in events, in deliveries, or in MiB.
fn rate(per_second: f64, what: &str) -> String {
    format!("{} {what}/s", grouped(per_second.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_what_is_done_and_the_rate() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
        let bar = ProgressState::new("MiB", "").bar;
        bar.set_length(75_000);
        bar.set_position(72_000);
        bar.set_elapsed(Duration::from_secs(60));
        // After the end the rate is the average of the whole time.
        bar.abandon();
        assert_eq!(line(&bar), "72,000 of 75,000 MiB, 1,200 MiB/s");
        assert_eq!(without_total(Some(72_000), "MiB"), "72,000 MiB so far");
    }
}
