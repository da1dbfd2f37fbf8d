use askama::Template;
use hyper::StatusCode;
use osnl::control::{RequestRefusal, UnmatchedReport, ago, grouped};

use super::{Frame, PageCaller, PageContext, html, text};
use crate::answer::AdminAnswer;

const LISTED: usize = 50;

#[derive(Template)]
#[template(path = "unmatched.html")]
struct UnmatchedMessages {
    frame: Frame,
    report: UnmatchedReport,
}

pub(super) async fn page(place: PageContext<'_>, caller: &PageCaller) -> Result<AdminAnswer, RequestRefusal> {
    let report = place.handler.unmatched(LISTED).await?;
    let frame = Frame::new(place, caller, "Unmatched messages", "/unmatched");
    Ok(html(StatusCode::OK, &UnmatchedMessages { frame, report }))
}
