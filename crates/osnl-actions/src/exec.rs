//! The action `exec`: runs a program without a shell and without the daemon's environment. Its
//! input, output and child processes are bounded.
//!
//! The only time limit here is between asking a process to end and killing it; the delivery loop
//! decides the attempt's time-out and the next attempt. A time-out ends the program. All events of
//! a long-lived child then fail, as if their connection was lost.
//!
//! `concurrency` is 1 by default: a hanging child is ended with all of its events, because
//! processing an event twice at once is worse than processing it again.

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
use osnl_action::{Action, ActionError, Completion, Event};
use osnl_transport::BoxFuture;
use tokio_util::sync::CancellationToken;

pub use self::conf::ExecConf;
use self::once::Once;
pub use self::program::Program;
use self::worker::{ChildSettings, ExecWorker};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecMode {
    Stream,
    Once,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecOptions {
    pub mode: ExecMode,
    pub reply_limit: usize,
    /// The time between the end of its input and SIGTERM, and again between SIGTERM and SIGKILL.
    pub stop_timeout: Duration,
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

pub struct Exec {
    form: ExecForm,
    mask: bool,
}

enum ExecForm {
    Stream(Box<ExecWorker>),
    Once(Box<Once>),
}

impl Exec {
    pub fn new(action: impl Into<Arc<str>>, program: Program, options: ExecOptions) -> Self {
        let ExecOptions { mode, reply_limit, stop_timeout, mask_secrets: mask } = options;
        let name = program.name().into_owned();
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

#[cfg(test)]
mod tests {
    use super::*;
    use osnl_action::driver::DriverConf as _;

    /// Without commas, the arguments belong to the program's name.
    #[test]
    fn arguments_written_with_spaces_show_no_secret() {
        let check = |command: &str, expected: &str| {
            let (program, options) = (Program::new([command]), ExecOptions::default());
            let exec = Exec::new("a", program.clone(), options);
            let refused = program.locate().unwrap_err();
            assert_eq!(exec.target(), format!("the program {expected}"));
            let conf = ExecConf { program, options };
            for shown in [refused, conf.does(), format!("{exec:?}"), format!("{conf:?}")] {
                assert!(shown.contains(expected) && !shown.contains("S3CRET"), "{shown}");
            }
        };
        check("/bin/x --password S3CRET -v", "/bin/x --password *** -v");
        check("x --token=S3CRET", "x --token=***");
        check("/bin/x https://u:S3CRET@h/", "/bin/x https://u:***@h/");
    }
}
