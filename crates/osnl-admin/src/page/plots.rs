use std::time::Duration;

use askama::Template;
use osnl::control::query::{Parameter, ValueForm};
use osnl::control::{RequestRefusal, query, span};

use super::incident::action_path;
use super::plot::{Plot, PlotSpan, PlotValues, Unit, clock};
use super::{Frame, PageAnswer, PageVisit, bad, shown, text};
use crate::history::{
    Backlog, Counts, DaemonHistory, EACH, FOLDED, HistorySample, HistorySeries, MOST_ACTIONS, percentile,
};

const OPTIONS: [Parameter; 1] = [Parameter::for_query("over", ValueForm::Text)];
const COLUMNS: usize = 60;
pub(super) const CHOICES: [(PlotPeriod, &str, &str); 2] =
    [(PlotPeriod::Hour, "hour", "Last hour"), (PlotPeriod::Day, "day", "Last day")];
const FIGURES: [&str; 5] = ["Delivered", "Failed attempts", "Most waiting", "p50", "p99"];

#[derive(Template)]
#[template(path = "plots.html")]
struct PlotsPage {
    frame: Frame,
    over: PlotPeriod,
    note: String,
    plots: Vec<Plot>,
    actions: Vec<ActionFigures>,
    more: usize,
}

struct ActionFigures {
    name: String,
    path: Option<String>,
    cells: [String; 5],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlotPeriod {
    Hour,
    Day,
}

pub(super) fn page(visit: PageVisit<'_>) -> PageAnswer {
    let over = period(visit.query)?;
    let history = visit.history.lock();
    let mut actions = vec![ActionFigures::new("all actions", None, &over.samples(history.all()))];
    actions.extend(
        history
            .actions()
            .map(|(name, series)| ActionFigures::new(name, Some(action_path(name)), &over.samples(series))),
    );
    let page = PlotsPage {
        frame: Frame::new(visit, "Plots", "/plots"),
        over,
        note: note(&history, history.all(), over),
        plots: plots(&history, history.all(), over, true),
        actions,
        more: history.more(),
    };
    shown(&page)
}

pub(super) fn period(query: &str) -> Result<PlotPeriod, RequestRefusal> {
    let read = query::read(query, &OPTIONS).map_err(bad)?;
    match read.get("over").and_then(|value| value.as_str()) {
        None | Some("" | "hour") => Ok(PlotPeriod::Hour),
        Some("day") => Ok(PlotPeriod::Day),
        Some(_) => Err(bad("plots are over an hour or a day")),
    }
}

pub(super) fn plots(
    history: &DaemonHistory,
    series: &HistorySeries,
    over: PlotPeriod,
    is_all: bool,
) -> Vec<Plot> {
    let Some(until) = history.at() else { return Vec::new() };
    let samples = over.samples(series);
    let count = samples.len();
    let column = count.div_ceil(COLUMNS).max(1);
    let span = PlotSpan { until, each: over.each(), count, column };
    let columns: Vec<_> = samples.rchunks(column).rev().map(HistorySample::sum).collect();
    let values = |name, value: &dyn Fn(&HistorySample) -> Option<f64>| PlotValues {
        name,
        values: samples.iter().map(value).collect(),
        columns: columns.iter().map(value).collect(),
    };
    let rate = |name, count: fn(&Counts) -> u32| {
        let per_second = |of: &Counts| f64::from(count(of)) / f64::from(of.seconds.max(1));
        values(name, &|sample| sample.counts.as_ref().map(per_second))
    };
    let found = |name, number: fn(Backlog) -> u32| {
        values(name, &|sample| sample.backlog.map(|backlog| f64::from(number(backlog))))
    };
    let time = |name, share: f64| {
        values(name, &|sample| sample.counts.and_then(|counts| percentile(&counts.latency, share)))
    };
    let plot = |id, title, unit, lines: &[PlotValues]| Plot::new(id, title, unit, span, lines);
    let (delivered, failed) = (rate("delivered", |of| of.delivered), rate("failed attempts", |of| of.failed));
    let mut all = Vec::new();
    if is_all {
        let lines = [rate("received", |of| of.received), rate("matched", |of| of.matched)];
        all.push(plot("messages", "Messages", Unit::PerSecond, &lines));
        all.push(plot("delivered", "Deliveries", Unit::PerSecond, &[delivered]));
        all.push(plot("failed", "Failed attempts", Unit::PerSecond, &[failed]));
    } else {
        all.push(plot("ends", "Deliveries", Unit::PerSecond, &[delivered, failed]));
    }
    let times = [time("median (p50)", 0.5), time("99th percentile (p99)", 0.99)];
    all.extend([
        plot("pending", "Waiting", Unit::Count, &[found("waiting", |of| of.pending)]),
        plot("oldest", "Age of the oldest", Unit::Time, &[found("oldest", |of| of.oldest)]),
        plot("latency", "Delivery time", Unit::Time, &times),
    ]);
    all
}

pub(super) fn note(history: &DaemonHistory, series: &HistorySeries, over: PlotPeriod) -> String {
    let samples = over.samples(series);
    let (Some(until), false) = (history.at(), samples.is_empty()) else {
        return "Nothing has been measured yet.".to_owned();
    };
    let since = until - over.each() * samples.len() as u32;
    // The first value has no rate, as there is none before it.
    let gaps = samples.iter().skip(1).filter(|sample| sample.counts.is_none()).count();
    let gaps = if gaps > 0 { " A gap is a time without measurements." } else { "" };
    format!("Since {} UTC. One point per {}.{gaps}", clock(since, samples.len()), span(over.each().as_secs()))
}

impl PlotPeriod {
    fn samples(self, series: &HistorySeries) -> Vec<HistorySample> {
        match self {
            Self::Hour => series.hour(),
            Self::Day => series.day(),
        }
    }

    fn each(self) -> Duration {
        match self {
            Self::Hour => EACH,
            Self::Day => EACH * FOLDED as u32,
        }
    }
}

impl ActionFigures {
    fn new(name: &str, path: Option<String>, samples: &[HistorySample]) -> Self {
        let HistorySample { counts, backlog } = HistorySample::sum(samples);
        let number = |number: Option<u32>| Unit::Count.words_or_dash(number.map(f64::from));
        let time =
            |share| Unit::Time.words_or_dash(counts.and_then(|counts| percentile(&counts.latency, share)));
        Self {
            name: text::line(name),
            path,
            cells: [
                number(counts.map(|of| of.delivered)),
                number(counts.map(|of| of.failed)),
                number(backlog.map(|of| of.pending)),
                time(0.5),
                time(0.99),
            ],
        }
    }

    fn cells(&self) -> impl Iterator<Item = (&'static str, &String)> {
        FIGURES.into_iter().zip(&self.cells)
    }
}
