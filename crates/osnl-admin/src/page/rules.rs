//! The rules: what each asks for, how often it matched, and the conditions that prevented it.

use askama::Template;
use hyper::StatusCode;
use osnl::control::{RequestRefusal, RuleReport, RuleSettings, moment};

use super::text::{Markup, link, plain, time};
use super::{Frame, PageCaller, PageContext, after, html, text};
use crate::answer::AdminAnswer;

const LISTED: usize = 200;
const CONDITIONS: usize = 5;
/// The options with columns of their own.
const NAMED: [&str; 2] = ["actions", "listeners"];

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage {
    frame: Frame,
    since: Markup,
    rows: Vec<RuleRow>,
    next: Option<String>,
}

struct RuleRow {
    name: String,
    listeners: String,
    actions: String,
    notes: String,
    /// Whether it was tested, and never matched.
    is_idle: bool,
    matched: Markup,
    last: Markup,
    tested: u64,
    stopped: u64,
    failed: String,
    conditions: Vec<(String, String)>,
}

pub(super) async fn page(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let report = place.handler.rules().await?;
    let (shown, next) = after(&report.rules, query, LISTED, |rule| &rule.name);
    let document = place.handler.configuration().await?.document;
    let conditions = |name: &str| {
        let heading = format!("rule:{name}");
        let section = document.sections.iter().find(|section| section.heading == heading);
        let entries = section.into_iter().flat_map(|section| &section.entries);
        let set = entries.filter(|entry| entry.from != "default" && !NAMED.contains(&&*entry.option));
        set.map(|entry| (text::cell(&entry.option), text::value(&entry.text))).collect()
    };
    let page = RulesPage {
        frame: Frame::new(place, caller, "Rules", "/rules"),
        since: time(&moment(report.since)),
        rows: shown.iter().map(|rule| RuleRow::new(rule, conditions(&rule.name))).collect(),
        next,
    };
    Ok(html(StatusCode::OK, &page))
}

impl RuleRow {
    fn new(rule: &RuleReport, conditions: Vec<(String, String)>) -> Self {
        let names = |names: &[String]| text::cell(&names.join(", "));
        let settings = rule.settings.as_ref();
        let failed = rule.failed.iter().take(CONDITIONS).map(|(condition, times)| {
            let share = share(*times, rule.seen);
            format!("{}: {times}{share}", text::cell(condition))
        });
        let path = format!("/deliveries?rule={}&order=newest", text::query(&rule.name));
        Self {
            name: text::line(&rule.name),
            listeners: settings.map_or_else(|| "-".to_owned(), |settings| names(&settings.listeners)),
            actions: settings.map_or_else(|| "-".to_owned(), |settings| names(&settings.actions)),
            notes: notes(settings),
            is_idle: rule.fired == 0 && settings.is_some_and(|settings| settings.is_enabled),
            matched: if rule.fired == 0 { plain("0") } else { link(&path, &rule.fired.to_string()) },
            last: rule.last_fired.map_or_else(|| plain("-"), |at| time(&moment(at))),
            tested: rule.seen,
            stopped: rule.stopped,
            failed: failed.collect::<Vec<_>>().join("; "),
            conditions,
        }
    }
}

fn notes(settings: Option<&RuleSettings>) -> String {
    let Some(settings) = settings else { return "not of the configuration".to_owned() };
    let notes = [
        (!settings.is_enabled, "not enabled"),
        (settings.is_shadow, "in shadow: recorded, and not done"),
        (settings.stops, "stop: no later rule is tested"),
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
