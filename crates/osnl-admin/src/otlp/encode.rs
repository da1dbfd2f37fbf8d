//! Spans as `ExportTraceServiceRequest` of OTLP 1, in the JSON form of protobuf: ids in hexadecimal, times as text.

use std::time::{SystemTime, UNIX_EPOCH};

use osnl_core::trace::{Attribute, Span, SpanKind};
use serde_json::{Value, json};

/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// The source of spans.
pub(super) struct SpanResource(Value);

impl SpanResource {
    /// This process.
    pub(super) fn of_this_process() -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let attributes = [
            ("service.name", Attribute::from("osnl")),
            ("service.version", env!("CARGO_PKG_VERSION").into()),
            ("service.instance.id", host.as_str().into()),
            ("process.pid", Attribute::Number(std::process::id().into())),
        ];
        Self(json!({"attributes": attributes.iter().map(attribute).collect::<Vec<_>>()}))
    }

    /// Returns the body of a request.
    pub(super) fn body(&self, spans: &[Span]) -> String {
        let scope = json!({"name": "osnl", "version": env!("CARGO_PKG_VERSION")});
        let spans: Vec<Value> = spans.iter().map(span).collect();
        json!({"resourceSpans": [{"resource": self.0, "scopeSpans": [{"scope": scope, "spans": spans}]}]})
            .to_string()
    }
}

fn span(span: &Span) -> Value {
    let mut written = json!({
        "traceId": span.context.trace,
        "spanId": span.id.to_string(),
        "name": span.name,
        "kind": match span.kind {
            SpanKind::Internal => 1,
            SpanKind::Client => 3,
            SpanKind::Consumer => 5,
        },
        "startTimeUnixNano": nanoseconds(span.begin),
        // A clock may be set back meanwhile.
        "endTimeUnixNano": nanoseconds(span.end.max(span.begin)),
        "attributes": span.attributes.iter().map(attribute).collect::<Vec<_>>(),
    });
    if let Some(parent) = &span.parent {
        written["parentSpanId"] = json!(parent.to_string());
    }
    if let Some(error) = &span.error {
        written["status"] = json!({"code": ERROR, "message": error});
    }
    written
}

fn attribute((name, value): &(&'static str, Attribute)) -> Value {
    let value = match value {
        Attribute::Text(text) => json!({"stringValue": text}),
        Attribute::Number(number) => json!({"intValue": number.to_string()}),
        Attribute::Flag(flag) => json!({"boolValue": flag}),
    };
    json!({"key": name, "value": value})
}

fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}
