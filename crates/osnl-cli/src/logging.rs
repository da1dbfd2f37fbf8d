//! Log lines in the order of k2hr3_osnl's: time, level, name, message; then the fields.
//!
//! `2026-11-20 06:41:49,007 INFO osnl.listener:57 listening at mq1:5672 queue.name=k2hr3_osnl`
//!
//! | whose lines | with stderr as the destination | with a log file |
//! | --- | --- | --- |
//! | ours | stderr | the file; stderr while the file cannot be written; as oss_watcher both |
//! | the libraries' | stderr | stderr |
//!
//! With `log_format = json` each line is an object, see [`json`]. If stderr is the journal of
//! systemd, osnl's own lines are sent there with their fields, see [`journald`]. Other lines, and
//! those of the legacy names, begin with the journal's priority (`<6>`). A value of more than 16
//! KiB, such as a tenant's name, is cut, but not under the legacy names.
//!
//! Logging never ends or blocks the program. A lost log file is reported once and retried every
//! second. When a megabyte of lines waits for stderr's reader, further lines are dropped.

mod background;
mod change;
mod file;
mod journald;
mod json;
mod line;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Zoned;
use osnl::ends::EndReports;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use self::background::Background;
pub(crate) use self::change::prepare;
use self::file::{LogRotation, LogWriter};
use self::journald::Journald;
pub(crate) use self::line::logger;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogDestination {
    Stderr,
    File(PathBuf),
}

impl fmt::Display for LogDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("standard error"),
            Self::File(path) => write!(f, "log file {}", path.display()),
        }
    }
}

impl LogDestination {
    pub(crate) fn unopened(&self, error: &io::Error) -> String {
        format!("{self}: {error}; name another one with log_file, or give this user write access")
    }

    /// Returns the error with which a start would end, and creates nothing. A permission that this user lacks is none,
    /// because a daemon has its own; nor is a missing folder that its unit makes.
    pub(crate) fn refusal(&self) -> Option<io::Error> {
        let Self::File(path) = self else { return None };
        let path = std::path::absolute(path).ok()?;
        let error = match std::fs::metadata(path.parent()?) {
            Ok(folder) if !folder.is_dir() => rustix::io::Errno::NOTDIR.into(),
            Ok(_) if path.is_dir() => rustix::io::Errno::ISDIR.into(),
            Ok(_) => return None,
            Err(error) => error,
        };
        let of_unit =
            ["/var/log/osnl", "/var/log/k2hr3", "/var/lib/osnl"].iter().any(|made| path.starts_with(made));
        let is_made = of_unit && error.kind() == io::ErrorKind::NotFound;
        (error.kind() != io::ErrorKind::PermissionDenied && !is_made).then_some(error)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) destination: LogDestination,
    pub(crate) ours: LevelFilter,
    pub(crate) libraries: LevelFilter,
    pub(crate) style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Osnl,
    Json,
    /// The format of k2hr3_osnl: its name for the process's own lines, and a log file that rotates
    /// at midnight.
    K2hr3Osnl,
    /// The format of oss_watcher: `2015-03-19 18:44:01 INFO (service) Listen queue q`, to the file
    /// and to stderr.
    OssWatcher,
}

impl LogSettings {
    fn rotation(&self) -> LogRotation {
        match self.style {
            Style::K2hr3Osnl => LogRotation::AtMidnight { keep: 31 },
            Style::Osnl | Style::Json | Style::OssWatcher => LogRotation::None,
        }
    }

    fn levels(&self) -> Targets {
        Targets::new()
            .with_default(self.libraries)
            .with_target("lapin", amqp_client(self.libraries))
            // lapin would log a returned message with its whole body.
            .with_target("lapin::returned_messages", LevelFilter::OFF)
            .with_targets(OURS.map(|target| (target, self.ours)))
    }
}

const LONGEST: usize = 16 * 1024;

fn cut(text: &mut String, from: usize, longest: usize) {
    let length = text.len() - from;
    if length > longest {
        text.truncate(text.floor_char_boundary(from + longest));
        text.push_str(&format!("… ({length} bytes)"));
    }
}

