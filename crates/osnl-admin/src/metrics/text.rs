//! The two text formats. The differences are the names of counters and infos, units, exemplars, and the end
//! mark.
//!
//! The official crate writes only OpenMetrics and keeps its own values; this module writes both formats from
//! existing numbers.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use osnl::journal::DeliveryId;
use osnl_core::metrics::{Exemplar, HistogramCounts};
use osnl_model::{is_dangerous, one_line};

use super::families::{Family, MetricKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    Prometheus,
    OpenMetrics,
}

impl MetricsFormat {
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let media = |part: &str| part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match accept.split(',').any(|part| media(part) == "application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(super) struct FamilyWriter {
    format: MetricsFormat,
    out: String,
}

pub(super) struct SampleWriter<'a> {
    family: &'static Family,
    format: MetricsFormat,
    out: &'a mut String,
}

impl FamilyWriter {
    pub(super) fn new(format: MetricsFormat) -> Self {
        Self { format, out: String::with_capacity(64 * 1024) }
    }

    pub(super) fn family(&mut self, family: &'static Family, samples: impl FnOnce(&mut SampleWriter<'_>)) {
        let before = self.out.len();
        // For Prometheus an info is a gauge, and its type line has the name of its samples.
        let (name, kind) = match (self.format, family.kind) {
            (MetricsFormat::OpenMetrics, kind) => (family.name.to_owned(), kind),
            (MetricsFormat::Prometheus, MetricKind::Info) => (family.sample(), MetricKind::Gauge),
            (MetricsFormat::Prometheus, kind) => (family.sample(), kind),
        };
        push(&mut self.out, format_args!("# HELP {name} {}\n# TYPE {name} {}\n", family.help, kind.name()));
        if self.format == MetricsFormat::OpenMetrics && !family.unit.is_empty() {
            push(&mut self.out, format_args!("# UNIT {name} {}\n", family.unit));
        }
        let head = self.out.len();
        samples(&mut SampleWriter { family, format: self.format, out: &mut self.out });
        if self.out.len() == head {
            self.out.truncate(before);
        }
    }

    pub(super) fn value(&mut self, family: &'static Family, value: Option<impl Into<Number>>) {
        self.family(family, |samples| {
            if let Some(value) = value {
                samples.sample(&[], value);
            }
        });
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == MetricsFormat::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

impl SampleWriter<'_> {
    pub(super) fn sample(&mut self, labels: &[&str], value: impl Into<Number>) {
        let ending = match self.family.kind {
            MetricKind::Counter => "_total",
            MetricKind::Info => "_info",
            MetricKind::Gauge | MetricKind::Histogram => "",
        };
        self.line(ending, labels, None, value.into());
        self.out.push('\n');
    }

    pub(super) fn state(&mut self, labels: &[&str], states: &[&str], state: &str) {
        debug_assert!(states.contains(&state), "{}: {state}", self.family.name);
        for name in states {
            let labels: Vec<&str> = labels.iter().copied().chain([*name]).collect();
            self.sample(&labels, u64::from(*name == state));
        }
    }

    pub(super) fn histogram(&mut self, labels: &[&str], observed: &HistogramCounts) {
        let mut count = 0;
        for (n, bucket) in observed.buckets.iter().enumerate() {
            count += bucket;
            let bound = observed.bounds.get(n).map_or("+Inf".to_owned(), |bound| seconds(*bound));
            self.line("_bucket", labels, Some(&bound), Number::Whole(count));
            if let (MetricsFormat::OpenMetrics, Some(Some(exemplar))) =
                (self.format, observed.exemplars.get(n))
            {
                let Exemplar { delivery, micros, at } = exemplar;
                let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
                let (delivery, value) = (DeliveryId(*delivery), seconds(*micros));
                push(
                    self.out,
                    format_args!(" # {{delivery_id=\"{delivery}\"}} {value} {:.3}", at.as_secs_f64()),
                );
            }
            self.out.push('\n');
        }
        self.line("_sum", labels, None, Number::Micros(observed.micros));
        self.out.push('\n');
        self.line("_count", labels, None, Number::Whole(count));
        self.out.push('\n');
    }

    fn line(&mut self, ending: &str, labels: &[&str], le: Option<&str>, value: Number) {
        debug_assert_eq!(labels.len(), self.family.labels.len(), "{}", self.family.name);
        self.out.push_str(self.family.name);
        self.out.push_str(ending);
        let own = self.family.labels.iter().copied().zip(labels.iter().copied());
        let mut open = '{';
        for (name, value) in own.chain(le.map(|le| ("le", le))) {
            self.out.push(open);
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(value, self.out);
            self.out.push('"');
            open = ',';
        }
        if open == ',' {
            self.out.push('}');
        }
        self.out.push(' ');
        match value {
            Number::Whole(value) => push(self.out, format_args!("{value}")),
            Number::Real(value) => push(self.out, format_args!("{value}")),
            Number::Micros(value) => self.out.push_str(&seconds(value)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
    Micros(u64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<SystemTime> for Number {
    fn from(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::Micros(u64::try_from(since.as_millis()).unwrap_or(u64::MAX / 1000).saturating_mul(1000))
    }
}

/// Formats microseconds as seconds, without trailing zeros; OpenMetrics requires bounds such as `1.0`.
fn seconds(micros: u64) -> String {
    let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
    let text = format!("{whole}.{rest:06}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
}

fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            // Written out for a terminal that shows the text; the backslash itself is escaped.
            c if is_dangerous(c) => {
                out.push('\\');
                out.push_str(&one_line(c.encode_utf8(&mut [0; 4])));
            }
            c => out.push(c),
        }
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::families::{APPEND, BUILD, CPU, EFFECT, MATCHED};
    use super::*;

    fn written(format: MetricsFormat) -> String {
        let exemplar = Exemplar {
            delivery: 17 << 10 | 2,
            micros: 1_500_000,
            at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_250),
        };
        let observed = HistogramCounts {
            bounds: &[500_000, 2_000_000],
            buckets: vec![1, 2, 0],
            micros: 3_250_000,
            exemplars: vec![None, Some(exemplar), None],
        };
        let mut out = FamilyWriter::new(format);
        out.family(&BUILD, |samples| samples.sample(&["1.0"], 1u64));
        out.family(&MATCHED, |samples| samples.sample(&["a\"b\\c\nd\x1b[2Je\u{202e}"], 7u64));
        out.family(&APPEND, |_| {});
        out.value(&CPU, Some(1.5));
        out.family(&EFFECT, |samples| samples.histogram(&["x"], &observed));
        out.finish().lines().filter(|line| !line.starts_with("# HELP")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn both_formats_are_as_their_readers_expect() {
        let prometheus = r#"# TYPE osnl_build_info gauge
osnl_build_info{version="1.0"} 1
# TYPE osnl_messages_matched_total counter
osnl_messages_matched_total{listener="a\"b\\c\nd\\x1b[2Je\\u{202e}"} 7
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 1.5
# TYPE osnl_delivery_effect_delay_seconds histogram
osnl_delivery_effect_delay_seconds_bucket{action="x",le="0.5"} 1
osnl_delivery_effect_delay_seconds_bucket{action="x",le="2.0"} 3
osnl_delivery_effect_delay_seconds_bucket{action="x",le="+Inf"} 3
osnl_delivery_effect_delay_seconds_sum{action="x"} 3.25
osnl_delivery_effect_delay_seconds_count{action="x"} 3"#;
        assert_eq!(written(MetricsFormat::Prometheus), prometheus);
        let id = DeliveryId(17 << 10 | 2);
        let open = format!(
            r#"# TYPE osnl_build info
osnl_build_info{{version="1.0"}} 1
# TYPE osnl_messages_matched counter
osnl_messages_matched_total{{listener="a\"b\\c\nd\\x1b[2Je\\u{{202e}}"}} 7
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
process_cpu_seconds_total 1.5
# TYPE osnl_delivery_effect_delay_seconds histogram
# UNIT osnl_delivery_effect_delay_seconds seconds
osnl_delivery_effect_delay_seconds_bucket{{action="x",le="0.5"}} 1
osnl_delivery_effect_delay_seconds_bucket{{action="x",le="2.0"}} 3 # {{delivery_id="{id}"}} 1.5 1700000000.250
osnl_delivery_effect_delay_seconds_bucket{{action="x",le="+Inf"}} 3
osnl_delivery_effect_delay_seconds_sum{{action="x"}} 3.25
osnl_delivery_effect_delay_seconds_count{{action="x"}} 3
# EOF"#
        );
        assert_eq!(written(MetricsFormat::OpenMetrics), open);
    }

    #[test]
    fn the_format_is_the_one_that_the_reader_names() {
        let check = |accept, expected| assert_eq!(MetricsFormat::accepted(accept), expected, "{accept}");
        check("", MetricsFormat::Prometheus);
        check("*/*", MetricsFormat::Prometheus);
        check("text/plain;version=0.0.4;q=0.3", MetricsFormat::Prometheus);
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain",
            MetricsFormat::OpenMetrics,
        );
    }
}
