//! The pages of deliveries: a search, and the details of one delivery.

use askama::Template;
use hyper::{Method, StatusCode};
use osnl::control::routes::{RouteLookup, Sender, find};
use osnl::control::{
    ControlRequest, Delivery, DeliveryGroup, List, MaskedMessage, RequestRefusal, Show, StateTotals, Which,
    grouped, millis, query, short_answer,
};
use osnl::journal::query::Phase;
use serde_json::json;

use super::text::{Markup, breakable, counted, link, plain, time};
use super::{Frame, PageCaller, PageContext, ask, bad, html, text};
use crate::answer::AdminAnswer;

const LISTED: u32 = 50;
/// The most deliveries that a search counts, as a million would take seconds.
const COUNTED: u64 = 1000;
const GROUPS: usize = 100;
const LONGEST_LITERAL: usize = 100;

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    frame: Frame,
    search: SearchForm,
    choices: [FilterSelect; 4],
    chips: Vec<StateChip>,
    is_folded: bool,
    rows: Vec<DeliveryRows>,
    next: Option<String>,
    /// The fields of the filter, without order and page.
    filter: Vec<(String, String)>,
    changes: Vec<AnyChange>,
    moving: Vec<(String, String)>,
}

struct SearchForm {
    about: String,
    event_type: String,
    status: String,
}

struct FilterSelect {
    name: &'static str,
    label: &'static str,
    /// Each with its words, and whether it is chosen.
    options: Vec<(String, String, bool)>,
}

struct StateChip {
    words: &'static str,
    count: String,
    tone: &'static str,
    query: String,
    is_here: bool,
}

/// A row of the table, or a row for many that opens to the newest of them.
struct DeliveryRows {
    /// `781 ×`; empty for a single delivery.
    count: String,
    words: String,
    /// The search that finds all of them.
    all: String,
    newest: ShownDelivery,
    some: Vec<ShownDelivery>,
}

/// A change that applies to some of the results.
struct AnyChange {
    verb: &'static str,
    label: &'static str,
    all: String,
}

