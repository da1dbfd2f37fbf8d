//! Changes on the page: a form shows the effect first, then makes the change.

use askama::Template;
use osnl::control::{
    ChangeResult, ControlRequest, Delivery, DeliveryGroup, RequestRefusal, StartedCalls, Which, counted,
    grouped,
};

use super::deliveries::{CHANGES, fields, number, request, takes, without, written};
use super::incident::OUT_OF_ORDER;
use super::{Frame, PageAnswer, PageVisit, ask, bad, shown, text};
use crate::access::Denial;
use crate::answer;

const NAMED: usize = 100;
const COUNTED: u64 = 10_000;
pub(super) const COUNTED_LETTERS: &str =
    "osnl counted the first 10,000 letters of each queue, and more wait.";
const RESOURCES: usize = 3;

#[derive(Template)]
#[template(path = "change.html")]
pub(super) struct ChangePage {
    pub(super) frame: Frame,
    pub(super) result: (&'static str, String),
    pub(super) says: Vec<String>,
    pub(super) is_final: bool,
    pub(super) groups: Vec<DeliveryGroup>,
    pub(super) lists: ChangeLists,
    pub(super) ids: Vec<String>,
    pub(super) more: String,
    pub(super) confirm: Option<ConfirmForm>,
    /// The same retry out of order, if some of it is refused for the order alone.
    pub(super) out_of_order: Option<String>,
    pub(super) back: String,
}

pub(super) type ChangeLists = Vec<(&'static str, Vec<String>)>;

pub(super) struct ConfirmForm {
    pub(super) path: &'static str,
    /// Whether the form asks for the operator's reason.
    pub(super) has_reason: bool,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) button: String,
    /// Whether the change cannot be undone, or may call a deletion.
    pub(super) is_danger: bool,
}

struct DeliveryChangeRequest {
    verb: &'static str,
    to: Option<String>,
    out_of_order: bool,
    filter: Which,
    fields: Vec<(String, String)>,
    back: String,
}

pub(super) async fn page(visit: PageVisit<'_>) -> PageAnswer {
    let mut change = read_change(&given(visit)?)?;
    allowed(visit)?;
    // A delivery that became dead after the preview would be changed unseen.
    let form = match visit.form {
        Some(given) => {
            let now: ChangeResult = ask(visit, &change.request(true, visit.by)).await?;
            let shown = text::field(given, "count").and_then(|count| count.parse::<u64>().ok());
            shown.is_some_and(|shown| now.changed + now.under_way <= shown).then_some(given)
        }
        None => None,
    };
    if form.is_none() {
        until_now(&change.filter.ids, &mut change.filter.until, &mut change.fields);
    }
    let result: ChangeResult = ask(visit, &change.request(form.is_none(), visit.by)).await?;
    let mut page = change.page(visit, &result);
    let (count, takes) = (result.changed + result.under_way, takes(change.verb));
    if form.is_none() && change.verb == "retry" && result.refusals.iter().any(|refused| refused.is_for_order)
    {
        page.out_of_order = Some(format!("/deliveries/change?{}&{OUT_OF_ORDER}=yes", change.written()));
    }
    if form.is_none() && count > 0 {
        let groups = visit.handler.groups(&change.filter, Some(COUNTED)).await?.groups;
        page.groups = groups
            .into_iter()
            .filter(|group| group.states.iter().any(|state| takes.contains(state)))
            .collect();
        page.says.push(change.effect().to_owned());
        page.says.extend(result.calls.iter().map(|of| text::line(&format!("It calls {of}."))));
        if result.is_at_least {
            page.says.push(COUNTED_LETTERS.to_owned());
        }
        page.is_final = change.verb == "discard";
        page.confirm = Some(ConfirmForm {
            path: "/deliveries/change",
            has_reason: false,
            fields: vec![("query", change.written()), ("count", count.to_string())],
            button: format!("{} {}{}", capital(change.verb), deliveries(count), change.goal()),
            is_danger: page.is_final
                || change.out_of_order
                || result.calls.iter().any(StartedCalls::is_deletion)
                || change.to.as_deref().is_some_and(|to| visit.handler.deletes(to)),
        });
    }
    shown(&page)
}

pub(super) fn given(visit: PageVisit<'_>) -> Result<String, RequestRefusal> {
    match visit.form {
        Some(form) => text::field(form, "query").ok_or_else(|| bad("the form has no query")),
        None => Ok(visit.query.to_owned()),
    }
}

pub(super) fn allowed(visit: PageVisit<'_>) -> Result<(), RequestRefusal> {
    let denied = |denial: Denial| RequestRefusal {
        code: osnl::control::Code::Forbidden,
        message: answer::reason(denial).to_owned(),
    };
    visit.access.api(true).map_err(denied)
}

/// Excludes deliveries that arrive between preview and change, if a search has neither ids nor an end.
pub(super) fn until_now(ids: &[impl Sized], until: &mut Option<String>, fields: &mut Vec<(String, String)>) {
    if ids.is_empty() && until.is_none() {
        fields.push(("until".to_owned(), until.insert(text::now()).clone()));
    }
}

/// Reads a change of all results (`all`), of the selected ones (`change` with `selected`), or of a search (`change`).
fn read_change(query: &str) -> Result<DeliveryChangeRequest, RequestRefusal> {
    let mut fields = fields(query)?;
    let mut take = |name: &str| {
        let at = fields.iter().position(|(known, _)| known == name);
        at.map(|at| fields.remove(at).1)
    };
    let (all, change, to, selected) = (take("all"), take("change"), take("to"), take("selected"));
    let is_out_of_order = take(OUT_OF_ORDER).is_some();
    let is_pick = |(name, _): &(String, String)| name == "pick";
    let picks: Vec<_> =
        fields.extract_if(.., |field| is_pick(field)).map(|(_, id)| ("id".to_owned(), id)).collect();
    let known = CHANGES.iter().map(|(verb, _)| *verb);
    let verb = known.into_iter().find(|verb| all.as_deref().or(change.as_deref()) == Some(verb));
    let verb =
        verb.ok_or_else(|| bad("a change of deliveries is retry, release, discard, or move to an action"))?;
    let to = to.filter(|_| verb == "move");
    if verb == "move" && to.is_none() {
        return Err(bad("choose the action to move to"));
    }
    let back = written(&without(&fields, &["id", "until"]));
    if all.is_none() && selected.is_some() {
        fields = picks;
        if fields.is_empty() {
            return Err(bad("no delivery is selected: select some in the table"));
        }
    }
    let back = match &fields[..] {
        [(name, id)] if name == "id" && back.is_empty() => format!("/deliveries/{}", text::query(id)),
        _ => format!("/deliveries?{back}"),
    };
    match request("/deliveries", &written(&fields))? {
        ControlRequest::List { filter, .. } => {
            let out_of_order = is_out_of_order && verb == "retry";
            Ok(DeliveryChangeRequest { verb, to, out_of_order, filter, fields, back })
        }
        _ => Err(bad("this is not a search of deliveries")),
    }
}

impl DeliveryChangeRequest {
    fn effect(&self) -> &'static str {
        match self.verb {
            "retry" if self.out_of_order => {
                "Each is attempted again, also after a later delivery of its resource, whose effect that may undo."
            }
            "retry" => "Each is attempted again, in the order of its resource.",
            "release" => "Each is attempted as soon as its turn comes.",
            "discard" => "Nothing is called for them any more.",
            _ => "The other action attempts them; the attempts so far stay.",
        }
    }

