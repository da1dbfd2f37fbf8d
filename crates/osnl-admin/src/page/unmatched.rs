use askama::Template;
use osnl::control::{UnmatchedReport, ago, grouped};

use super::{Frame, PageAnswer, PageVisit, shown, text};

const LISTED: usize = 50;

#[derive(Template)]
#[template(path = "unmatched.html")]
struct UnmatchedMessages {
    frame: Frame,
    report: UnmatchedReport,
}

pub(super) async fn page(visit: PageVisit<'_>) -> PageAnswer {
    let report = visit.handler.unmatched(LISTED).await?;
    let frame = Frame::new(visit, "Unmatched messages", "/unmatched");
    shown(&UnmatchedMessages { frame, report })
}
