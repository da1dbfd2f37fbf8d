//! Plots of the last hour or the last day: of all actions, and of each.

use askama::Template;
use hyper::StatusCode;
use osnl::control::{Code, RequestRefusal};

use super::plot::{Plot, Span, Unit, Values};
use super::{Caller, Frame, Place, bad, html, text};
use crate::answer::Answer;
use crate::history::{
    Backlog, Counts, DAY, EACH, FOLDED, HOUR, History, MOST_ACTIONS, Sample, Series, percentile,
};
use crate::query::{self, Form, Row};

const OPTIONS: [Row; 2] = [("over", &["over"], Form::Text), ("action", &["action"], Form::Text)];

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

/// A link to the same with another span.
struct Choice {
    name: &'static str,
    query: String,
    is_chosen: bool,
}

/// The figures of an action.
struct ActionFigures {
    name: String,
    query: String,
    cells: [String; 8],
}

/// The span of time that a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Hour,
    Day,
}

pub(super) fn page(
    place: Place<'_>,
    caller: &Caller,
    history: &History,
    query: &str,
) -> Result<Answer, RequestRefusal> {
    let read = query::read(query, &OPTIONS).map_err(bad)?;
    let option =
        |name: &str| read.get(name).and_then(|value| value.as_str()).filter(|value| !value.is_empty());
    let over = match option("over") {
        None | Some("hour") => Over::Hour,
        Some("day") => Over::Day,
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
        choices: [Over::Hour, Over::Day].map(|choice| Choice::new(choice, over, action)).into(),
        note: note(history, series, over),
        plots: plots(history, series, over, action.is_none()),
        actions: all,
        more: history.more(),
    };
    Ok(html(StatusCode::OK, &page))
}

/// Returns the plots of a series; with those of messages if it is that of all actions.
pub(super) fn plots(history: &History, series: &Series, over: Over, is_all: bool) -> Vec<Plot> {
    let Some(until) = history.at() else { return Vec::new() };
    let span = match over {
        Over::Hour => Span { until, each: EACH, most: HOUR, grouped: FOLDED },
        Over::Day => Span { until, each: EACH * FOLDED as u32, most: DAY, grouped: DAY / 12 },
    };
    let samples = over.samples(series);
    let grouped: Vec<Sample> = samples.rchunks(span.grouped).rev().map(Sample::sum).collect();
    let values = |name, value: &dyn Fn(&Sample) -> Option<f64>| Values {
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
            "From publication to the effect",
            Unit::Time,
            vec![time("median (p50)", 0.5), time("99th percentile (p99)", 0.99)],
        ),
    ];
    messages.into_iter().chain(others).collect()
}

fn per_second(counts: &Counts, count: fn(&Counts) -> u32) -> f64 {
    f64::from(count(counts)) / f64::from(counts.seconds.max(1))
}

/// Says how much of the span is known.
fn note(history: &History, series: &Series, over: Over) -> String {
    if history.at().is_none() {
        return "Nothing has been measured yet.".to_owned();
    }
    let (samples, most, each) = match over {
        Over::Hour => (over.samples(series), HOUR, "10 s"),
        Over::Day => (over.samples(series), DAY, "5 min"),
    };
    let unknown = samples.iter().filter(|sample| sample.counts.is_none()).count();
    let missing = most - samples.len() + unknown;
    let times = "Times are in UTC";
    match missing {
        0 => format!("A value each {each}. {times}."),
        _ => format!("A value each {each}; {missing} of {most} are not known, and are gaps. {times}."),
    }
}

impl Over {
    fn samples(self, series: &Series) -> Vec<Sample> {
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
    fn new(choice: Over, chosen: Over, action: Option<&str>) -> Self {
        let action = action.map(|action| format!("&action={}", text::query(action))).unwrap_or_default();
        Self {
            name: match choice {
                Over::Hour => "Last hour",
                Over::Day => "Last day",
            },
            query: format!("over={}{action}", choice.word()),
            is_chosen: choice == chosen,
        }
    }
}

impl ActionFigures {
    fn new(name: &str, action: &str, series: &Series) -> Self {
        let (samples, day) = (series.hour(), Sample::sum(&series.day()));
        let hour = Sample::sum(&samples);
        let count = |count: fn(&Counts) -> u32| {
            hour.counts.map_or("-".to_owned(), |counts| count(&counts).to_string())
        };
        let found = |sample: Option<&Sample>, unit: Unit, number: fn(Backlog) -> u32| {
            let backlog = sample.and_then(|sample| sample.backlog);
            unit.words_or_dash(backlog.map(|backlog| f64::from(number(backlog))))
        };
        let time = |sample: &Sample, share| {
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