/// Prefixes of osnl's own targets; `k2hr3_osnl` and `oss_watcher` are lines that users of the
/// former programs rely on.
const OURS: [&str; 17] = [
    "k2hr3_osnl",
    "oss_watcher",
    "osnl",
    "osnl_action",
    "osnl_actions",
    "osnl_admin",
    "osnl_amqp1",
    "osnl_core",
    "osnl_delivery",
    "osnl_engine",
    "osnl_journal",
    "osnl_kafka",
    "osnl_legacy",
    "osnl_model",
    "osnl_net",
    "osnl_openstack",
    "osnl_transport",
];

/// The longest wait at the program's end for lines that stderr has not accepted.
const LAST_WORDS: Duration = Duration::from_secs(1);

static OUTPUT: OnceLock<LogOutput> = OnceLock::new();

/// Starts logging; must be called once.
pub(crate) fn start(settings: &LogSettings) -> io::Result<()> {
    let file = match &settings.destination {
        LogDestination::Stderr => None,
        LogDestination::File(path) => Some(LogWriter::open(path, settings.rotation(), &Zoned::now())?),
    };
    let file = Mutex::new(file);
    let stderr = Background::start(io::stderr())?;
    let output = OUTPUT.get_or_init(|| LogOutput {
        stderr,
        file,
        priorities: stderr_is_the_journal(),
        journald: journald(settings.style),
        is_json: AtomicBool::new(settings.style == Style::Json),
        both: settings.style == Style::OssWatcher,
    });
    let (levels, handle) = reload::Layer::new(settings.levels());
    let _ = change::LEVELS.set(handle);
    let lines = LogLines { output, style: settings.style };
    tracing_subscriber::registry().with(levels).with(lines).init();
    Ok(())
}

/// Returns the level of the AMQP client. The caller of lapin logs each failure. lapin also logs a
/// missing queue as an error, which is normal at every first start.
fn amqp_client(libraries: LevelFilter) -> LevelFilter {
    if libraries >= LevelFilter::INFO { libraries } else { LevelFilter::OFF }
}

pub(crate) fn reopen() {
    let is_file = OUTPUT.get().is_some_and(|output| {
        let mut file = output.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.as_mut().map(|file| file.reopen(&Zoned::now())).is_some()
    });
    if is_file {
        tracing::info!("SIGHUP: the log file is opened again");
    } else {
        tracing::info!("SIGHUP: the log goes to stderr, there is no file to open again");
    }
}

/// Returns the signal that the writer thread of stderr has ended unexpectedly; none before
/// [`start`].
pub(crate) fn ends() -> Option<EndReports> {
    OUTPUT.get().map(|output| output.stderr.ends())
}

pub(crate) fn flush() {
    if let Some(output) = OUTPUT.get() {
        output.stderr.flush(LAST_WORDS);
    }
}

/// Whether stderr is the journal, by device and inode as systemd sets `JOURNAL_STREAM`. A
/// redirected stderr differs.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned().map(File::from) else { return false };
    stderr.metadata().is_ok_and(|is| stream == format!("{}:{}", is.dev(), is.ino()))
}

struct LogOutput {
    stderr: Background,
    file: Mutex<Option<LogWriter>>,
    priorities: bool,
    journald: Option<Journald>,
    is_json: AtomicBool,
    both: bool,
}

/// Connects to the journal. Under the legacy names lines keep their former format.
fn journald(style: Style) -> Option<Journald> {
    match style {
        Style::Osnl | Style::Json if stderr_is_the_journal() => Journald::connect(journald::SOCKET.as_ref()),
        _ => None,
    }
}

