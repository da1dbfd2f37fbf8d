//! The action `python`: an existing plug-in class of the OSS Framework, unchanged, in a Python
//! process of its own.
//!
//! The class has `notify(self, node_detail, created)` and a constructor without arguments. A shim
//! (`python/oslo_config.py` and `shim.py`) loads the class, provides its imports, and uses the
//! protocol of [`exec`](osnl_actions::exec), whose rules for children apply. The interpreter reads
//! the shim from its standard input, so no file is written. The class processes one event at a
//! time.
//!
//! | `notify` | consequence |
//! | --- | --- |
//! | returns any value | delivered |
//! | raises an `OSError`: sockets, urllib, requests | held and retried without end |
//! | raises another exception | retried up to `max_attempts` times, then a dead letter |
//!
//! A class that cannot be loaded holds its events. The log has the reason at the start and names
//! Python 2 syntax as such.

mod conf;
mod config;
mod node_detail;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use osnl_transport::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

pub(crate) use self::conf::PythonConf;
pub use self::config::PluginConfig;
pub(crate) use self::node_detail::OssDetails;
pub use self::node_detail::{NodeDetails, PayloadDetails, PluginCall, PluginCalls};
use osnl_action::{Action, ActionError, Completion, ErrorClass, Event};
use osnl_actions::exec::Program;
use osnl_actions::exec::worker::{ChildSettings, ExecWorker};

const SHIM: &str = concat!(include_str!("python/oslo_config.py"), "\n\n", include_str!("python/shim.py"));
/// Reads the shim from the pipe of the events; even a Python 2 can parse this text.
const BOOTSTRAP: &str = "import os, sys\n\
    if sys.version_info < (3, 6):\n    \
        sys.exit('plug-ins need Python 3.6 or newer, this is ' + sys.version.split()[0])\n\
    pipe = os.fdopen(os.dup(0), 'rb')\n\
    exec(compile(pipe.read(int(pipe.readline())), '<osnl>', 'exec'), {'__name__': 'osnl_shim', 'pipe': pipe})\n";
const REPLY_LIMIT: usize = 64 * 1024;

#[derive(Clone)]
pub struct PythonOptions {
    pub plugin: String,
    pub plugin_path: Vec<PathBuf>,
    pub python: Program,
    pub config: PluginConfig,
    pub stop_timeout: Duration,
    pub details: Arc<dyn NodeDetails>,
}

#[derive(Debug)]
pub struct Python {
    worker: ExecWorker,
    options: PythonOptions,
}

#[derive(Serialize)]
struct PluginOrder<'a> {
    plugin: &'a str,
    plugin_path: &'a [PathBuf],
    config: &'a PluginConfig,
    config_files: &'a [PathBuf],
}

#[derive(Serialize)]
struct NodeDetailLine<'a> {
    id: u64,
    node_detail: &'a RawValue,
    created: bool,
}

impl Python {
    pub fn new(action: impl Into<Arc<str>>, options: PythonOptions) -> Self {
        let mut program = options.python.clone();
        // `-B` writes no bytecode into the operator's plug-in folders.
        program.command.extend(["-B", "-u", "-c", BOOTSTRAP].map(str::to_owned));
        let plan = ChildSettings {
            action: action.into(),
            program,
            name: format!("the plug-in {}", options.plugin),
            reply_limit: REPLY_LIMIT,
            stop_timeout: options.stop_timeout,
        };
        Self { worker: ExecWorker::new(plan), options }
    }

    /// Returns the shim with its length, and the names to load. Each start reads the configuration,
    /// so that a corrected file takes effect.
    fn prologue(&self) -> Result<Vec<u8>, ActionError> {
        let PythonOptions { plugin, plugin_path, config, .. } = &self.options;
        let config = config.read().map_err(|reason| ActionError::new(ErrorClass::Connect, reason))?;
        let order = PluginOrder { plugin, plugin_path, config: &config, config_files: config.files() };
        let order = serde_json::to_string(&order).map_err(|error| {
            ActionError::new(ErrorClass::Connect, format!("a path that is not UTF-8: {error}"))
        })?;
        Ok(format!("{}\n{SHIM}{order}\n", SHIM.len()).into_bytes())
    }

