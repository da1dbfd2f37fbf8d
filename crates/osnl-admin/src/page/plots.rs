//! Plots of the last hour or the last day: of all actions, and of each.

use askama::Template;
use hyper::StatusCode;
use osnl::control::routes::{Parameter, ValueForm, option};
use osnl::control::{Code, RequestRefusal, query};

use super::plot::{Plot, PlotSpan, PlotValues, Unit};
use super::{Frame, PageCaller, PageContext, bad, html, text};
use crate::answer::AdminAnswer;
use crate::history::{
    Backlog, Counts, DAY, DaemonHistory, EACH, FOLDED, HOUR, HistorySample, HistorySeries, MOST_ACTIONS,
    percentile,
};

const OPTIONS: [Parameter; 2] =
    [option("over", "over", ValueForm::Text, ""), option("action", "action", ValueForm::Text, "")];

#[derive(Template)]
#[template(path = "plots.html")]
struct PlotsPage {
    frame: Frame,
    choices: Vec<Choice>,
    note: String,
    plots: Vec<Plot>,
    actions: Vec<ActionFigures>,
    more: usize,
}

struct Choice {
    name: &'static str,
    query: String,
    is_chosen: bool,
}

struct ActionFigures {
    name: String,
    query: String,
    cells: [String; 8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlotPeriod {
    Hour,
    Day,
}

pub(super) fn page(
    place: PageContext<'_>,
    caller: &PageCaller,
    history: &DaemonHistory,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let read = query::read(query, &OPTIONS).map_err(bad)?;
    let option =
        |name: &str| read.get(name).and_then(|value| value.as_str()).filter(|value| !value.is_empty());
    let over = match option("over") {
        None | Some("hour") => PlotPeriod::Hour,
        Some("day") => PlotPeriod::Day,
        Some(_) => return Err(bad("plots are over an hour or a day")),
    };
    let action = option("action");
    let series = match action {
        None => Some(history.all()),
        Some(action) => history.actions().find(|(name, _)| *name == action).map(|(_, series)| series),
    };
    let series = series.ok_or_else(|| RequestRefusal {
        code: Code::NotFound,
        message: format!("there is no plot of the action {}", action.unwrap_or_default()),
    })?;
    let title = match action {
        None => "Plots".to_owned(),
        Some(action) => format!("Plots of {}", text::line(action)),
    };
    let mut all = vec![ActionFigures::new("all actions", "", history.all())];
    all.extend(history.actions().map(|(name, series)| ActionFigures::new(name, name, series)));
    let page = PlotsPage {
        frame: Frame::new(place, caller, title, "/plots"),
        choices: [PlotPeriod::Hour, PlotPeriod::Day].map(|choice| Choice::new(choice, over, action)).into(),
        note: note(history, series, over),
        plots: plots(history, series, over, action.is_none()),
        actions: all,
        more: history.more(),
    };
    Ok(html(StatusCode::OK, &page))
}

/// Returns the plots of a series; the series of all actions also has those of messages.
pub(super) fn plots(
    history: &DaemonHistory,
    series: &HistorySeries,
    over: PlotPeriod,
    is_all: bool,
) -> Vec<Plot> {
    let Some(until) = history.at() else { return Vec::new() };
    let span = match over {
        PlotPeriod::Hour => PlotSpan { until, each: EACH, most: HOUR, grouped: FOLDED },
        PlotPeriod::Day => PlotSpan { until, each: EACH * FOLDED as u32, most: DAY, grouped: DAY / 12 },
    };
    let samples = over.samples(series);
    let grouped: Vec<HistorySample> = samples.rchunks(span.grouped).rev().map(HistorySample::sum).collect();
    let values = |name, value: &dyn Fn(&HistorySample) -> Option<f64>| PlotValues {
        name,
        values: samples.iter().map(value).collect(),
        figures: grouped.iter().map(value).collect(),
    };
    let rate = |name, count: fn(&Counts) -> u32| {
        values(name, &|sample| sample.counts.as_ref().map(|counts| per_second(counts, count)))
    };
    let found = |name, number: fn(Backlog) -> u32| {
        values(name, &|sample| sample.backlog.map(|backlog| f64::from(number(backlog))))
    };
    let time = |name, share: f64| {
        values(name, &|sample| sample.counts.and_then(|counts| percentile(&counts.latency, share)))
    };
    let plot = |id, title, unit, lines| Plot::new(id, title, unit, span, lines);
    let messages = is_all.then(|| {
        let lines = vec![rate("received", |of| of.received), rate("matched", |of| of.matched)];
        plot("messages", "Messages", Unit::PerSecond, lines)
    });
    let ends = vec![rate("delivered", |of| of.delivered), rate("failed attempts", |of| of.failed)];
    let others = [
        plot("ends", "Deliveries", Unit::PerSecond, ends),
        plot("pending", "Pending deliveries", Unit::Count, vec![found("pending", |of| of.pending)]),
        plot("oldest", "Age of the oldest pending", Unit::Time, vec![found("oldest", |of| of.oldest)]),
        plot(
            "latency",
            "Delivery time",
            Unit::Time,
            vec![time("median (p50)", 0.5), time("99th percentile (p99)", 0.99)],
        ),
    ];
    messages.into_iter().chain(others).collect()
}

fn per_second(counts: &Counts, count: fn(&Counts) -> u32) -> f64 {
    f64::from(count(counts)) / f64::from(counts.seconds.max(1))
}

fn note(history: &DaemonHistory, series: &HistorySeries, over: PlotPeriod) -> String {
    if history.at().is_none() {
        return "Nothing has been measured yet.".to_owned();
    }
    let (samples, most, each) = match over {
        PlotPeriod::Hour => (over.samples(series), HOUR, "10 s"),
        PlotPeriod::Day => (over.samples(series), DAY, "5 min"),
    };
    let unknown = samples.iter().filter(|sample| sample.counts.is_none()).count();
    let missing = most - samples.len() + unknown;
    let times = "Times are in UTC";
    match missing {
        0 => format!("A value each {each}. {times}."),
        _ => format!("A value each {each}; {missing} of {most} are not known, and are gaps. {times}."),
    }
}

impl PlotPeriod {
    fn samples(self, series: &HistorySeries) -> Vec<HistorySample> {
        match self {
            Self::Hour => series.hour(),
            Self::Day => series.day(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl Choice {
    fn new(choice: PlotPeriod, chosen: PlotPeriod, action: Option<&str>) -> Self {
        let action = action.map(|action| format!("&action={}", text::query(action))).unwrap_or_default();
        Self {
            name: match choice {
                PlotPeriod::Hour => "Last hour",
                PlotPeriod::Day => "Last day",
            },
            query: format!("over={}{action}", choice.word()),
            is_chosen: choice == chosen,
        }
    }
}

impl ActionFigures {
    fn new(name: &str, action: &str, series: &HistorySeries) -> Self {
        let (samples, day) = (series.hour(), HistorySample::sum(&series.day()));
        let hour = HistorySample::sum(&samples);
        let count = |count: fn(&Counts) -> u32| {
            hour.counts.map_or("-".to_owned(), |counts| count(&counts).to_string())
        };
        let found = |sample: Option<&HistorySample>, unit: Unit, number: fn(Backlog) -> u32| {
            let backlog = sample.and_then(|sample| sample.backlog);
            unit.words_or_dash(backlog.map(|backlog| f64::from(number(backlog))))
        };
        let time = |sample: &HistorySample, share| {
            let time = sample.counts.and_then(|counts| percentile(&counts.latency, share));
            Unit::Time.words_or_dash(time)
        };
        Self {
            name: text::line(name),
            query: text::query(action),
            cells: [
                count(|of| of.delivered),
                count(|of| of.failed),
                found(samples.last(), Unit::Count, |of| of.pending),
                found(Some(&hour), Unit::Count, |of| of.pending),
                time(&hour, 0.5),
                time(&hour, 0.99),
                time(&day, 0.5),
                time(&day, 0.99),
            ],
        }
    }
}
