//! The verbs, each a row of [`ROUTES`]: method, path, members of the request, name of the answer's type, and who may ask.
//!
//! The server reads a request by its row ([`find`], [`Route::read`]), the client writes it by the same row
//! ([`Route::write`]), and `openapi.json` is made of all rows. A member is an option of the query where nothing changes,
//! and a member of the JSON object in the body where something does; a part of the path in braces is a member too.

use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::query;
use super::{ControlRequest, MOST_LISTED};

/// The path before that of each row.
pub const BASE: &str = "/api/v1";

/// All that has another meaning somewhere in an address.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Whoever may read: on the control socket also members of `control_group`.
    Read,
    /// Whoever may change something.
    Change,
}

/// The form of a member's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueForm {
    /// A text.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A whole number.
    Number,
    /// True or false.
    Flag,
    /// A list of texts; in a query the option is repeated.
    Texts,
    /// A list of whole numbers; in a query the option is repeated.
    Numbers,
    /// An object of this schema.
    Object(&'static str),
    /// A list of objects that a command makes.
    Objects,
}

/// A member of a request.
#[derive(Debug)]
pub struct Parameter {
    /// Its name in the query.
    pub name: &'static str,
    /// Its place in the request: `filter`, `ids`.
    pub member: &'static [&'static str],
    /// The form of its value.
    pub form: ValueForm,
    /// Whether a request without it is refused.
    pub is_required: bool,
    /// Its meaning.
    pub meaning: &'static str,
    /// Whether the control socket alone takes it.
    pub is_own: bool,
}

/// A verb.
#[derive(Debug)]
pub struct Route {
    /// `GET`, or `POST` for what changes something.
    pub method: Method,
    /// The path below [`BASE`]; a part in braces is a member of the request.
    pub path: &'static str,
    /// The name of its [`ControlRequest`].
    pub verb: &'static str,
    /// Who may ask.
    pub right: Right,
    /// The members of its request, without those in the path.
    pub takes: &'static [Parameter],
    /// The purpose.
    pub summary: &'static str,
    /// The schema of the answer, and its meaning.
    pub answer: (&'static str, &'static str),
}

/// The sender of a request.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The name for the record of changes.
    pub name: &'a str,
    /// Whether the request came by the control socket, whose clients say themselves who asks, and may ask for the bytes of a
    /// message.
    pub is_own: bool,
}

impl Parameter {
    /// A member that a request need not have.
    #[must_use]
    pub const fn option(
        name: &'static str,
        member: &'static [&'static str],
        form: ValueForm,
        meaning: &'static str,
    ) -> Self {
        Self { name, member, form, is_required: false, meaning, is_own: false }
    }
}

const fn must(
    name: &'static str,
    member: &'static [&'static str],
    form: ValueForm,
    meaning: &'static str,
) -> Parameter {
    Parameter { is_required: true, ..Parameter::option(name, member, form, meaning) }
}

const SINCE: Parameter =
    Parameter::option("since", &["filter", "since"], ValueForm::Text, "Received then or later, RFC 3339.");
const UNTIL: Parameter =
    Parameter::option("until", &["filter", "until"], ValueForm::Text, "Received before then, RFC 3339.");
const LIMIT: Parameter = Parameter::option(
    "limit",
    &["limit"],
    ValueForm::Number,
    "Entries of a page, at most 1000; 100 unless set.",
);
const DRY_RUN: Parameter = Parameter::option(
    "dry_run",
    &["dry_run"],
    ValueForm::Flag,
    "Answer what would change, and change nothing.",
);
const FILTER: Parameter = must("filter", &["filter"], ValueForm::Object("DeliveryFilter"), "");
const RAW: &[Parameter] = &[Parameter {
    is_own: true,
    ..Parameter::option(
        "raw",
        &["raw"],
        ValueForm::Flag,
        "With the bytes of the message, secrets and all: on the control socket only.",
    )
}];

