//! The overview page: conditions that need attention, then listeners and actions.

use askama::Template;
use hyper::StatusCode;
use osnl::control::{
    JournalStatus, LagStatus, ListenerStatus, Problem, ProblemSeverity, RequestRefusal, TargetReport, ago,
    span,
};

use super::plot::Plot;
use super::plots::{PlotPeriod, plots};
use super::{Frame, PageCaller, PageContext, html, text};
use crate::answer::AdminAnswer;
use crate::history::SharedHistory;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    problems: Vec<ProblemView>,
    refused: Vec<String>,
    actions: Vec<ActionRow>,
    /// Whether the journal has reported its counts, as a 0 would read as "none".
    is_counted: bool,
    plots: Vec<Plot>,
    listeners: Vec<ListenerRow>,
    journal: Vec<(&'static str, String)>,
    counters: Vec<(String, u64)>,
}

struct ProblemView {
    tone: &'static str,
    severity: &'static str,
    message: String,
    since: String,
    reason: String,
    remedy: String,
}

struct ActionRow {
    name: String,
    exact: String,
    query: String,
    state: String,
    tone: &'static str,
    is_configured: bool,
    is_paused: bool,
    since: String,
    pending: u64,
    oldest: String,
    in_flight: u64,
    held: u64,
    dead: u64,
    done: String,
    address: String,
    lines: Vec<String>,
}

struct ListenerRow {
    name: String,
    state: String,
    tone: &'static str,
    since: String,
    messages: u64,
    last: String,
    reconnects: u64,
    waiting: String,
    consumers: String,
    queues: String,
    reason: String,
}

pub(super) async fn page(
    place: PageContext<'_>,
    caller: &PageCaller,
    history: &SharedHistory,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let status = place.handler.status().await?;
    let mut frame = Frame::new(place, caller, "Overview", "/");
    frame.refresh = (query == "refresh=10").then_some(10);
    if let (Some(pid), Some(up)) = (status.pid, status.uptime_seconds) {
        frame.made = format!("{}, process {pid}, up {}", frame.made, span(up));
    }
    let is_counted = status.counts_are_known();
    let mut problems = status.problems;
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    let not_reloaded = status.configuration.and_then(|configuration| configuration.not_reloaded);
    let errors = not_reloaded.map(|refused| refused.errors).unwrap_or_default();
    let plots = {
        let history = history.lock();
        plots(&history, history.all(), PlotPeriod::Hour, false)
    };
    let page = OverviewPage {
        frame,
        problems: problems.iter().map(ProblemView::new).collect(),
        refused: errors.iter().take(20).map(|error| text::line(error)).collect(),
        actions: status.targets.into_iter().map(ActionRow::new).collect(),
        is_counted,
        plots,
        listeners: status.listeners.iter().map(ListenerRow::new).collect(),
        journal: journal(&status.journal),
        counters: status.counters.into_iter().filter(|(_, count)| *count > 0).collect(),
    };
    Ok(html(StatusCode::OK, &page))
}

impl ProblemView {
    fn new(problem: &Problem) -> Self {
        let (tone, severity) = match problem.severity {
            ProblemSeverity::Critical => ("bad", "Critical"),
            ProblemSeverity::Warning => ("warn", "Warning"),
        };
        Self {
            tone,
            severity,
            message: text::line(&problem.message),
            // Most messages include the duration already.
            since: Some(text::age(problem.since_seconds))
                .filter(|since| !problem.message.contains(&format!("for {since}")))
                .unwrap_or_default(),
            reason: problem
                .reason
                .as_deref()
                .filter(|reason| !problem.message.contains(reason))
                .map(text::line)
                .unwrap_or_default(),
            remedy: text::or_empty(problem.remedy.as_deref()),
        }
    }
}

