use askama::Template;
use hyper::StatusCode;
use osnl::control::{ListenerStatus, RequestRefusal, TargetReport, grouped, span};

use super::frame::Standing;
use super::incidents::{IncidentView, action_path, incidents};
use super::plot::Plot;
use super::plots::{PlotPeriod, plots};
use super::text::Markup;
use super::{Frame, PageCaller, PageContext, html, text};
use crate::answer::AdminAnswer;
use crate::history::SharedHistory;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    verdict: String,
    tone: &'static str,
    numbers: Vec<Tile>,
    incidents: Vec<IncidentView>,
    listeners: Vec<ListenerRow>,
    actions: Vec<ActionRow>,
}

/// A number with its course over the last hour.
pub(super) struct Tile {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) plot: Option<Plot>,
}

pub(super) struct Badge {
    pub(super) tone: &'static str,
    pub(super) state: String,
    /// The time since then, of a state that is not the usual one.
    pub(super) since: Option<Markup>,
}

struct ActionRow {
    name: Markup,
    path: String,
    query: String,
    badge: Badge,
    waiting: String,
    oldest: String,
    dead: String,
    has_dead: bool,
}

struct ListenerRow {
    name: Markup,
    badge: Badge,
    waiting: String,
    last: Option<Markup>,
    queues: Markup,
    lag: String,
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
    let mut courses = courses.into_iter();
    let numbers = status.numbers.named().into_iter().zip(["In", "Out", "Waiting", "Oldest"]);
    let is_counted = status.counts_are_known();
    let page = OverviewPage {
        verdict: text::line(&status.verdict),
        tone: frame.standing.tone(),
        numbers: numbers.map(|((_, value), name)| Tile { name, value, plot: courses.next() }).collect(),
        incidents: incidents(&status, None, frame.may_change),
        listeners: status.listeners.iter().map(ListenerRow::new).collect(),
        actions: status.targets.iter().map(|target| ActionRow::new(target, is_counted)).collect(),
        frame,
    };
    Ok(html(StatusCode::OK, &page))
}

impl Badge {
    pub(super) fn of_action(target: &TargetReport) -> Self {
        let state = match (target.state(), &target.paused_by) {
            ("paused", Some(by)) => format!("paused by {}", text::cell(by)),
            (state, _) => state.to_owned(),
        };
        let tone = match target.state() {
            "ok" => "good",
            "down" | "probing" => "bad",
            "paused" => "warn",
            _ => "quiet",
        };
        Self::new(tone, state, target.since.as_deref(), target.since_seconds)
    }

    fn of_listener(listener: &ListenerStatus) -> Self {
        let tone = match &*listener.state {
            "listening" | "standby" => "good",
            "blocked" | "stopped" => "bad",
            _ => "warn",
        };
        let state = text::cell(&listener.state);
        Self::new(tone, state, listener.since.as_deref(), listener.since_seconds)
    }

    fn new(tone: &'static str, state: String, since: Option<&str>, seconds: Option<u64>) -> Self {
        let since = since.zip(seconds).filter(|_| !matches!(tone, "good" | "quiet"));
        Self { tone, state, since: since.map(|(at, seconds)| text::timed(at, &span(seconds))) }
    }
}

impl ActionRow {
    fn new(target: &TargetReport, is_counted: bool) -> Self {
        let count = |number: u64| if is_counted { grouped(number) } else { "-".to_owned() };
        Self {
            name: text::breakable(&text::line(&target.action)),
            path: action_path(&target.action),
            query: text::query(&target.action),
            badge: Badge::of_action(target),
            waiting: count(target.pending),
            oldest: text::age(target.oldest_pending_seconds),
            dead: count(target.dead),
            has_dead: is_counted && target.dead > 0,
        }
    }
}

impl ListenerRow {
    fn new(listener: &ListenerStatus) -> Self {
        let queues =
            if listener.queues.is_empty() { listener.broker.clone() } else { listener.queues.join(", ") };
        Self {
            name: text::breakable(&text::line(&listener.name)),
            badge: Badge::of_listener(listener),
            waiting: listener.queue_messages.map_or("-".to_owned(), grouped),
            last: listener.last_message.as_deref().map(text::time),
            queues: text::breakable(&text::line(&queues)),
            lag: listener.lag.as_ref().map_or(String::new(), |lag| text::line(&lag.text())),
        }
    }
}
