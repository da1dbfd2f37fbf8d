//! The way of spans to their export, and how many went there.

use std::sync::OnceLock;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Counter;
use crate::trace::Span;

/// The way of spans to their export. Without one a span costs a look at whether there is one.
#[derive(Debug, Default)]
pub struct Traces {
    export: OnceLock<Sender<Span>>,
    /// Spans that the collector has taken.
    pub exported: Counter,
    /// Spans that the collector has refused, or for which there was no room.
    pub dropped: Counter,
}

impl Traces {
    /// Begins the export with room for so many spans; `None` if it has begun before.
    #[must_use]
    pub fn export(&self, room: usize) -> Option<Receiver<Span>> {
        let (sender, receiver) = channel(room);
        self.export.set(sender).ok().map(|()| receiver)
    }

    /// Whether spans are exported.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.export.get().is_some()
    }

    /// Hands a span to the export, if there is one and its trace is recorded. Never waits.
    pub fn record(&self, span: impl FnOnce() -> Span) {
        let Some(export) = self.export.get() else { return };
        let span = span();
        if span.context.is_sampled() && export.try_send(span).is_err() {
            self.dropped.increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::trace::{SpanId, SpanKind, TraceContext};

    #[test]
    fn without_an_export_no_span_is_made_and_a_full_one_drops() {
        let span = |flags: &str| Span {
            context: TraceContext { trace: "1".repeat(32), parent: None, flags: flags.to_owned() },
            id: SpanId::of_attempt("s", UNIX_EPOCH),
            parent: None,
            name: "n".to_owned(),
            kind: SpanKind::Internal,
            begin: UNIX_EPOCH,
            end: UNIX_EPOCH,
            attributes: Vec::new(),
            error: None,
        };
        let traces = Traces::default();
        traces.record(|| panic!("nothing takes it"));
        let mut spans = traces.export(1).unwrap();
        assert!(traces.is_on() && traces.export(1).is_none());
        traces.record(|| span("00"));
        traces.record(|| span("01"));
        traces.record(|| span("03"));
        assert_eq!(spans.try_recv().unwrap().context.flags, "01");
        assert!(spans.try_recv().is_err());
        assert_eq!(traces.dropped.get(), 1);
    }
}