    async fn notify(&self, events: &[Event]) -> Vec<Result<Completion, ActionError>> {
        let mut open: Vec<OpenEvent<'_>> =
            events.iter().map(|event| OpenEvent::new(event, &*self.options.details)).collect();
        // Each round makes the next call of each unfinished event: calls of one event wait for
        // their predecessor.
        loop {
            let (mut lines, mut asked) = (Vec::new(), Vec::new());
            for one in open.iter_mut().filter(|one| one.verdict.is_none()) {
                let Some((node_detail, created)) = one.calls.next() else { continue };
                let id = self.worker.id();
                let mut line = serde_json::to_vec(&NodeDetailLine { id, node_detail: &node_detail, created })
                    .unwrap_or_default();
                line.push(b'\n');
                lines.push((id, line));
                asked.push(one);
            }
            if lines.is_empty() {
                break;
            }
            let mut verdicts = self.worker.ask(lines, || self.prologue()).await.into_iter();
            for one in asked {
                match verdicts.next().unwrap_or_else(missing) {
                    Ok(done) => one.done(done),
                    Err(error) => one.verdict = Some(Err(error)),
                }
            }
        }
        open.into_iter().map(|one| one.verdict.or(one.last.map(Ok)).unwrap_or_else(missing)).collect()
    }
}

struct OpenEvent<'a> {
    event: &'a Event,
    calls: std::vec::IntoIter<(Box<RawValue>, bool)>,
    last: Option<Completion>,
    verdict: Option<Result<Completion, ActionError>>,
}

impl<'a> OpenEvent<'a> {
    fn new(event: &'a Event, details: &dyn NodeDetails) -> Self {
        let (mut calls, mut verdict) = (Vec::new(), None);
        match details.calls_for(event) {
            Err(error) => verdict = Some(Err(error)),
            Ok(asked) => {
                for told in asked {
                    match told {
                        PluginCall::Notify { node_detail, created } => calls.push((node_detail, created)),
                        PluginCall::NothingToDo(why) => verdict = Some(Ok(Completion::NothingToDo(why))),
                    }
                }
            }
        }
        if !calls.is_empty() {
            verdict = None;
        }
        let mut calls = calls.into_iter();
        let before = calls.by_ref().take(event.done()).last();
        let last = before.map(|_| Completion::Delivered("called".to_owned()));
        Self { event, calls, last, verdict }
    }

    fn done(&mut self, done: Completion) {
        self.event.one_is_done();
        self.last = Some(done);
    }
}

fn missing() -> Result<Completion, ActionError> {
    Err(ActionError::new(ErrorClass::Reset, "the plug-in gave no verdict"))
}

impl Action for Python {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(self.notify(events))
    }

    fn target(&self) -> String {
        format!("the plug-in {}", self.options.plugin)
    }

    fn open(&self) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async {
            let id = self.worker.id();
            let hello = format!("{{\"id\": {id}, \"hello\": true}}\n").into_bytes();
            let asked = self.worker.ask(vec![(id, hello)], || self.prologue()).await;
            asked.into_iter().try_for_each(|result| result.map(drop))
        })
    }

    fn restarts(&self) -> Option<u64> {
        Some(self.worker.restarts())
    }

    fn close<'a>(&'a self, abort: &'a CancellationToken) -> BoxFuture<'a, ()> {
        Box::pin(self.worker.close(abort))
    }
}

impl fmt::Debug for PythonOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PythonOptions")
            .field("plugin", &self.plugin)
            .field("plugin_path", &self.plugin_path)
            .field("python", &self.python)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
