//! One plot: lines over a span of time as SVG that scales with the page, and the same values in words and
//! figures.
//!
//! The picture has neither script nor text, so that labels keep their size at any width. A line ends at a
//! gap.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use osnl::control::{millis, moment, span};

const HEIGHT: f64 = 200.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    PerSecond,
    Count,
    Time,
}

/// The values of a line, oldest first; `None` at a gap.
pub(super) struct PlotValues {
    pub(super) name: &'static str,
    pub(super) values: Vec<Option<f64>>,
    pub(super) figures: Vec<Option<f64>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PlotSpan {
    pub(super) until: SystemTime,
    pub(super) each: Duration,
    /// The number of values in the whole span; fewer values are its end.
    pub(super) most: usize,
    pub(super) grouped: usize,
}

pub(super) struct Plot {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) width: usize,
    pub(super) lines: Vec<PlotLine>,
    pub(super) top: String,
    pub(super) from: String,
    pub(super) until: String,
    pub(super) rows: Vec<(String, Vec<String>)>,
}

pub(super) struct PlotLine {
    pub(super) name: &'static str,
    pub(super) style: &'static str,
    pub(super) path: String,
    pub(super) words: String,
}

impl Plot {
    pub(super) fn new(
        id: &'static str,
        title: &'static str,
        unit: Unit,
        span: PlotSpan,
        all: Vec<PlotValues>,
    ) -> Self {
        let highest = all.iter().flat_map(|line| line.values.iter().flatten()).copied().fold(0.0, f64::max);
        let top = unit.top(highest);
        let rows = all.iter().map(|line| line.figures.len()).max().unwrap_or_default();
        let ago = |values: usize| span.until - span.each * u32::try_from(values).unwrap_or(u32::MAX);
        let row = |n: usize| {
            let cell = |line: &PlotValues| unit.words_or_dash(line.figures.get(n).copied().flatten());
            (clock(ago((rows - n) * span.grouped)), all.iter().map(cell).collect())
        };
        let line = |(n, line): (usize, &PlotValues)| PlotLine {
            name: line.name,
            style: ["first", "second"][n.min(1)],
            path: path(&line.values, span.most, top),
            words: words(&line.values, unit),
        };
        Self {
            id,
            title,
            width: span.most.saturating_sub(1),
            lines: all.iter().enumerate().map(line).collect(),
            top: unit.words(top),
            from: clock(ago(span.most)),
            until: clock(span.until),
            rows: (0..rows).map(row).collect(),
        }
    }

    /// Returns the view box, with room for half a stroke above and below.
    pub(super) fn view(&self) -> String {
        format!("0 -4 {} {}", self.width, HEIGHT + 8.0)
    }
}

impl Unit {
    /// Returns the top of a scale: a round value at or above the highest.
    fn top(self, highest: f64) -> f64 {
        if let Self::Time = self {
            let round = [
                0.01, 0.1, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 10_800.0, 21_600.0,
                43_200.0,
            ];
            let days = || (highest / 86_400.0).ceil().max(1.0) * 86_400.0;
            return round.into_iter().find(|round| *round >= highest).unwrap_or_else(days);
        }
        let mut unit = 1.0;
        loop {
            if let Some(round) = [1.0, 2.0, 5.0].into_iter().find(|round| round * unit >= highest) {
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
            Self::Count => format!("{value:.0}"),
            Self::Time if value < 120.0 => millis((value * 1000.0).round() as u64),
            Self::Time => span(value as u64),
        }
    }

    pub(super) fn words_or_dash(self, value: Option<f64>) -> String {
        value.map_or("-".to_owned(), |value| self.words(value))
    }
}

fn words(values: &[Option<f64>], unit: Unit) -> String {
    let known = || values.iter().flatten().copied();
    let Some(lowest) = known().reduce(f64::min) else { return "no values".to_owned() };
    let highest = known().fold(lowest, f64::max);
    let last = unit.words_or_dash(values.last().copied().flatten());
    format!("last {last}, lowest {}, highest {}", unit.words(lowest), unit.words(highest))
}

fn path(values: &[Option<f64>], most: usize, top: f64) -> String {
    let values = &values[values.len().saturating_sub(most)..];
    let first = most - values.len();
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
        let _ = write!(path, "{command}{} {y}", first + n);
        if before.is_none() && after.is_none() {
            path.push_str("h0");
        }
    }
    path
}

fn clock(at: SystemTime) -> String {
    moment(at).get(11..16).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_a_gap_and_is_drawn_from_the_right() {
        let check = |values: &[Option<f64>], most: usize, top: f64, expected: &str| {
            assert_eq!(path(values, most, top), expected, "{values:?}");
        };
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        check(&[], 5, 1.0, "");
        check(&some(&[0.0, 1.0]), 2, 1.0, "M0 200L1 0");
        // The line has two of five values; the first three precede its start.
        check(&some(&[0.0, 1.0]), 5, 2.0, "M3 200L4 100");
        check(&some(&[1.0; 5]), 5, 1.0, "M0 0L4 0");
        check(&some(&[0.0, 0.0, 1.0, 0.0, 0.0]), 5, 1.0, "M0 200L1 200L2 0L3 200L4 200");
        check(&[Some(1.0), Some(1.0), None, Some(1.0), Some(1.0)], 5, 1.0, "M0 0L1 0M3 0L4 0");
        check(&[None, Some(1.0), None], 3, 1.0, "M1 0h0");
        check(&[None; 3], 3, 1.0, "");
        // More values than there is room for, and values outside of the scale.
        check(&some(&[5.0, 9.0, -1.0]), 2, 1.0, "M0 0L1 200");
    }

    #[test]
    fn the_top_of_a_scale_is_round() {
        let check = |unit: Unit, highest: f64, expected: &str| {
            assert_eq!(unit.words(unit.top(highest)), expected, "{unit:?} {highest}");
        };
        check(Unit::PerSecond, 0.0, "1.0/s");
        check(Unit::PerSecond, 1.1, "2.0/s");
        check(Unit::PerSecond, 1234.5, "2000/s");
        check(Unit::Count, 0.0, "1");
        check(Unit::Count, 1_000_000.0, "1000000");
        check(Unit::Count, f64::from(u32::MAX), "5000000000");
        check(Unit::Time, 0.0, "10 ms");
        check(Unit::Time, 0.3, "1.0 s");
        check(Unit::Time, 61.0, "5 min");
        check(Unit::Time, 43_201.0, "24 h");
        check(Unit::Time, 90_000.0, "2 d");
    }

    #[test]
    fn a_plot_is_also_in_words_and_figures() {
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3600);
        let span = PlotSpan { until, each: Duration::from_secs(10), most: 360, grouped: 30 };
        let values = vec![Some(0.1), None, Some(12.4)];
        let line = PlotValues { name: "received", values, figures: vec![None, Some(6.2)] };
        let empty = PlotValues { name: "matched", values: vec![None], figures: Vec::new() };
        let plot = Plot::new("p", "Messages", Unit::PerSecond, span, vec![line, empty]);
        assert_eq!(plot.lines[0].words, "last 12/s, lowest 0.1/s, highest 12/s");
        assert_eq!(plot.lines[1].words, "no values");
        assert_eq!((&*plot.from, &*plot.until, &*plot.top), ("11:00", "12:00", "20/s"));
        let cells = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = [("11:50".to_owned(), cells(["-", "-"])), ("11:55".to_owned(), cells(["6.2/s", "-"]))];
        assert_eq!(plot.rows, rows);
    }
}
