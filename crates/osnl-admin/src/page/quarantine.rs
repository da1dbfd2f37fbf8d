//! The pages of messages in quarantine: a search, one message, changes.

use askama::Template;
use hyper::StatusCode;
use osnl::control::{
    ControlRequest, QuarantineChanges, QuarantineList, QuarantineShow, QuarantinedMessage, RequestRefusal,
    WhichMessages,
};

use super::change::{ChangePage, ConfirmForm, NAMED, allowed, and_more, until_now};
use super::deliveries::{fields, request, written};
use super::text::{Markup, breakable, counted, plain, time};
use super::{Frame, PageCaller, PageContext, ask, bad, html, text};
use crate::answer::AdminAnswer;

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    frame: Frame,
    totals: String,
    queue: String,
    reason: String,
    rows: Vec<QuarantineRow>,
    next: Option<String>,
    filter: String,
}

struct QuarantineRow {
    id: i64,
    age: Markup,
    queue: Markup,
    event_type: Markup,
    publisher: Markup,
    size: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "quarantined.html")]
struct QuarantinedPage {
    frame: Frame,
    id: i64,
    facts: Vec<(&'static str, Markup)>,
    text: String,
}

pub(super) async fn list(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let given = fields(query)?;
    let list: QuarantineList = ask(place, &request("/quarantine", &written(&given))?).await?;
    let asked: Vec<_> = given.into_iter().filter(|(name, _)| name != "after").collect();
    let filter: Vec<_> = asked.iter().filter(|(name, _)| name != "limit").cloned().collect();
    let value = |name: &str| {
        filter.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let next = list.next.map(|next| {
        let after = ("after".to_owned(), next.to_string());
        written(&asked.iter().cloned().chain([after]).collect::<Vec<_>>())
    });
    let page = QuarantinePage {
        frame: Frame::new(place, caller, "Quarantine", "/quarantine"),
        totals: match list.total {
            0 => String::new(),
            total => format!("{} could not be read.", messages(total)),
        },
        queue: value("queue"),
        reason: value("reason"),
        rows: list.messages.iter().map(QuarantineRow::new).collect(),
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
    let message = &show.message;
    let again = if message.redelivered { ", redelivered" } else { "" };
    let whole = if message.is_whole { "" } else { ", of which the beginning was kept" };
    let words = |text: Option<&str>| breakable(&text::or_empty(text));
    let facts = [
        ("Reason", words(Some(&message.reason))),
        ("Received", time(&message.received).and(&plain(again))),
        ("Listener", words(Some(&message.listener))),
        ("Queue", words(Some(&message.queue))),
        ("Exchange", words(Some(&message.exchange))),
        ("Routing key", words(Some(&message.routing_key))),
        ("Publisher", words(message.publisher_id.as_deref())),
        ("Message id", words(message.message_id.as_deref())),
        ("Event type", words(message.event_type.as_deref())),
        ("Content type", words(show.content_type.as_deref())),
        ("Content encoding", words(show.content_encoding.as_deref())),
        ("Compression", words(show.compression.as_deref())),
        ("Size", plain(&format!("{}{whole}", text::size(message.bytes)))),
        ("Digest", words(Some(&message.digest))),
    ];
    let page = QuarantinedPage {
        frame: Frame::new(place, caller, format!("Message {} in quarantine", message.id), "/quarantine"),
        id: message.id,
        facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        text: text::lines(&show.preview),
    };
    Ok(html(StatusCode::OK, &page))
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
        let search = |(name, _): &&(String, String)| name != "until";
        let back = written(&self.fields.iter().filter(search).cloned().collect::<Vec<_>>());
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

impl QuarantineRow {
    fn new(message: &QuarantinedMessage) -> Self {
        let name = |text: Option<&str>| breakable(&text::cell(text.unwrap_or_default()));
        Self {
            id: message.id,
            age: time(&message.received),
            queue: name(Some(&message.queue)),
            event_type: name(message.event_type.as_deref()),
            publisher: name(message.publisher_id.as_deref()),
            size: text::size(message.bytes),
            reason: text::cell(&message.reason),
        }
    }
}
