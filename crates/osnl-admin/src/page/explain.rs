use askama::Template;
use hyper::StatusCode;
use osnl::control::{Code, RequestRefusal, TriedEvent};
use osnl::explain::{RuleVerdict, Trace, words};
use osnl_model::catalogue;
use serde_json::json;

use super::{Frame, PageAnswer, PageVisit, bad, html, text};
use crate::answer;

const EFFECTS: usize = 256 * 1024;
const VERDICTS: usize = 2000;
const UNMATCHED: usize = 20;

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    frame: Frame,
    problem: String,
    text: String,
    samples: Vec<(String, Vec<(String, String)>)>,
    events: Vec<EventView>,
}

struct EventView {
    about: Vec<String>,
    summary: String,
    verdicts: Vec<VerdictView>,
}

struct VerdictView {
    tone: &'static str,
    verdict: String,
    effects: Vec<(&'static str, String)>,
}

pub(super) async fn page(visit: PageVisit<'_>) -> PageAnswer {
    let (tried, text) = tried(visit)?;
    let mut room = PageRoom { verdicts: VERDICTS, effects: EFFECTS };
    let events = match tried {
        Some(event) => visit.handler.try_event(event, move |trace| EventView::new(trace, &mut room)).await,
        None => Ok(Vec::new()),
    };
    let (events, problem) = match events {
        // The form is shown again.
        Err(refusal) if refusal.code == Code::BadRequest && visit.form.is_some() => {
            (Vec::new(), refusal.message)
        }
        events => (events?, String::new()),
    };
    let status = if problem.is_empty() { StatusCode::OK } else { answer::status(Code::BadRequest) };
    let page = ExplainPage {
        frame: Frame::new(visit, "Try an event", "/explain"),
        problem: text::sentence(&problem),
        text,
        samples: samples(visit).await,
        events,
    };
    Ok(html(status, &page))
}

fn tried(visit: PageVisit<'_>) -> Result<(Option<TriedEvent>, String), RequestRefusal> {
    if let Some(form) = visit.form {
        let event = text::field(form, "event").ok_or_else(|| bad("the form has no event"))?;
        return Ok((Some(TriedEvent::Text(event)), String::new()));
    }
    let field = |name: &str| text::field(visit.query.as_bytes(), name).filter(|value| !value.is_empty());
    let number = |number: &str| number.parse().map_err(|_| bad("unmatched: not the number of a message"));
    let event = match (field("unmatched"), field("delivery"), field("sample")) {
        (None, None, None) => None,
        (Some(given), None, None) => Some(TriedEvent::Unmatched(number(&given)?)),
        (None, Some(id), None) => Some(TriedEvent::Delivery(id)),
        (None, None, Some(sample)) => match sample.strip_prefix("unmatched ") {
            Some(given) => Some(TriedEvent::Unmatched(number(given)?)),
            None => {
                let text = example(&sample)?;
                return Ok((Some(TriedEvent::Text(text.clone())), text));
            }
        },
        _ => return Err(bad("choose a message, a delivery, or a sample")),
    };
    Ok((event, String::new()))
}

fn example(event_type: &str) -> Result<String, RequestRefusal> {
    let found = catalogue::find(event_type).into_iter().find(|event| event.sample().is_some());
    let found = found.ok_or_else(|| bad(format!("sample: no sample of {event_type} is known")))?.example();
    let event = json!({
        "event_type": found.event_type, "publisher_id": found.publisher_id,
        "priority": found.priority.as_ref().map(osnl_model::Priority::as_str), "payload": found.payload,
    });
    Ok(serde_json::to_string_pretty(&event).unwrap_or_default())
}

async fn samples(visit: PageVisit<'_>) -> Vec<(String, Vec<(String, String)>)> {
    let unmatched = visit.handler.unmatched(UNMATCHED).await;
    let groups = unmatched.map(|report| report.groups).unwrap_or_default();
    let latest = groups.iter().filter_map(|group| {
        let event_type = text::cell(group.event_type.as_deref()?);
        Some((format!("unmatched {}", group.newest.first()?.number), event_type))
    });
    let mut samples = vec![("Unmatched messages".to_owned(), latest.collect::<Vec<_>>())];
    for event in catalogue::events().iter().filter(|event| event.recorded && event.sample().is_some()) {
        if samples.last().is_none_or(|(service, _)| service != event.service) {
            samples.push((event.service.to_owned(), Vec::new()));
        }
        let option = (event.event_type.to_owned(), event.event_type.to_owned());
        if let Some((_, events)) = samples.last_mut().filter(|(_, events)| !events.contains(&option)) {
            events.push(option);
        }
    }
    samples.retain(|(_, events)| !events.is_empty());
    samples
}

struct PageRoom {
    verdicts: usize,
    effects: usize,
}

impl EventView {
    fn new(trace: &Trace, room: &mut PageRoom) -> Self {
        let (all, fires) =
            (trace.rules.len(), trace.rules.iter().filter(|found| found.ruling.fires()).count());
        let shown = all.min(room.verdicts);
        room.verdicts -= shown;
        let left_out = match all - shown {
            0 => String::new(),
            more => format!(" The last {more} are not shown: use osnl explain."),
        };
        Self {
            about: words::about(&trace.event).lines().map(|line| text::sentence(line.trim_start())).collect(),
            summary: format!("Rules that match: {fires} of {all}.{left_out}"),
            verdicts: trace.rules[..shown].iter().map(|found| VerdictView::new(found, room)).collect(),
        }
    }
}

impl VerdictView {
    fn new(found: &RuleVerdict, room: &mut PageRoom) -> Self {
        let mut effects = Vec::new();
        let all = found.ruling.effects();
        for (at, effect) in all.iter().enumerate() {
            let tone = if effect.dead_letter().is_some() { "bad" } else { "" };
            let effect = text::lines(&words::would(effect));
            if effect.len() > room.effects {
                let more = all.len() - at;
                effects.push(("", format!("{more} more effects are not shown: use osnl explain")));
                break;
            }
            room.effects -= effect.len();
            effects.push((tone, effect));
        }
        let tone = match (found.ruling.undecided().is_some(), found.ruling.fires()) {
            (true, _) => "bad",
            (false, true) => "good",
            (false, false) => "quiet",
        };
        Self { tone, verdict: text::sentence(&words::verdict(found)), effects }
    }
}
