use askama::Template;
use osnl::control::{
    Code, Delivery, Incident, List, RequestRefusal, RuleReport, Status, TargetReport, grouped, short_answer,
    span,
};
use percent_encoding::percent_decode_str;

use super::deliveries::request;
use super::frame::Standing;
use super::incident::{self, Step};
use super::overview::action_badge;
use super::plot::Plot;
use super::plots::{CHOICES, PlotPeriod, note, period, plots};
use super::{Frame, PageAnswer, PageVisit, ask, shown, text};

const FAILURES: usize = 10;

#[derive(Template)]
#[template(path = "action.html")]
struct ActionPage {
    frame: Frame,
    status: Status,
    target: TargetReport,
    incidents: Vec<Incident>,
    failures: Vec<Delivery>,
    over: PlotPeriod,
    note: String,
    plots: Vec<Plot>,
    rules: Vec<RuleReport>,
    query: String,
}

pub(super) async fn page(visit: PageVisit<'_>, name: &str) -> PageAnswer {
    let over = period(visit.query)?;
    let name = percent_decode_str(name).decode_utf8_lossy();
    let status = visit.handler.status().await?;
    let target = target(&status, &name)?;
    let mut frame = Frame::new(visit, format!("Action {}", text::line(&name)), "/actions");
    frame.standing = Standing::from_status(&status);
    let query = text::query(&name);
    let failed = format!("action={query}&state=dead&state=retrying&order=newest&limit={FAILURES}");
    let failures = match status.counts_are_known() {
        true => ask::<List>(visit, &request("/deliveries", &failed)?).await?.deliveries,
        false => Vec::new(),
    };
    // A daemon without a configuration has no rules.
    let mut rules = visit.handler.rules().await.map_or_else(|_| Vec::new(), |report| report.rules);
    rules.retain(|rule| {
        rule.settings.as_ref().is_some_and(|settings| settings.actions.iter().any(|action| **action == *name))
    });
    let (plots, note) = {
        let history = visit.history.lock();
        let series = history.actions().find(|(known, _)| *known == name).map(|(_, series)| series);
        match series {
            Some(series) => (plots(&history, series, over, false), note(&history, series, over)),
            None => (Vec::new(), "The first 32 actions have plots of their own.".to_owned()),
        }
    };
    let mut incidents = status.incidents.clone();
    incidents.retain(|incident| incident.actions.iter().any(|action| **action == *name));
    let page = ActionPage { frame, status, target, incidents, failures, over, note, plots, rules, query };
    shown(&page)
}

pub(super) fn target(status: &Status, name: &str) -> Result<TargetReport, RequestRefusal> {
    let found = status.targets.iter().find(|target| target.action == name).cloned();
    found.ok_or_else(|| RequestRefusal {
        code: Code::NotFound,
        message: format!("there is no action {}", osnl_model::as_name(name)),
    })
}

impl ActionPage {
    fn changes(&self) -> Vec<Step> {
        let step = |words: &str, change: &str| Step::change(words, &self.target.action, change);
        let probe_style = match self.incidents.iter().any(|incident| incident.is_probe_helpful) {
            true => "primary",
            false => "",
        };
        match (self.target.configured, &self.target.paused_since) {
            _ if !self.frame.may_change => Vec::new(),
            (Some(false), _) => Vec::new(),
            (_, Some(_)) => vec![step("Resume", "resume")],
            (_, None) => vec![
                Step { style: probe_style, ..step("Probe now", "probe") },
                Step { style: "", ..step("Pause", "pause") },
            ],
        }
    }

    fn numbers(&self) -> [(&'static str, u64, &'static str); 5] {
        [
            ("Waiting", self.target.pending, "pending"),
            ("Running", self.target.in_flight, "running"),
            ("Waiting for release", self.target.for_release, "waiting-for-release"),
            ("Dead", self.target.dead, "dead"),
            ("Done", self.target.done, "done"),
        ]
    }
}