impl ActionRow {
    fn new(target: TargetReport) -> Self {
        let mut lines = Vec::new();
        if let Some(by) = &target.paused_by {
            lines.push(format!("paused by {}", text::line(by)));
        }
        for key in &target.failing {
            let resource = text::or_empty(key.resource.as_deref());
            let (since, answer) = (span(key.since_seconds), text::line(&key.answer));
            lines.push(format!(
                "{}, resource {resource}: {} failed attempts for {since}: {answer}",
                key.id, key.failed_attempts
            ));
        }
        if target.more_failing > 0 {
            lines.push(format!("{} more resources fail", target.more_failing));
        }
        for host in target.held_hosts.iter().chain(&target.dependencies_down) {
            let (name, reason) = (text::line(&host.name), text::line(&host.reason));
            lines.push(format!("{name} is held for {}: {reason}", span(host.since_seconds)));
        }
        if let Some(failure) = &target.last_failure {
            lines.push(format!("last failure {}: {}", text::line(&failure.at), text::line(&failure.answer)));
        }
        let (state, tone) = (target.state_text(), tone(target.state()));
        Self {
            name: text::line(&target.action),
            query: text::query(&target.action),
            is_configured: target.configured != Some(false),
            is_paused: target.paused_since.is_some(),
            since: ago(target.since_seconds),
            pending: target.pending,
            oldest: text::age(target.oldest_pending_seconds),
            in_flight: target.in_flight,
            held: target.held,
            dead: target.dead,
            done: target.done_text(),
            address: text::or_empty(target.target.as_deref()),
            exact: target.action,
            state,
            tone,
            lines,
        }
    }
}

impl ListenerRow {
    fn new(listener: &ListenerStatus) -> Self {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        let queues =
            if listener.queues.is_empty() { listener.broker.clone() } else { listener.queues.join(", ") };
        let reason = [&listener.reason, &listener.stalled, &listener.remedy];
        let lag = listener.lag.as_ref().map(LagStatus::text);
        let reason: Vec<&str> = reason.into_iter().flatten().chain(&lag).map(String::as_str).collect();
        Self {
            name: text::line(&listener.name),
            tone: tone(&listener.state),
            state: text::line(&listener.state_text()),
            since: ago(listener.since_seconds),
            messages: listener.messages,
            last: ago(listener.last_message_seconds),
            reconnects: listener.reconnects,
            waiting: number(listener.queue_messages),
            consumers: number(listener.consumers),
            queues: text::line(&queues),
            reason: text::line(&reason.join("; ")),
        }
    }
}

fn tone(state: &str) -> &'static str {
    match state {
        "ok" | "listening" | "standby" => "good",
        "held" | "blocked" => "bad",
        _ => "warn",
    }
}

fn journal(journal: &JournalStatus) -> Vec<(&'static str, String)> {
    let mut facts = vec![match &journal.path {
        Some(path) => ("File", text::line(path)),
        None => ("Store", "in memory: nothing outlives the process".to_owned()),
    }];
    let mut add = |name: &'static str, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("State", journal.state.clone());
    add("Reason", journal.reason.as_deref().map(text::line));
    add("Size", journal.bytes.map(text::size));
    add("Largest size", journal.max_bytes.map(text::size));
    add("Free on the disk", journal.free_bytes.map(text::size));
    add("Events", journal.events.map(|events| events.to_string()));
    add("Deliveries", Some(journal.deliveries.to_string()));
    add("Dead", Some(journal.dead.to_string()));
    add("Oldest", journal.oldest_seconds.map(|seconds| format!("{} ago", span(seconds))));
    add("In quarantine", journal.quarantined.map(|count| count.to_string()));
    facts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_says_each_thing_once() {
        let view = |message: &str| {
            let problem = json!({"kind": "target-held", "severity": "critical", "subject": "a", "message": message,
                                 "reason": "it is <down>", "since": "x", "since_seconds": 3, "remedy": null});
            let view = ProblemView::new(&serde_json::from_value(problem).unwrap());
            (view.since, view.reason)
        };
        assert_eq!(view("a is held (for 3 s): it is <down>"), (String::new(), String::new()));
        assert_eq!(view("a is held"), ("3 s".to_owned(), "it is <down>".to_owned()));
    }
}
