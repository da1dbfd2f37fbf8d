//! Live events: a page of the latest events, and a stream of the next.

use askama::Template;
use hyper::http::request::Parts;
use osnl::control::query::{Parameter, ValueForm};
use osnl::control::{RequestRefusal, query, timestamp};
use osnl::live::{KEPT, LiveEvent, LiveFilter, MOST_A_SECOND};
use serde::Serialize;

use super::deliveries::{fields, without, written};
use super::{Frame, PageAnswer, PageVisit, Pages, bad, shown, text};
use crate::answer::{self, AdminAnswer};
use crate::stream::EventStream;

const LONGEST: usize = 200;
const SHOWN: usize = 50;

const OPTIONS: [Parameter; 6] = [
    Parameter::for_query("event_type", ValueForm::Text),
    Parameter::for_query("publisher", ValueForm::Text),
    Parameter::for_query("resource", ValueForm::Text),
    Parameter::for_query("listener", ValueForm::Text),
    Parameter::for_query("outcome", ValueForm::Text),
    Parameter::for_query("after", ValueForm::Number),
];

#[derive(Template)]
#[template(path = "live.html")]
struct LivePage {
    frame: Frame,
    filter: LiveFilter,
    outcomes: [(&'static str, bool); 3],
    query: String,
    newest: u64,
    rows: Vec<LiveRow>,
}

#[derive(Serialize)]
struct LiveRow {
    time: String,
    event_type: String,
    publisher: String,
    resource: String,
    outcome: String,
    is_matched: bool,
    about: String,
    payload: String,
}

struct LiveQuery {
    filter: LiveFilter,
    outcome: &'static str,
    after: Option<u64>,
}

pub(super) fn page(visit: PageVisit<'_>) -> PageAnswer {
    let live_query = read_query(visit.query)?;
    let events = visit.handler.live_events().latest(&live_query.filter);
    let page = LivePage {
        frame: Frame::new(visit, "Live", "/live"),
        outcomes: ["any", "matched", "unmatched"].map(|outcome| (outcome, outcome == live_query.outcome)),
        query: written(&without(&fields(visit.query)?, &["after"])),
        newest: events.first().map_or(0, |event| event.id),
        rows: events.iter().take(SHOWN).map(|event| LiveRow::new(event)).collect(),
        filter: live_query.filter,
    };
    shown(&page)
}

pub(super) fn stream(pages: &Pages, visit: PageVisit<'_>, head: &Parts) -> AdminAnswer {
    let live_query = match read_query(visit.query) {
        Ok(live_query) => live_query,
        Err(refusal) => return answer::refused(&refusal),
    };
    let again = head.headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let reader = visit.handler.live_events().read(live_query.filter, again.or(live_query.after));
    let is_open: Box<dyn Fn() -> bool + Send> = match visit.caller.has_session {
        true => pages.sessions.watch(head),
        false => Box::new(|| true),
    };
    let write = |event: &LiveEvent| serde_json::to_string(&LiveRow::new(event)).unwrap_or_default();
    answer::events(EventStream::new(reader, write, is_open, pages.ends.clone()))
}

fn read_query(query: &str) -> Result<LiveQuery, RequestRefusal> {
    let read = query::read(query, &OPTIONS).map_err(bad)?;
    let option = |name: &str| {
        let value = read.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        if value.len() > LONGEST {
            return Err(bad(format!("{name} is longer than {LONGEST} bytes")));
        }
        Ok(value.to_owned())
    };
    let (outcome, is_matched) = match &*option("outcome")? {
        "" | "any" => ("any", None),
        "matched" => ("matched", Some(true)),
        "unmatched" => ("unmatched", Some(false)),
        _ => return Err(bad("the outcome of a live event is any, matched, or unmatched")),
    };
    let filter = LiveFilter {
        event_type: option("event_type")?,
        publisher_id: option("publisher")?,
        resource: option("resource")?,
        listener: option("listener")?,
        is_matched,
    };
    Ok(LiveQuery { filter, outcome, after: read.get("after").and_then(|after| after.as_u64()) })
}

impl LiveRow {
    fn new(event: &LiveEvent) -> Self {
        let mut fired: Vec<String> = Vec::new();
        let mut last = None;
        for (rule, action) in &event.fired {
            match fired.last_mut().filter(|_| last == Some(rule)) {
                Some(actions) => actions.push_str(&format!(", {action}")),
                None => fired.push(format!("{rule} → {action}")),
            }
            last = Some(rule);
        }
        let fired = fired.join("; ");
        let about = [
            event.priority.as_deref().map(text::cell),
            event.message_id.as_deref().map(|id| format!("message {}", text::cell(id))),
            Some(text::size(event.bytes)),
            Some(format!("listener {}", text::cell(&event.listener))),
        ];
        Self {
            time: timestamp(event.received).get(11..23).unwrap_or_default().to_owned(),
            event_type: event.event_type.as_deref().map(text::cell).unwrap_or_default(),
            publisher: event.publisher_id.as_deref().map(text::cell).unwrap_or_default(),
            resource: event.resource.as_deref().map(text::line).unwrap_or_default(),
            is_matched: event.is_matched(),
            outcome: if event.is_matched() { text::line(&fired) } else { "no rule matched".to_owned() },
            about: about.into_iter().flatten().collect::<Vec<_>>().join(", "),
            payload: event.payload.as_deref().map_or_else(
                || "too large to be shown here".to_owned(),
                |payload| text::lines(payload).trim_end().to_owned(),
            ),
        }
    }
}
