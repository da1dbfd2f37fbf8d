//! The options of `driver = file`, and the driver that they configure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_config::duration;
use osnl_config::template::{Escape, Template};
use osnl_transport::BoxFuture;

use super::open::FileOutput;
use super::{FileAction, FileRotation};
use crate::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, OptionDef, Preview, Probe, ProbeContext,
    ReadDriver, SectionReader, SentLogin, Traits, file_probe,
};
use crate::{Action, event_names};

/// A smaller limit would give more files than lines.
const LEAST_SIZE: u64 = 1024;
const LARGEST_SIZE: u64 = 1 << 40;

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
    const TABLE: DriverTable = DriverTable::new(
        "file",
        &[
            OptionDef::new("path", "path", "File to which lines are appended. Must be set."),
            OptionDef::new(
                "format",
                "json or template",
                "json: one object per event, with secrets masked. template: the text of template.",
            )
            .or("json"),
            OptionDef::new("template", "template", "Line of an event, with format = template."),
            OptionDef::new("mode", "octal number", "Permissions of a new file.").or("0600"),
            OptionDef::new(
                "fsync",
                "each, interval or never",
                "each: an event counts as delivered when its line is on the disk. interval: the file is \
                 synchronized once a second. never: the operating system decides.",
            )
            .or("each"),
            OptionDef::new(
                "rotate_size",
                "size",
                "Largest size of the file. Before a line would exceed it, the file is renamed to \
                 PATH.20261120T150312Z. Without it: no limit.",
            ),
            OptionDef::new(
                "rotate_interval",
                "duration",
                "Time after which the file is renamed, at the next line; 1d means at midnight UTC. Without it: \
                 never.",
            ),
            OptionDef::new("rotate_keep", "whole number", "Number of renamed files that are kept.").or("7"),
        ],
    )
    .with_defaults(&[("concurrency", "1"), ("timeout", "60s"), ("max_attempts", "1"), ("batch", "100")]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let path = reader.required("path", "write the path of a file");
        let path = path.and_then(|path| match path.as_str() {
            "" => reader.refuse("path", "is empty", "write the path of a file"),
            _ => Some(PathBuf::from(path)),
        });
        let (format, mode, fsync) = (format(reader), mode(reader), fsync(reader));
        let rotation = rotation(reader);
        Some(Self {
            name: reader.name().to_owned(),
            path: path?,
            format: format?,
            mode: mode?,
            fsync: fsync?,
            rotation: rotation?,
        })
    }
}

fn format(reader: &mut SectionReader<'_>) -> Option<LineFormat> {
    let json = reader.word("format", &[("json", true), ("template", false)]);
    let template = event_names::template(reader, "template", Escape::None);
    match (json?, template?) {
        (false, Some(template)) => Some(LineFormat::Template(template)),
        (false, None) => reader.refuse("template", "is not set", "write what a line is, or format = json"),
        (true, None) => Some(LineFormat::Json),
        (true, Some(_)) => {
            reader.refuse("template", "has no effect with format = json", "write format = template")
        }
    }
}

fn mode(reader: &mut SectionReader<'_>) -> Option<u32> {
    let text = reader.text("mode")?;
    match u32::from_str_radix(text.trim(), 8) {
        Ok(mode) if mode & !0o777 == 0 && mode & 0o200 != 0 => Some(mode),
        Ok(_) | Err(_) => {
            reader.refuse("mode", "is not a file mode", "write an octal number such as 0600 or 0640")
        }
    }
}

fn fsync(reader: &mut SectionReader<'_>) -> Option<Fsync> {
    let pause = Duration::from_secs(1);
    reader.word(
        "fsync",
        &[("each", Fsync::Each), ("interval", Fsync::Interval(pause)), ("never", Fsync::Never)],
    )
}

fn rotation(reader: &mut SectionReader<'_>) -> Option<FileRotation> {
    let size = match reader.is_set("rotate_size") {
        false => Some(None),
        true => reader.size("rotate_size", LEAST_SIZE, LARGEST_SIZE).map(Some),
    };
    let interval = match reader.is_set("rotate_interval") {
        false => Some(None),
        true => reader.duration("rotate_interval", Duration::from_secs(1)).map(Some),
    };
    let keep = reader.number("rotate_keep", 1, 100_000);
    let rotation = FileRotation { size: size?, interval: interval?, keep: usize::try_from(keep?).ok()? };
    if reader.is_set("rotate_keep") && rotation.size.is_none() && rotation.interval.is_none() {
        let problem = "has no effect without rotate_size or rotate_interval";
        reader.warn("rotate_keep", problem, "set one of them, or remove this");
    }
    Some(rotation)
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
                match template.render(&event_names::of_preview(wanted, &self.name)) {
                    Ok(text) => Preview::Effect {
                        does: format!("write a line to {to}"),
                        with: vec![("line", super::one_line(&text))],
                    },
                    Err(error) => Preview::Unusable { why: format!("template: {error}") },
                }
            }
        }
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        Box::pin(std::future::ready(vec![file_probe(context.section, &self.path, false)]))
    }
}
