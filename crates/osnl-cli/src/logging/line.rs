//! One event on one line, `<time> <LEVEL> <logger>:<line> <message> <field>=<value>…`; the time is passed in.

use std::fmt::{self, Write as _};

use jiff::Zoned;
use osnl_model::one_line;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::Style;

/// The module that speaks for the process: `Starting`, `Stopping`.
const PROCESS: &str = "osnl::app";

/// The line, with its end. Under the legacy names the process speaks as `k2hr3_osnl`, as it did.
pub(super) fn of(event: &Event<'_>, now: &Zoned, style: Style) -> String {
    let level = match *event.metadata().level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    };
    let name = match event.metadata().target() {
        PROCESS if style == Style::K2hr3Osnl => "k2hr3_osnl".to_owned(),
        target => name_of(target),
    };
    let at = event.metadata().line().unwrap_or(0);
    let mut text = Text::default();
    event.record(&mut text);
    // Whatever an event, a broker or a target says.
    let (message, fields) = match &text.former {
        // What monitoring of the old programs reads stays as it was.
        Some(former) if style != Style::Osnl => (one_line(former), one_line("")),
        Some(_) | None => (one_line(&text.message), one_line(&text.fields)),
    };
    if style == Style::OssWatcher {
        let module = name.rsplit('.').next().unwrap_or_default();
        return format!("{} {level} ({module}) {message}{fields}\n", now.strftime("%Y-%m-%d %H:%M:%S"));
    }
    format!("{} {level} {name}:{at} {message}{fields}\n", Stamp(now))
}

/// The crates below the library are parts of it in the log, under the names that monitoring knows.
const PARTS: [(&str, &str); 7] = [
    ("osnl_actions", "osnl::action"),
    ("osnl_core", "osnl"),
    ("osnl_delivery::enrich", "osnl::enrich"),
    ("osnl_delivery", "osnl::delivery"),
    ("osnl_journal::in_hand", "osnl::in_hand"),
    ("osnl_journal", "osnl::journal"),
    ("osnl_k2hr3", "osnl::k2hr3"),
];

/// The name of a target's logger, in Rust's spelling.
pub(crate) fn logger(target: &str) -> String {
    let part = PARTS.iter().find_map(|(krate, name)| {
        let rest = target.strip_prefix(krate)?;
        (rest.is_empty() || rest.starts_with("::")).then(|| format!("{name}{rest}"))
    });
    part.unwrap_or_else(|| target.to_owned())
}

/// Returns the name of a module in the log.
pub(super) fn name_of(target: &str) -> String {
    logger(target).replace("::", ".")
}

/// Python's `asctime`: local time, a comma before the milliseconds.
struct Stamp<'a>(&'a Zoned);

impl fmt::Display for Stamp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millisecond = self.0.subsec_nanosecond() / 1_000_000;
        write!(f, "{},{millisecond:03}", self.0.strftime("%Y-%m-%d %H:%M:%S"))
    }
}

/// The message apart from the fields, which may come before it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
    /// The whole line as it was before its sentence became constant, of events that had another one.
    former: Option<String>,
}

/// The field that holds [`Text::former`].
pub(super) const FORMER: &str = "former";

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == FORMER {
            self.former = Some(value.to_owned());
            return;
        }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Formats every event at one moment.
    struct Keep(Arc<Mutex<String>>);

    impl<S: tracing::Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let now = "2026-11-20T06:41:49.0079+09:00[+09:00]".parse().unwrap();
            *self.0.lock().unwrap() += &of(event, &now, Style::K2hr3Osnl);
        }
    }

    #[test]
    fn lines_have_upstreams_order_names_and_levels() {
        let text = Arc::new(Mutex::new(String::new()));
        let subscriber = tracing_subscriber::registry().with(Keep(text.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let (name, attempt) = ("a b", 2);
            tracing::info!(target: "osnl::app", "Starting");
            tracing::warn!(target: "osnl::listener", { queue.name = name, attempt }, "two\nlines\r\u{1b}]0;x\u{7} \u{202e}");
            tracing::error!(target: "k2hr3_osnl.endpoint", "no sent. {} error x", 1);
            tracing::info!(target: "osnl_actions::exec::worker", "");
            tracing::info!(target: "osnl_delivery::enrich::steps", "");
            tracing::info!(target: "osnl_delivery::outcomes", "");
            tracing::info!(target: "osnl_journal", "");
            tracing::info!(target: "osnl_journal::in_hand", "");
            tracing::info!(target: "osnl_journal::sqlite::prune", "");
            tracing::info!(target: "osnl_k2hr3::listen", "");
            tracing::debug!(target: "osnl_core::x", id = "a\u{1b}[31m\u{2028}", "{{}}");
            tracing::info!(target: "osnl::delivery", attempt = 1, former = "delivered x id=y", "delivered");
        });
        let text = text.lock().unwrap().clone();
        // Where in this file the events stand is of no interest.
        let lines: Vec<String> = text
            .lines()
            .map(|line| {
                let (before, after) = line.split_at(line.rfind(':').unwrap() + 1);
                format!("{before}N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
            })
            .collect();
        assert_eq!(
            lines,
            [
                "2026-11-20 06:41:49,007 INFO k2hr3_osnl:N Starting",
                "2026-11-20 06:41:49,007 WARNING osnl.listener:N two\\nlines\\r\\x1b]0;x\\x07 \\u{202e} queue.name=\"a b\" attempt=2",
                "2026-11-20 06:41:49,007 ERROR k2hr3_osnl.endpoint:N no sent. 1 error x",
                "2026-11-20 06:41:49,007 INFO osnl.action.exec.worker:N ",
                "2026-11-20 06:41:49,007 INFO osnl.enrich.steps:N ",
                "2026-11-20 06:41:49,007 INFO osnl.delivery.outcomes:N ",
                "2026-11-20 06:41:49,007 INFO osnl.journal:N ",
                "2026-11-20 06:41:49,007 INFO osnl.in_hand:N ",
                "2026-11-20 06:41:49,007 INFO osnl.journal.sqlite.prune:N ",
                "2026-11-20 06:41:49,007 INFO osnl.k2hr3.listen:N ",
                "2026-11-20 06:41:49,007 DEBUG osnl.x:N {} id=a\\x1b[31m\\u{2028}",
                "2026-11-20 06:41:49,007 INFO osnl.delivery:N delivered x id=y",
            ]
        );
    }
}
