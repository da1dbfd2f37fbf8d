//! The pages of messages in quarantine: a search, one message, changes.

use askama::Template;
use osnl::control::{
    ControlRequest, QuarantineChanges, QuarantineList, QuarantineShow, QuarantinedMessage, RequestRefusal,
    WhichMessages, counted,
};

use super::change::{COUNTED_LETTERS, ChangePage, ConfirmForm, allowed, given, until_now};
use super::deliveries::{fields, request, value_of, with, without, written};
use super::{Frame, PageAnswer, PageVisit, ask, bad, shown, text};

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

pub(super) async fn list(visit: PageVisit<'_>) -> PageAnswer {
    let given = fields(visit.query)?;
    let list: QuarantineList = ask(visit, &request("/quarantine", &written(&given))?).await?;
    let filter = without(&given, &["after", "limit"]);
    let value = |name: &str| value_of(&filter, name).unwrap_or_default().to_owned();
    let next = list.next.map(|next| with(&given, &[("after", &next.to_string())]));
    let page = QuarantinePage {
        frame: Frame::new(visit, "Quarantine", "/quarantine"),
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
    shown(&page)
}

pub(super) async fn one(visit: PageVisit<'_>, id: &str) -> PageAnswer {
    let show: QuarantineShow = ask(visit, &request(&format!("/quarantine/{id}"), "")?).await?;
    let title = format!("Message {} in quarantine", show.message.id);
    let frame = Frame::new(visit, title, "/quarantine");
    shown(&QuarantinedPage { frame, show })
}

struct MessageChangeRequest {
    /// Whether the messages are discarded; else they pass through the current rules once more.
    discards: bool,
    filter: WhichMessages,
    fields: Vec<(String, String)>,
}

pub(super) async fn change(visit: PageVisit<'_>) -> PageAnswer {
    allowed(visit)?;
    let mut change = MessageChangeRequest::read(&given(visit)?)?;
    if visit.form.is_none() {
        until_now(&change.filter.ids, &mut change.filter.until, &mut change.fields);
    }
    let result = change.made(visit, visit.form.is_none()).await?;
    let mut page = change.page(visit, &result);
    page.says.extend(result.is_at_least.then(|| COUNTED_LETTERS.to_owned()));
    if visit.form.is_none() && result.changed > 0 {
        page.is_final = change.discards;
        page.confirm = Some(ConfirmForm {
            has_reason: false,
            path: "/quarantine/change",
            fields: vec![(
                "query",
                format!("change={}&{}", change.word().to_lowercase(), written(&change.fields)),
            )],
            button: format!("{} {}", change.word(), messages(result.changed)),
            is_danger: change.discards,
        });
    }
    shown(&page)
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

    async fn made(&self, visit: PageVisit<'_>, dry_run: bool) -> Result<QuarantineChanges, RequestRefusal> {
        let (filter, by) = (self.filter.clone(), visit.by.to_owned());
        match self.discards {
            false => visit.handler.retry_by_rules(&filter, dry_run, &by).await,
            true => ask(visit, &ControlRequest::QuarantineDiscard { filter, dry_run, by }).await,
        }
    }

    fn page(&self, visit: PageVisit<'_>, result: &QuarantineChanges) -> ChangePage {
        let all = messages(result.changed);
        let summary = match (self.discards, result.dry_run) {
            (true, true) => format!("{all} would be discarded."),
            (true, false) => format!("{all} discarded."),
            (false, true) => format!("{all} would go through the rules again."),
            (false, false) => format!("{all} left the quarantine; the deliveries are in the journal."),
        };
        let title = format!("{} messages in quarantine", self.word());
        let back = written(&without(&self.fields, &["until"]));
        let frame = Frame::new(visit, title, "/quarantine");
        let mut page = ChangePage::new(frame, result.dry_run, &summary, format!("/quarantine?{back}"));
        let refusals = result.refusals.iter().map(|refusal| (refusal.id, refusal.why.as_str()));
        page.names(&result.ids, result.changed, refusals);
        page
    }
}

fn messages(count: u64) -> String {
    counted(count, "message", "messages")
}
