//! The pages of deliveries: a search, and the details of one delivery.

use askama::Template;
use hyper::{Method, StatusCode};
use osnl::control::routes::{RouteLookup, Sender, find};
use osnl::control::{
    ControlRequest, Delivery, List, MaskedMessage, RequestRefusal, Show, millis, query, relative,
};
use osnl::journal::query::Phase;
use serde_json::json;

use super::{Frame, PageCaller, PageContext, ask, bad, html, text};
use crate::answer::AdminAnswer;

const LISTED: u32 = 50;
/// The most deliveries that a search counts, as a million would take seconds.
const COUNTED: u64 = 1000;
pub(super) const CHANGES: [&str; 3] = ["retry", "release", "discard"];

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    frame: Frame,
    search: SearchForm,
    states: Vec<(&'static str, bool)>,
    orders: Vec<(&'static str, bool)>,
    totals: String,
    rows: Vec<ShownDelivery>,
    next: Option<String>,
    changes: [&'static str; 3],
    filter: String,
    moving: MoveForm,
}

struct MoveForm {
    fields: Vec<(String, String)>,
    actions: Vec<(String, String)>,
}

#[derive(Default)]
struct SearchForm {
    about: String,
    action: String,
    rule: String,
    event_type: String,
    status: String,
}

struct ShownDelivery {
    id: String,
    tone: &'static str,
    state: String,
    age: String,
    action: String,
    rule: String,
    event_type: String,
    resource: String,
    attempts: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    frame: Frame,
    id: String,
    facts: Vec<(&'static str, String)>,
    changes: Vec<&'static str>,
    moving: MoveForm,
    attempts: Vec<ShownAttempt>,
    earlier_attempts: u64,
    behind: Vec<String>,
    more_behind: String,
    others: Vec<(String, String)>,
    message: Vec<(&'static str, String)>,
    payload: String,
}

struct ShownAttempt {
    at: String,
    took: String,
    answer: String,
    request: String,
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
    let order = match value("order") {
        order if order.is_empty() => "newest".to_owned(),
        order => order,
    };
    let mut asked: Vec<_> = given.iter().filter(|(name, _)| name != "order").cloned().collect();
    asked.push(("order".to_owned(), order.clone()));
    let mut limited = asked.clone();
    if !limited.iter().any(|(name, _)| name == "limit") {
        limited.push(("limit".to_owned(), LISTED.to_string()));
    }
    let mut request = request("/deliveries", &written(&limited))?;
    if let ControlRequest::List { count_at_most, .. } = &mut request {
        *count_at_most = Some(COUNTED);
    }
    let list: List = ask(place, &request).await?;
    let next = list.next.as_ref().map(|after| {
        let mut next: Vec<_> = asked.iter().filter(|(name, _)| name != "after").cloned().collect();
        next.push(("after".to_owned(), after.clone()));
        written(&next)
    });
    let filter: Vec<_> =
        given.iter().filter(|(name, _)| !matches!(&**name, "order" | "after" | "limit")).cloned().collect();
    let moving = MoveForm::new(place, filter.clone(), None);
    let filter = if filter.is_empty() { String::new() } else { format!("&{}", written(&filter)) };
    let by_state = list.totals.by_state.iter().map(|(state, count)| format!("{count} {state}"));
    let by_state: Vec<String> = by_state.collect();
    let totals = match list.totals.all {
        0 => "No delivery matches.".to_owned(),
        all if list.totals.more => format!("More than {all}. The newest {all}: {}.", by_state.join(", ")),
        all => format!("{all} in all: {}.", by_state.join(", ")),
    };
    let (state, search) = (
        value("state"),
        SearchForm {
            about: value("about"),
            action: value("action"),
            rule: value("rule"),
            event_type: value("event_type"),
            status: value("status"),
        },
    );
    let page = DeliveriesPage {
        frame: Frame::new(place, caller, "Deliveries", "/deliveries"),
        search,
        states: Phase::NAMES.iter().map(|name| (*name, *name == state)).collect(),
        orders: ["newest", "oldest"].map(|name| (name, name == order)).to_vec(),
        totals,
        rows: list.deliveries.iter().map(ShownDelivery::new).collect(),
        next,
        changes: CHANGES,
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
    let attempts = show.attempts.iter().map(|attempt| ShownAttempt {
        at: text::line(&relative(&attempt.at)),
        took: attempt.took_millis.map(millis).unwrap_or_default(),
        answer: text::line(&attempt.answer),
        request: attempt.request.as_deref().map(text::lines).unwrap_or_default(),
    });
    let others = show.others.iter().map(|other| {
        let (action, rule) = (text::line(&other.action), text::line(&other.rule));
        (other.id.clone(), format!("{action}, by rule {rule}: {}", text::line(&other.state_text())))
    });
    let open = delivery.ended.is_none();
    let moving = MoveForm::new(place, vec![("id".to_owned(), delivery.id.clone())], Some(&delivery.action));
    let payload = match &show.message.unreadable {
        Some(reason) => format!("cannot be read: {}", text::line(reason)),
        None => text::json(&json!({"payload": show.message.payload, "context": show.message.context})),
    };
    let page = DeliveryPage {
        frame: Frame::new(place, caller, format!("Delivery {}", delivery.id), "/deliveries"),
        id: text::query(&delivery.id),
        facts: facts(&show),
        changes: changes(delivery),
        moving: if open { moving } else { MoveForm { fields: Vec::new(), actions: Vec::new() } },
        earlier_attempts: u64::from(delivery.failed_attempts).saturating_sub(show.attempts.len() as u64),
        attempts: success(&show).into_iter().chain(attempts.rev()).collect(),
        behind: show.behind.clone(),
        more_behind: if show.more_behind > 0 {
            format!("and {} more", show.more_behind)
        } else {
            String::new()
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

fn success(show: &Show) -> Option<ShownAttempt> {
    let delivery = &show.delivery;
    let succeeded = [Phase::Delivered.word(), Phase::NoActionNeeded.word()].contains(&&*delivery.state);
    let at = delivery.ended.as_deref().filter(|_| succeeded)?;
    Some(ShownAttempt {
        at: text::line(&relative(at)),
        took: show.took_millis.map(millis).unwrap_or_default(),
        answer: delivery.reason.as_deref().map_or_else(|| delivery.state.clone(), text::line),
        request: String::new(),
    })
}

impl MoveForm {
    fn new(place: PageContext<'_>, fields: Vec<(String, String)>, of: Option<&str>) -> Self {
        let actions = place.handler.actions().unwrap_or_default();
        let others = actions.iter().filter(|action| Some(&***action) != of);
        Self { fields, actions: others.map(|name| (name.to_string(), text::line(name))).collect() }
    }
}

impl ShownDelivery {
    fn new(delivery: &Delivery) -> Self {
        let reason = delivery.reason.as_deref().or(delivery.last_answer.as_deref());
        Self {
            id: delivery.id.clone(),
            tone: tone(&delivery.state),
            state: text::cell(&delivery.state_text()),
            age: text::age(Some(delivery.age_seconds)),
            action: text::cell(&delivery.action),
            rule: text::cell(&delivery.rule),
            event_type: delivery.event_type.as_deref().map(text::cell).unwrap_or_default(),
            resource: delivery.resource_text().as_deref().map(text::cell).unwrap_or_default(),
            attempts: delivery.attempts_text(),
            reason: reason.map(text::cell).unwrap_or_default(),
        }
    }
}

fn tone(phase: &str) -> &'static str {
    match phase {
        "dead" | "waiting for release" => "bad",
        "retrying" => "warn",
        "delivered" | "no action needed" => "good",
        _ => "",
    }
}

fn facts(show: &Show) -> Vec<(&'static str, String)> {
    let delivery = &show.delivery;
    let target = show.target.as_ref().map_or(String::new(), |target| format!(" ({})", text::line(target)));
    let took = show.took_millis.map_or(String::new(), |took| format!("; the last took {}", millis(took)));
    let ended =
        delivery.ended.as_ref().map_or(String::new(), |at| format!(", {}", text::line(&relative(at))));
    let facts = [
        ("State", format!("{}{ended}", text::line(&delivery.state_text()))),
        ("Next attempt", delivery.next_attempt.as_deref().map(relative).unwrap_or_default()),
        ("Reason", text::or_empty(delivery.reason.as_deref())),
        ("Last answer", text::or_empty(delivery.last_answer.as_deref())),
        ("Action", format!("{}{target}", text::line(&delivery.action))),
        ("Rule", text::line(&delivery.rule)),
        ("Event type", text::or_empty(delivery.event_type.as_deref())),
        ("Resource", text::or_empty(delivery.resource_text().as_deref())),
        ("Order key", text::or_empty(delivery.key.as_deref())),
        (
            "Older of the same action and key",
            match show.ahead {
                0 => String::new(),
                ahead => ahead.to_string(),
            },
        ),
        ("Attempts", format!("{}{took}", delivery.attempts_text())),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn message(message: &MaskedMessage, delivery: &Delivery) -> Vec<(&'static str, String)> {
    let again = if message.redelivered { ", redelivered" } else { "" };
    let facts = [
        ("Received", format!("{}{again}", text::line(&relative(&delivery.received)))),
        ("Message id", text::or_empty(delivery.message_id.as_deref())),
        ("Listener", text::line(&message.listener)),
        ("Queue", text::line(&message.queue)),
        ("Exchange", text::line(&message.exchange)),
        ("Routing key", text::line(&message.routing_key)),
        ("Publisher", text::or_empty(message.publisher_id.as_deref())),
        ("Sent", text::or_empty(message.timestamp.as_deref())),
        ("Size", text::size(message.bytes)),
        ("Digest", text::line(&message.digest)),
        (
            "Further copies",
            match delivery.copies {
                0 => String::new(),
                copies => copies.to_string(),
            },
        ),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}
