use std::fmt::{Debug, Write as _};
use std::sync::OnceLock;

use pyo3::types::PyAnyMethods as _;
use pyo3::{Py, PyAny, Python, pyfunction};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};

static LINES: OnceLock<Py<PyAny>> = OnceLock::new();

/// Calls `line(level, logger, message)` for each line from now on; `level` is one of Python's numbers. The first call
/// counts.
#[pyfunction]
pub(crate) fn forward(line: Py<PyAny>) {
    if LINES.set(line).is_ok() {
        // This cannot fail: nothing else in this library sets a subscriber.
        let _ = tracing::subscriber::set_global_default(Registry::default().with(Forward));
    }
}

struct Forward;

impl<S: Subscriber> Layer<S> for Forward {
    /// Debug lines are dropped, because each would wait for the interpreter. The AMQP client's
    /// lines are dropped too: the engine logs its failures, and the client calls a missing queue an
    /// error.
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        let target = metadata.target();
        let most = if is_ours(target) { Level::DEBUG } else { Level::WARN };
        *metadata.level() <= most && !target.starts_with("lapin")
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = LogMessage::default();
        event.record(&mut message);
        let level = match *event.metadata().level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            Level::DEBUG | Level::TRACE => 10,
        };
        // The text may contain names from outside, which must not begin a line or move the cursor.
        let text = osnl_model::one_line(&(message.text + &message.fields)).into_owned();
        let logger = logger(event.metadata().target());
        if let Some(line) = LINES.get() {
            // At the interpreter's end there is no log any more; otherwise logging does not raise.
            let _ = Python::try_attach(|py| line.bind(py).call1((level, logger, text)).map(drop));
        }
    }
}

fn is_ours(target: &str) -> bool {
    target.starts_with("osnl") || target.starts_with("k2hr3_osnl")
}

/// Returns the logger of k2hr3_osnl for a line; the engine's parts are below it, libraries are
/// `amqp`.
fn logger(target: &str) -> String {
    match target {
        "k2hr3_osnl" | "osnl_python::listen" => "k2hr3_osnl".to_owned(),
        target if target.starts_with("osnl_legacy::k2hr3") => "k2hr3_osnl".to_owned(),
        target if target.starts_with("k2hr3_osnl") => target.replace("::", "."),
        target if is_ours(target) => format!("k2hr3_osnl.{}", target.replace("::", ".")),
        _ => "amqp".to_owned(),
    }
}

#[derive(Default)]
struct LogMessage {
    text: String,
    fields: String,
}

impl Visit for LogMessage {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            // The old program's words repeat the fields.
            "former" => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
