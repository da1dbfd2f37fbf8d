//! Messages in quarantine.

use askama::Template;
use hyper::StatusCode;
use osnl::control::{
    QuarantineChanges, QuarantineList, QuarantineShow, QuarantinedMessage, Refusal, Request, WhichMessages,
};

use super::change::{ChangePage, Confirm, NAMED, allowed, and_more};
use super::deliveries::{fields, request, written};
use super::{Caller, Frame, Place, ask, bad, html, text};
use crate::answer::Answer;

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    frame: Frame,
    totals: String,
    queue: String,
    reason: String,
    rows: Vec<MessageRow>,
    /// The query of the next page.
    next: Option<String>,
    /// The query of a change of all that match.
    filter: String,
}

struct MessageRow {
    id: i64,
    age: String,
    queue: String,
    event_type: String,
    publisher: String,
    size: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "quarantined.html")]
struct QuarantinedPage {
    frame: Frame,
    id: i64,
    facts: Vec<(&'static str, String)>,
    text: String,
}

pub(super) async fn list(place: Place<'_>, caller: &Caller, query: &str) -> Result<Answer, Refusal> {
    let given = fields(query)?;
    let list: QuarantineList = ask(place, &request("/quarantine", &written(&given))?).await?;
    let filter: Vec<_> = given.into_iter().filter(|(name, _)| name != "after").collect();
    let value = |name: &str| {
        filter.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let next = list.next.map(|next| {
        let after = ("after".to_owned(), next.to_string());
        written(&filter.iter().cloned().chain([after]).collect::<Vec<_>>())
    });
    let page = QuarantinePage {
        frame: Frame::new(place, caller, "Quarantine", "/quarantine"),
        totals: match list.total {
            0 => "No message is in quarantine.".to_owned(),
            1 => "1 message could not be read.".to_owned(),
            total => format!("{total} messages could not be read."),
        },
        queue: value("queue"),
        reason: value("reason"),
        rows: list.messages.iter().map(MessageRow::new).collect(),
        next,
        filter: written(&filter),
    };
    Ok(html(StatusCode::OK, &page))
}

pub(super) async fn one(place: Place<'_>, caller: &Caller, id: &str) -> Result<Answer, Refusal> {
    let show: QuarantineShow = ask(place, &request(&format!("/quarantine/{id}"), "")?).await?;
    let message = &show.message;
    let again = if message.redelivered { ", redelivered" } else { "" };
    let whole = if message.is_whole { "" } else { ", of which the beginning was kept" };
    let facts = [
        ("Reason", text::line(&message.reason)),
        (
            "Received",
            format!("{}, {} ago{again}", text::line(&message.received), text::age(Some(message.age_seconds))),
        ),
        ("Listener", text::line(&message.listener)),
        ("Queue", text::line(&message.queue)),
        ("Exchange", text::line(&message.exchange)),
        ("Routing key", text::line(&message.routing_key)),
        ("Publisher", text::or_empty(message.publisher_id.as_deref())),
        ("Message id", text::or_empty(message.message_id.as_deref())),
        ("Event type", text::or_empty(message.event_type.as_deref())),
        ("Content type", text::or_empty(show.content_type.as_deref())),
        ("Content encoding", text::or_empty(show.content_encoding.as_deref())),
        ("Compression", text::or_empty(show.compression.as_deref())),
        ("Size", format!("{}{whole}", text::size(message.bytes))),
        ("Digest", text::line(&message.digest)),
    ];
    let page = QuarantinedPage {
        frame: Frame::new(place, caller, format!("Message {} in quarantine", message.id), "/quarantine"),
        id: message.id,
        facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        text: text::lines(&show.preview),
    };
    Ok(html(StatusCode::OK, &page))
}

/// Shows which messages would be discarded.
pub(super) async fn preview(place: Place<'_>, caller: &Caller, query: &str) -> Result<Answer, Refusal> {
    allowed(place)?;
    let mut given = fields(query)?;
    // What arrives between preview and change is not discarded.
    if !given.iter().any(|(name, _)| matches!(&**name, "id" | "until")) {
        given.push(("until".to_owned(), text::now()));
    }
    let query = written(&given);
    let result = discard(place, &query, true).await?;
    let confirm = (result.changed > 0)
        .then(|| Confirm { query: query.clone(), button: format!("Discard {}", messages(result.changed)) });
    Ok(change_page(place, caller, &query, result, confirm))
}

/// Discards the messages.
pub(super) async fn discarded(place: Place<'_>, caller: &Caller, body: &[u8]) -> Result<Answer, Refusal> {
    allowed(place)?;
    let query = text::field(body, "query").ok_or_else(|| bad("the form has no query"))?;
    let result = discard(place, &query, false).await?;
    Ok(change_page(place, caller, &query, result, None))
}

async fn discard(place: Place<'_>, query: &str, dry_run: bool) -> Result<QuarantineChanges, Refusal> {
    let filter: WhichMessages = match request("/quarantine", query)? {
        Request::QuarantineList { filter, .. } => filter,
        _ => return Err(bad("this is not a search of the quarantine")),
    };
    ask(place, &Request::QuarantineDiscard { filter, dry_run, by: place.by.to_owned() }).await
}

fn change_page(
    place: Place<'_>,
    caller: &Caller,
    query: &str,
    result: QuarantineChanges,
    confirm: Option<Confirm>,
) -> Answer {
    let (all, title) = (messages(result.changed), if result.dry_run { "what would happen" } else { "done" });
    let named = result.ids.len().min(NAMED);
    let page = ChangePage {
        frame: Frame::new(place, caller, format!("Discard: {title}"), "/quarantine"),
        summary: match result.dry_run {
            true => format!("{all} would be discarded, and gone for good."),
            false => format!("{all} discarded."),
        },
        refusals: result
            .refusals
            .iter()
            .take(NAMED)
            .map(|refusal| format!("{}: {}", refusal.id, text::line(&refusal.why)))
            .collect(),
        ids: result.ids.iter().take(named).map(ToString::to_string).collect(),
        more: and_more(result.changed.saturating_sub(named as u64)),
        confirm,
        back: format!("/quarantine?{query}"),
    };
    html(StatusCode::OK, &page)
}

fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

impl MessageRow {
    fn new(message: &QuarantinedMessage) -> Self {
        Self {
            id: message.id,
            age: text::age(Some(message.age_seconds)),
            queue: text::cell(&message.queue),
            event_type: message.event_type.as_deref().map(text::cell).unwrap_or_default(),
            publisher: message.publisher_id.as_deref().map(text::cell).unwrap_or_default(),
            size: text::size(message.bytes),
            reason: text::cell(&message.reason),
        }
    }
}
