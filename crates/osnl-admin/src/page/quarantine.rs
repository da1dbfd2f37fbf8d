//! The pages of messages in quarantine: a search, one message, changes.

use askama::Template;
use hyper::StatusCode;
use osnl::control::{
    ControlRequest, QuarantineChanges, QuarantineList, QuarantineShow, QuarantinedMessage, RequestRefusal,
    WhichMessages,
};

use super::change::{ChangePage, ConfirmForm, NAMED, allowed, and_more, given, until_now};
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
    /// Whether the messages are discarded; else they pass through the current rules once more.
    discards: bool,
    filter: WhichMessages,
    fields: Vec<(String, String)>,
}

/// Shows the effect of a change; with a form, makes the change.
pub(super) async fn change(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
    form: Option<&[u8]>,
) -> Result<AdminAnswer, RequestRefusal> {
    allowed(place)?;
    let mut wish = MessageChangeRequest::read(&given(query, form)?)?;
    let begun = until_now(&wish.filter.ids, &mut wish.filter.until).filter(|_| form.is_none());
    wish.fields.extend(begun.map(|now| ("until".to_owned(), now)));
    let result = wish.made(place, form.is_none()).await?;
    let mut page = wish.page(place, caller, &result);
    if form.is_none() && result.changed > 0 {
        page.is_final = wish.discards;
        page.confirm = Some(ConfirmForm {
            path: "/quarantine/change",
            fields: vec![(
                "query",
                format!("change={}&{}", wish.word().to_lowercase(), written(&wish.fields)),
            )],
            button: format!("{} {}", wish.word(), messages(result.changed)),
        });
    }
    Ok(html(StatusCode::OK, &page))
}

impl MessageChangeRequest {
    fn read(query: &str) -> Result<Self, RequestRefusal> {
        let mut fields = fields(query)?;
        let at = fields.iter().position(|(name, _)| name == "change");
        let discards = match at.map(|at| fields.remove(at).1).as_deref() {
            Some("retry") => false,
            Some("discard") => true,
            Some(_) | None => return Err(bad("a change of messages is retry or discard")),
        };
        match request("/quarantine", &written(&fields))? {
            ControlRequest::QuarantineList { filter, .. } => Ok(Self { discards, filter, fields }),
            _ => Err(bad("this is not a search of the quarantine")),
        }
    }

    fn word(&self) -> &'static str {
        if self.discards { "Discard" } else { "Retry" }
    }

    async fn made(&self, place: PageContext<'_>, dry_run: bool) -> Result<QuarantineChanges, RequestRefusal> {
        let (filter, by) = (self.filter.clone(), place.by.to_owned());
        match self.discards {
            false => place.handler.retry_by_rules(&filter, dry_run, &by).await,
            true => ask(place, &ControlRequest::QuarantineDiscard { filter, dry_run, by }).await,
        }
    }

    fn page(&self, place: PageContext<'_>, caller: &PageCaller, result: &QuarantineChanges) -> ChangePage {
        let all = messages(result.changed);
        let summary = match (self.discards, result.dry_run) {
            (true, true) => format!("{all} would be discarded."),
            (true, false) => format!("{all} discarded."),
            (false, true) => format!("{all} would go through the rules again."),
            (false, false) => format!("{all} left the quarantine; the deliveries are in the journal."),
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
