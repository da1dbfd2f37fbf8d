//! One event on one line, `<time> <LEVEL> <logger>:<line> <message> <field>=<value>…`; the caller
//! passes the time.

use std::fmt::{self, Write as _};

use jiff::Zoned;
use osnl_model::one_line;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::{LONGEST, Style, cut};

const PROCESS: &str = "osnl::app";
const WATCHER: &str = "osnl_legacy::oss::watcher";

/// Returns the line with its newline. Under the legacy names the process logs as `k2hr3_osnl`, as
/// before.
pub(super) fn format(event: &Event<'_>, now: &Zoned, style: Style) -> String {
    let level = match *event.metadata().level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    };
    let target = match event.metadata().target() {
        PROCESS if style == Style::K2hr3Osnl => "k2hr3_osnl",
        WATCHER if style == Style::OssWatcher => "oss_watcher::service",
        target => target,
    };
    let mut line = String::with_capacity(USUAL);
    push_date(&mut line, now);
    if style == Style::OssWatcher {
        let name = name_of(target);
        let module = name.rsplit('.').next().unwrap_or_default();
        let _ = write!(line, " {level} ({module}) ");
    } else {
        let millisecond = now.subsec_nanosecond() / 1_000_000;
        let _ = write!(line, ",{millisecond:03} {level} ");
        push_name(&mut line, target);
        let _ = write!(line, ":{} ", event.metadata().line().unwrap_or(0));
    }
    // Monitoring of the legacy programs matches these texts.
    let former = if style == Style::Osnl { None } else { FormerLine::read(event) };
    let text = match former {
        Some(message) => MessageText { message, ..MessageText::default() },
        None => MessageText::from_event(event, if style == Style::Osnl { LONGEST } else { usize::MAX }),
    };
    line.push_str(&one_line(&text.message));
    line.push_str(&one_line(&text.fields));
    line.push('\n');
    line
}

const USUAL: usize = 256;

/// The lower crates appear as parts of the library in the log, under names that monitoring matches.
const PARTS: [(&str, &str); 20] = [
    ("osnl_actions", "osnl::action"),
    ("osnl_amqp1", "osnl_transport::amqp1"),
    ("osnl_core", "osnl"),
    ("osnl_delivery::enrich", "osnl::enrich"),
    ("osnl_delivery", "osnl::delivery"),
    ("osnl_engine::listener::bindings::cleanup", "osnl::listener::tidying"),
    ("osnl_engine::listener::bindings::exit", "osnl::listener::leaving"),
    ("osnl_engine::listener::bindings::looks", "osnl::listener::rebinding"),
    ("osnl_engine::listener::losses", "osnl::listener::failures"),
    ("osnl_engine::listener::returns", "osnl::listener::given_back"),
    ("osnl_engine", "osnl"),
    ("osnl_journal::in_hand", "osnl::in_hand"),
    ("osnl_journal", "osnl::journal"),
    ("osnl_kafka", "osnl_transport::kafka"),
    ("osnl_legacy::k2hr3", "osnl::k2hr3"),
    ("osnl_legacy::oss", "osnl::oss"),
    ("osnl_legacy", "osnl"),
    ("osnl_openstack", "osnl_net::openstack"),
    ("osnl::overseer::alarms", "osnl::listener::alarms"),
    ("osnl::overseer", "osnl::listener::overseer"),
];

pub(crate) fn logger(target: &str) -> String {
    let (part, rest) = part_of(target);
    [part, rest].concat()
}

pub(super) fn name_of(target: &str) -> String {
    let mut name = String::with_capacity(target.len());
    push_name(&mut name, target);
    name
}

fn push_name(line: &mut String, target: &str) {
    let (part, rest) = part_of(target);
    for (n, module) in
        part.split("::").chain(rest.split("::").filter(|module| !module.is_empty())).enumerate()
    {
        if n > 0 {
            line.push('.');
        }
        line.push_str(module);
    }
}

fn part_of(target: &str) -> (&str, &str) {
    let part = PARTS.iter().find_map(|(krate, name)| {
        let rest = target.strip_prefix(krate)?;
        (rest.is_empty() || rest.starts_with("::")).then_some((*name, rest))
    });
    part.unwrap_or((target, ""))
}

