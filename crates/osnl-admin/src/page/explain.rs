use askama::Template;
use hyper::StatusCode;
use osnl::control::{Code, RequestRefusal, RuleTrial, TrialReport, TriedEvent};

use super::{Frame, PageCaller, PageContext, bad, html, text};
use crate::answer::{self, AdminAnswer};

const EFFECTS: usize = 256 * 1024;
const VERDICTS: usize = 2000;

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    frame: Frame,
    problem: String,
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
    effects: Vec<String>,
}

pub(super) async fn page(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let field = |name: &str| text::field(query.as_bytes(), name).filter(|value| !value.is_empty());
    let tried = match (field("unmatched"), field("delivery")) {
        (None, None) => None,
        (Some(number), None) => {
            let number = number.parse().map_err(|_| bad("unmatched: not the number of a message"))?;
            Some(TriedEvent::Unmatched(number))
        }
        (None, Some(id)) => Some(TriedEvent::Delivery(id)),
        (Some(_), Some(_)) => return Err(bad("choose a message or a delivery")),
    };
    let reports = match tried {
        Some(event) => place.handler.try_event(event).await?,
        None => Vec::new(),
    };
    Ok(html(StatusCode::OK, &ExplainPage::new(place, caller, &reports, String::new())))
}

pub(super) async fn pasted(
    place: PageContext<'_>,
    caller: &PageCaller,
    body: &[u8],
) -> Result<AdminAnswer, RequestRefusal> {
    let event = text::field(body, "event").ok_or_else(|| bad("the form has no event"))?;
    match place.handler.try_event(TriedEvent::Text(event)).await {
        Ok(reports) => Ok(html(StatusCode::OK, &ExplainPage::new(place, caller, &reports, String::new()))),
        Err(refusal) if refusal.code == Code::BadRequest => {
            let page = ExplainPage::new(place, caller, &[], text::sentence(&refusal.message));
            Ok(html(answer::status(refusal.code), &page))
        }
        Err(refusal) => Err(refusal),
    }
}

impl ExplainPage {
    fn new(place: PageContext<'_>, caller: &PageCaller, reports: &[TrialReport], problem: String) -> Self {
        let mut room = PageRoom { verdicts: VERDICTS, effects: EFFECTS };
        Self {
            frame: Frame::new(place, caller, "Try an event", "/explain"),
            problem,
            events: reports.iter().map(|report| EventView::new(report, &mut room)).collect(),
        }
    }
}

struct PageRoom {
    verdicts: usize,
    effects: usize,
}

impl EventView {
    fn new(report: &TrialReport, room: &mut PageRoom) -> Self {
        let (all, fires) = (report.rules.len(), report.rules.iter().filter(|rule| rule.fires).count());
        let shown = all.min(room.verdicts);
        room.verdicts -= shown;
        let left_out = match all - shown {
            0 => String::new(),
            more => format!(" The last {more} are not shown: use osnl explain."),
        };
        Self {
            about: report.about.lines().map(|line| text::sentence(line.trim_start())).collect(),
            summary: format!("Rules that match: {fires} of {all}.{left_out}"),
            verdicts: report.rules[..shown].iter().map(|rule| VerdictView::new(rule, room)).collect(),
        }
    }
}

impl VerdictView {
    fn new(rule: &RuleTrial, room: &mut PageRoom) -> Self {
        let mut effects = Vec::new();
        for (at, effect) in rule.effects.iter().enumerate() {
            let effect = text::lines(effect);
            if effect.len() > room.effects {
                effects.push(format!(
                    "{} more effects are not shown: use osnl explain",
                    rule.effects.len() - at
                ));
                break;
            }
            room.effects -= effect.len();
            effects.push(effect);
        }
        Self { tone: if rule.fires { "good" } else { "" }, verdict: text::sentence(&rule.verdict), effects }
    }
}
