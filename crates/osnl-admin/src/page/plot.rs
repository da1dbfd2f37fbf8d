//! One plot: lines over a span of time as SVG that scales with the page, and the same values in tables.
//!
//! The picture has no text, so that labels keep their size at any width. Values far above all others are cut and
//! marked, so that a burst does not flatten the rest.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use osnl::control::{grouped, millis, span, timestamp};

const HEIGHT: f64 = 200.0;
/// A scale ends at the value that this share of all values does not exceed, if the highest is `BURST` times that.
const CALM: f64 = 0.95;
const BURST: f64 = 3.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    PerSecond,
    Count,
    Time,
}

pub(super) struct PlotValues {
    pub(super) name: &'static str,
    pub(super) values: Vec<Option<f64>>,
    pub(super) columns: Vec<Option<f64>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PlotSpan {
    pub(super) until: SystemTime,
    pub(super) each: Duration,
    pub(super) count: usize,
    pub(super) column: usize,
}

pub(super) struct Plot {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) label: String,
    pub(super) width: usize,
    pub(super) lines: Vec<PlotLine>,
    /// The marks of values above the scale, and the highest of them in words.
    pub(super) clipped: String,
    pub(super) above: String,
    pub(super) ticks: [String; 3],
    pub(super) times: [String; 3],
    pub(super) columns: Vec<PlotColumn>,
}

pub(super) struct PlotLine {
    pub(super) name: &'static str,
    pub(super) style: &'static str,
    pub(super) path: String,
    pub(super) cells: [String; 3],
}

pub(super) struct PlotColumn {
    pub(super) x: f64,
    pub(super) width: f64,
    pub(super) at: String,
    pub(super) value: String,
}

impl Plot {
    pub(super) fn new(
        id: &'static str,
        title: &'static str,
        unit: Unit,
        span: PlotSpan,
        all: &[PlotValues],
    ) -> Self {
        let (top, highest) = scale(all, unit);
        let is_above = |n: usize| {
            let mut values = all.iter().filter_map(|line| line.values.get(n).copied().flatten());
            values.any(|value| value > top)
        };
        let clipped: Vec<usize> = (0..span.count).filter(|n| is_above(*n)).collect();
        let is_highest = |n: &usize| all.iter().any(|line| line.values.get(*n) == Some(&Some(highest)));
        let at = clipped.iter().copied().find(is_highest).unwrap_or_default();
        let line = |(n, line): (usize, &PlotValues)| PlotLine {
            name: line.name,
            style: ["first", "second"][n.min(1)],
            path: path(&line.values, top),
            cells: cells(&line.values, unit),
        };
        let lines: Vec<PlotLine> = all.iter().enumerate().map(line).collect();
        let words = lines.iter().map(|line| {
            let [last, lowest, highest] = &line.cells;
            format!("{}: now {last}, lowest {lowest}, highest {highest}", line.name)
        });
        let times = [0, span.count / 2, span.count].map(|n| clock(span.at(n), span.count));
        Self {
            id,
            title,
            label: format!("{title} since {}; {}", times[0], words.collect::<Vec<_>>().join("; ")),
            width: span.count.saturating_sub(1).max(1),
            clipped: clipped.iter().map(|n| format!("M{n} 0V16")).collect(),
            above: match clipped.is_empty() {
                true => String::new(),
                false => {
                    format!("Up to {} at {}, above the scale", unit.words(highest), clock(span.at(at), 1))
                }
            },
            ticks: [top, top / 2.0, 0.0].map(|value| unit.words(value)),
            times,
            columns: columns(all, unit, span),
            lines,
        }
    }

    /// Returns the view box, with room for half a stroke above and below.
    pub(super) fn view(&self) -> String {
        format!("0 -4 {} {}", self.width, HEIGHT + 8.0)
    }
}

impl PlotSpan {
    fn at(&self, n: usize) -> SystemTime {
        self.until - self.each * u32::try_from(self.count.saturating_sub(n)).unwrap_or(u32::MAX)
    }
}

