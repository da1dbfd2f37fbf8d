use askama::Template;
use hyper::StatusCode;
use osnl::control::{RequestRefusal, UnmatchedGroup, UnmatchedReport, UnmatchedRow, grouped, span};

use super::text::{Markup, breakable, counted};
use super::{Frame, PageCaller, PageContext, html, text};
use crate::answer::AdminAnswer;

const LISTED: usize = 50;

#[derive(Template)]
#[template(path = "unmatched.html")]
struct MessagesPage {
    frame: Frame,
    keep: u32,
    with_bodies: bool,
    groups: Vec<UnmatchedType>,
    more: String,
}

struct UnmatchedType {
    count: String,
    event_type: Markup,
    why: String,
    newest: Vec<UnmatchedLine>,
}

struct UnmatchedLine {
    number: u64,
    age: String,
    publisher: Markup,
    resource: Markup,
    listener: Markup,
}

pub(super) async fn page(place: PageContext<'_>, caller: &PageCaller) -> Result<AdminAnswer, RequestRefusal> {
    let UnmatchedReport { keep, with_bodies, groups, more } = place.handler.unmatched(LISTED).await?;
    let page = MessagesPage {
        frame: Frame::new(place, caller, "Unmatched messages", "/unmatched"),
        keep,
        with_bodies,
        groups: groups.iter().map(UnmatchedType::new).collect(),
        more: match more as u64 {
            0 => String::new(),
            more => counted(more, "more event type", "more event types"),
        },
    };
    Ok(html(StatusCode::OK, &page))
}

impl UnmatchedType {
    fn new(group: &UnmatchedGroup) -> Self {
        Self {
            count: grouped(group.count),
            event_type: breakable(
                &group.event_type.as_deref().map_or("no event type".to_owned(), text::cell),
            ),
            why: text::line(&group.why),
            newest: group.newest.iter().map(UnmatchedLine::new).collect(),
        }
    }
}

impl UnmatchedLine {
    fn new(row: &UnmatchedRow) -> Self {
        let text = |text: &Option<String>| breakable(&text.as_deref().map(text::cell).unwrap_or_default());
        Self {
            number: row.number,
            age: format!("{} ago", span(row.age_seconds)),
            publisher: text(&row.publisher_id),
            resource: text(&row.resource),
            listener: breakable(&text::cell(&row.listener)),
        }
    }
}
