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
//! A thread for blocking work does the writing: a slow disk delays no other action.

mod conf;
mod open;
mod rotation;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use osnl_model::{one_line_json, one_line_with_tabs};
use osnl_transport::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::conf::FileConf;
pub(crate) use self::conf::{Fsync, LineFormat};
use self::open::Out;
pub(crate) use self::rotation::FileRotation;
use super::{Action, ActionError, Completion, Event, dump, event_names};
use osnl_core::ends::watched;

/// See the [module](self).
pub struct FileAction {
    format: LineFormat,
    out: Arc<Mutex<Out>>,
    target: String,
    /// The sync that is due, at most one.
    timer: Mutex<JoinSet<()>>,
}

impl FileAction {
    fn new(format: LineFormat, out: Out) -> Self {
        let target = out.path().display().to_string();
        Self { format, out: Arc::new(Mutex::new(out)), target, timer: Mutex::default() }
    }

    /// An event that did not become a line has its own verdict; the others share that of the one write.
    async fn write(&self, events: &[Event]) -> Vec<Result<Completion, ActionError>> {
        let lines: Vec<Result<String, String>> = events.iter().map(|event| self.format.line(event)).collect();
        let text: String = lines.iter().flatten().map(String::as_str).collect();
        let written = match text.is_empty() {
            true => Ok(()),
            false => self.append(text).await,
        };
        let verdict = |line: Result<String, String>| match (line, &written) {
            (Err(why), _) => Err(ActionError::template(why)),
            (Ok(_), Ok(())) => Ok(Completion::Delivered(format!("written to {}", self.target))),
            (Ok(_), Err(error)) => Err(ActionError::unwritable(format!("{}: {error}", self.target))),
        };
        lines.into_iter().map(verdict).collect()
    }

    async fn append(&self, text: String) -> Result<(), String> {
        let now = SystemTime::now();
        let (written, due) = on_thread(&self.out, move |out| {
            let written = out.append(text.as_bytes(), now);
            (written.map_err(|error| error.to_string()), out.wants_timer(now))
        })
        .await?;
        if let Some(due) = due {
            self.sync_after(due);
        }
        written
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
                say(&target, on_thread(&out, |out| out.timer_ended(SystemTime::now())).await);
            }
        }));
    }

    async fn ended(&self) {
        let timer = std::mem::take(&mut *lock(&self.timer));
        // What it would have done is done now.
        drop(timer);
        say(&self.target, on_thread(&self.out, |out| out.timer_ended(SystemTime::now())).await);
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
            let opened = on_thread(&self.out, |out| out.open(SystemTime::now())).await;
            let opened = opened.and_then(|opened| opened.map_err(|error| error.to_string()));
            opened.map_err(|error| ActionError::unwritable(format!("{}: {error}", self.target)))
        })
    }

    fn close<'a>(&'a self, _abort: &'a CancellationToken) -> BoxFuture<'a, ()> {
        Box::pin(self.ended())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Errors
/// The thread did not come to its end.
async fn on_thread<T: Send + 'static>(
    out: &Arc<Mutex<Out>>,
    what: impl FnOnce(&mut Out) -> T + Send + 'static,
) -> Result<T, String> {
    let out = out.clone();
    let done = tokio::task::spawn_blocking(move || what(&mut lock(&out))).await;
    done.map_err(|error| format!("the writing thread ended: {error}"))
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
    fn line(&self, event: &Event) -> Result<String, String> {
        let mut line = match self {
            Self::Json => one_line_json(dump::line(event).to_string()),
            Self::Template(template) => {
                let text = template.render(&event_names::of_event(event));
                one_line(&text.map_err(|error| format!("template: {error}"))?)
            }
        };
        line.push('\n');
        Ok(line)
    }
}

/// Without line ends and what else could act on a terminal; a line end at the very end is the template's own.
pub(super) fn one_line(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    one_line_with_tabs(text).into_owned()
}

#[cfg(test)]
mod tests;