fn columns(all: &[PlotValues], unit: Unit, span: PlotSpan) -> Vec<PlotColumn> {
    let columns = span.count.div_ceil(span.column);
    // The first column may have fewer values than the others.
    let begin = |n: usize| span.count.saturating_sub((columns - n) * span.column);
    let x = |n: usize| (n as f64 - 0.5).clamp(0.0, span.count.saturating_sub(1).max(1) as f64);
    let column = |n: usize| {
        let words = |line: &PlotValues| {
            let value = unit.words_or_dash(line.columns.get(n).copied().flatten());
            if all.len() == 1 { value } else { format!("{} {value}", line.name) }
        };
        PlotColumn {
            x: x(begin(n)),
            width: x(begin(n + 1)) - x(begin(n)),
            at: clock(span.at(begin(n)), 1),
            value: all.iter().map(words).collect::<Vec<_>>().join(", "),
        }
    };
    (0..columns).map(column).collect()
}

fn scale(all: &[PlotValues], unit: Unit) -> (f64, f64) {
    let mut values: Vec<f64> = all.iter().flat_map(|line| line.values.iter().flatten()).copied().collect();
    values.sort_by(f64::total_cmp);
    let highest = values.last().copied().unwrap_or_default();
    let calm = values.get((values.len() as f64 * CALM) as usize).copied().unwrap_or_default();
    let is_burst = calm > 0.0 && highest > calm * BURST;
    (unit.top(if is_burst { calm } else { highest }), highest)
}

impl Unit {
    /// Returns the top of a scale: a value at or above the highest that is round, and so is its half.
    fn top(self, highest: f64) -> f64 {
        if let Self::Time = self {
            let round = [
                0.01, 0.1, 1.0, 2.0, 10.0, 20.0, 60.0, 120.0, 600.0, 1200.0, 3600.0, 7200.0, 21_600.0,
                43_200.0, 86_400.0,
            ];
            let days = || (highest / 172_800.0).ceil() * 172_800.0;
            return round.into_iter().find(|round| *round >= highest).unwrap_or_else(days);
        }
        let mut unit = if let Self::Count = self { 1.0 } else { 0.1 };
        loop {
            if let Some(round) = [2.0, 4.0, 10.0].into_iter().find(|round| round * unit >= highest) {
                return round * unit;
            }
            unit *= 10.0;
        }
    }

    pub(super) fn words(self, value: f64) -> String {
        match self {
            Self::PerSecond if value >= 9.95 => format!("{value:.0}/s"),
            // A tenth is one in ten seconds, a three-hundredth one in five minutes.
            Self::PerSecond if value == 0.0 => "0/s".to_owned(),
            Self::PerSecond if value >= 0.095 => format!("{value:.1}/s"),
            Self::PerSecond => format!("{value:.3}/s"),
            Self::Count => grouped(value.round() as u64),
            Self::Time if value == 0.0 => "0 s".to_owned(),
            Self::Time if value < 120.0 => millis((value * 1000.0).round() as u64),
            Self::Time => span(value as u64),
        }
    }

    pub(super) fn words_or_dash(self, value: Option<f64>) -> String {
        value.map_or("-".to_owned(), |value| self.words(value))
    }
}

fn cells(values: &[Option<f64>], unit: Unit) -> [String; 3] {
    let known = || values.iter().flatten().copied();
    let last = values.last().copied().flatten();
    [last, known().reduce(f64::min), known().reduce(f64::max)].map(|value| unit.words_or_dash(value))
}

fn path(values: &[Option<f64>], top: f64) -> String {
    let y = |value: f64| (HEIGHT - (value / top).clamp(0.0, 1.0) * HEIGHT).round() as i64;
    let points: Vec<Option<i64>> = values.iter().map(|value| value.map(y)).collect();
    let at = |n: usize| points.get(n).copied().flatten();
    let mut path = String::new();
    for (n, point) in points.iter().enumerate() {
        let Some(y) = point else { continue };
        let (before, after) = (n.checked_sub(1).and_then(at), at(n + 1));
        if before == Some(*y) && after == Some(*y) {
            continue;
        }
        let command = if before.is_none() { 'M' } else { 'L' };
        let _ = write!(path, "{command}{n} {y}");
        if before.is_none() && after.is_none() {
            path.push_str("h0");
        }
    }
    path
}

