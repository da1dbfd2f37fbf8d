//! The pages of deliveries: a search, and the details of one delivery.

use std::sync::Arc;

use askama::Template;
use hyper::Method;
use osnl::control::routes::{RouteLookup, Sender, find};
use osnl::control::{
    AttemptAnswer, ControlRequest, Delivery, DeliveryGroup, DeliveryObstacle, Incident, IncidentKind, List,
    ListOrder, RequestRefusal, Show, StateTone, StateTotals, Status, Which, counted, grouped, millis, query,
    short_answer,
};
use osnl::journal::query::Phase;
use osnl_model::cut;
use serde_json::json;

use super::incident::action_path;
use super::{Frame, PageAnswer, PageVisit, ask, bad, shown, text};

const LISTED: &str = "50";
const PRIMARY: &str = " primary";
/// The most deliveries that a search counts, as a million would take seconds.
const COUNTED: u64 = 1000;
const MOST_ROWS: u32 = 100;
const LONGEST_PART: usize = 100;
pub(super) const CHANGES: &[(&str, &str)] =
    &[("retry", "Retry"), ("release", "Release"), ("move", "Move"), ("discard", "Discard")];

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    frame: Frame,
    filter: Vec<(String, String)>,
    choices: [(&'static str, &'static str, Vec<String>, String); 4],
    totals: StateTotals,
    any: StateTotals,
    groups: Vec<DeliveryGroup>,
    left_out: u64,
    next: Option<String>,
    moving: Vec<Arc<str>>,
    /// Whether a release of what is listed calls a deletion.
    releases_deletions: bool,
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    frame: Frame,
    show: Show,
    changes: Vec<(&'static str, &'static str)>,
    moving: Vec<Arc<str>>,
    /// Whether a release calls a deletion.
    releases_deletions: bool,
    /// The style of the button that calls the target now; `None` without that button.
    try_style: Option<&'static str>,
    first: u64,
    attempts: Vec<ShownAttempt>,
    payload: String,
}

struct ShownAttempt {
    attempt: AttemptAnswer,
    is_success: bool,
    times: usize,
}

pub(super) async fn list(visit: PageVisit<'_>) -> PageAnswer {
    let given = fields(visit.query)?;
    let value = |name: &str| value_of(&given, name).unwrap_or_default().to_owned();
    let (order, is_urgent) = match value("order") {
        order if order.is_empty() || order == "urgent" => ("newest".to_owned(), true),
        order => (order, false),
    };
    let filter = without(&given, &["order", "after", "limit"]);
    let mut asked = vec![("order", &*order)];
    asked.extend(value("limit").is_empty().then_some(("limit", LISTED)));
    let mut request = request("/deliveries", &with(&given, &asked))?;
    let ControlRequest::List { filter: which, after, limit, count_at_most, .. } = &mut request else {
        return Err(bad("this is not a search of deliveries"));
    };
    (*limit, *count_at_most) = ((*limit).min(MOST_ROWS), Some(COUNTED));
    let (which, names_deliveries) = (which.clone(), !which.about.is_empty() || !which.ids.is_empty());
    let mut found = None;
    if is_urgent && after.is_none() && !names_deliveries && which.event.is_none() {
        let urgent = visit.handler.groups(&which, Some(COUNTED)).await?;
        found = Some((urgent.groups, urgent.totals, None)).filter(|(groups, ..)| !groups.is_empty());
    }
    let (groups, totals, after) = match found {
        Some(found) => found,
        None => {
            let list: List = ask(visit, &request).await?;
            (list.deliveries.into_iter().map(DeliveryGroup::new).collect(), list.totals, list.next)
        }
    };
    let any = match which.states.is_empty() {
        true => totals.clone(),
        false => {
            let (filter, order) = (Which { states: Vec::new(), ..which }, ListOrder::Newest);
            let count_at_most = Some(COUNTED);
            let request = ControlRequest::List { filter, order, after: None, limit: 1, count_at_most };
            ask::<List>(visit, &request).await?.totals
        }
    };
    let next = after.map(|after| with(&given, &[("order", &order), ("after", &after)]));
    let order = if is_urgent { "urgent".to_owned() } else { order };
    let names = |names: Vec<Arc<str>>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let actions = visit.handler.actions().unwrap_or_default();
    let deletes = |group: &DeliveryGroup| {
        group.states.contains(&Phase::ForRelease) && visit.handler.deletes(&group.newest.action)
    };
    let page = DeliveriesPage {
        releases_deletions: groups.iter().any(deletes),
        frame: Frame::new(visit, "Deliveries", "/deliveries"),
        choices: [
            ("action", "Action", names(actions.clone()), value("action")),
            ("rule", "Rule", names(visit.handler.rule_names()), value("rule")),
            ("state", "State", Phase::NAMES.map(str::to_owned).to_vec(), value("state")),
            ("order", "Order", ["urgent", "newest", "oldest"].map(str::to_owned).to_vec(), order),
        ],
        totals,
        any,
        left_out: (groups.len() as u64).saturating_sub(MOST_ROWS.into()),
        groups: groups.into_iter().take(MOST_ROWS as usize).collect(),
        next,
        moving: actions,
        filter,
    };
    shown(&page)
}