const DELIVERIES: &[Parameter] = &[
    Parameter::option("id", &["filter", "ids"], ValueForm::Texts, "Deliveries with these ids, as EVENT.N."),
    Parameter::option("event", &["filter", "event"], ValueForm::Number, "Deliveries of this event."),
    Parameter::option("rule", &["filter", "rule"], ValueForm::Text, "Deliveries of this rule."),
    Parameter::option("action", &["filter", "action"], ValueForm::Text, "Deliveries of this action."),
    Parameter::option(
        "state",
        &["filter", "states"],
        ValueForm::Texts,
        "In one of these states, or groups of states, as osnl deliveries list --state has them.",
    ),
    Parameter::option(
        "about",
        &["filter", "about"],
        ValueForm::Texts,
        "The number of a delivery or an event, the id of a message, the id or the name of a resource.",
    ),
    Parameter::option(
        "resource",
        &["filter", "resource"],
        ValueForm::Text,
        "Deliveries about this resource.",
    ),
    Parameter::option(
        "status",
        &["filter", "status"],
        ValueForm::Text,
        "With an answer of this HTTP status, such as 409 or 4xx.",
    ),
    Parameter::option(
        "text",
        &["filter", "text"],
        ValueForm::Text,
        "With this text in an answer or a reason.",
    ),
    Parameter::option(
        "event_type",
        &["filter", "event_type"],
        ValueForm::Text,
        "Deliveries of this event type.",
    ),
    SINCE,
    UNTIL,
    Parameter::option(
        "order",
        &["order"],
        ValueForm::Choice(&["oldest", "newest", "attention"]),
        "The order: by number (the default), the largest first, or what needs attention first.",
    ),
    Parameter::option("after", &["after"], ValueForm::Text, "The value of next of the page before."),
    LIMIT,
];

const QUARANTINE: &[Parameter] = &[
    Parameter::option("id", &["filter", "ids"], ValueForm::Numbers, "Messages with these numbers."),
    Parameter::option("queue", &["filter", "queue"], ValueForm::Text, "Messages of this queue."),
    Parameter::option(
        "reason",
        &["filter", "reason"],
        ValueForm::Text,
        "Messages whose reason contains this text.",
    ),
    SINCE,
    UNTIL,
    Parameter::option("after", &["after"], ValueForm::Number, "Messages with a larger number."),
    LIMIT,
];

const CHANGES: (&str, &str) = ("DeliveryChanges", "What changed.");

