//! Changes on the page: a form shows the effect first, then makes the change.

use askama::Template;
use hyper::StatusCode;
use osnl::control::{ChangeResult, ControlRequest, PauseResult, ProbeResult, RequestRefusal, Which};

use super::deliveries::{fields, request, written};
use super::{Frame, PageCaller, PageContext, ask, bad, html, text, to};
use crate::access::Denial;
use crate::answer::{self, AdminAnswer};

pub(super) const NAMED: usize = 100;

#[derive(Template)]
#[template(path = "change.html")]
pub(super) struct ChangePage {
    pub(super) frame: Frame,
    pub(super) summary: String,
    pub(super) refusals: Vec<String>,
    pub(super) ids: Vec<String>,
    pub(super) more: String,
    pub(super) confirm: Option<ConfirmForm>,
    pub(super) back: String,
}

pub(super) struct ConfirmForm {
    pub(super) query: String,
    pub(super) button: String,
}

struct DeliveryChangeRequest {
    change: DeliveryVerb,
    filter: Which,
    fields: Vec<(String, String)>,
}

enum DeliveryVerb {
    Retry,
    Release,
    Discard,
    Move(String),
}

pub(super) async fn preview(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let mut wish = wish(query)?;
    allowed(place)?;
    let begun = until_now(&wish.filter.ids, &mut wish.filter.until);
    let begun = begun.map(|now| format!("&until={}", text::query(&now))).unwrap_or_default();
    let result: ChangeResult = ask(place, &wish.request(true, place.by)).await?;
    let confirm = (result.changed + result.under_way > 0).then(|| ConfirmForm {
        query: [query, &begun].concat(),
        button: format!(
            "{} {}{}",
            capital(wish.word()),
            deliveries(result.changed + result.under_way),
            wish.goal()
        ),
    });
    Ok(wish.page(place, caller, result, confirm))
}

pub(super) async fn done(
    place: PageContext<'_>,
    caller: &PageCaller,
    body: &[u8],
) -> Result<AdminAnswer, RequestRefusal> {
    let query = text::field(body, "query").ok_or_else(|| bad("the form has no query"))?;
    let wish = wish(&query)?;
    allowed(place)?;
    let result: ChangeResult = ask(place, &wish.request(false, place.by)).await?;
    Ok(wish.page(place, caller, result, None))
}

pub(super) async fn action(place: PageContext<'_>, body: &[u8]) -> Result<AdminAnswer, RequestRefusal> {
    allowed(place)?;
    let (Some(action), Some(change)) = (text::field(body, "action"), text::field(body, "change")) else {
        return Err(bad("the form has no action or no change"));
    };
    let by = place.by.to_owned();
    match &*change {
        "pause" => ask::<PauseResult>(place, &ControlRequest::Pause { action, by }).await.map(drop)?,
        "resume" => ask::<PauseResult>(place, &ControlRequest::Resume { action, by }).await.map(drop)?,
        "probe" => ask::<ProbeResult>(place, &ControlRequest::Probe { action, by }).await.map(drop)?,
        _ => return Err(bad("a change of an action is pause, resume, or probe")),
    }
    Ok(to("/"))
}

pub(super) fn allowed(place: PageContext<'_>) -> Result<(), RequestRefusal> {
    let denied = |denial: Denial| RequestRefusal {
        code: osnl::control::Code::Forbidden,
        message: answer::reason(denial).to_owned(),
    };
    place.access.api(true).map_err(denied)
}

/// Excludes deliveries that arrive between preview and change, if a search has neither ids nor an end.
/// Returns the new end.
pub(super) fn until_now(ids: &[impl Sized], until: &mut Option<String>) -> Option<String> {
    if !ids.is_empty() || until.is_some() {
        return None;
    }
    *until = Some(text::now());
    until.clone()
}