pub(super) async fn one(visit: PageVisit<'_>, id: &str) -> PageAnswer {
    let show: Show = ask(visit, &request(&format!("/deliveries/{id}"), "")?).await?;
    let delivery = &show.delivery;
    let actions = visit.handler.actions().unwrap_or_default();
    let try_style = match can_try(delivery) {
        true => {
            let status = visit.handler.status().await;
            Some(status.map_or(PRIMARY, |status| try_style(&status, &delivery.action)))
        }
        false => None,
    };
    let page = DeliveryPage {
        releases_deletions: visit.handler.deletes(&delivery.action),
        try_style,
        frame: Frame::new(visit, format!("Delivery {}", delivery.id), "/deliveries"),
        changes: CHANGES.iter().copied().filter(|(verb, _)| takes(verb).contains(&delivery.state)).collect(),
        moving: actions.into_iter().filter(|action| **action != *delivery.action).collect(),
        first: u64::from(delivery.failed_attempts).saturating_sub(show.attempts.len() as u64) + 1,
        attempts: attempts(&show),
        payload: match &show.message.unreadable {
            Some(reason) => format!("cannot be read: {}", text::line(reason)),
            None => text::json(&json!({"payload": show.message.payload, "context": show.message.context})),
        },
        show,
    };
    shown(&page)
}

pub(super) fn takes(verb: &str) -> Vec<Phase> {
    let open = || Phase::named("open").unwrap_or_default();
    match verb {
        "retry" => vec![Phase::Dead],
        "release" => vec![Phase::ForRelease],
        "discard" => [open(), vec![Phase::Dead]].concat(),
        _ => open(),
    }
}

/// Returns the style of the button of a change.
fn style(verb: &str, releases_deletions: bool) -> &'static str {
    match verb {
        "discard" => " danger",
        "release" if releases_deletions => " danger",
        _ => "",
    }
}

impl DeliveriesPage {
    fn given(&self, name: &str) -> &str {
        value_of(&self.filter, name).unwrap_or_default()
    }

    fn all(&self, verb: &str, label: &str) -> Option<String> {
        let of = takes(verb);
        let is_of = |state: &str| of.iter().any(|phase| phase.word() == state);
        let counts = self.totals.by_state.iter().filter(|(state, _)| is_of(state));
        let count = counts.map(|(_, count)| count).sum();
        (count > 0).then(|| format!("{label} all {}", number(count, self.totals.more)))
    }

    fn chips(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let orphaned = self.any.by_state.get(Phase::Orphaned.word()).copied().unwrap_or_default();
        let of = move |(name, count)| (name, if name == "pending" { count + orphaned } else { count });
        self.any.named().into_iter().map(of)
    }

    fn in_state(&self, state: &str) -> String {
        with(&self.filter, &[("state", &state.replace(' ', "-"))])
    }

    /// Returns the search for a group: by action and state, and where these have several groups, by a text of
    /// the answer.
    fn all_of(&self, group: &DeliveryGroup) -> String {
        let newest = &group.newest;
        let state = group.searched_state();
        let of =
            |other: &&DeliveryGroup| other.newest.action == newest.action && other.searched_state() == state;
        let mut values = vec![("action", &*newest.action), ("order", "newest"), ("state", &state)];
        let is_one_of_many = group.obstacle.is_none() && self.groups.iter().filter(of).count() > 1;
        let has = |part: &String| {
            let answer = |one: &Delivery| one.reason.as_ref().or(one.last_answer.as_ref()).cloned();
            group.some.iter().all(|one| answer(one).is_some_and(|answer| answer.contains(part.as_str())))
        };
        // A text that some of the group lack would hide those.
        let part =
            common_part(newest).filter(|part| is_one_of_many && self.given("text").is_empty() && has(part));
        values.extend(part.as_deref().map(|part| ("text", part)));
        with(&self.filter, &values)
    }
}

pub(super) fn number(count: u64, has_more: bool) -> String {
    format!("{}{}", grouped(count), if has_more { "+" } else { "" })
}

