//! The rules: how often each fired, and the conditions that prevented it.

use std::time::SystemTime;

use askama::Template;
use hyper::StatusCode;
use osnl::control::{RequestRefusal, RuleReport, RuleSettings, moment};

use super::{Frame, PageCaller, PageContext, after, html, text};
use crate::answer::AdminAnswer;

const LISTED: usize = 200;
const CONDITIONS: usize = 5;

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage {
    frame: Frame,
    since: String,
    rows: Vec<RuleRow>,
    next: Option<String>,
}

struct RuleRow {
    name: String,
    query: String,
    listeners: String,
    actions: String,
    notes: String,
    fired: u64,
    last: String,
    stopped: u64,
    seen: u64,
    first: String,
    others: String,
}

pub(super) async fn page(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let report = place.handler.rules().await?;
    let (shown, next) = after(&report.rules, query, LISTED, |rule| &rule.name);
    let page = RulesPage {
        frame: Frame::new(place, caller, "Rules", "/rules"),
        since: moment(report.since),
        rows: shown.iter().map(RuleRow::new).collect(),
        next,
    };
    Ok(html(StatusCode::OK, &page))
}

impl RuleRow {
    fn new(rule: &RuleReport) -> Self {
        let names = |names: &[String]| text::cell(&names.join(", "));
        let settings = rule.settings.as_ref();
        let mut failed = rule.failed.iter().map(|(condition, times)| {
            let share = share(*times, rule.seen);
            format!("{}: {times}{share}", text::cell(condition))
        });
        Self {
            name: text::line(&rule.name),
            query: text::query(&rule.name),
            listeners: settings.map_or_else(|| "-".to_owned(), |settings| names(&settings.listeners)),
            actions: settings.map_or_else(|| "-".to_owned(), |settings| names(&settings.actions)),
            notes: notes(settings),
            fired: rule.fired,
            last: rule.last_fired.map_or("-".to_owned(), ago),
            stopped: rule.stopped,
            seen: rule.seen,
            first: failed.next().unwrap_or_else(|| "-".to_owned()),
            others: failed.take(CONDITIONS - 1).collect::<Vec<_>>().join("; "),
        }
    }
}

fn notes(settings: Option<&RuleSettings>) -> String {
    let Some(settings) = settings else { return "not of the configuration".to_owned() };
    let notes = [
        (!settings.is_enabled, "not enabled"),
        (settings.is_shadow, "in shadow: recorded, and not done"),
        (settings.stops, "stop: no later rule is asked"),
    ];
    let notes: Vec<&str> = notes.into_iter().filter_map(|(is, words)| is.then_some(words)).collect();
    notes.join("; ")
}

fn share(times: u64, seen: u64) -> String {
    match seen {
        0 => String::new(),
        seen => format!(" ({} %)", (times as f64 * 100.0 / seen as f64).round()),
    }
}

fn ago(at: SystemTime) -> String {
    format!("{} ago", text::age(Some(at.elapsed().unwrap_or_default().as_secs())))
}
