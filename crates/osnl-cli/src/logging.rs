//! Log lines in the order of k2hr3_osnl's: time, level, name, message; then the fields.
//!
//! `2026-11-20 06:41:49,007 INFO osnl.listener:57 listening at mq1:5672 queue.name=k2hr3_osnl`

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Stderr,
    /// Appended to.
    File(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("standard error"),
            Self::File(path) => write!(f, "log file {}", path.display()),
        }
    }
}

/// Starts logging; called once.
///
/// # Errors
/// The log file cannot be opened.
pub(crate) fn start(destination: &Destination, ours: LevelFilter, libraries: LevelFilter) -> io::Result<()> {
    let levels = Targets::new()
        .with_default(libraries)
        .with_target("lapin", amqp_client(libraries))
        .with_targets(["osnl", "osnl_transport", "osnl_model"].map(|target| (target, ours)));
    let registry = tracing_subscriber::registry().with(levels);
    let layer = tracing_subscriber::fmt::layer().event_format(Line);
    match destination {
        Destination::Stderr => registry.with(layer.with_writer(io::stderr)).init(),
        Destination::File(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            registry.with(layer.with_writer(Mutex::new(file))).init();
        }
    }
    Ok(())
}

/// What is asked of the AMQP client. Its failures come back to us and are logged where they are handled; it
/// also calls it an error that a queue is not there yet, which every first start asks for.
fn amqp_client(libraries: LevelFilter) -> LevelFilter {
    if libraries >= LevelFilter::INFO { libraries } else { LevelFilter::OFF }
}

/// One event on one line.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = jiff::Zoned::now();
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "TRACE",
        };
        let name = event.metadata().target().replace("::", ".");
        let line = event.metadata().line().unwrap_or(0);
        let time = now.strftime("%Y-%m-%d %H:%M:%S");
        let millisecond = now.subsec_nanosecond() / 1_000_000;
        write!(writer, "{time},{millisecond:03} {level} {name}:{line} ")?;
        let mut text = Text::default();
        event.record(&mut text);
        writeln!(writer, "{}{}", one_line(&text.message), one_line(&text.fields))
    }
}

/// A log line is one line, whatever a broker or a target says.
fn one_line(text: &str) -> String {
    text.replace('\r', "\\r").replace('\n', "\\n")
}

/// The message apart from the fields, which may come before it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = !value.is_empty() && !value.contains([' ', '"', '=']);
        if plain && field.name() != "message" {
            self.push(field, format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a String cannot fail.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.push(field, format_args!("{value:?}"));
        }
    }
}

impl Text {
    fn push(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let _ = write!(self.fields, " {}={value}", field.name());
    }
}
