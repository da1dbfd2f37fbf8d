//! A log line as a JSON object: `timestamp` (RFC 3339 with the zone), `level`, `target`, `message`, and `fields` with
//! the values by their names.
//!
//! The JSON of tracing-subscriber 0.3 has no bound for a value, so a tenant's name could fill the
//! disk. It also writes bidirectional characters unescaped, which reorder a line on a terminal.

use jiff::Zoned;
use osnl_model::one_line_json;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::line::{FORMER, name_of};
use super::{LONGEST, cut};

pub(super) fn format(event: &Event<'_>, now: &Zoned) -> String {
    let level = match *event.metadata().level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    };
    let values = LogValues::from_event(event);
    let line = json!({
        "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        "level": level,
        "target": name_of(event.metadata().target()),
        "message": values.message,
        "fields": values.fields,
    });
    one_line_json(line.to_string()) + "\n"
}

#[derive(Default)]
pub(super) struct LogValues {
    pub(super) message: String,
    pub(super) fields: Map<String, Value>,
}

impl LogValues {
    pub(super) fn from_event(event: &Event<'_>) -> Self {
        let mut values = Self::default();
        event.record(&mut values);
        values
    }

    fn put(&mut self, field: &Field, value: Value) {
        let value = match value {
            Value::String(mut text) => {
                cut(&mut text, 0, LONGEST);
                Value::String(text)
            }
            value => value,
        };
        match (field.name(), value) {
            (FORMER, _) => {}
            ("message", Value::String(message)) => self.message = message,
            (name, value) => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for LogValues {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() != FORMER {
            self.put(field, format!("{value:?}").into());
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
            *self.0.lock().unwrap() += &format(event, &now);
        }
    }

    #[test]
    fn a_line_is_one_object_with_typed_fields() {
        let text = Arc::new(Mutex::new(String::new()));
        let subscriber = tracing_subscriber::registry().with(Keep(text.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let reason = "two\nlines \u{202e}";
            tracing::warn!(target: "osnl::delivery", { delivery.id = %"17.0", attempt = 2, former = "old", reason }, "attempt failed");
            tracing::info!(target: "osnl_core::x", "{{}}");
        });
        let text = text.lock().unwrap().clone();
        assert!(!text.contains('\u{202e}'), "{text}");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = [
            json!({
                "timestamp": "2026-11-20T06:41:49.007+09:00", "level": "warn", "target": "osnl.delivery",
                "message": "attempt failed",
                "fields": {"delivery.id": "17.0", "attempt": 2, "reason": "two\nlines \u{202e}"},
            }),
            json!({
                "timestamp": "2026-11-20T06:41:49.007+09:00", "level": "info", "target": "osnl.x", "message": "{}",
                "fields": {},
            }),
        ];
        assert_eq!(lines, expected);
    }
}
