//! Changes on the page: a form shows the effect first, then makes the change.

use askama::Template;
use hyper::StatusCode;
use osnl::control::{ChangeResult, ControlRequest, Delivery, DeliveryGroup, RequestRefusal, Which, grouped};

use super::deliveries::{fields, request, takes, tone, without, written};
use super::text::counted;
use super::{Frame, PageCaller, PageContext, ask, bad, html, text};
use crate::access::Denial;
use crate::answer::{self, AdminAnswer};

pub(super) const NAMED: usize = 100;
const COUNTED: u64 = 10_000;
const RESOURCES: usize = 3;

/// A change: before it is confirmed what it will do, afterwards its result.
#[derive(Template)]
#[template(path = "change.html")]
pub(super) struct ChangePage {
    pub(super) frame: Frame,
    /// The result with its tone; empty before the change.
    pub(super) result: (&'static str, String),
    pub(super) says: Vec<String>,
    pub(super) is_final: bool,
    /// The deliveries that it takes.
    pub(super) groups: Vec<DeliveryGroup>,
    pub(super) lists: Vec<(&'static str, Vec<String>)>,
    pub(super) ids: Vec<String>,
    pub(super) more: String,
    pub(super) confirm: Option<ConfirmForm>,
    pub(super) back: String,
}

pub(super) struct ConfirmForm {
    pub(super) path: &'static str,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) button: String,
}

struct DeliveryChangeRequest {
    change: DeliveryVerb,
    filter: Which,
    fields: Vec<(String, String)>,
    back: String,
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
    wish.fields.extend(begun.map(|now| ("until".to_owned(), now)));
    let result: ChangeResult = ask(place, &wish.request(true, place.by)).await?;
    let mut page = wish.page(place, caller, &result);
    let count = result.changed + result.under_way;
    if count > 0 {
        let (word, takes) = (wish.word(), takes(wish.word()));
        let groups = place.handler.groups(&wish.filter, Some(COUNTED)).await?.groups;
        let taken = groups.into_iter().filter(|group| takes.contains(&&*group.newest.state));
        page.groups = taken.collect();
        page.says.push(wish.effect().to_owned());
        page.is_final = word == "discard";
        page.confirm = Some(ConfirmForm {
            path: "/deliveries/change",
            fields: vec![("query", wish.written())],
            button: format!("{} {}{}", capital(word), deliveries(count), wish.goal()),
        });
    }
    Ok(html(StatusCode::OK, &page))
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
    Ok(html(StatusCode::OK, &wish.page(place, caller, &result)))
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

/// Reads a change of all results (`all`), of the selected ones (`change` with `selected`), or of a search (`change`).
fn wish(query: &str) -> Result<DeliveryChangeRequest, RequestRefusal> {
    let mut fields = fields(query)?;
    let mut take = |name: &str| {
        let at = fields.iter().position(|(known, _)| known == name);
        at.map(|at| fields.remove(at).1)
    };
    let (all, change, to, selected) = (take("all"), take("change"), take("to"), take("selected"));
    let change = match (all.as_deref().or(change.as_deref()), to) {
        (Some("retry"), _) => DeliveryVerb::Retry,
        (Some("release"), _) => DeliveryVerb::Release,
        (Some("discard"), _) => DeliveryVerb::Discard,
        (Some("move"), Some(to)) => DeliveryVerb::Move(to),
        (Some("move"), None) => return Err(bad("choose the action to move to")),
        (Some(_) | None, _) => {
            return Err(bad("a change of deliveries is retry, release, discard, or move to an action"));
        }
    };
    let back = written(&without(&fields, &["id", "until"]));
    if all.is_some() {
        fields.retain(|(name, _)| name != "id");
    } else if selected.is_some() {
        fields.retain(|(name, _)| name == "id");
        if fields.is_empty() {
            return Err(bad("no delivery is selected: select some in the table"));
        }
    }
    let back = match &fields[..] {
        [(name, id)] if name == "id" && back.is_empty() => format!("/deliveries/{}", text::query(id)),
        _ => format!("/deliveries?{back}"),
    };
    match request("/deliveries", &written(&fields))? {
        ControlRequest::List { filter, .. } => Ok(DeliveryChangeRequest { change, filter, fields, back }),
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

    fn effect(&self) -> &'static str {
        match self.change {
            DeliveryVerb::Retry => "Each is attempted again, in the order of its resource.",
            DeliveryVerb::Release => "Each is attempted as soon as its turn comes.",
            DeliveryVerb::Discard => "Nothing is called for them any more.",
            DeliveryVerb::Move(_) => "The other action attempts them; the attempts so far stay.",
        }
    }

    fn goal(&self) -> String {
        match &self.change {
            DeliveryVerb::Retry | DeliveryVerb::Release | DeliveryVerb::Discard => String::new(),
            DeliveryVerb::Move(to) => format!(" to {}", text::line(to)),
        }
    }

    fn written(&self) -> String {
        let mut fields = vec![("change".to_owned(), self.word().to_owned())];
        if let DeliveryVerb::Move(to) = &self.change {
            fields.push(("to".to_owned(), to.clone()));
        }
        written(&[fields, self.fields.clone()].concat())
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

    fn page(&self, place: PageContext<'_>, caller: &PageCaller, result: &ChangeResult) -> ChangePage {
        let (changed, goal) = (self.request(true, "").changed_word(), self.goal());
        let would = if result.dry_run { "would be " } else { "" };
        let mut summary = format!("{} {would}{changed}{goal}.", deliveries(result.changed));
        if result.under_way > 0 {
            summary.push_str(&format!(
                " {} running: changed when the attempt ends, unless it succeeds.",
                result.under_way
            ));
        }
        if result.refused > 0 {
            summary.push_str(&format!(" {} cannot be {changed}.", result.refused));
        }
        let refusals = result.refusals.iter().map(|refusal| (&refusal.id, &refusal.why));
        let title = capital(self.word());
        let frame = Frame::new(place, caller, format!("{title} deliveries"), "/deliveries");
        let mut page = ChangePage::new(frame, result.dry_run, &summary, self.back.clone());
        page.refused(refusals);
        page.ids = result.ids.iter().take(NAMED).cloned().collect();
        page.more = and_more(result.changed.saturating_sub(page.ids.len() as u64));
        page
    }
}

impl ChangePage {
    pub(super) fn new(frame: Frame, is_preview: bool, summary: &str, back: String) -> Self {
        let (result, says) = match is_preview {
            true => (("", String::new()), vec![summary.to_owned()]),
            false => (("good", summary.to_owned()), Vec::new()),
        };
        Self {
            frame,
            result,
            says,
            is_final: false,
            groups: Vec::new(),
            lists: Vec::new(),
            ids: Vec::new(),
            more: String::new(),
            confirm: None,
            back,
        }
    }

    pub(super) fn refused<'a>(&mut self, refusals: impl Iterator<Item = (impl ToString, &'a String)>) {
        let line = |(id, why): (_, &String)| format!("{}: {}", ToString::to_string(&id), text::line(why));
        let lines: Vec<String> = refusals.take(NAMED).map(line).collect();
        if !lines.is_empty() {
            self.lists.push(("Not changed", lines));
        }
    }
}

/// Returns some resources of a group by name, and the number of the others.
fn resources(group: &DeliveryGroup) -> String {
    let names = group.some.iter().filter_map(Delivery::short_resource);
    let mut names: Vec<String> = names.map(|name| text::cell(&name)).collect();
    names.dedup();
    names.truncate(RESOURCES);
    let others = group.count.saturating_sub(names.len() as u64);
    if !names.is_empty() && others > 0 {
        names.push(and_more(others));
    }
    names.join(", ")
}

pub(super) fn and_more(count: u64) -> String {
    if count == 0 { String::new() } else { format!("and {} more", grouped(count)) }
}

fn deliveries(count: u64) -> String {
    counted(count, "delivery", "deliveries")
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}
