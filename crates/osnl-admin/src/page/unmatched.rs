use askama::Template;
use hyper::StatusCode;
use osnl::control::{RequestRefusal, UnmatchedPage, UnmatchedRow};

use super::{Frame, PageCaller, PageContext, bad, html, text};
use crate::answer::AdminAnswer;

const LISTED: usize = 50;

#[derive(Template)]
#[template(path = "unmatched.html")]
struct MessagesPage {
    frame: Frame,
    keep: u32,
    with_bodies: bool,
    rows: Vec<UnmatchedLine>,
    is_behind: bool,
    next: Option<String>,
}

struct UnmatchedLine {
    number: u64,
    age: String,
    event_type: String,
    publisher: String,
    priority: String,
    resource: String,
    listener: String,
    queue: String,
}

pub(super) async fn page(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let before = text::field(query.as_bytes(), "before").map(|before| before.parse::<u64>());
    let before = before.transpose().map_err(|_| bad("before: not the number of a message"))?;
    let found: UnmatchedPage = place.handler.unmatched(before, LISTED).await?;
    let page = MessagesPage {
        frame: Frame::new(place, caller, "Unmatched messages", "/unmatched"),
        keep: found.keep,
        with_bodies: found.with_bodies,
        rows: found.messages.iter().map(UnmatchedLine::new).collect(),
        is_behind: before.is_some(),
        next: found.next.map(|next| format!("before={next}")),
    };
    Ok(html(StatusCode::OK, &page))
}

impl UnmatchedLine {
    fn new(row: &UnmatchedRow) -> Self {
        let text = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), text::cell);
        Self {
            number: row.number,
            age: text::age(Some(row.age_seconds)),
            event_type: text(&row.event_type),
            publisher: text(&row.publisher_id),
            priority: text(&row.priority),
            resource: text(&row.resource),
            listener: text::cell(&row.listener),
            queue: text::cell(&row.queue),
        }
    }
}