/// All verbs.
pub static ROUTES: &[Route] = &[
    Route::get(
        "/status",
        "status",
        &[],
        "Show the status: connections, targets, backlog, dead letters, and what needs attention.",
        ("Status", "The status, as osnl status --format json has it."),
    ),
    Route::get(
        "/deliveries",
        "list",
        DELIVERIES,
        "List deliveries in the order of their ids.",
        ("DeliveryPage", "A page of deliveries, totals by state, and the start of the next page."),
    ),
    Route::get(
        "/deliveries/{id}",
        "show",
        RAW,
        "Show a delivery with its attempts and its message, secrets masked.",
        ("DeliveryDetails", "The delivery."),
    ),
    Route::post(
        "/deliveries/retry",
        "retry",
        &[
            FILTER,
            DRY_RUN,
            Parameter::option(
                "out_of_order",
                &["out_of_order"],
                ValueForm::Flag,
                "Retry even where a later delivery of the same resource was made.",
            ),
        ],
        "Retry dead letters.",
        CHANGES,
    ),
    Route::post(
        "/deliveries/discard",
        "discard",
        &[FILTER, DRY_RUN],
        "Discard pending and dead deliveries.",
        CHANGES,
    ),
    Route::post("/deliveries/release", "release", &[FILTER, DRY_RUN], "Release held deliveries.", CHANGES),
    Route::post(
        "/deliveries/move",
        "move",
        &[FILTER, DRY_RUN, must("to", &["to"], ValueForm::Text, "The other action.")],
        "Move pending deliveries to another action.",
        CHANGES,
    ),
    Route::post(
        "/actions/{action}/probe",
        "probe",
        &[],
        "Probe a held target now, with a delivery that waits.",
        ("ProbeResult", "The state of the target afterwards."),
    ),
    Route::post(
        "/actions/{action}/pause",
        "pause",
        &[],
        "Pause an action: no attempt begins, also after a restart.",
        ("PauseResult", "Since when it is paused."),
    ),
    Route::post(
        "/actions/{action}/resume",
        "resume",
        &[],
        "Resume a paused action.",
        ("PauseResult", "Whether it was paused."),
    ),
    Route::get(
        "/quarantine",
        "quarantine-list",
        QUARANTINE,
        "List messages in quarantine in the order of their arrival.",
        ("QuarantinePage", "A page of messages."),
    ),
    Route::get(
        "/quarantine/{id}",
        "quarantine-show",
        RAW,
        "Show a message in quarantine, secrets masked.",
        ("QuarantineDetails", "The message."),
    ),
    Route::post(
        "/quarantine/retry",
        "quarantine-retry",
        &[must(
            "messages",
            &["messages"],
            ValueForm::Objects,
            "Numbers of messages with the deliveries to make, as osnl quarantine retry plans them.",
        )],
        "Send messages through planned deliveries and out of the quarantine.",
        ("QuarantineChanges", "What changed."),
    ),
    Route::post(
        "/quarantine/discard",
        "quarantine-discard",
        &[must("filter", &["filter"], ValueForm::Object("QuarantineFilter"), ""), DRY_RUN],
        "Discard messages in quarantine.",
        ("QuarantineChanges", "What changed."),
    ),
    Route::post(
        "/replay",
        "replay",
        &[
            must(
                "events",
                &["events"],
                ValueForm::Objects,
                "Events with the deliveries to make, as osnl replay plans them.",
            ),
            Parameter::option(
                "keep_ids",
                &["keep_ids"],
                ValueForm::Flag,
                "Keep ids, so that what the journal has is not appended again.",
            ),
        ],
        "Append events anew with planned deliveries.",
        ("ReplayResult", "How many events were appended."),
    ),
    Route::post(
        "/reload",
        "reload",
        &[],
        "Read the configuration again.",
        ("ReloadResult", "The changed sections, or why nothing was changed."),
    ),
];

