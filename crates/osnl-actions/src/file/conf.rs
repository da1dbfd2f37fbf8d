//! The options of `driver = file`, and the driver that they configure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_action::Action;
use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, OptionDef, Preview, Probe, ProbeContext,
    ReadDriver, SectionReader, SentLogin, Traits,
};
use osnl_config::template::{Escape, Template};
use osnl_config::{Bytes, Options as _, ReadBySection, duration, options, words};
use osnl_core::misfit::Misfit;
use osnl_transport::BoxFuture;

use super::open::FileOutput;
use super::{FileAction, FileRotation, file_probe};
use crate::event_names;

options! {
    pub(crate) struct FileOptions {
        path: PathBuf, needed("write the path of a file") => "File to which lines are appended. Must be set.";
        format: ReadBySection = "json", written("json or template") => "json: one object per event, with secrets masked. template: the text of template.";
        template: ReadBySection, written("template") => "Line of an event, with format = template.";
        mode: u32 as mode = "0600", written("octal number") => "Permissions of a new file, whatever the umask.";
        fsync: Fsync = "each" => "each: an event counts as delivered when its line is on the disk. interval: the file is synchronized once a second. never: the operating system decides.";
        rotate_size: Option<Bytes>, within("1KiB", "1TiB") => "Largest size of the file. Before a line would exceed it, the file is renamed to PATH.20261120T150312Z. Without it: no limit.";
        rotate_interval: Option<Duration>, at_least("1s") => "Time after which the file is renamed, at the next line; 1d means at midnight UTC. Without it: never.";
        rotate_keep: usize = "7", within("1", "100000") => "Number of renamed files that are kept.";
    }
}

#[derive(Clone, Debug)]
pub struct FileConf {
    name: String,
    path: PathBuf,
    format: LineFormat,
    mode: u32,
    fsync: Fsync,
    rotation: FileRotation,
}

#[derive(Clone, Debug)]
pub(crate) enum LineFormat {
    Json,
    Template(Template),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fsync {
    Each,
    Interval(Duration),
    Never,
}

impl ReadDriver for FileConf {
    /// Lines of one call share its sync; a file that cannot be written is retried without end.
    const TABLE: DriverTable = DriverTable::new("file", &[FileOptions::OPTIONS]).with_defaults(&[
        ("concurrency", "1"),
        ("timeout", "60s"),
        ("max_attempts", "1"),
        ("batch", "100"),
    ]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let own = FileOptions::read(reader);
        let format = format(reader);
        let own = own?;
        let rotation = FileRotation {
            size: own.rotate_size.map(|size| size.0),
            interval: own.rotate_interval,
            keep: own.rotate_keep,
        };
        if reader.is_set("rotate_keep") && rotation.size.is_none() && rotation.interval.is_none() {
            let problem = "has no effect without rotate_size or rotate_interval";
            reader.warn("rotate_keep", problem, "set one of them, or remove this");
        }
        let (name, format) = (reader.name().to_owned(), format?);
        Some(Self { name, path: own.path, format, mode: own.mode, fsync: own.fsync, rotation })
    }
}

words! {
    Fsync: "each" => Fsync::Each, "interval" => Fsync::Interval(Duration::from_secs(1)), "never" => Fsync::Never,
}

fn format(reader: &mut SectionReader<'_>) -> Option<LineFormat> {
    let json = reader.word("format", [("json", true), ("template", false)]);
    let template = event_names::escaping(reader, "template", Escape::None);
    match (json?, template?) {
        (false, Some(template)) => Some(LineFormat::Template(template)),
        (false, None) => reader.refuse("template", "is not set", "write what a line is, or format = json"),
        (true, None) => Some(LineFormat::Json),
        (true, Some(_)) => {
            reader.refuse("template", "has no effect with format = json", "write format = template")
        }
    }
}

fn mode(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<u32> {
    let text = reader.text(option.name)?;
    match u32::from_str_radix(text.trim(), 8) {
        Ok(mode) if mode & !0o777 == 0 && mode & 0o200 != 0 => Some(mode),
        Ok(_) | Err(_) => {
            reader.refuse("mode", "is not a file mode", "write an octal number such as 0600 or 0640")
        }
    }
}

impl DriverConf for FileConf {
    fn action(&self, _: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        let out = FileOutput::at(&self.path, self.mode, self.fsync, self.rotation, SystemTime::now());
        Ok(Arc::new(FileAction::new(self.format.clone(), out)))
    }

    fn does(&self) -> String {
        let what = match self.format {
            LineFormat::Json => "one line of JSON each",
            LineFormat::Template(_) => "a line each, by template",
        };
        format!("writes each event to {}, {what}", self.path.display())
    }

    fn logins(&self) -> Vec<SentLogin> {
        Vec::new()
    }

    fn explain(&self) -> Vec<(&'static str, String)> {
        let safe = match self.fsync {
            Fsync::Each => "delivered when it is on the disk".to_owned(),
            Fsync::Interval(pause) => format!("synced within {} s", pause.as_secs_f64()),
            Fsync::Never => "never synced".to_owned(),
        };
        let FileRotation { size, interval, keep } = self.rotation;
        let size = size.map(|size| format!("at {size} bytes"));
        let interval = interval.map(|span| format!("each {}", duration::shown(span)));
        let when: Vec<String> = size.into_iter().chain(interval).collect();
        let mut lines = vec![("safe", safe)];
        match when.is_empty() {
            true => lines.push(("rotation", "by others, if at all".to_owned())),
            false => lines.push(("rotation", format!("{}; {keep} stay", when.join(", ")))),
        }
        lines
    }

    fn traits(&self) -> Traits<'_> {
        Traits { refuser: None, ..Traits::default() }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        let to = self.path.display().to_string();
        match &self.format {
            LineFormat::Json => Preview::line(to, wanted),
            LineFormat::Template(template) => {
                match template.render(&event_names::for_preview(wanted, &self.name)) {
                    Ok(text) => Preview::Effect {
                        does: format!("write a line to {to}"),
                        with: vec![("line", super::one_line(&text))],
                    },
                    Err(error) => Preview::Unusable { why: Misfit::in_option("template", error) },
                }
            }
        }
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        Box::pin(std::future::ready(vec![file_probe(context.section, &self.path, false)]))
    }
}