fn push_date(line: &mut String, now: &Zoned) {
    let mut push = |before: &str, number: i16, digits: u32| {
        line.push_str(before);
        for place in (0..digits).rev() {
            line.push(char::from(b'0' + (number.unsigned_abs() / 10_u16.pow(place) % 10) as u8));
        }
    };
    push("", now.year(), 4);
    push("-", now.month().into(), 2);
    push("-", now.day().into(), 2);
    push(" ", now.hour().into(), 2);
    push(":", now.minute().into(), 2);
    push(":", now.second().into(), 2);
}

/// The field with an old program's own words, for events that it had a line for.
pub(super) const FORMER: &str = "former";

#[derive(Default)]
struct FormerLine(Option<String>);

impl FormerLine {
    fn read(event: &Event<'_>) -> Option<String> {
        event.metadata().fields().field(FORMER)?;
        let mut former = Self::default();
        event.record(&mut former);
        former.0
    }
}

impl Visit for FormerLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == FORMER {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == FORMER {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

#[derive(Default)]
struct MessageText {
    message: String,
    fields: String,
    longest: usize,
}

impl MessageText {
    fn from_event(event: &Event<'_>, longest: usize) -> Self {
        let mut text = Self { longest, ..Self::default() };
        event.record(&mut text);
        text
    }

    fn name(&mut self, field: &Field) {
        for part in [" ", field.name(), "="] {
            self.fields.push_str(part);
        }
    }
}

impl Visit for MessageText {
    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = !value.is_empty() && !value.contains([' ', '"', '=']);
        if plain && !matches!(field.name(), FORMER | "message") {
            self.name(field);
            let from = self.fields.len();
            self.fields.push_str(value);
            cut(&mut self.fields, from, self.longest);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => {
                let _ = write!(self.message, "{value:?}");
                cut(&mut self.message, 0, self.longest);
            }
            FORMER => {}
            _ => {
                self.name(field);
                let from = self.fields.len();
                let _ = write!(self.fields, "{value:?}");
                cut(&mut self.fields, from, self.longest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    struct Keep(Arc<Mutex<String>>);

    impl<S: tracing::Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let now = "2026-11-20T06:41:49.0079+09:00[+09:00]".parse().unwrap();
            *self.0.lock().unwrap() += &format(event, &now, Style::K2hr3Osnl);
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
            tracing::info!(target: "osnl_engine::listener", "");
            tracing::info!(target: "osnl_delivery::outcomes", "");
            tracing::info!(target: "osnl_journal", "");
            tracing::info!(target: "osnl_journal::in_hand", "");
            tracing::info!(target: "osnl_journal::sqlite::prune", "");
            tracing::info!(target: "osnl_legacy::k2hr3::listen", "");
            tracing::info!(target: "osnl_legacy::oss::watcher", "");
            tracing::debug!(target: "osnl_core::x", id = "a\u{1b}[31m\u{2028}", "{{}}");
            tracing::info!(target: "osnl::delivery", attempt = 1, former = "Handle event `x`.", "delivered");
        });
        let text = text.lock().unwrap().clone();
        // Line numbers of this file would change with every edit.
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
                "2026-11-20 06:41:49,007 INFO osnl.listener:N ",
                "2026-11-20 06:41:49,007 INFO osnl.delivery.outcomes:N ",
                "2026-11-20 06:41:49,007 INFO osnl.journal:N ",
                "2026-11-20 06:41:49,007 INFO osnl.in_hand:N ",
                "2026-11-20 06:41:49,007 INFO osnl.journal.sqlite.prune:N ",
                "2026-11-20 06:41:49,007 INFO osnl.k2hr3.listen:N ",
                "2026-11-20 06:41:49,007 INFO osnl.oss.watcher:N ",
                "2026-11-20 06:41:49,007 DEBUG osnl.x:N {} id=a\\x1b[31m\\u{2028}",
                "2026-11-20 06:41:49,007 INFO osnl.delivery:N Handle event `x`.",
            ]
        );
    }
}
