//! The action `file`: appends each event as a line to a file, which osnl or another program
//! rotates.
//!
//! A line is JSON or a rendered template. Line ends inside become `
//! ` and `\r`, so that no event can forge a line. A call writes all ready events with one `write`, and with
//! `fsync = each` one sync follows. With `interval` and `never`, *delivered* means only that the operating
//! system has the line, which a power failure may lose.
//!
//! A line is complete or absent: a partial write is cut off again. A file that cannot be written
//! counts as a target that is down: attempts continue without end, and nothing is lost.
//!
//! With `interval` a timer syncs even if no line follows, and the stop syncs too.
//!
//! One thread writes one call at a time, so a slow disk delays no other action, and a hanging disk takes one
//! thread in spite of any number of time-outs.
//!
//! A write cannot be cancelled when its attempt ends early (time-out).
//! The next attempts wait for its end, and its lines then count as delivered without a second write.

mod conf;
mod json;
mod late;
mod open;
mod probe;
mod rotation;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use osnl_action::{Action, ActionError, Completion, Event};
use osnl_core::misfit::Misfit;
use osnl_model::one_line_with_tabs;
use osnl_transport::BoxFuture;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::conf::FileConf;
pub(crate) use self::conf::{Fsync, LineFormat};
pub(crate) use self::json::json_line;
use self::late::{LateLine, LateLines};
use self::open::FileOutput;
pub use self::probe::{file_probe, free};
pub(crate) use self::rotation::FileRotation;
use super::event_names;
use osnl_core::ends::watched;

pub struct FileAction {
    format: LineFormat,
    /// Locked by the call in progress, even after its attempt has ended.
    out: Arc<tokio::sync::Mutex<FileOutput>>,
    late: Arc<LateLines>,
    target: String,
    /// The syncs that are due: one waits for its time, and perhaps another for its turn.
    timer: Mutex<JoinSet<()>>,
}

impl FileAction {
    fn new(format: LineFormat, out: FileOutput) -> Self {
        let target = out.path().display().to_string();
        let (out, late) = (Arc::new(tokio::sync::Mutex::new(out)), Arc::default());
        Self { format, out, late, target, timer: Mutex::default() }
    }

    /// Returns the writer of the action `dump` with a `path`, which syncs at its end alone, and rotates nothing.
    pub(crate) fn for_dump(path: &Path) -> Self {
        let out = FileOutput::for_dump(path, SystemTime::now());
        Self { target: path.display().to_string(), ..Self::new(LineFormat::Json, out) }
    }

    async fn write(&self, events: &[Event]) -> Vec<Result<Completion, ActionError>> {
        let lines: Vec<Result<LateLine, Misfit>> =
            events.iter().map(|event| self.format.line(event)).collect();
        let texts: Vec<LateLine> = lines.iter().flatten().cloned().collect();
        let written = match texts.is_empty() {
            true => Ok(()),
            false => self.append(texts).await,
        };
        let verdict = |line: Result<LateLine, Misfit>| match (line, &written) {
            (Err(why), _) => Err(ActionError::template(why)),
            (Ok(_), Ok(())) => Ok(Completion::Delivered(format!("written to {}", self.target))),
            (Ok(_), Err(error)) => Err(ActionError::unwritable(format!("{}: {error}", self.target))),
        };
        lines.into_iter().map(verdict).collect()
    }

    async fn append(&self, mut lines: Vec<LateLine>) -> Result<(), String> {
        let mut turn = self.out.clone().lock_owned().await;
        let there = self.late.leave_out(&mut lines);
        let now = SystemTime::now();
        // The timer starts before the write, because no other call is sure to follow.
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

/// Runs a call on the thread; the call finishes and keeps its turn even if its attempt is dropped.
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

/// Logs that a power failure may lose delivered events: nothing else reports a failed sync.
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
    fn line(&self, event: &Event) -> Result<LateLine, Misfit> {
        let mut text = match self {
            Self::Json => json_line(event),
            Self::Template(template) => {
                let text = template.render(&event_names::for_event(event));
                one_line(&text.map_err(|error| Misfit::in_option("template", error))?)
            }
        };
        text.push('\n');
        Ok(LateLine { delivery: event.delivery.clone(), text })
    }
}

pub(super) fn one_line(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    one_line_with_tabs(text).into_owned()
}

#[cfg(test)]
mod tests;