struct ShownDelivery {
    id: String,
    tone: &'static str,
    state: String,
    full_state: String,
    age: Markup,
    action: Markup,
    event_type: Markup,
    resource: Markup,
    full_resource: String,
    result: Markup,
    full_result: String,
    can_change: bool,
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    frame: Frame,
    id: String,
    tone: &'static str,
    state: String,
    facts: Vec<(&'static str, Markup)>,
    changes: Vec<&'static str>,
    moving: Vec<(String, String)>,
    /// The number of the first attempt that is known.
    first: u64,
    attempts: Vec<ShownAttempt>,
    behind: Vec<String>,
    more_behind: String,
    others: Vec<(String, String)>,
    message: Vec<(&'static str, Markup)>,
    payload: String,
}

struct ShownAttempt {
    at: Markup,
    took: String,
    tone: &'static str,
    answer: String,
    full: String,
    /// The request, below the last of the attempts in a row that sent it.
    request: String,
    times: usize,
}

pub(super) async fn list(
    place: PageContext<'_>,
    caller: &PageCaller,
    query: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let given = fields(query)?;
    let value = |name: &str| {
        given.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let (order, is_by_duty) = match value("order") {
        order if order.is_empty() || order == "act" => ("newest".to_owned(), true),
        order => (order, false),
    };
    let filter: Vec<_> =
        given.iter().filter(|(name, _)| !matches!(&**name, "order" | "after" | "limit")).cloned().collect();
    let mut asked: Vec<_> = given.iter().filter(|(name, _)| name != "order").cloned().collect();
    asked.push(("order".to_owned(), order.clone()));
    if value("limit").is_empty() {
        asked.push(("limit".to_owned(), LISTED.to_string()));
    }
    let ControlRequest::List { filter: which, order: rows, after, limit, .. } =
        request("/deliveries", &written(&asked))?
    else {
        return Err(bad("this is not a search of deliveries"));
    };
    let names_few = !which.about.is_empty() || !which.ids.is_empty() || which.event.is_some();
    let (mut shown, mut totals, mut next) = (Vec::new(), StateTotals::default(), None);
    if is_by_duty && after.is_none() && !names_few {
        let found = place.handler.groups(&which, Some(COUNTED)).await?;
        shown =
            found.groups.iter().take(GROUPS).map(|group| group_rows(group, &found.groups, &filter)).collect();
        totals = found.totals;
    }
    let is_folded = !shown.is_empty();
    if !is_folded {
        let (filter, count_at_most) = (which.clone(), Some(COUNTED));
        let list: List =
            ask(place, &ControlRequest::List { filter, order: rows, after, limit, count_at_most }).await?;
        next = list.next.map(|after| {
            let with_after = |(name, _): &&(String, String)| !matches!(&**name, "after" | "limit");
            let mut next: Vec<_> = asked.iter().filter(with_after).cloned().collect();
            next.extend(given.iter().find(|(name, _)| name == "limit").cloned());
            next.push(("after".to_owned(), after));
            written(&next)
        });
        shown = list.deliveries.iter().map(DeliveryRows::single).collect();
        totals = list.totals;
    }
    let moving = if place.access.api(true).is_ok() { moving(place, None) } else { Vec::new() };
    let known = |names: Vec<String>| names.into_iter().map(|name| (name.clone(), name)).collect::<Vec<_>>();
    let states = known(Phase::NAMES.map(str::to_owned).to_vec());
    let orders = [("act", "who must act"), ("newest", "newest"), ("oldest", "oldest")]
        .map(|(order, words)| (order.to_owned(), words.to_owned()));
    let order = if is_by_duty { "act".to_owned() } else { order };
    let rules = place.handler.rule_names().iter().map(ToString::to_string).collect();
    let actions = place.handler.actions().unwrap_or_default().iter().map(ToString::to_string).collect();
    let page = DeliveriesPage {
        frame: Frame::new(place, caller, "Deliveries", "/deliveries"),
        chips: chips(place, &which, &totals, &filter).await?,
        changes: changes_of(&totals),
        search: SearchForm {
            about: value("about"),
            event_type: value("event_type"),
            status: value("status"),
        },
        choices: [
            FilterSelect::new("action", "Action", known(actions), value("action"), true),
            FilterSelect::new("rule", "Rule", known(rules), value("rule"), true),
            FilterSelect::new("state", "State", states, value("state"), true),
            FilterSelect::new("order", "Order", orders.to_vec(), order, false),
        ],
        is_folded,
        rows: shown,
        next,
        filter,
        moving,
    };
    Ok(html(StatusCode::OK, &page))
}

pub(super) async fn one(
    place: PageContext<'_>,
    caller: &PageCaller,
    id: &str,
) -> Result<AdminAnswer, RequestRefusal> {
    let show: Show = ask(place, &request(&format!("/deliveries/{id}"), "")?).await?;
    let delivery = &show.delivery;
    let others = show.others.iter().map(|other| {
        let (action, rule) = (text::line(&other.action), text::line(&other.rule));
        (other.id.clone(), format!("{action}, by rule {rule}: {}", text::line(&other.state_text())))
    });
    let payload = match &show.message.unreadable {
        Some(reason) => format!("cannot be read: {}", text::line(reason)),
        None => text::json(&json!({"payload": show.message.payload, "context": show.message.context})),
    };
    let earlier = u64::from(delivery.failed_attempts).saturating_sub(show.attempts.len() as u64);
    let page = DeliveryPage {
        frame: Frame::new(place, caller, format!("Delivery {}", delivery.id), "/deliveries"),
        id: text::query(&delivery.id),
        tone: tone(&delivery.state),
        state: text::line(&delivery.state_text()),
        facts: facts(&show),
        changes: changes(delivery),
        moving: if delivery.ended.is_none() { moving(place, Some(&delivery.action)) } else { Vec::new() },
        first: earlier + 1,
        attempts: attempts(&show),
        behind: show.behind.clone(),
        more_behind: match show.more_behind {
            0 => String::new(),
            more => format!("and {more} more"),
        },
        others: others.collect(),
        message: message(&show.message, delivery),
        payload,
    };
    Ok(html(StatusCode::OK, &page))
}

fn changes(delivery: &Delivery) -> Vec<&'static str> {
    let is = |phase: Phase| delivery.state == phase.word();
    if is(Phase::Dead) {
        vec!["retry", "discard"]
    } else if is(Phase::ForRelease) {
        vec!["release", "discard"]
    } else if delivery.ended.is_none() {
        vec!["discard"]
    } else {
        Vec::new()
    }
}

/// The states to which a change of deliveries applies.
pub(super) fn takes(verb: &str) -> Vec<&'static str> {
    let open = || Phase::named("open").unwrap_or_default();
    let phases = match verb {
        "retry" => vec![Phase::Dead],
        "release" => vec![Phase::ForRelease],
        "discard" => [open(), vec![Phase::Dead]].concat(),
        _ => open(),
    };
    phases.into_iter().map(Phase::word).collect()
}

fn changes_of(totals: &StateTotals) -> Vec<AnyChange> {
    let known = [("retry", "Retry"), ("release", "Release"), ("discard", "Discard"), ("move", "Move")];
    let change = |(verb, label)| {
        let of = takes(verb);
        let count: u64 =
            totals.by_state.iter().filter(|(state, _)| of.contains(&&***state)).map(|(_, count)| count).sum();
        let all = format!("{label} all {}", number(count, totals));
        (count > 0).then_some(AnyChange { verb, label, all })
    };
    known.into_iter().filter_map(change).collect()
}

fn number(count: u64, totals: &StateTotals) -> String {
    format!("{}{}", grouped(count), if totals.more { "+" } else { "" })
}

/// Returns a link for each state, with the counts of the search in any state.
async fn chips(
    place: PageContext<'_>,
    which: &Which,
    totals: &StateTotals,
    filter: &[(String, String)],
) -> Result<Vec<StateChip>, RequestRefusal> {
    let any: StateTotals = match which.states.is_empty() {
        true => totals.clone(),
        false => {
            let filter = Which { states: Vec::new(), ..which.clone() };
            let (order, count_at_most) = (osnl::control::ListOrder::Newest, Some(COUNTED));
            let request = ControlRequest::List { filter, order, after: None, limit: 1, count_at_most };
            ask::<List>(place, &request).await?.totals
        }
    };
    let others: Vec<_> = filter.iter().filter(|(name, _)| name != "state").cloned().collect();
    let state = filter.iter().find(|(name, _)| name == "state").map(|(_, state)| state.replace('-', " "));
    let urgent = [Phase::Dead, Phase::ForRelease, Phase::Orphaned, Phase::Retrying];
    let rest = Phase::ALL.into_iter().filter(|phase| !urgent.contains(phase));
    let all = StateChip {
        words: "in all",
        count: number(any.all, &any),
        tone: "",
        query: written(&others),
        is_here: which.states.is_empty(),
    };
    let chip = |phase: Phase| {
        let words = phase.word();
        let name = ("state".to_owned(), words.replace(' ', "-"));
        Some(StateChip {
            words,
            count: number(*any.by_state.get(words)?, &any),
            tone: tone(words),
            query: written(&[&others[..], &[name]].concat()),
            is_here: state.as_deref() == Some(words),
        })
    };
    Ok(urgent.into_iter().chain(rest).filter_map(chip).chain([all]).collect())
}

/// A group's link finds its action and state; if these have several groups, also a text of the answer.
fn group_rows(group: &DeliveryGroup, all: &[DeliveryGroup], filter: &[(String, String)]) -> DeliveryRows {
    let (newest, words) = (&group.newest, counted(group.count, "delivery", "deliveries"));
    let is_like =
        |other: &&DeliveryGroup| other.newest.action == newest.action && other.newest.state == newest.state;
    let mut fields = filter.to_vec();
    fields.retain(|(name, _)| !matches!(&**name, "action" | "state"));
    fields.push(("action".to_owned(), newest.action.clone()));
    fields.push(("state".to_owned(), newest.state.replace(' ', "-")));
    let literal = literal(newest).filter(|_| all.iter().filter(is_like).count() > 1);
    if let Some(literal) = literal.filter(|_| !fields.iter().any(|(name, _)| name == "text")) {
        fields.push(("text".to_owned(), literal));
    }
    fields.push(("order".to_owned(), "newest".to_owned()));
    let mut shown = ShownDelivery::new(newest);
    if group.is_mixed {
        shown.result = plain("several causes, such as ").and(&shown.result);
    }
    if group.count == 1 {
        return DeliveryRows::single(newest);
    }
    DeliveryRows {
        count: format!("{} ×", grouped(group.count)),
        words: format!("Show {words} of {}", text::cell(&newest.action)),
        all: written(&fields),
        newest: shown,
        some: group.some.iter().map(ShownDelivery::new).collect(),
    }
}

/// Returns the longest part of an answer that does not name the delivery's own resource.
fn literal(delivery: &Delivery) -> Option<String> {
    let mut answer = delivery.reason.as_ref().or(delivery.last_answer.as_ref())?.clone();
    let own = [&delivery.resource_id, &delivery.resource_name, &delivery.key, &delivery.message_id];
    for own in own.into_iter().flatten().filter(|own| own.len() > 2) {
        answer = answer.replace(own.as_str(), "\0");
    }
    let longest = answer.split('\0').max_by_key(|part| part.len())?;
    let end = longest.floor_char_boundary(LONGEST_LITERAL);
    Some(longest[..end].to_owned()).filter(|text| !text.trim().is_empty())
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

pub(super) fn written(fields: &[(String, String)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", text::query(name), text::query(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Returns the attempts that are known, oldest first, the one that succeeded last.
fn attempts(show: &Show) -> Vec<ShownAttempt> {
    let mut shown: Vec<ShownAttempt> = Vec::new();
    for attempt in &show.attempts {
        let request = attempt.request.as_deref().map(text::lines).unwrap_or_default();
        let before = shown.last_mut().filter(|before| !request.is_empty() && before.request == request);
        let times = before.map_or(1, |before| {
            before.request.clear();
            before.times + 1
        });
        shown.push(ShownAttempt {
            at: time(&attempt.at),
            took: attempt.took_millis.map(millis).unwrap_or_default(),
            tone: "bad",
            answer: text::line(&short_answer(&attempt.answer)),
            full: text::line(&attempt.answer),
            request,
            times,
        });
    }
    let delivery = &show.delivery;
    let succeeded = [Phase::Delivered.word(), Phase::NoActionNeeded.word()].contains(&&*delivery.state);
    if let Some(at) = delivery.ended.as_deref().filter(|_| succeeded) {
        shown.push(ShownAttempt {
            at: time(at),
            took: delivery.took_millis.map(millis).unwrap_or_default(),
            tone: "good",
            answer: delivery.short_result().map_or_else(|| delivery.state.clone(), |said| text::line(&said)),
            full: text::or_empty(delivery.reason.as_deref()),
            request: String::new(),
            times: 1,
        });
    }
    shown
}

/// Returns the actions to which deliveries move, each with its shown name.
fn moving(place: PageContext<'_>, of: Option<&str>) -> Vec<(String, String)> {
    let actions = place.handler.actions().unwrap_or_default();
    let others = actions.iter().filter(|action| Some(&***action) != of);
    others.map(|name| (name.to_string(), text::line(name))).collect()
}

impl FilterSelect {
    fn new(
        name: &'static str,
        label: &'static str,
        mut known: Vec<(String, String)>,
        chosen: String,
        can_be_any: bool,
    ) -> Self {
        // A name of another configuration is a search too.
        if !chosen.is_empty() && !known.iter().any(|(value, _)| *value == chosen) {
            known.push((chosen.clone(), chosen.clone()));
        }
        let any = can_be_any.then(|| (String::new(), "any".to_owned()));
        let options = any.into_iter().chain(known).map(|(value, words)| {
            let is_chosen = value == chosen;
            (value, text::line(&words), is_chosen)
        });
        Self { name, label, options: options.collect() }
    }
}

impl DeliveryRows {
    fn single(delivery: &Delivery) -> Self {
        let (count, words, all) = Default::default();
        Self { count, words, all, newest: ShownDelivery::new(delivery), some: Vec::new() }
    }
}

impl ShownDelivery {
    fn new(delivery: &Delivery) -> Self {
        let result = delivery.short_result().map(|result| text::cell(&result)).unwrap_or_default();
        let took = delivery.took_millis.map_or(String::new(), |took| format!(", {}", millis(took)));
        let result = if result.is_empty() { result } else { result + &took };
        let full = delivery.reason.as_deref().or(delivery.last_answer.as_deref());
        Self {
            id: delivery.id.clone(),
            tone: tone(&delivery.state),
            state: text::cell(&delivery.short_state()),
            full_state: text::cell(&delivery.state_text()),
            age: time(&delivery.received),
            action: breakable(&text::cell(&delivery.action)),
            event_type: breakable(&text::cell(delivery.event_type.as_deref().unwrap_or_default())),
            resource: breakable(&text::cell(&delivery.short_resource().unwrap_or_default())),
            full_resource: text::or_empty(delivery.resource_text().as_deref()),
            result: breakable(&result),
            full_result: text::or_empty(full),
            can_change: !changes(delivery).is_empty(),
        }
    }
}

pub(super) fn tone(phase: &str) -> &'static str {
    match phase {
        "dead" | "waiting for release" | "orphaned" => "bad",
        "retrying" => "warn",
        "delivered" | "no action needed" => "good",
        _ => "quiet",
    }
}

fn facts(show: &Show) -> Vec<(&'static str, Markup)> {
    let delivery = &show.delivery;
    let target = show.target.as_ref().map_or(String::new(), |target| format!(" ({})", text::line(target)));
    let words = |text: Option<&str>| breakable(&text::or_empty(text));
    let is_good = tone(&delivery.state) == "good";
    let search = |name: &str, value: &str, shown: &str| {
        link(&format!("/deliveries?{name}={}&order=newest", text::query(value)), &text::line(shown))
    };
    let moment = |at: &Option<String>| at.as_deref().map(time).unwrap_or_default();
    let resource = delivery.resource_text();
    let known = delivery.resource_id.as_ref().or(delivery.resource_name.as_ref()).or(delivery.key.as_ref());
    let facts = [
        ("Ended", moment(&delivery.ended)),
        ("Next attempt", moment(&delivery.next_attempt)),
        (if is_good { "Answer" } else { "Reason" }, words(delivery.reason.as_deref())),
        ("Last answer", words(delivery.last_answer.as_deref())),
        ("Action", search("action", &delivery.action, &delivery.action).and(&breakable(&target))),
        ("Rule", search("rule", &delivery.rule, &delivery.rule)),
        (
            "Event type",
            delivery.event_type.as_deref().map(|name| search("event_type", name, name)).unwrap_or_default(),
        ),
        (
            "Resource",
            known.zip(resource).map(|(known, shown)| search("about", known, &shown)).unwrap_or_default(),
        ),
        ("Order key", words(delivery.key.as_deref())),
        (
            "Older of the same action and key",
            plain(&match show.ahead {
                0 => String::new(),
                ahead => ahead.to_string(),
            }),
        ),
        ("Attempts", plain(&delivery.attempts_text())),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn message(message: &MaskedMessage, delivery: &Delivery) -> Vec<(&'static str, Markup)> {
    let again = if message.redelivered { ", redelivered" } else { "" };
    let words = |text: Option<&str>| breakable(&text::or_empty(text));
    let facts = [
        ("Received", time(&delivery.received).and(&plain(again))),
        ("Message id", words(delivery.message_id.as_deref())),
        ("Listener", words(Some(&message.listener))),
        ("Queue", words(Some(&message.queue))),
        ("Exchange", words(Some(&message.exchange))),
        ("Routing key", words(Some(&message.routing_key))),
        ("Publisher", words(message.publisher_id.as_deref())),
        ("Sent", words(message.timestamp.as_deref())),
        ("Size", plain(&text::size(message.bytes))),
        ("Digest", words(Some(&message.digest))),
        (
            "Further copies",
            plain(&match delivery.copies {
                0 => String::new(),
                copies => copies.to_string(),
            }),
        ),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}
