//! The action `file`: each event is a line at the end of a file that is rotated here or by another program.
//!
//! A line is JSON, as the action `dump` writes it, or what a template makes; line ends in that are written as `\n` and
//! `\r`, so that nothing in an event looks like a line of its own. A call takes what is ready, writes it with one
//! `write` and, with `fsync = each`, syncs it once: *delivered* then means that the line is on the disk. With
//! `interval` and `never` it means that the operating system has it; what the machine loses with its power is lost.
//!
//! A line is whole or not there: what could be written in part only is cut off again. A file that cannot be written
//! counts as a target that is down: it is tried again without end, and nothing is lost.
//!
//! With `interval` the sync comes when its time has come, whether anything follows or not, and at the end.
//!
//! A thread for blocking work does the writing, one call at a time: a slow disk delays no other action, and one that does
//! not answer takes one thread, however many attempts time out.
//!
//! An attempt that ends before its write does (time-out, or another daemon has the delivery) leaves the write under way: nothing can take it back. The
//! next attempts wait for its end, and the lines that it has written by then count as delivered without being written
//! again. An attempt that ends before its turn has written nothing.

mod conf;
mod late;
mod open;
mod rotation;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use osnl_model::{one_line_json, one_line_with_tabs};
use osnl_transport::BoxFuture;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::conf::FileConf;
pub(crate) use self::conf::{Fsync, LineFormat};
use self::late::{LateLine, LateLines};
use self::open::FileOutput;
pub(crate) use self::rotation::FileRotation;
use super::{Action, ActionError, Completion, Event, dump, event_names};
use osnl_core::ends::watched;

/// See the [module](self).
pub struct FileAction {
    format: LineFormat,
    /// Locked by the one call that is under way, also when the attempt that made it has ended.
    out: Arc<tokio::sync::Mutex<FileOutput>>,
    late: Arc<LateLines>,
    target: String,
    /// The syncs that are due: one that waits for its time, and perhaps one that waits for its turn.
    timer: Mutex<JoinSet<()>>,
}

impl FileAction {
    fn new(format: LineFormat, out: FileOutput) -> Self {
        let target = out.path().display().to_string();
        let (out, late) = (Arc::new(tokio::sync::Mutex::new(out)), Arc::default());
        Self { format, out, late, target, timer: Mutex::default() }
    }

    /// An event that did not become a line has its own verdict; the others share that of the one write.
    async fn write(&self, events: &[Event]) -> Vec<Result<Completion, ActionError>> {
        let lines: Vec<Result<LateLine, String>> =
            events.iter().map(|event| self.format.line(event)).collect();
        let texts: Vec<LateLine> = lines.iter().flatten().cloned().collect();
        let written = match texts.is_empty() {
            true => Ok(()),
            false => self.append(texts).await,
        };
        let verdict = |line: Result<LateLine, String>| match (line, &written) {
            (Err(why), _) => Err(ActionError::template(why)),
            (Ok(_), Ok(())) => Ok(Completion::Delivered(format!("written to {}", self.target))),
            (Ok(_), Err(error)) => Err(ActionError::unwritable(format!("{}: {error}", self.target))),
        };
        lines.into_iter().map(verdict).collect()
    }

    /// Waits for its turn, and writes the lines that no earlier attempt has written.
    async fn append(&self, mut lines: Vec<LateLine>) -> Result<(), String> {
        let mut turn = self.out.clone().lock_owned().await;
        let there = self.late.leave_out(&mut lines);
        let now = SystemTime::now();
        // Before the write: nothing else is sure to follow it.
        if let Some(due) = turn.timer_due(now) {
            self.sync_after(due);
        }
        let late = self.late.clone();
        let write = move |out: &mut FileOutput| {
            let text: String = lines.iter().map(|line| line.text.as_str()).collect();
            out.append(text.as_bytes(), now).map(|()| late.written(lines))
        };
        let written = on_thread(turn, write).await?.map_err(|error| error.to_string())?;
        self.late.reported(written);
        self.late.forget(&there);
        Ok(())
    }

    fn sync_after(&self, due: Duration) {
        let (out, target) = (self.out.clone(), self.target.clone());
        let mut timer = lock(&self.timer);
        while timer.try_join_next().is_some() {}
        let task = || format!("the timer of {target}");
        timer.spawn(watched(task, {
            let target = target.clone();
            async move {
                tokio::time::sleep(due).await;
                sync(&target, out).await;
            }
        }));
    }

    async fn ended(&self) {
        let timer = std::mem::take(&mut *lock(&self.timer));
        // What it would have done is done now.
        drop(timer);
        sync(&self.target, self.out.clone()).await;
    }
}

impl Action for FileAction {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(self.write(events))
    }

    fn target(&self) -> String {
        self.target.clone()
    }

    fn host(&self, _: &Event) -> Option<Arc<str>> {
        None
    }

    /// Makes the file before its first event; what is wrong with it is in the log at the start.
    fn open(&self) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async {
            let turn = self.out.clone().lock_owned().await;
            let opened = on_thread(turn, |out| out.open(SystemTime::now())).await;
            let opened = opened.and_then(|opened| opened.map_err(|error| error.to_string()));
            opened.map_err(|error| ActionError::unwritable(format!("{}: {error}", self.target)))
        })
    }

    fn close<'a>(&'a self, abort: &'a CancellationToken) -> BoxFuture<'a, ()> {
        Box::pin(async {
            tokio::select! {
                biased;
                () = self.ended() => {}
                () = abort.cancelled() => say(&self.target, Err("the disk does not answer".to_owned())),
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the call that has its turn; it goes on, and keeps its turn, if nothing awaits it any more.
///
/// # Errors
/// The thread did not come to its end.
async fn on_thread<T: Send + 'static>(
    mut turn: OwnedMutexGuard<FileOutput>,
    what: impl FnOnce(&mut FileOutput) -> T + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(move || what(&mut turn)).await;
    done.map_err(|error| format!("the writing thread ended: {error}"))
}

async fn sync(target: &str, out: Arc<tokio::sync::Mutex<FileOutput>>) {
    let turn = out.lock_owned().await;
    say(target, on_thread(turn, |out| out.timer_ended(SystemTime::now())).await);
}

/// Logs that events which count as delivered may be lost if the machine loses its power: nothing else reports it.
fn say(target: &str, synced: Result<io::Result<()>, String>) {
    match synced {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(
                target.name = target,
                error = error.to_string(),
                "the last writes may not be on the disk"
            )
        }
        Err(error) => tracing::error!(target.name = target, error, "the last writes may not be on the disk"),
    }
}

impl LineFormat {
    /// The line of an event, with its end.
    fn line(&self, event: &Event) -> Result<LateLine, String> {
        let mut text = match self {
            Self::Json => one_line_json(dump::line(event).to_string()),
            Self::Template(template) => {
                let text = template.render(&event_names::of_event(event));
                one_line(&text.map_err(|error| format!("template: {error}"))?)
            }
        };
        text.push('\n');
        Ok(LateLine { delivery: event.delivery.clone(), text })
    }
}

/// Without line ends and what else could act on a terminal; a line end at the very end is the template's own.
pub(super) fn one_line(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    one_line_with_tabs(text).into_owned()
}

#[cfg(test)]
mod tests;