fn wish(query: &str) -> Result<DeliveryChangeRequest, RequestRefusal> {
    let mut fields = fields(query)?;
    let mut take = |name: &str| {
        let at = fields.iter().position(|(known, _)| known == name);
        at.map(|at| fields.remove(at).1)
    };
    let change = match (take("change").as_deref(), take("to")) {
        (Some("retry"), None) => DeliveryVerb::Retry,
        (Some("release"), None) => DeliveryVerb::Release,
        (Some("discard"), None) => DeliveryVerb::Discard,
        (Some("move"), Some(to)) => DeliveryVerb::Move(to),
        (Some("move"), None) => return Err(bad("choose the action to move to")),
        (Some(_) | None, _) => {
            return Err(bad("a change of deliveries is retry, release, discard, or move to an action"));
        }
    };
    match request("/deliveries", &written(&fields))? {
        ControlRequest::List { filter, .. } => Ok(DeliveryChangeRequest { change, filter, fields }),
        _ => Err(bad("this is not a search of deliveries")),
    }
}

impl DeliveryChangeRequest {
    fn word(&self) -> &'static str {
        match self.change {
            DeliveryVerb::Retry => "retry",
            DeliveryVerb::Release => "release",
            DeliveryVerb::Discard => "discard",
            DeliveryVerb::Move(_) => "move",
        }
    }

    fn goal(&self) -> String {
        match &self.change {
            DeliveryVerb::Retry | DeliveryVerb::Release | DeliveryVerb::Discard => String::new(),
            DeliveryVerb::Move(to) => format!(" to {}", text::line(to)),
        }
    }

    fn request(&self, dry_run: bool, by: &str) -> ControlRequest {
        let (filter, by) = (self.filter.clone(), by.to_owned());
        match &self.change {
            DeliveryVerb::Retry => ControlRequest::Retry { filter, out_of_order: false, dry_run, by },
            DeliveryVerb::Release => ControlRequest::Release { filter, dry_run, by },
            DeliveryVerb::Discard => ControlRequest::Discard { filter, dry_run, by },
            DeliveryVerb::Move(to) => ControlRequest::Move { filter, to: to.clone(), dry_run, by },
        }
    }

    fn page(
        &self,
        place: PageContext<'_>,
        caller: &PageCaller,
        result: ChangeResult,
        confirm: Option<ConfirmForm>,
    ) -> AdminAnswer {
        let (changed, goal) = (self.request(true, "").changed_word(), self.goal());
        let all = deliveries(result.changed);
        let mut summary = match result.dry_run {
            true => format!("{all} would be {changed}{goal}."),
            false => format!("{all} {changed}{goal}."),
        };
        if result.under_way > 0 {
            summary.push_str(&format!(
                " {} running: changed when the attempt ends, unless it succeeds.",
                result.under_way
            ));
        }
        if result.refused > 0 {
            summary.push_str(&format!(" {} cannot be {changed}.", result.refused));
        }
        let title = if result.dry_run {
            format!("{}: what would happen", capital(self.word()))
        } else {
            format!("{}: done", capital(self.word()))
        };
        let refusals = result.refusals.iter().take(NAMED);
        let named = result.ids.len().min(NAMED) as u64;
        let page = ChangePage {
            frame: Frame::new(place, caller, title, "/deliveries"),
            summary,
            refusals: refusals
                .map(|refusal| format!("{}: {}", refusal.id, text::line(&refusal.why)))
                .collect(),
            ids: result.ids.into_iter().take(NAMED).collect(),
            more: and_more(result.changed.saturating_sub(named)),
            confirm,
            back: format!("/deliveries?{}", written(&without_until(&self.fields))),
        };
        html(StatusCode::OK, &page)
    }
}

/// Returns the fields of a search without the end that a preview has set.
pub(super) fn without_until(fields: &[(String, String)]) -> Vec<(String, String)> {
    fields.iter().filter(|(name, _)| name != "until").cloned().collect()
}

pub(super) fn and_more(count: u64) -> String {
    if count == 0 { String::new() } else { format!("and {count} more") }
}

fn deliveries(count: u64) -> String {
    if count == 1 { "1 delivery".to_owned() } else { format!("{count} deliveries") }
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}
