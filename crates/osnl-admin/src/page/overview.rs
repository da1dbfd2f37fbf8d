//! The overview page: the verdict, four numbers, and the incidents; then listeners and actions.

use askama::Template;
use hyper::StatusCode;
use osnl::control::{
    Incident, IncidentSeverity, JournalStatus, ListenerStatus, RequestRefusal, Status, TargetReport, ago,
    counter_words, span,
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
    /// The title of the tab, and its icon.
    tab: String,
    icon: &'static str,
    verdict: String,
    tone: &'static str,
    numbers: [(&'static str, String); 4],
    incidents: Vec<IncidentView>,
    actions: Vec<ActionRow>,
    /// Whether the journal has reported its counts, as a 0 would read as "none".
    is_counted: bool,
    plots: Vec<Plot>,
    listeners: Vec<ListenerRow>,
    journal: Vec<(&'static str, String)>,
    counters: Vec<(String, u64)>,
}

struct IncidentView {
    tone: &'static str,
    severity: &'static str,
    what: String,
    why: String,
    to_do: String,
    since: String,
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
    lag: String,
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
    let (tab, tone) = standing(&status);
    let plots = {
        let history = history.lock();
        plots(&history, history.all(), PlotPeriod::Hour, false)
    };
    let page = OverviewPage {
        frame,
        tab,
        icon: match tone {
            "good" => "%232e7d32",
            "bad" => "%23c62828",
            _ => "%23ef6c00",
        },
        tone,
        verdict: text::line(&status.verdict),
        numbers: status.numbers.named(),
        incidents: status.incidents.iter().map(IncidentView::new).collect(),
        actions: status.targets.into_iter().map(ActionRow::new).collect(),
        is_counted,
        plots,
        listeners: status.listeners.iter().map(ListenerRow::new).collect(),
        journal: journal(&status.journal),
        counters: status
            .counters
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (counter_words(&name), count))
            .collect(),
    };
    Ok(html(StatusCode::OK, &page))
}

/// Returns the title of the tab, `3 critical`, and the tone of the verdict.
fn standing(status: &Status) -> (String, &'static str) {
    let critical = status.incidents.iter().filter(|one| one.severity == IncidentSeverity::Critical).count();
    match (critical, status.incidents.len()) {
        (0, 0) => ("Well".to_owned(), "good"),
        (0, 1) => ("1 warning".to_owned(), "warn"),
        (0, warnings) => (format!("{warnings} warnings"), "warn"),
        (critical, _) => (format!("{critical} critical"), "bad"),
    }
}

impl IncidentView {
    fn new(incident: &Incident) -> Self {
        let (tone, severity) = match incident.severity {
            IncidentSeverity::Critical => ("bad", "Critical"),
            IncidentSeverity::Warning => ("warn", "Warning"),
        };
        Self {
            tone,
            severity,
            what: text::line(&incident.what),
            why: text::or_empty(incident.why.as_deref()),
            to_do: text::or_empty(incident.doing().as_deref()),
            since: text::or_empty(incident.since.as_deref()),
        }
    }
}

impl ActionRow {
    fn new(target: TargetReport) -> Self {
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
            held: target.for_release,
            dead: target.dead,
            done: target.done_text(),
            address: text::or_empty(target.target.as_deref()),
            exact: target.action,
            state,
            tone,
        }
    }
}

impl ListenerRow {
    fn new(listener: &ListenerStatus) -> Self {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        let queues =
            if listener.queues.is_empty() { listener.broker.clone() } else { listener.queues.join(", ") };
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
            lag: listener.lag.as_ref().map_or(String::new(), |lag| text::line(&lag.text())),
        }
    }
}

fn tone(state: &str) -> &'static str {
    match state {
        "ok" | "listening" | "standby" => "good",
        "down" | "blocked" => "bad",
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
    add("Limit", journal.max_bytes.map(text::size));
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
    fn the_tab_says_how_many_are_critical() {
        let incident = |severity: &str| {
            json!({"kind": "target-down", "severity": severity, "subject": "a", "actions": [], "listeners": [], "what": "a",
                   "why": null, "since": null, "since_seconds": null, "waiting": 0, "oldest_seconds": null, "for_release": 0,
                   "must_act": "osnl", "to_do": null, "by_itself": null, "symptoms": []})
        };
        for (severities, expected) in [
            (&[][..], ("Well", "good")),
            (&["warning"], ("1 warning", "warn")),
            (&["critical", "critical", "warning"], ("2 critical", "bad")),
        ] {
            let incidents: Vec<_> = severities.iter().map(|severity| incident(severity)).collect();
            let status = json!({
                "verdict": "", "numbers": {}, "running": true, "healthy": false, "incidents": incidents, "version": "0",
                "pid": 1, "started": null, "uptime_seconds": 1, "listeners": [], "targets": [], "counters": {},
                "journal": {"store": "sqlite", "deliveries": 0},
            });
            let (tab, tone) = standing(&serde_json::from_value(status).unwrap());
            assert_eq!((&*tab, tone), expected);
        }
    }
}
