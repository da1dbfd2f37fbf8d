//! The verbs: [`ROUTES`] has a row for each, with its address, its parameters, the type of its answer, and who may ask.
//!
//! The server reads a request by its row ([`find`], [`Route::read`]), the client writes a request by the same row
//! ([`Route::write`]), and the API's description is made of all rows and the schemas of their types.
//!
//! A new verb is a variant of [`ControlRequest`], a row here, a type in `answer.rs`, an arm in `handler.rs` or
//! `handler/change.rs`, and a request in `osnl-cli/tests/cli/served.rs`.

use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use self::ValueForm::{Count, Flag, Number, Numbers, Text, Texts, Typed};
use super::again::Again;
use super::answer::{
    ChangeResult, DeliveryGroups, ForgottenQueues, List, PauseResult, ProbeResult, ReloadResult,
    ReplayResult, Show,
};
use super::quarantine::{MessageAgain, QuarantineChanges, QuarantineList, QuarantineShow, WhichMessages};
use super::{ControlRequest, ListOrder, MOST_LISTED, Status, Which, query};

pub const BASE: &str = "/api/v1";

pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// On the control socket members of `control_group` have this right.
    Read,
    Change,
}

/// Returns the schema of a type, which the generator also defines by its name.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The form of a parameter's value. A query repeats the parameter for each entry of a list.
#[derive(Clone, Copy, Debug)]
pub enum ValueForm {
    Text,
    Number,
    Count(u32),
    Flag,
    Texts,
    Numbers,
    Typed(SchemaOf),
}

#[derive(Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub at: &'static str,
    pub form: ValueForm,
    pub is_required: bool,
    pub meaning: &'static str,
    /// Whether only the server of the control socket knows the parameter.
    pub is_own: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterPlace {
    Path,
    Query,
    Body,
}

#[derive(Debug)]
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub verb: &'static str,
    pub right: Right,
    pub takes: &'static [Parameter],
    pub summary: &'static str,
    pub answer: SchemaOf,
    pub answer_meaning: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub name: &'a str,
    /// Whether the request came by the control socket, where a command names its user.
    pub is_own: bool,
}

