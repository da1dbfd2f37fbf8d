//! The pages of messages in quarantine: a search, one message, changes.

use askama::Template;
use hyper::StatusCode;
use osnl::control::{
    ControlRequest, QuarantineChanges, QuarantineList, QuarantineShow, QuarantinedMessage, RequestRefusal,
    WhichMessages,
};

use super::change::{ChangePage, ConfirmForm, NAMED, allowed, and_more, until_now};
use super::deliveries::{fields, request, value_of, without, written};
use super::text::counted;
use super::{Frame, PageCaller, PageContext, ask, bad, html, text};
use crate::answer::AdminAnswer;

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    frame: Frame,
    totals: String,
    queue: String,
    reason: String,
    rows: Vec<QuarantinedMessage>,
    next: Option<String>,
    filter: String,
}

#[derive(Template)]
#[template(path = "quarantined.html")]
struct QuarantinedPage {
    frame: Frame,
    show: QuarantineShow,
}

pub(super) async fn list(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let given = fields(query)?;
    let list: QuarantineList = ask(place, &request("/quarantine", &written(&given))?).await?;
    let filter = without(&given, &["after", "limit"]);
    let value = |name: &str| value_of(&filter, name).unwrap_or_default().to_owned();
    let next = list.next.map(|next| {
        let after = ("after".to_owned(), next.to_string());
        written(&[without(&given, &["after"]), vec![after]].concat())
    });
    let page = QuarantinePage {
        frame: Frame::new(place, caller, "Quarantine", "/quarantine"),
        totals: match list.total {
            0 => String::new(),
            total => format!("{} could not be read.", messages(total)),
        },
        queue: value("queue"),
        reason: value("reason"),
        rows: list.messages,
        next,
        filter: if filter.is_empty() { String::new() } else { format!("&{}", written(&filter)) },
    };
    Ok(html(StatusCode::OK, &page))
}

pub(super) async fn one(
    place: PageContext<'_>,
    caller: &PageCaller,
    id: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let show: QuarantineShow = ask(place, &request(&format!("/quarantine/{id}"), "")?).await?;
    let title = format!("Message {} in quarantine", show.message.id);
    let frame = Frame::new(place, caller, title, "/quarantine");
    Ok(html(StatusCode::OK, &QuarantinedPage { frame, show }))
}

struct MessageChangeRequest {
    verb: MessageVerb,
    filter: WhichMessages,
    fields: Vec<(String, String)>,
}

enum MessageVerb {
    /// Passes the messages through the current rules once more.
    Retry,
    Discard,
}

pub(super) async fn preview(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    allowed(place)?;
    let mut wish = MessageChangeRequest::read(query)?;
    let begun = until_now(&wish.filter.ids, &mut wish.filter.until);
    wish.fields.extend(begun.map(|now| ("until".to_owned(), now)));
    let result = wish.made(place, true).await?;
    let mut page = wish.page(place, caller, &result);
    if result.changed > 0 {
        page.is_final = matches!(wish.verb, MessageVerb::Discard);
        page.confirm = Some(ConfirmForm {
            path: "/quarantine/change",
            fields: vec![("query", wish.written())],
            button: format!("{} {}", wish.word(), messages(result.changed)),
        });
    }
    Ok(html(StatusCode::OK, &page))
}

pub(super) async fn done(
    place: PageContext<'_>,
    caller: &PageCaller,
    body: &[u8],
) -> Result<AdminAnswer, RequestRefusal> {
    allowed(place)?;
    let query = text::field(body, "query").ok_or_else(|| bad("the form has no query"))?;
    let wish = MessageChangeRequest::read(&query)?;
    let result = wish.made(place, false).await?;
    Ok(html(StatusCode::OK, &wish.page(place, caller, &result)))
}

impl MessageChangeRequest {
    fn read(query: &str) -> Result<Self, RequestRefusal> {
        let mut fields = fields(query)?;
        let at = fields.iter().position(|(name, _)| name == "change");
        let verb = match at.map(|at| fields.remove(at).1).as_deref() {
            Some("retry") => MessageVerb::Retry,
            Some("discard") => MessageVerb::Discard,
            Some(_) | None => return Err(bad("a change of messages is retry or discard")),
        };
        match request("/quarantine", &written(&fields))? {
            ControlRequest::QuarantineList { filter, .. } => Ok(Self { verb, filter, fields }),
            _ => Err(bad("this is not a search of the quarantine")),
        }
    }

    fn written(&self) -> String {
        let change = match self.verb {
            MessageVerb::Retry => "retry",
            MessageVerb::Discard => "discard",
        };
        format!("change={change}&{}", written(&self.fields))
    }

    fn word(&self) -> &'static str {
        match self.verb {
            MessageVerb::Retry => "Retry",
            MessageVerb::Discard => "Discard",
        }
    }

    async fn made(&self, place: PageContext<'_>, dry_run: bool) -> Result<QuarantineChanges, RequestRefusal> {
        let (filter, by) = (self.filter.clone(), place.by);
        match self.verb {
            MessageVerb::Retry => place.handler.retry_by_rules(&filter, dry_run, by).await,
            MessageVerb::Discard => {
                ask(place, &ControlRequest::QuarantineDiscard { filter, dry_run, by: by.to_owned() }).await
            }
        }
    }

    fn page(&self, place: PageContext<'_>, caller: &PageCaller, result: &QuarantineChanges) -> ChangePage {
        let all = messages(result.changed);
        let summary = match (&self.verb, result.dry_run) {
            (MessageVerb::Discard, true) => format!("{all} would be discarded, and gone for good."),
            (MessageVerb::Discard, false) => format!("{all} discarded."),
            (MessageVerb::Retry, true) => format!("{all} would go through the rules again."),
            (MessageVerb::Retry, false) => {
                format!("{all} left the quarantine; the deliveries are in the journal.")
            }
        };
        let title = format!("{} messages in quarantine", self.word());
        let back = written(&without(&self.fields, &["until"]));
        let frame = Frame::new(place, caller, title, "/quarantine");
        let mut page = ChangePage::new(frame, result.dry_run, &summary, format!("/quarantine?{back}"));
        page.refused(result.refusals.iter().map(|refusal| (refusal.id, &refusal.why)));
        page.ids = result.ids.iter().take(NAMED).map(ToString::to_string).collect();
        page.more = and_more(result.changed.saturating_sub(page.ids.len() as u64));
        page
    }
}

fn messages(count: u64) -> String {
    counted(count, "message", "messages")
}
