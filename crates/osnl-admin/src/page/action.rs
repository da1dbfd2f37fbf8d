use askama::Template;
use hyper::StatusCode;
use osnl::control::{Code, FailingResource, List, RequestRefusal, TargetReport, grouped, short_answer, span};
use percent_encoding::percent_decode_str;

use super::deliveries::request;
use super::frame::Standing;
use super::incidents::{IncidentView, Step, incidents};
use super::overview::Badge;
use super::plot::Plot;
use super::plots::{Choice, note, period, plots};
use super::text::Markup;
use super::{Frame, PageCaller, PageContext, ask, html, text};
use crate::answer::AdminAnswer;
use crate::history::SharedHistory;

const FAILURES: usize = 10;

#[derive(Template)]
#[template(path = "action.html")]
struct ActionPage {
    frame: Frame,
    badge: Badge,
    address: Option<Markup>,
    changes: Vec<Step>,
    numbers: Vec<(&'static str, String, Option<String>)>,
    incidents: Vec<IncidentView>,
    failing: Vec<FailingRow>,
    more_failing: u64,
    failures: Vec<FailureRow>,
    last_failure: Option<(Markup, String)>,
    choices: Vec<Choice>,
    note: String,
    plots: Vec<Plot>,
    rules: Vec<(String, String)>,
    query: String,
}

struct FailingRow {
    id: String,
    resource: Markup,
    attempts: u32,
    since: Markup,
    answer: String,
}

struct FailureRow {
    id: String,
    state: String,
    tone: &'static str,
    age: Markup,
    resource: Markup,
    answer: String,
}

pub(super) async fn page(
    place: PageContext<'_>,
    caller: &PageCaller,
    history: &SharedHistory,
    name: &str,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let over = period(query)?;
    let name = percent_decode_str(name).decode_utf8_lossy();
    let status = place.handler.status().await?;
    let target = status.targets.iter().find(|target| target.action == *name);
    let target = target.ok_or_else(|| RequestRefusal {
        code: Code::NotFound,
        message: format!("there is no action {name}"),
    })?;
    let mut frame = Frame::new(place, caller, format!("Action {}", text::line(&name)), "/actions");
    frame.standing = Standing::of(&status);
    let encoded = text::query(&name);
    let failed = format!("action={encoded}&state=dead&state=retrying&order=newest&limit={FAILURES}");
    let failed = match status.counts_are_known() {
        true => ask::<List>(place, &request("/deliveries", &failed)?).await?.deliveries,
        false => Vec::new(),
    };
    // A daemon that runs without a configuration has no rules.
    let rules = place.handler.rules().await.map_or_else(|_| Vec::new(), |report| report.rules);
    let rules = rules.iter().filter(|rule| {
        rule.settings.as_ref().is_some_and(|settings| settings.actions.iter().any(|action| **action == *name))
    });
    let (plots, note) = {
        let history = history.lock();
        let series = history.actions().find(|(known, _)| *known == name).map(|(_, series)| series);
        match series {
            Some(series) => (plots(&history, series, over, false), note(&history, series, over)),
            None => (Vec::new(), "This action has no plots of its own: the first 32 have.".to_owned()),
        }
    };
    let page = ActionPage {
        badge: Badge::of_action(target),
        address: target.target.as_deref().map(|address| text::breakable(&text::line(address))),
        changes: if frame.may_change { changes(target) } else { Vec::new() },
        numbers: numbers(target, status.counts_are_known(), &encoded),
        incidents: incidents(&status, Some(&name), frame.may_change),
        failing: target.failing.iter().map(FailingRow::new).collect(),
        more_failing: target.more_failing,
        failures: failed.iter().map(FailureRow::new).collect(),
        last_failure: target
            .last_failure
            .as_ref()
            .map(|last| (text::time(&last.at), text::line(&last.answer))),
        choices: Choice::all(over),
        note,
        plots,
        rules: rules.map(|rule| (text::line(&rule.name), text::query(&rule.name))).collect(),
        query: encoded,
        frame,
    };
    Ok(html(StatusCode::OK, &page))
}

fn changes(target: &TargetReport) -> Vec<Step> {
    let step = |words: &str, change: &str| Step::change(words, &target.action, change);
    match (target.configured, &target.paused_since) {
        (Some(false), _) => Vec::new(),
        (_, Some(_)) => vec![step("Resume", "resume")],
        (_, None) => vec![step("Probe now", "probe"), Step { style: "", ..step("Pause", "pause") }],
    }
}

/// Returns the numbers with the states of their deliveries.
fn numbers(
    target: &TargetReport,
    is_counted: bool,
    query: &str,
) -> Vec<(&'static str, String, Option<String>)> {
    let number = |name, count: u64, state: &str| {
        let link = (count > 0).then(|| format!("/deliveries?action={query}&state={state}"));
        (name, if is_counted { grouped(count) } else { "-".to_owned() }, link.filter(|_| is_counted))
    };
    let oldest = target.oldest_pending_seconds.map_or("-".to_owned(), span);
    vec![
        number("Waiting", target.pending, "pending"),
        ("Oldest", oldest, None),
        number("Running", target.in_flight, "running"),
        number("Waiting for release", target.for_release, "waiting-for-release"),
        number("Dead", target.dead, "dead"),
        number("Done", target.done, "done"),
    ]
}

impl FailingRow {
    fn new(failing: &FailingResource) -> Self {
        let resource = failing.resource.as_deref().unwrap_or("an event without a resource");
        Self {
            id: failing.id.clone(),
            resource: text::breakable(&text::cell(resource)),
            attempts: failing.failed_attempts,
            since: text::timed(&failing.since, &span(failing.since_seconds)),
            answer: text::cell(&short_answer(&failing.answer)),
        }
    }
}

impl FailureRow {
    fn new(delivery: &osnl::control::Delivery) -> Self {
        let answer = delivery.reason.as_deref().or(delivery.last_answer.as_deref()).unwrap_or_default();
        Self {
            id: delivery.id.clone(),
            tone: if delivery.state == "dead" { "bad" } else { "warn" },
            state: text::cell(&delivery.state),
            age: text::timed(&delivery.received, &span(delivery.age_seconds)),
            resource: text::breakable(&text::cell(&delivery.resource_text().unwrap_or_default())),
            answer: text::cell(&short_answer(answer)),
        }
    }
}