type PathValues = Vec<(&'static str, String)>;

#[must_use]
pub const fn option(
    name: &'static str,
    at: &'static str,
    form: ValueForm,
    meaning: &'static str,
) -> Parameter {
    Parameter { name, at, form, is_required: false, meaning, is_own: false }
}

const fn typed<T: JsonSchema>() -> ValueForm {
    Typed(SchemaGenerator::subschema_for::<T>)
}

const fn required(name: &'static str, form: ValueForm, meaning: &'static str) -> Parameter {
    Parameter { is_required: true, ..option(name, name, form, meaning) }
}

const ID: Parameter = required("id", Text, "The delivery, as EVENT.N.");
const ACTION: Parameter = required("action", Text, "The action.");
const MESSAGE: Parameter = required("id", Number, "The number of the message.");
const FILTER: Parameter = required("filter", typed::<Which>(), "");
const MESSAGES: Parameter = required("filter", typed::<WhichMessages>(), "");
const DRY_RUN: Parameter =
    option("dry_run", "dry_run", Flag, "Answer what would change, and change nothing.");
const RAW: Parameter = Parameter {
    is_own: true,
    ..option(
        "raw",
        "raw",
        Flag,
        "With the bytes of the message, which may have secrets: on the control socket only.",
    )
};
const LOOK: Parameter = Parameter {
    is_own: true,
    ..option(
        "look",
        "look",
        Flag,
        "Look at the queues of the brokers again, for the next status: on the control socket only.",
    )
};
const SINCE: Parameter = option("since", "filter/since", Text, "Received then or later, RFC 3339.");
const UNTIL: Parameter = option("until", "filter/until", Text, "Received before then, RFC 3339.");
const LIMIT: Parameter =
    option("limit", "limit", Count(MOST_LISTED), "Entries of a page, at most 1000; 100 unless set.");

const DELIVERIES: &[Parameter] = &[
    option("id", "filter/ids", Texts, "Deliveries with these ids, as EVENT.N."),
    option("event", "filter/event", Number, "Deliveries of this event."),
    option("rule", "filter/rule", Text, "Deliveries of this rule."),
    option("action", "filter/action", Text, "Deliveries of this action."),
    option(
        "state",
        "filter/states",
        Texts,
        "In one of these states, or groups of states, as osnl deliveries list --state has them; several separated by commas.",
    ),
    option(
        "about",
        "filter/about",
        Texts,
        "The number of a delivery or an event, the id of a message, the id or the name of a resource.",
    ),
    option("resource", "filter/resource", Text, "Deliveries about this resource."),
    option("status", "filter/status", Text, "With an answer of this HTTP status, such as 409 or 4xx."),
    option("text", "filter/text", Text, "With this text in an answer or a reason."),
    option("event_type", "filter/event_type", Text, "Deliveries of this event type."),
    SINCE,
    UNTIL,
    option(
        "order",
        "order",
        typed::<ListOrder>(),
        "The order: by number (the default), or the largest number first.",
    ),
    option("after", "after", Text, "The value of next of the page before."),
    LIMIT,
];

/// The filter alone: all but order, position, and length of the page.
const DELIVERY_FILTER: &[Parameter] = DELIVERIES.split_at(DELIVERIES.len() - 3).0;

const QUARANTINE: &[Parameter] = &[
    option("id", "filter/ids", Numbers, "Messages with these numbers."),
    option("queue", "filter/queue", Text, "Messages of this queue."),
    option("reason", "filter/reason", Text, "Messages whose reason contains this text."),
    SINCE,
    UNTIL,
    option("after", "after", Number, "Messages with a larger number."),
    LIMIT,
];

pub static ROUTES: &[Route] = &[
    Route::get::<Status>(
        "/status",
        "status",
        &[LOOK],
        "Show the status: the verdict, the incidents, connections, targets, backlog, and dead letters.",
        "The status, as osnl status --format json has it.",
    ),
    Route::get::<List>(
        "/deliveries",
        "list",
        DELIVERIES,
        "List deliveries in the order of their ids.",
        "A page of deliveries, totals by state, and the start of the next page.",
    ),
    Route::get::<DeliveryGroups>(
        "/deliveries/groups",
        "groups",
        DELIVERY_FILTER,
        "Show deliveries that are not done as groups of the same action, state, and cause.",
        "The groups, those that wait for an operator first, and totals by state.",
    ),
    Route::get::<Show>(
        "/deliveries/{id}",
        "show",
        &[ID, RAW],
        "Show a delivery with its attempts and its message, secrets masked.",
        "The delivery.",
    ),
    Route::post::<ChangeResult>(
        "/deliveries/retry",
        "retry",
        &[
            FILTER,
            DRY_RUN,
            option(
                "out_of_order",
                "out_of_order",
                Flag,
                "Retry even where a later delivery of the same resource was made.",
            ),
        ],
        "Retry dead letters.",
        "The deliveries that were changed, and the refused ones.",
    ),
    Route::post::<ChangeResult>(
        "/deliveries/discard",
        "discard",
        &[FILTER, DRY_RUN],
        "Discard pending and dead deliveries.",
        "The deliveries that were changed, and the refused ones.",
    ),
    Route::post::<ChangeResult>(
        "/deliveries/release",
        "release",
        &[FILTER, DRY_RUN],
        "Release deliveries that wait for it.",
        "The deliveries that were changed, and the refused ones.",
    ),
    Route::post::<ChangeResult>(
        "/deliveries/move",
        "move",
        &[FILTER, DRY_RUN, required("to", Text, "The other action.")],
        "Move pending deliveries to another action.",
        "The deliveries that were changed, and the refused ones.",
    ),
    Route::post::<ProbeResult>(
        "/actions/{action}/probe",
        "probe",
        &[ACTION],
        "Probe a target that is down now, with a delivery that waits.",
        "The state of the target afterwards.",
    ),
    Route::post::<PauseResult>(
        "/actions/{action}/pause",
        "pause",
        &[ACTION],
        "Pause an action: no attempt begins, also after a restart.",
        "Since when it is paused.",
    ),
    Route::post::<PauseResult>(
        "/actions/{action}/resume",
        "resume",
        &[ACTION],
        "Resume a paused action.",
        "Whether it was paused.",
    ),
    Route::get::<QuarantineList>(
        "/quarantine",
        "quarantine-list",
        QUARANTINE,
        "List messages in quarantine in the order of their arrival.",
        "A page of messages.",
    ),
    Route::get::<QuarantineShow>(
        "/quarantine/{id}",
        "quarantine-show",
        &[MESSAGE, RAW],
        "Show a message in quarantine, secrets masked.",
        "The message.",
    ),
    Route::post::<QuarantineChanges>(
        "/quarantine/retry",
        "quarantine-retry",
        &[required(
            "messages",
            typed::<Vec<MessageAgain>>(),
            "Numbers of messages with the deliveries to make, as osnl quarantine retry plans them.",
        )],
        "Send messages through planned deliveries and out of the quarantine.",
        "What changed.",
    ),
    Route::post::<QuarantineChanges>(
        "/quarantine/discard",
        "quarantine-discard",
        &[MESSAGES, DRY_RUN],
        "Discard messages in quarantine.",
        "What changed.",
    ),
    Route::post::<ReplayResult>(
        "/replay",
        "replay",
        &[
            required(
                "events",
                typed::<Vec<Again>>(),
                "Events with the deliveries to make, as osnl replay plans them.",
            ),
            option(
                "keep_ids",
                "keep_ids",
                Flag,
                "Keep ids, so that what the journal has is not appended again.",
            ),
        ],
        "Append events anew with planned deliveries.",
        "How many events were appended.",
    ),
    Route::post::<ReloadResult>(
        "/reload",
        "reload",
        &[],
        "Read the configuration again.",
        "The changed sections, or why nothing was changed.",
    ),
    Route::post::<ForgottenQueues>(
        "/queues/{queue}/forget",
        "forget-queue",
        &[
            required("queue", Text, "Its name."),
            option("vhost", "vhost", Text, "Only that of this virtual host."),
        ],
        "Remove a queue without a listener from the status.",
        "The queues that are shown no longer.",
    ),
];

impl Route {
    const fn get<T: JsonSchema>(
        path: &'static str,
        verb: &'static str,
        takes: &'static [Parameter],
        summary: &'static str,
        answer_meaning: &'static str,
    ) -> Self {
        let answer = SchemaGenerator::subschema_for::<T>;
        Self { method: Method::GET, path, verb, right: Right::Read, takes, summary, answer, answer_meaning }
    }

    const fn post<T: JsonSchema>(
        path: &'static str,
        verb: &'static str,
        takes: &'static [Parameter],
        summary: &'static str,
        answer_meaning: &'static str,
    ) -> Self {
        let answer = SchemaGenerator::subschema_for::<T>;
        Self {
            method: Method::POST,
            path,
            verb,
            right: Right::Change,
            takes,
            summary,
            answer,
            answer_meaning,
        }
    }

    #[must_use]
    pub fn changes(&self) -> bool {
        self.right == Right::Change
    }

    pub fn taken(&self, place: ParameterPlace) -> impl Iterator<Item = &'static Parameter> {
        let (path, changes) = (self.path, self.changes());
        self.takes.iter().filter(move |row| {
            let is_in_path = path.split('/').filter_map(in_braces).any(|name| name == row.name);
            place
                == match (is_in_path, changes) {
                    (true, _) => ParameterPlace::Path,
                    (false, true) => ParameterPlace::Body,
                    (false, false) => ParameterPlace::Query,
                }
        })
    }

    fn values(&self, path: &str) -> Option<PathValues> {
        let mut values = Vec::new();
        let (mut own, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (own.next(), given.next()) {
                (None, None) => return Some(values),
                (Some(own), Some(given)) => match in_braces(own) {
                    Some(name) if !given.is_empty() => values.push((name, query::plain(given).ok()?)),
                    None if own == given => {}
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    pub fn read(
        &self,
        values: PathValues,
        query: &str,
        body: &[u8],
        by: Sender<'_>,
    ) -> Result<ControlRequest, String> {
        let options = self.taken(ParameterPlace::Query).filter(|row| by.is_own || !row.is_own);
        let mut object = query::read(query, options)?;
        if self.changes() && !body.is_empty() {
            object = serde_json::from_slice(body).map_err(|error| format!("not a JSON object: {error}"))?;
            let elsewhere = self.taken(ParameterPlace::Path).map(|row| row.name).chain(["verb"]);
            let mut elsewhere = elsewhere.chain((!by.is_own).then_some("by"));
            if let Some(name) = elsewhere.find(|name| object.contains_key(*name)) {
                return Err(format!("{name:?} is not a member of this request"));
            }
        }
        if self.changes() {
            object.entry("by").or_insert_with(|| json!(by.name));
        }
        object.insert("verb".to_owned(), json!(self.verb));
        for row in self.taken(ParameterPlace::Path) {
            if let Some((name, text)) = values.iter().find(|(name, _)| *name == row.name) {
                object.insert((*name).to_owned(), query::value(row, text)?);
            }
        }
        serde_json::from_value(Value::Object(object)).map_err(|error| in_words(&error.to_string()))
    }

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
        let query = query::write(object, route.taken(ParameterPlace::Query))?;
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

#[derive(Debug)]
pub enum RouteLookup {
    Route(&'static Route, PathValues),
    OtherMethod(String),
    Nothing,
}

/// Finds the route of a request by its path below [`BASE`]. `/deliveries/retry` is found before
/// `/deliveries/{id}`. `HEAD` is `GET` whose body the server leaves out.
#[must_use]
pub fn find(method: &Method, path: &str) -> RouteLookup {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let all = ROUTES.iter().filter_map(|route| Some((route, route.values(path)?)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, values)| values.len());
    let named = |route: &'static Route| if route.changes() { route.method.as_str() } else { "GET, HEAD" };
    let methods: Vec<_> = all.iter().map(|(route, _)| named(route)).collect();
    let methods = methods.join(", ");
    match all.into_iter().find(|(route, _)| route.method == *method) {
        Some((route, values)) => RouteLookup::Route(route, values),
        None if methods.is_empty() => RouteLookup::Nothing,
        None => RouteLookup::OtherMethod(methods),
    }
}

#[cfg(test)]
mod tests;