pub(super) fn clock(at: SystemTime, values: usize) -> String {
    let end = if values < 12 { 19 } else { 16 };
    timestamp(at).get(11..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    fn line(values: Vec<Option<f64>>) -> PlotValues {
        PlotValues { name: "received", columns: values.clone(), values }
    }

    fn plot(values: Vec<Option<f64>>) -> Plot {
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3600);
        let each = Duration::from_secs(10);
        let span = PlotSpan { until, each, count: values.len(), column: 1 };
        Plot::new("p", "Messages", Unit::PerSecond, span, &[line(values)])
    }

    #[test]
    fn a_line_ends_at_a_gap() {
        let check = |values: &[Option<f64>], top: f64, expected: &str| {
            assert_eq!(path(values, top), expected, "{values:?}");
        };
        check(&[], 1.0, "");
        check(&some(&[0.0, 1.0]), 1.0, "M0 200L1 0");
        check(&some(&[1.0; 5]), 1.0, "M0 0L4 0");
        check(&some(&[0.0, 0.0, 1.0, 0.0, 0.0]), 1.0, "M0 200L1 200L2 0L3 200L4 200");
        check(&[Some(1.0), Some(1.0), None, Some(1.0), Some(1.0)], 1.0, "M0 0L1 0M3 0L4 0");
        check(&[None, Some(1.0), None], 1.0, "M1 0h0");
        check(&[None; 3], 1.0, "");
        check(&some(&[9.0, -1.0]), 1.0, "M0 0L1 200");
    }

    #[test]
    fn the_top_of_a_scale_and_its_half_are_round() {
        let check = |unit: Unit, highest: f64, expected: [&str; 2]| {
            let top = unit.top(highest);
            assert_eq!([top, top / 2.0].map(|value| unit.words(value)), expected, "{unit:?} {highest}");
        };
        check(Unit::PerSecond, 0.0, ["0.2/s", "0.1/s"]);
        check(Unit::PerSecond, 1.1, ["2.0/s", "1.0/s"]);
        check(Unit::PerSecond, 1234.5, ["2000/s", "1000/s"]);
        check(Unit::Count, 0.0, ["2", "1"]);
        check(Unit::Count, 5.0, ["10", "5"]);
        check(Unit::Count, f64::from(u32::MAX), ["10,000,000,000", "5,000,000,000"]);
        check(Unit::Time, 0.0, ["10 ms", "5 ms"]);
        check(Unit::Time, 61.0, ["2 min", "60.0 s"]);
        check(Unit::Time, 90_000.0, ["2 d", "24 h"]);
    }

    #[test]
    fn a_burst_is_cut_and_marked() {
        let mut values = vec![Some(4.0); 100];
        values[50] = Some(250.0);
        let plot = plot(values);
        assert_eq!(plot.ticks, ["4.0/s", "2.0/s", "0/s"]);
        assert_eq!((&*plot.clipped, &*plot.above), ("M50 0V16", "Up to 250/s at 11:51:40, above the scale"));
        assert_eq!(plot.lines[0].cells, ["4.0/s", "4.0/s", "250/s"]);
    }

    #[test]
    fn a_plot_begins_with_its_first_value_and_has_each_in_a_column() {
        let plot = plot(vec![None, Some(1.0), Some(3.0)]);
        assert_eq!(plot.times, ["11:59:30", "11:59:40", "12:00:00"]);
        assert_eq!((plot.width, &*plot.lines[0].path), (2, "M1 150L2 50"));
        let columns: Vec<_> = plot.columns.iter().map(|at| (at.x, at.width, &*at.at, &*at.value)).collect();
        let expected =
            [(0.0, 0.5, "11:59:30", "-"), (0.5, 1.0, "11:59:40", "1.0/s"), (1.5, 0.5, "11:59:50", "3.0/s")];
        assert_eq!(columns, expected);
        assert_eq!(plot.label, "Messages since 11:59:30; received: now 3.0/s, lowest 1.0/s, highest 3.0/s");
    }
}