impl LogOutput {
    fn is_without_file(&self) -> bool {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn ours(&self, now: &Zoned, level: Level, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(written) = file.as_mut().map(|file| file.write(now, line)) else {
            drop(file);
            return self.stderr(level, line);
        };
        drop(file);
        if let Some(remark) = &written.remark {
            self.stderr(Level::ERROR, &format!("{remark}\n"));
        }
        if !written.written || self.both {
            self.stderr(level, line);
        }
    }

    fn stderr(&self, level: Level, line: &str) {
        if !self.priorities {
            return self.stderr.push(line);
        }
        let priority = match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        self.stderr.push(&format!("<{priority}>{line}"));
    }
}

struct LogLines {
    output: &'static LogOutput,
    style: Style,
}

impl<S: Subscriber> Layer<S> for LogLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        let is_json = self.output.is_json.load(Ordering::Relaxed);
        let is_ours = OURS.iter().any(|ours| is_or_is_within(target, ours));
        if is_ours
            && !is_json
            && self
                .output
                .journald
                .as_ref()
                .is_some_and(|journald| self.output.is_without_file() && journald.send(event))
        {
            return;
        }
        let now = Zoned::now();
        let line = if is_json { json::format(event, &now) } else { line::format(event, &now, self.style) };
        if is_ours {
            self.output.ours(&now, level, &line);
        } else {
            self.output.stderr(level, &line);
        }
    }
}

fn is_or_is_within(target: &str, of: &str) -> bool {
    target
        .strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const UNRELEASED: [&str; 4] = ["osnl_cli", "osnl_testkit", "osnl_bench", "osnl_python"];

    /// A missing crate's lines would not be in the log file.
    #[test]
    fn each_crate_that_logs_is_among_ours() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let logs = |file: &PathBuf| {
            file.extension().is_some_and(|kind| kind == "rs")
                && std::fs::read_to_string(file).unwrap().contains("tracing::")
        };
        let mut found = 0;
        for entry in std::fs::read_dir(crates).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().replace('-', "_");
            if !UNRELEASED.contains(&name.as_str()) && files(&path.join("src")).iter().any(logs) {
                assert!(OURS.contains(&name.as_str()), "{name}");
                found += 1;
            }
        }
        assert!(found >= 8, "{found}");
    }

    #[test]
    fn the_book_has_each_field() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let page = std::fs::read_to_string(crates.join("../docs/reference/log.md")).unwrap();
        let row = |line: &str| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned());
        let listed: BTreeSet<String> = page.lines().filter_map(row).collect();
        let mut found = BTreeSet::new();
        let unlisted = ["osnl-testkit", "osnl-bench"];
        let of_a_release = |path: &PathBuf| !unlisted.iter().any(|name| path.ends_with(name));
        let folders = std::fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path());
        for file in folders.filter(of_a_release).flat_map(|path| files(&path.join("src"))) {
            let is_test =
                file.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
            let text = if is_test { String::new() } else { std::fs::read_to_string(&file).unwrap() };
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for level in ["debug", "info", "warn", "error"] {
                let begin = format!("tracing::{level}!(");
                found.extend(text.split(&begin).skip(1).flat_map(fields));
            }
        }
        found.remove(line::FORMER);
        assert_eq!(listed, found);
    }

    fn fields(arguments: &str) -> Vec<String> {
        let mut names = Vec::new();
        for part in parts(arguments).into_iter().take_while(|part| !part.starts_with('"')) {
            match part.strip_prefix('{') {
                Some(group) => names.extend(fields(group)),
                None if part.starts_with("target:") => {}
                None => names.extend(part.split(" =").next().map(|name| name.replace(['%', '?'], ""))),
            }
        }
        names
    }

    fn parts(list: &str) -> Vec<&str> {
        let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0);
        let (mut is_text, mut is_escaped) = (false, false);
        for (at, c) in list.char_indices() {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' if is_text => is_escaped = true,
                '"' => is_text = !is_text,
                _ if is_text => {}
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth > 0 => depth -= 1,
                ')' | ']' | '}' | ',' if depth == 0 => {
                    parts.extend(Some(list[from..at].trim()).filter(|part| !part.is_empty()));
                    from = at + 1;
                    if c != ',' {
                        break;
                    }
                }
                _ => {}
            }
        }
        parts
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn our_lines_are_told_from_the_libraries() {
        for (target, expected) in [
            ("osnl", true),
            ("osnl::delivery", true),
            ("osnl_core::rule::guard", true),
            ("osnl_journal::sqlite", true),
            ("osnl_transport::rabbit", true),
            ("k2hr3_osnl.endpoint", true),
            ("osnlx", false),
            ("lapin::channel", false),
            ("hyper_util::client", false),
        ] {
            assert_eq!(OURS.iter().any(|ours| is_or_is_within(target, ours)), expected, "{target}");
        }
    }
}