fn common_part(delivery: &Delivery) -> Option<String> {
    let mut answer = delivery.reason.as_ref().or(delivery.last_answer.as_ref())?.clone();
    let own = [&delivery.resource_id, &delivery.resource_name, &delivery.key, &delivery.message_id];
    for own in own.into_iter().flatten().filter(|own| own.len() > 2) {
        answer = answer.replace(own.as_str(), "\0");
    }
    let longest = answer.split('\0').max_by_key(|part| part.len())?;
    Some(cut(longest, LONGEST_PART).to_owned())
}

fn can_change(delivery: &Delivery) -> bool {
    takes("discard").contains(&delivery.state)
}

/// Whether the delivery waits for its target alone, which a probe calls now.
fn can_try(delivery: &Delivery) -> bool {
    match &delivery.waits_for {
        Some(obstacle) => *obstacle == DeliveryObstacle::TargetDown,
        None => delivery.state == Phase::Retrying,
    }
}

/// A call now meets a refusal, or a limit of the target, again.
fn try_style(status: &Status, action: &str) -> &'static str {
    let keeps_back = |incident: &&Incident| {
        matches!(incident.kind, IncidentKind::TargetDown | IncidentKind::TargetRefuses)
            && incident.actions.iter().any(|name| **name == *action)
    };
    let mut found = status.incidents.iter().filter(keeps_back).peekable();
    if found.peek().is_none() || found.any(|incident| incident.is_probe_helpful) { PRIMARY } else { "" }
}

fn result(delivery: &Delivery) -> String {
    let took = delivery.took_millis.map_or(String::new(), |took| format!(", {}", millis(took)));
    delivery.short_result().map_or(String::new(), |result| result + &took)
}

pub(super) fn tone(state: &str) -> &'static str {
    StateTone::from_name(state).name()
}

pub(super) fn request(path: &str, query: &str) -> Result<ControlRequest, RequestRefusal> {
    let public = Sender { name: "", is_own: false };
    match find(&Method::GET, path) {
        RouteLookup::Route(route, values) => route.read(values, query, b"", public).map_err(bad),
        RouteLookup::OtherMethod(_) | RouteLookup::Nothing => Err(bad("there is no such page")),
    }
}

/// Returns the fields with a value, decoded; a form sends empty fields too.
pub(super) fn fields(query: &str) -> Result<Vec<(String, String)>, RequestRefusal> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let filled = pairs.filter(|(_, value)| !value.is_empty());
    filled
        .map(|(name, value)| Ok((query::plain(name).map_err(bad)?, query::plain(value).map_err(bad)?)))
        .collect()
}

pub(super) fn value_of<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
}

pub(super) fn without(fields: &[(String, String)], names: &[&str]) -> Vec<(String, String)> {
    fields.iter().filter(|(name, _)| !names.contains(&&**name)).cloned().collect()
}

pub(super) fn with(fields: &[(String, String)], values: &[(&str, &str)]) -> String {
    let mut fields = without(fields, &values.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    fields.extend(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    written(&fields)
}

pub(super) fn written(fields: &[(String, String)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", text::query(name), text::query(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn attempts(show: &Show) -> Vec<ShownAttempt> {
    let mut shown = folded(&show.attempts);
    let Delivery { ended, state, reason, took_millis, .. } = &show.delivery;
    if let Some(at) = ended.clone().filter(|_| StateTone::from_phase(*state) == StateTone::Good) {
        let answer = reason.clone().unwrap_or_else(|| state.word().to_owned());
        let attempt = AttemptAnswer { at, answer, request: None, took_millis: *took_millis };
        shown.push(ShownAttempt { attempt, is_success: true, times: 1 });
    }
    shown
}

fn folded(attempts: &[AttemptAnswer]) -> Vec<ShownAttempt> {
    let mut shown: Vec<ShownAttempt> = Vec::new();
    for attempt in attempts.iter().cloned() {
        let same = |before: &&mut ShownAttempt| {
            attempt.request.is_some() && before.attempt.request == attempt.request
        };
        let times = shown.last_mut().filter(same).map_or(1, |before| {
            before.attempt.request = None;
            before.times + 1
        });
        shown.push(ShownAttempt { attempt, is_success: false, times });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_repeated_is_shown_once() {
        let attempt = |request: &str| AttemptAnswer {
            at: String::new(),
            answer: "status 400: Bad Request".to_owned(),
            request: Some(request.to_owned()),
            took_millis: None,
        };
        let shown = folded(&[attempt("a"), attempt("a"), attempt("b")]);
        let found: Vec<_> = shown.iter().map(|one| (one.attempt.request.as_deref(), one.times)).collect();
        assert_eq!(found, [(None, 1), (Some("a"), 2), (Some("b"), 1)]);
    }
}
