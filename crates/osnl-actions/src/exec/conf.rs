//! The options of `driver = exec`, and the driver that they configure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use osnl_model::{Notification, resources};
use osnl_transport::BoxFuture;

use super::words;
use super::{Exec, ExecMode, ExecOptions, Program};
use crate::Action;
use crate::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, OptionDef, Preview, Probe, ProbeContext,
    ReadDriver, SectionReader, SentLogin, Traits,
};

#[derive(Clone, Debug)]
pub struct ExecConf {
    pub program: Program,
    pub options: ExecOptions,
}

pub const ENVIRONMENT: OptionDef = OptionDef {
    secret: true,
    ..OptionDef::new(
        "environment",
        "list of NAME=value",
        "Environment of the process, besides PATH and LANG. Nothing of osnl's own environment is passed on.",
    )
};
pub const WORKING_DIR: OptionDef =
    OptionDef::new("working_dir", "absolute path", "Working directory of the process.").or("/");
pub const STOP_TIMEOUT: OptionDef = OptionDef::new(
    "stop_timeout",
    "duration",
    "Time for the process to end after its input was closed, and again after SIGTERM. Then its whole process \
     group is killed.",
)
.or("5s");

const COMMAND: &str =
    "write the program and its arguments with commas between them, or as a JSON array of strings";

impl ReadDriver for ExecConf {
    /// The default `concurrency` is 1: the operator has to declare that a program can process
    /// several events at once.
    const TABLE: DriverTable = DriverTable::new(
        "exec",
        &[
            OptionDef::new(
                "command",
                "list",
                "Program and arguments, separated by commas or as a JSON array of strings; no shell is involved. \
                 Must be set.",
            ),
            OptionDef::new(
                "mode",
                "stream or once",
                "stream: one process that keeps running and exchanges JSON lines with osnl. once: one process per \
                 event, which reads the event from standard input; its exit status is the outcome.",
            )
            .or("stream"),
            ENVIRONMENT,
            WORKING_DIR,
            OptionDef::new(
                "reply_limit",
                "size",
                "Longest line that the process may write (stream), or its whole output (once). A process that \
                 writes more is ended.",
            )
            .or("64KiB"),
            STOP_TIMEOUT,
            OptionDef::new(
                "mask_secrets",
                "boolean",
                "true: values in context and payload whose names say that they are secrets are replaced by ***.",
            )
            .or("false"),
        ],
    )
    .with_defaults(&[("concurrency", "1")]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let command = match reader.is_set("command") {
            true => reader.text("command").and_then(|text| command(reader, "command", &text)),
            false => reader.required("command", COMMAND).and(None),
        };
        let mode = reader.word("mode", &[("stream", ExecMode::Stream), ("once", ExecMode::Once)]);
        let surroundings = Surroundings::read(reader);
        let reply_limit = reader.size("reply_limit", 1024, 64 << 20);
        let mask_secrets = reader.boolean("mask_secrets");
        let Surroundings { environment, working_dir, stop_timeout } = surroundings?;
        Some(Self {
            program: Program { command: command?, environment, working_dir },
            options: ExecOptions {
                mode: mode?,
                reply_limit: usize::try_from(reply_limit?).ok()?,
                stop_timeout,
                mask_secrets: mask_secrets?,
            },
        })
    }
}

impl DriverConf for ExecConf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        Ok(Arc::new(Exec::new(context.name.clone(), self.program.clone(), self.options)))
    }

    fn does(&self) -> String {
        let name = self.program.name();
        match self.options.mode {
            ExecMode::Stream => format!("sends each event to {name}, which keeps running"),
            ExecMode::Once => format!("runs {name} for each event"),
        }
    }

    fn logins(&self) -> Vec<SentLogin> {
        Vec::new()
    }

    fn traits(&self) -> Traits<'_> {
        Traits { refuser: Some("the program"), ..Traits::default() }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        let with = about(wanted.notification).into_iter().chain(wanted.enrichments()).collect();
        Preview::Effect { does: self.does(), with }
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        let probe = Probe::of(context.section, format!("program {}", self.program.name()));
        let probe = match self.program.look() {
            Ok(path) => probe.fine(format!("{} can be run; it was not", path.display())).passive(),
            Err(reason) => probe.failed(reason, Some("name another one with command")),
        };
        Box::pin(std::future::ready(vec![probe]))
    }
}

pub fn about(notification: &Notification) -> Vec<(&'static str, String)> {
    let mut about = vec![("event", notification.event_type.clone().unwrap_or_default())];
    if let Some(resource) = resources(notification).into_iter().next() {
        about.push((
            "resource",
            format!("{} {}", resource.kind, resource.id.as_deref().unwrap_or("without an id")),
        ));
    }
    about
}

pub struct Surroundings {
    pub environment: Vec<(String, String)>,
    pub working_dir: PathBuf,
    pub stop_timeout: Duration,
}

impl Surroundings {
    pub fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let environment = match reader.is_set("environment") {
            true => environment(reader),
            false => Some(Vec::new()),
        };
        let working_dir = reader.text("working_dir").and_then(|text| absolute(reader, "working_dir", &text));
        let stop_timeout = reader.duration("stop_timeout", Duration::ZERO);
        Some(Self { environment: environment?, working_dir: working_dir?, stop_timeout: stop_timeout? })
    }
}

fn environment(reader: &mut SectionReader<'_>) -> Option<Vec<(String, String)>> {
    const FORM: &str = "write NAME=value, with commas between several or as a JSON array of strings";
    let text = reader.text("environment")?;
    let pairs = words::read(&text).and_then(|words| words.iter().map(|word| words::variable(word)).collect());
    pairs.map_or_else(|problem| reader.refuse("environment", problem, FORM), Some)
}

pub fn command(reader: &mut SectionReader<'_>, option: &str, text: &str) -> Option<Vec<String>> {
    let words = match words::read(text) {
        Ok(words) => words,
        Err(problem) => return reader.refuse(option, problem, COMMAND),
    };
    let Some(program) = words.first().filter(|program| !program.is_empty()) else {
        return reader.refuse(option, "names no program", COMMAND);
    };
    if program.contains('/') && !program.starts_with('/') {
        let allowed = "write an absolute path, or a name that is looked for in PATH";
        return reader.refuse(option, "names a program by a relative path", allowed);
    }
    if let Some((before, _)) = program.split_once(' ')
        && words.len() == 1
        && !PathBuf::from(program).exists()
    {
        let problem = format!("the program's name contains a space: no shell splits it after {before}");
        reader.warn(option, &problem, COMMAND);
    }
    Some(words)
}

pub fn absolute(reader: &mut SectionReader<'_>, option: &str, text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    match path.is_absolute() {
        true => Some(path),
        false => reader.refuse(option, "must be an absolute path", "write one that begins with /"),
    }
}