    fn goal(&self) -> String {
        let order = if self.out_of_order { " out of order" } else { "" };
        self.to.as_deref().map_or(order.to_owned(), |to| format!(" to {}", text::line(to)))
    }

    fn written(&self) -> String {
        let change = ("change".to_owned(), self.verb.to_owned());
        let to = self.to.clone().map(|to| ("to".to_owned(), to));
        let order = self.out_of_order.then(|| (OUT_OF_ORDER.to_owned(), "yes".to_owned()));
        let fields = [change].into_iter().chain(to).chain(order).chain(self.fields.iter().cloned());
        written(&fields.collect::<Vec<_>>())
    }

    fn request(&self, dry_run: bool, by: &str) -> ControlRequest {
        let (filter, by, to) = (self.filter.clone(), by.to_owned(), self.to.clone());
        let out_of_order = self.out_of_order;
        match (self.verb, to) {
            (_, Some(to)) => ControlRequest::Move { filter, to, dry_run, by },
            ("retry", None) => ControlRequest::Retry { filter, out_of_order, dry_run, by },
            ("release", None) => ControlRequest::Release { filter, dry_run, by },
            (_, None) => ControlRequest::Discard { filter, dry_run, by },
        }
    }

    fn page(&self, visit: PageVisit<'_>, result: &ChangeResult) -> ChangePage {
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
        let refusals = result.refused_for().into_iter().map(|(why, ids)| match ids[..] {
            [id] => (id.to_owned(), why),
            _ => (ids.len().to_string(), why),
        });
        let title = capital(self.verb);
        let frame = Frame::new(visit, format!("{title} deliveries"), "/deliveries");
        let mut page = ChangePage::new(frame, result.dry_run, &summary, self.back.clone());
        page.names(&result.ids, result.changed, refusals);
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
            out_of_order: None,
            back,
        }
    }

    pub(super) fn names<'a>(
        &mut self,
        ids: &[impl ToString],
        changed: u64,
        refusals: impl Iterator<Item = (impl ToString, &'a str)>,
    ) {
        self.ids = ids.iter().take(NAMED).map(ToString::to_string).collect();
        self.more = and_more(changed.saturating_sub(self.ids.len() as u64));
        let line = |(id, why): (_, &str)| format!("{}: {}", ToString::to_string(&id), text::line(why));
        let lines: Vec<String> = refusals.take(NAMED).map(line).collect();
        if !lines.is_empty() {
            self.lists.push(("Not changed", lines));
        }
    }
}

fn resources(group: &DeliveryGroup) -> String {
    let names = group.some.iter().filter_map(Delivery::short_resource);
    let mut names: Vec<String> = names.map(|name| text::cell(&name)).collect();
    names.dedup();
    names.truncate(RESOURCES);
    let others = group.count.saturating_sub(names.len() as u64);
    if !names.is_empty() && others > 0 {
        names.push(format!("and {} more", number(others, group.has_more)));
    }
    names.join(", ")
}

fn and_more(count: u64) -> String {
    if count == 0 { String::new() } else { format!("and {} more", grouped(count)) }
}

fn deliveries(count: u64) -> String {
    counted(count, "delivery", "deliveries")
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}
