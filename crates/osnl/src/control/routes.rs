//! The verbs: [`ROUTES`] has a row for each, with its address, the type of its answer, and who may ask.
//!
//! The parameters of a row are the members of its [`ControlRequest`], by whose schema the server reads a request
//! ([`find`], [`Route::read`]) and the client writes one ([`Route::write`]). The API's description is made of all rows and
//! the schemas of requests and answers.
//!
//! A new verb is a variant of [`ControlRequest`], a row here, a type in `answer.rs`, an arm in `handler.rs` or
//! `handler/change.rs`, and a request in `osnl-cli/tests/cli/served.rs`.

mod body;

use std::collections::HashMap;
use std::sync::LazyLock;

use hyper::Method;
use percent_encoding::utf8_percent_encode;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::answer::{
    ChangeResult, ClosedGaps, DeliveryGroups, ForgottenQueues, GapList, List, PauseResult, ProbeResult,
    ReloadResult, ReplayResult, ResourceHistory, Show,
};
use super::quarantine::{QuarantineChanges, QuarantineList, QuarantineShow};
use super::query::{self, Parameter, RESERVED};
use super::{ControlRequest, Status};

pub const BASE: &str = "/api/v1";

/// The right that a caller needs for a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// On the control socket members of `control_group` have this right.
    Read,
    Change,
}

/// Returns the schema of a type, which the generator also defines by its name.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The part of a URL that has a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterPlace {
    Path,
    Query,
}

/// The row of a verb, from which its API, description, client, and list come.
#[derive(Debug)]
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub verb: &'static str,
    pub right: Right,
    pub summary: &'static str,
    pub answer: SchemaOf,
    pub answer_meaning: &'static str,
}

/// The caller of a request, for the journal's record of changes.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub name: &'a str,
    /// Whether the request came by the control socket, where a command names its user.
    pub is_own: bool,
}

type PathValues = Vec<(&'static str, String)>;

/// The parameters of the addresses, by verb.
static PARAMETERS: LazyLock<HashMap<&'static str, Vec<(ParameterPlace, Parameter)>>> =
    LazyLock::new(|| ROUTES.iter().map(|route| (route.verb, parameters(route))).collect());

/// The schemas of the requests, without references.
static REQUESTS: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.for_deserialize().into_generator().into_root_schema_for::<ControlRequest>().into()
});

/// Returns the schema of a verb's request among the schemas of all requests.
#[must_use]
pub fn request_of<'a>(requests: &'a Value, verb: &str) -> &'a Value {
    let mut all = requests["oneOf"].as_array().into_iter().flatten();
    all.find(|request| request["properties"]["verb"]["const"] == verb).unwrap_or(&Value::Null)
}

fn parameters(route: &Route) -> Vec<(ParameterPlace, Parameter)> {
    let members = request_of(&REQUESTS, route.verb)["properties"].as_object();
    let mut found = Vec::new();
    for (member, schema) in members.into_iter().flatten().filter(|(member, _)| *member != "verb") {
        match schema["properties"].as_object() {
            _ if route.has_in_path(member) => {
                found.push((ParameterPlace::Path, Parameter::new(None, member, schema)));
            }
            _ if route.changes() => {}
            Some(inner) => found.extend(inner.iter().map(|(inner, schema)| {
                (ParameterPlace::Query, Parameter::new(Some(member.as_str()), inner, schema))
            })),
            None => found.push((ParameterPlace::Query, Parameter::new(None, member, schema))),
        }
    }
    found
}

