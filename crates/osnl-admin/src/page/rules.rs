//! The rules: the conditions of each, the number of matches, and the conditions that prevented a match.

use askama::Template;
use osnl::control::{RuleReport, RuleSettings, timestamp};

use super::{Frame, PageAnswer, PageVisit, after, shown, text};

const LISTED: usize = 200;
const CONDITIONS: usize = 5;
/// The options with columns of their own.
const NAMED: [&str; 2] = ["actions", "listeners"];

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage {
    frame: Frame,
    since: String,
    rows: Vec<RuleRow>,
    next: Option<String>,
}

struct RuleRow {
    rule: RuleReport,
    listeners: String,
    actions: String,
    notes: String,
    is_idle: bool,
    failed: String,
    conditions: Vec<(String, String)>,
}

pub(super) async fn page(visit: PageVisit<'_>) -> PageAnswer {
    let report = visit.handler.rules().await?;
    let (listed, next) = after(&report.rules, visit.query, LISTED, |rule| &rule.name);
    let document = visit.handler.configuration().await?.document;
    let conditions = |name: &str| {
        let heading = format!("rule:{name}");
        let section = document.sections.iter().find(|section| section.heading == heading);
        let entries = section.into_iter().flat_map(|section| &section.entries);
        let set = entries.filter(|entry| entry.from != "default" && !NAMED.contains(&&*entry.option));
        set.map(|entry| (text::cell(&entry.option), text::value(&entry.text))).collect()
    };
    let page = RulesPage {
        frame: Frame::new(visit, "Rules", "/rules"),
        since: timestamp(report.since),
        rows: listed.iter().map(|rule| RuleRow::new(rule, conditions(&rule.name))).collect(),
        next,
    };
    shown(&page)
}

impl RuleRow {
    fn new(rule: &RuleReport, conditions: Vec<(String, String)>) -> Self {
        let settings = rule.settings.as_ref();
        let failed = rule.failed.iter().take(CONDITIONS).map(|(condition, times)| {
            let share = share(*times, rule.seen);
            format!("{}: {times}{share}", text::cell(condition))
        });
        let names = |of: fn(&RuleSettings) -> &Vec<String>| {
            settings.map_or("-".to_owned(), |settings| text::cell(&of(settings).join(", ")))
        };
        Self {
            notes: notes(settings),
            listeners: names(|settings| &settings.listeners),
            actions: names(|settings| &settings.actions),
            is_idle: rule.fired == 0 && settings.is_some_and(|settings| settings.is_enabled),
            failed: failed.collect::<Vec<_>>().join("; "),
            conditions,
            rule: rule.clone(),
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