type Members = Vec<(&'static str, String)>;

impl Route {
    const fn get(
        path: &'static str,
        verb: &'static str,
        takes: &'static [Parameter],
        summary: &'static str,
        answer: (&'static str, &'static str),
    ) -> Self {
        Self { method: Method::GET, path, verb, right: Right::Read, takes, summary, answer }
    }

    const fn post(
        path: &'static str,
        verb: &'static str,
        takes: &'static [Parameter],
        summary: &'static str,
        answer: (&'static str, &'static str),
    ) -> Self {
        Self { method: Method::POST, path, verb, right: Right::Change, takes, summary, answer }
    }

    /// Whether it may change something.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.right == Right::Change
    }

    /// The members that a path has for the parts in braces; `None` if it is another address.
    fn members(&self, path: &str) -> Option<Members> {
        let mut members = Vec::new();
        let (mut own, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (own.next(), given.next()) {
                (None, None) => return Some(members),
                (Some(own), Some(given)) => match in_braces(own) {
                    Some(name) if !given.is_empty() => members.push((name, query::plain(given).ok()?)),
                    None if own == given => {}
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    /// Reads a request to this address.
    ///
    /// # Errors
    /// It is not understood; why.
    pub fn read(
        &self,
        members: Members,
        query: &str,
        body: &[u8],
        by: Sender<'_>,
    ) -> Result<ControlRequest, String> {
        let options = if self.changes() { &[] } else { self.takes };
        let mut object = query::read(query, options, by.is_own)?;
        if self.changes() {
            if !body.is_empty() {
                let given: Map<String, Value> =
                    serde_json::from_slice(body).map_err(|error| format!("not a JSON object: {error}"))?;
                object.extend(given);
            }
            let not_asked = |name: &&str| object.contains_key(*name) && !(by.is_own && *name == "by");
            if let Some(name) = ["verb", "by", "raw"].into_iter().find(not_asked) {
                return Err(format!("{name:?} is not a member of this request"));
            }
            object.entry("by").or_insert_with(|| json!(by.name));
        }
        object.insert("verb".to_owned(), json!(self.verb));
        let limit = object.get("limit").and_then(Value::as_u64);
        if limit.is_some_and(|limit| !(1..=u64::from(MOST_LISTED)).contains(&limit)) {
            return Err(format!("limit: allowed are 1 to {MOST_LISTED}"));
        }
        for (name, text) in members {
            let value = match name {
                "id" if self.verb.starts_with("quarantine") => json!(text.parse::<i64>().map_err(|_| {
                    format!("{text:?} is not the number of a message in quarantine; allowed: a whole number, such as 4")
                })?),
                _ => json!(text),
            };
            object.insert(name.to_owned(), value);
        }
        serde_json::from_value(Value::Object(object)).map_err(|error| in_words(&error.to_string()))
    }

    /// Writes a request: its row, its path and query, its body.
    ///
    /// # Errors
    /// The request has a member that only a handler of the same process takes.
    pub fn write(request: &ControlRequest) -> Result<(&'static Self, String, Vec<u8>), String> {
        let value = serde_json::to_value(request).map_err(|error| error.to_string())?;
        let Value::Object(mut object) = value else { return Err("not an object".to_owned()) };
        let verb = object.remove("verb").unwrap_or_default();
        let route = ROUTES.iter().find(|route| verb == route.verb);
        let route = route.ok_or_else(|| format!("{verb} has no address"))?;
        let mut target = BASE.to_owned();
        for part in route.path.split('/').skip(1) {
            target.push('/');
            match in_braces(part).map(|name| object.remove(name).unwrap_or_default()) {
                Some(Value::String(text)) => target.extend(utf8_percent_encode(&text, RESERVED)),
                Some(other) => target.push_str(&other.to_string()),
                None => target.push_str(part),
            }
        }
        if route.changes() {
            let body = serde_json::to_vec(&object).map_err(|error| error.to_string())?;
            return Ok((route, target, body));
        }
        let query = query::write(object, route.takes)?;
        if !query.is_empty() {
            target.push('?');
            target.push_str(&query);
        }
        Ok((route, target, Vec::new()))
    }
}

fn in_braces(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

/// Returns an error of the JSON reader with the names of JSON for what it expected.
fn in_words(error: &str) -> String {
    let Some((found, expected)) = error.rsplit_once(", expected ") else { return error.to_owned() };
    let expected = match expected {
        "i64" | "u64" | "u32" | "u16" | "usize" => "a whole number",
        "a sequence" => "a list",
        "a map" => "an object",
        expected if expected.starts_with("struct ") || expected.contains(" enum ") => "an object",
        expected => expected,
    };
    format!("{found}; allowed: {expected}")
}

/// The result of looking for an address.
#[derive(Debug)]
pub enum RouteLookup {
    /// The row, and the members in the path.
    Route(&'static Route, Members),
    /// The address is there for other methods, these.
    OtherMethod(String),
    /// There is no such address.
    Nothing,
}

/// Finds the row of a request by its path below [`BASE`]. A part that is written out counts before one in braces.
/// `HEAD` is `GET` whose body the server leaves out.
#[must_use]
pub fn find(method: &Method, path: &str) -> RouteLookup {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let all = ROUTES.iter().filter_map(|route| Some((route, route.members(path)?)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, members)| members.len());
    let named = |route: &'static Route| if route.changes() { route.method.as_str() } else { "GET, HEAD" };
    let methods: Vec<_> = all.iter().map(|(route, _)| named(route)).collect();
    let methods = methods.join(", ");
    match all.into_iter().find(|(route, _)| route.method == *method) {
        Some((route, members)) => RouteLookup::Route(route, members),
        None if methods.is_empty() => RouteLookup::Nothing,
        None => RouteLookup::OtherMethod(methods),
    }
}

#[cfg(test)]
mod tests;
