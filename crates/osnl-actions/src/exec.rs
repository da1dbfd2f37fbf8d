//! The action `exec`: a program in any language does it. No shell is between, nothing of our environment is handed
//! on, and what the program may take, write and leave behind has bounds.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `event` | what a program is told, `verdict` what it may answer: the protocol of `docs/exec.md` |
//! | [`program`](Program) | how it is started |
//! | `process` | its process group, and how that ends |
//! | `worker`, `supervisor` | `mode = stream`: one child for all events, restarted when it has ended |
//! | `once` | `mode = once`: one process for each event |
//! | `conf`, `words` | its options; a command as a list |
//! | `lines`, `chatter` | bounded lines; its standard error in our log |
//!
//! The only time that is kept here is that between asking a process to end and making it: how long an attempt may
//! take, and when the next one is, the delivery loop decides. An attempt that it gives up ends the program; with a
//! long-lived child the other events in that child's hands fail as well, as if their connection was lost.
//!
//! `concurrency` is 1 unless an operator raises it: a child that hangs is ended with all events in its hands, because
//! an event that is worked on twice at once is worse than one that comes again.

mod chatter;
pub mod conf;
mod event;
mod lines;
mod once;
mod process;
mod program;
mod supervisor;
mod verdict;
mod words;
pub mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use osnl_transport::BoxFuture;
use tokio_util::sync::CancellationToken;

pub use self::conf::ExecConf;
use self::once::Once;
pub use self::program::Program;
use self::worker::{ChildSettings, ExecWorker};
use super::{Action, ActionError, Completion, Event};

/// The way in which a program is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecMode {
    /// It runs as long as osnl does and is told of one event a line.
    Stream,
    /// It is started for each event.
    Once,
}

/// The options of a program, beside the program itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecOptions {
    /// The way in which it is used.
    pub mode: ExecMode,
    /// The longest line of a child, or all that a process for one event may write, in bytes.
    pub reply_limit: usize,
    /// The time it may take to end when its input ends, and again after SIGTERM.
    pub stop_timeout: Duration,
    /// Whether values that are secrets by their names are replaced in context and payload.
    pub mask_secrets: bool,
}

impl Default for ExecOptions {
    fn default() -> Self {
        Self {
            mode: ExecMode::Stream,
            reply_limit: 64 * 1024,
            stop_timeout: Duration::from_secs(5),
            mask_secrets: false,
        }
    }
}

/// See the [module](self).
pub struct Exec {
    form: ExecForm,
    mask: bool,
}

enum ExecForm {
    Stream(Box<ExecWorker>),
    Once(Box<Once>),
}

impl Exec {
    /// An action of this name. Nothing is started yet.
    pub fn new(action: impl Into<Arc<str>>, program: Program, options: ExecOptions) -> Self {
        let ExecOptions { mode, reply_limit, stop_timeout, mask_secrets: mask } = options;
        let name = program.name().to_owned();
        let plan = ChildSettings { action: action.into(), program, name, reply_limit, stop_timeout };
        let form = match mode {
            ExecMode::Stream => ExecForm::Stream(Box::new(ExecWorker::new(plan))),
            ExecMode::Once => ExecForm::Once(Box::new(Once::new(plan, mask))),
        };
        Self { form, mask }
    }

    fn plan(&self) -> &ChildSettings {
        match &self.form {
            ExecForm::Stream(worker) => worker.plan(),
            ExecForm::Once(once) => once.plan(),
        }
    }
}

/// A child of `exec` is told nothing before the first event.
fn no_prologue() -> Result<Vec<u8>, ActionError> {
    Ok(Vec::new())
}

impl Action for Exec {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        match &self.form {
            ExecForm::Stream(worker) => {
                let line = |event| {
                    let id = worker.id();
                    (id, event::line(id, event, self.mask))
                };
                let lines = events.iter().map(line).collect();
                Box::pin(worker.ask(lines, no_prologue))
            }
            ExecForm::Once(once) => Box::pin(join_all(events.iter().map(|event| once.attempt(event)))),
        }
    }

    fn target(&self) -> String {
        format!("the program {}", self.plan().name)
    }

    fn host(&self, _: &Event) -> Option<Arc<str>> {
        None
    }

    fn open(&self) -> BoxFuture<'_, Result<(), ActionError>> {
        match &self.form {
            ExecForm::Stream(worker) => Box::pin(worker.start(no_prologue)),
            ExecForm::Once(_) => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn restarts(&self) -> Option<u64> {
        match &self.form {
            ExecForm::Stream(worker) => Some(worker.restarts()),
            ExecForm::Once(_) => None,
        }
    }

    fn close<'a>(&'a self, abort: &'a CancellationToken) -> BoxFuture<'a, ()> {
        match &self.form {
            ExecForm::Stream(worker) => Box::pin(worker.close(abort)),
            ExecForm::Once(once) => Box::pin(once.close(abort)),
        }
    }
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").field("program", &self.plan().program).finish_non_exhaustive()
    }
}
