use askama::Template;
use hyper::StatusCode;
use osnl::control::{Incident, ListenerStatus, RequestRefusal, Status, TargetReport, grouped, span};

use super::frame::Standing;
use super::incident::{self, action_path};
use super::plot::Plot;
use super::plots::{PlotPeriod, plots};
use super::text::{Markup, badge};
use super::{Frame, PageCaller, PageContext, html, text};
use crate::answer::AdminAnswer;
use crate::history::SharedHistory;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    status: Status,
    incidents: Vec<Incident>,
    /// Whether the journal has reported its counts, as a 0 would read as "none".
    is_counted: bool,
    /// The courses of the four numbers; none before the first measurement.
    courses: Vec<Plot>,
}

pub(super) async fn page(
    place: PageContext<'_>,
    caller: &PageCaller,
    history: &SharedHistory,
) -> Result<AdminAnswer, RequestRefusal> {
    let status = place.handler.status().await?;
    let mut frame = Frame::new(place, caller, "Overview", "/");
    frame.standing = Standing::of(&status);
    frame.refresh = Some(10);
    if let (Some(pid), Some(up)) = (status.pid, status.uptime_seconds) {
        frame.made = format!("{}, process {pid}, up {}", frame.made, span(up));
    }
    let mut courses = {
        let history = history.lock();
        plots(&history, history.all(), PlotPeriod::Hour, true)
    };
    courses.retain(|plot| ["messages", "delivered", "pending", "oldest"].contains(&plot.id));
    let (is_counted, incidents) = (status.counts_are_known(), status.incidents.clone());
    Ok(html(StatusCode::OK, &OverviewPage { frame, status, incidents, is_counted, courses }))
}

impl OverviewPage {
    /// Returns each number with its name and the place of its course.
    fn numbers(&self) -> impl Iterator<Item = (usize, (&'static str, String))> {
        let names = ["In", "Out", "Waiting", "Oldest"];
        let values = self.status.numbers.named().map(|(_, value)| value);
        names.into_iter().zip(values).enumerate()
    }
}

pub(super) fn action_badge(target: &TargetReport) -> Markup {
    let (tone, is_usual) = match target.state() {
        "ok" => ("good", true),
        "down" | "probing" => ("bad", false),
        "paused" => ("warn", false),
        _ => ("quiet", true),
    };
    let state = match (target.state(), &target.paused_by) {
        ("paused", Some(by)) => format!("paused by {by}"),
        (state, _) => state.to_owned(),
    };
    let since = target.since.as_deref().zip(target.since_seconds).filter(|_| !is_usual);
    badge(tone, &state, since)
}

fn listener_badge(listener: &ListenerStatus) -> Markup {
    let (tone, is_usual) = match &*listener.state {
        "listening" | "standby" => ("good", true),
        "blocked" | "stopped" => ("bad", false),
        _ => ("warn", false),
    };
    let since = listener.since.as_deref().zip(listener.since_seconds).filter(|_| !is_usual);
    badge(tone, &listener.state, since)
}

fn queues(listener: &ListenerStatus) -> String {
    if listener.queues.is_empty() { listener.broker.clone() } else { listener.queues.join(", ") }
}