pub static ROUTES: &[Route] = &[
    Route::get::<Status>(
        "/status",
        "status",
        "Show the status: the verdict, the incidents, connections, targets, backlog, and dead letters.",
        "The status, as osnl status --format json has it.",
    ),
    Route::get::<List>(
        "/deliveries",
        "list",
        "List deliveries in the order of their ids.",
        "A page of deliveries, totals by state, and the start of the next page.",
    ),
    Route::get::<DeliveryGroups>(
        "/deliveries/groups",
        "groups",
        "Show deliveries that are not done as groups of the same action, state, and cause.",
        "The groups, those that wait for an operator first, and totals by state.",
    ),
    Route::get::<Show>(
        "/deliveries/{id}",
        "show",
        "Show a delivery with its attempts and its message, secrets masked.",
        "The delivery.",
    ),
    Route::get::<ResourceHistory>(
        "/resources/{resource}/history",
        "history",
        "Show what happened to a resource: deliveries, dead letters, and messages that matched no rule.",
        "What happened, oldest first.",
    ),
    Route::post::<ChangeResult>(
        "/deliveries/retry",
        "retry",
        "Retry dead letters.",
        "The deliveries that were changed, and the refused ones.",
    ),
    Route::post::<ChangeResult>(
        "/deliveries/discard",
        "discard",
        "Discard pending and dead deliveries.",
        "The deliveries that were changed, and the refused ones.",
    ),
    Route::post::<ChangeResult>(
        "/deliveries/release",
        "release",
        "Release deliveries that wait for it.",
        "The deliveries that were changed, and the refused ones.",
    ),
    Route::post::<ChangeResult>(
        "/deliveries/move",
        "move",
        "Move pending deliveries to another action.",
        "The deliveries that were changed, and the refused ones.",
    ),
    Route::post::<ProbeResult>(
        "/actions/{action}/probe",
        "probe",
        "Probe a target that is down now, with a delivery that waits.",
        "The state of the target afterwards.",
    ),
    Route::post::<PauseResult>(
        "/actions/{action}/pause",
        "pause",
        "Pause an action: no attempt begins, with a journal on disk also after a restart.",
        "Since when it is paused.",
    ),
    Route::post::<PauseResult>(
        "/actions/{action}/resume",
        "resume",
        "Resume a paused action.",
        "Whether it was paused.",
    ),
    Route::get::<QuarantineList>(
        "/quarantine",
        "quarantine-list",
        "List messages in quarantine in the order of their arrival.",
        "A page of messages.",
    ),
    Route::get::<QuarantineShow>(
        "/quarantine/{id}",
        "quarantine-show",
        "Show a message in quarantine, secrets masked.",
        "The message.",
    ),
    Route::post::<QuarantineChanges>(
        "/quarantine/retry",
        "quarantine-retry",
        "Send messages through planned deliveries and out of the quarantine.",
        "What changed.",
    ),
    Route::post::<QuarantineChanges>(
        "/quarantine/discard",
        "quarantine-discard",
        "Discard messages in quarantine.",
        "What changed.",
    ),
    Route::post::<ReplayResult>(
        "/replay",
        "replay",
        "Append events anew with planned deliveries.",
        "How many events were appended.",
    ),
    Route::post::<ReloadResult>(
        "/reload",
        "reload",
        "Read the configuration again.",
        "The changed sections, or why nothing was changed.",
    ),
    Route::post::<ForgottenQueues>(
        "/queues/{queue}/forget",
        "forget-queue",
        "Remove a queue without a listener from the status.",
        "The queues that are shown no longer.",
    ),
    Route::get::<GapList>(
        "/gaps",
        "gaps",
        "List the intervals in which a listener could not have received what was published.",
        "The gaps that are neither verified nor dismissed, oldest first.",
    ),
    Route::post::<ClosedGaps>(
        "/gaps/dismiss",
        "dismiss-gaps",
        "Close gaps without a verification.",
        "The gaps that were closed.",
    ),
    Route::post::<ClosedGaps>(
        "/gaps/verified",
        "verified-gaps",
        "Close the gaps that a verification of an action covers, as osnl verify does at its end.",
        "The gaps that were closed.",
    ),
];

impl Route {
    const fn get<T: JsonSchema>(
        path: &'static str,
        verb: &'static str,
        summary: &'static str,
        answer_meaning: &'static str,
    ) -> Self {
        let answer = SchemaGenerator::subschema_for::<T>;
        Self { method: Method::GET, path, verb, right: Right::Read, summary, answer, answer_meaning }
    }

    const fn post<T: JsonSchema>(
        path: &'static str,
        verb: &'static str,
        summary: &'static str,
        answer_meaning: &'static str,
    ) -> Self {
        let answer = SchemaGenerator::subschema_for::<T>;
        Self { method: Method::POST, path, verb, right: Right::Change, summary, answer, answer_meaning }
    }

    #[must_use]
    pub fn changes(&self) -> bool {
        self.right == Right::Change
    }

    fn has_in_path(&self, member: &str) -> bool {
        self.path.split('/').filter_map(in_braces).any(|name| name == member)
    }

    pub fn taken(&self, place: ParameterPlace) -> impl Iterator<Item = &'static Parameter> {
        let all = PARAMETERS.get(self.verb).into_iter().flatten();
        all.filter(move |(of, _)| *of == place).map(|(_, parameter)| parameter)
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
        if self.changes() {
            if !body.is_empty() {
                object = body::read(body)?;
            }
            let mut elsewhere: Vec<&str> = self.taken(ParameterPlace::Path).map(|row| row.name).collect();
            elsewhere.extend(["verb", "by"]);
            let is_elsewhere = |name: &&&str| object.contains_key(**name) && !(by.is_own && **name == "by");
            if let Some(name) = elsewhere.iter().find(is_elsewhere) {
                return Err(format!("{name:?} is not a member of this request"));
            }
            if let Some(misfit) = body::misfit(&object, request_of(&REQUESTS, self.verb), &elsewhere) {
                return Err(misfit);
            }
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

/// The result of the search for the route of a URL.
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
