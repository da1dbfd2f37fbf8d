//! The options of `driver = exec`, and the driver that they configure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use osnl_action::Action;
use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, OptionDef, Preview, Probe, ProbeContext,
    ReadDriver, SectionReader, SentLogin, Traits,
};
use osnl_config::{Bytes, Options as _, options, typed, words};
use osnl_model::{Notification, mask_text, resources};
use osnl_transport::BoxFuture;

use super::words;
use super::{Exec, ExecMode, ExecOptions, Program};

#[derive(Clone, Debug)]
pub struct ExecConf {
    pub program: Program,
    pub options: ExecOptions,
}

options! {
    pub(crate) struct ExecSection {
        command: Vec<String> as command_words, written("list") => "Program and arguments, separated by commas or as a JSON array of strings; no shell is involved. Must be set.";
        mode: ExecMode = "stream" => "stream: one process that keeps running and exchanges JSON lines with osnl. once: one process per event, which reads the event from standard input; its exit status is the outcome.";
        reply_limit: Bytes = "64KiB", within("1KiB", "64MiB") => "Longest line that the process may write (stream): a process that writes more is ended. Most bytes of its output that osnl keeps (once).";
        mask_secrets: bool = "false" => "true: values in context and payload whose names say that they are secrets are replaced by ***.";
    }
}

options! {
    pub struct Surroundings {
        environment: Vec<(String, String)> as environment, written("list of NAME=value"), secret => "Environment of the process, besides PATH and LANG. Nothing of osnl's own environment is passed on.";
        working_dir: PathBuf as working_dir = "/", written("absolute path") => "Working directory of the process.";
        stop_timeout: Duration = "5s" => "Time for the process to end after its input was closed, and again after SIGTERM. Then its whole process group is killed.";
    }
}

words!(ExecMode: "stream" => Self::Stream, "once" => Self::Once);

const COMMAND: &str =
    "write the program and its arguments with commas between them, or as a JSON array of strings";

impl ReadDriver for ExecConf {
    /// The default `concurrency` is 1: the operator has to declare that a program can process
    /// several events at once.
    const TABLE: DriverTable = DriverTable::new("exec", &[ExecSection::OPTIONS, Surroundings::OPTIONS])
        .with_defaults(&[("concurrency", "1")]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let own = ExecSection::read(reader);
        let surroundings = Surroundings::read(reader);
        let ExecSection { command, mode, reply_limit, mask_secrets } = own?;
        let Surroundings { environment, working_dir, stop_timeout } = surroundings?;
        let reply_limit = usize::try_from(reply_limit.0).ok()?;
        Some(Self {
            program: Program { command, environment, working_dir },
            options: ExecOptions { mode, reply_limit, stop_timeout, mask_secrets },
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
        let probe = Probe::new(context.section, format!("program {}", self.program.name()));
        let probe = match self.program.locate() {
            Ok(path) => {
                probe.fine(format!("{} can be run; it was not", mask_text(&path.to_string_lossy()))).passive()
            }
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

fn environment(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<(String, String)>> {
    const FORM: &str = "write NAME=value, with commas between several or as a JSON array of strings";
    if !reader.is_set(option.name) {
        return Some(Vec::new());
    }
    let text = reader.text(option.name)?;
    let pairs = words::read(&text).and_then(|words| words.iter().map(|word| words::variable(word)).collect());
    pairs.map_or_else(|problem| reader.refuse(option.name, problem, FORM), Some)
}

fn working_dir(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<PathBuf> {
    let text = reader.text(option.name)?;
    absolute(reader, option.name, &text)
}

fn command_words(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<String>> {
    let text = reader.required(option.name, COMMAND)?;
    command(reader, option.name, &text)
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
    match typed::path(text, "write one that begins with /") {
        Ok(path) if path.is_absolute() => Some(path),
        Ok(_) => reader.refuse(option, "must be an absolute path", "write one that begins with /"),
        Err(refusal) => reader.refused(option, refusal),
    }
}
