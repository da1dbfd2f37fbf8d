use askama::Template;
use osnl::control::{
    ControlRequest, GapList, Incident, ListenerStatus, Status, TargetReport, counted, grouped, span,
};

use super::deliveries::tone;
use super::frame::Standing;
use super::incident::{self, action_path};
use super::plot::Plot;
use super::plots::{PlotPeriod, plots};
use super::text::{Markup, badge};
use super::{Frame, PageAnswer, PageVisit, ask, shown, text};

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    status: Status,
    incidents: Vec<Incident>,
    open: GapList,
    /// Whether the journal has reported its counts, as a 0 would read as "none".
    is_counted: bool,
    courses: Vec<Plot>,
}

pub(super) async fn page(visit: PageVisit<'_>) -> PageAnswer {
    let status = visit.handler.status().await?;
    let open: GapList = ask(visit, &ControlRequest::Gaps).await?;
    let mut frame = Frame::new(visit, "Overview", "/");
    frame.standing = Standing::from_status(&status);
    frame.refresh = Some(10);
    if let (Some(pid), Some(up)) = (status.pid, status.uptime_seconds) {
        frame.made = format!("{}, process {pid}, up {}", frame.made, span(up));
    }
    let mut courses = {
        let history = visit.history.lock();
        plots(&history, history.all(), PlotPeriod::Hour, true)
    };
    courses.retain(|plot| ["messages", "delivered", "pending", "oldest"].contains(&plot.id));
    let (is_counted, incidents) = (status.counts_are_known(), status.incidents.clone());
    shown(&OverviewPage { frame, status, incidents, open, is_counted, courses })
}

impl OverviewPage {
    /// Deliveries that wait for release are rare, so the column is left out without any.
    fn is_any_for_release(&self) -> bool {
        self.is_counted && self.status.targets.iter().any(|target| target.for_release > 0)
    }

    /// Returns the open gaps of a listener in words, such as `2 gaps`.
    fn gaps(&self, listener: &str) -> Option<String> {
        let count = self.open.gaps.iter().filter(|gap| gap.listener == listener).count();
        (count > 0).then(|| counted(count as u64, "gap", "gaps"))
    }

    fn numbers(&self) -> impl Iterator<Item = (usize, (String, String))> {
        let over = self.status.numbers.rates_are_over().map_or(String::new(), |over| format!(", {over}"));
        let names = [format!("In{over}"), format!("Out{over}"), "Waiting".to_owned(), "Oldest".to_owned()];
        let values = self.status.numbers.named().map(|(_, value)| value);
        names.into_iter().zip(values).enumerate()
    }
}

pub(super) fn action_badge(target: &TargetReport) -> Markup {
    let state = match (target.state(), &target.paused_by) {
        ("paused", Some(by)) => format!("paused by {by}"),
        (state, _) => state.to_owned(),
    };
    badge(tone(target.state()), &state, target.since.as_deref().zip(target.since_seconds))
}

fn listener_badge(listener: &ListenerStatus) -> Markup {
    badge(tone(&listener.state), &listener.state, listener.since.as_deref().zip(listener.since_seconds))
}
