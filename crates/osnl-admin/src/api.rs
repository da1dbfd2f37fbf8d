//! `/api/v1`: the verbs of the control socket as addresses.
//!
//! An address names the verb; its query, or the object in a request's body, is the rest of the request. Answers are
//! those of [`osnl::control`], with secrets masked; the bytes of a message are not to
//! be had here.

use hyper::Method;
use osnl::control::{ControlRequest, MOST_LISTED};
use serde_json::{Map, Value, json};

pub use crate::query::{ParameterRow, ValueForm};

/// The document that describes all of it.
pub const OPENAPI: &str = include_str!("../openapi.json");

/// An address and what it asks.
#[derive(Debug)]
pub struct ApiRoute {
    /// `GET`, or `POST` for what changes something.
    pub method: Method,
    /// The path below `/api/v1`; a part in braces is a member of the request.
    pub path: &'static str,
    /// The verb of the control socket.
    pub verb: &'static str,
    /// The options of its query.
    pub query: &'static [ParameterRow],
}

const DELIVERIES: &[ParameterRow] = &[
    ("id", &["filter", "ids"], ValueForm::Texts),
    ("event", &["filter", "event"], ValueForm::Number),
    ("rule", &["filter", "rule"], ValueForm::Text),
    ("action", &["filter", "action"], ValueForm::Text),
    ("state", &["filter", "states"], ValueForm::Texts),
    ("about", &["filter", "about"], ValueForm::Texts),
    ("resource", &["filter", "resource"], ValueForm::Text),
    ("status", &["filter", "status"], ValueForm::Text),
    ("text", &["filter", "text"], ValueForm::Text),
    ("event_type", &["filter", "event_type"], ValueForm::Text),
    ("since", &["filter", "since"], ValueForm::Text),
    ("until", &["filter", "until"], ValueForm::Text),
    ("order", &["order"], ValueForm::Text),
    ("after", &["after"], ValueForm::Text),
    ("limit", &["limit"], ValueForm::Number),
];

const QUARANTINE: &[ParameterRow] = &[
    ("id", &["filter", "ids"], ValueForm::Numbers),
    ("queue", &["filter", "queue"], ValueForm::Text),
    ("reason", &["filter", "reason"], ValueForm::Text),
    ("since", &["filter", "since"], ValueForm::Text),
    ("until", &["filter", "until"], ValueForm::Text),
    ("after", &["after"], ValueForm::Number),
    ("limit", &["limit"], ValueForm::Number),
];

pub static ROUTES: &[ApiRoute] = &[
    ApiRoute::get("/status", "status", &[]),
    ApiRoute::get("/deliveries", "list", DELIVERIES),
    ApiRoute::get("/deliveries/{id}", "show", &[]),
    ApiRoute::post("/deliveries/retry", "retry"),
    ApiRoute::post("/deliveries/discard", "discard"),
    ApiRoute::post("/deliveries/release", "release"),
    ApiRoute::post("/deliveries/move", "move"),
    ApiRoute::post("/actions/{action}/probe", "probe"),
    ApiRoute::post("/actions/{action}/pause", "pause"),
    ApiRoute::post("/actions/{action}/resume", "resume"),
    ApiRoute::get("/quarantine", "quarantine-list", QUARANTINE),
    ApiRoute::get("/quarantine/{id}", "quarantine-show", &[]),
    ApiRoute::post("/quarantine/retry", "quarantine-retry"),
    ApiRoute::post("/quarantine/discard", "quarantine-discard"),
    ApiRoute::post("/replay", "replay"),
    ApiRoute::post("/reload", "reload"),
];

impl ApiRoute {
    const fn get(path: &'static str, verb: &'static str, query: &'static [ParameterRow]) -> Self {
        Self { method: Method::GET, path, verb, query }
    }

    const fn post(path: &'static str, verb: &'static str) -> Self {
        Self { method: Method::POST, path, verb, query: &[] }
    }

    /// Whether it may change something.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.method != Method::GET
    }

    /// The members that a path has for the parts in braces; `None` if it is another address.
    fn members(&self, path: &str) -> Option<Vec<(&'static str, String)>> {
        let mut members = Vec::new();
        let (mut own, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (own.next(), given.next()) {
                (None, None) => return Some(members),
                (Some(own), Some(given)) => match own.strip_prefix('{').and_then(|own| own.strip_suffix('}'))
                {
                    Some(name) if !given.is_empty() => members.push((name, crate::query::plain(given).ok()?)),
                    None if own == given => {}
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    /// Makes the request.
    ///
    /// # Errors
    /// It is not understood; why.
    pub(crate) fn request(
        &self,
        members: Vec<(&'static str, String)>,
        query: &str,
        body: &[u8],
        by: &str,
    ) -> Result<ControlRequest, String> {
        let mut object = crate::query::read(query, self.query)?;
        if self.changes() {
            if !body.is_empty() {
                let given: Map<String, Value> =
                    serde_json::from_slice(body).map_err(|error| format!("not a JSON object: {error}"))?;
                object.extend(given);
            }
            if let Some(own) = ["verb", "by", "raw"].into_iter().find(|own| object.contains_key(*own)) {
                return Err(format!("{own:?} is not a member of this request"));
            }
            object.insert("by".to_owned(), json!(by));
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
pub(crate) enum RouteLookup {
    Route(&'static ApiRoute, Vec<(&'static str, String)>),
    /// The address is there for other methods, these.
    OtherMethod(String),
    Nothing,
}

/// Finds the address of a request. A part that is written out counts before one in braces. `HEAD` is `GET` whose body
/// the server leaves out.
pub(crate) fn find(method: &Method, path: &str) -> RouteLookup {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let all = ROUTES.iter().filter_map(|route| Some((route, route.members(path)?)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, members)| members.len());
    let named = |route: &'static ApiRoute| if route.changes() { route.method.as_str() } else { "GET, HEAD" };
    let methods: Vec<_> = all.iter().map(|(route, _)| named(route)).collect();
    let methods = methods.join(", ");
    match all.into_iter().find(|(route, _)| route.method == *method) {
        Some((route, members)) => RouteLookup::Route(route, members),
        None if methods.is_empty() => RouteLookup::Nothing,
        None => RouteLookup::OtherMethod(methods),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &Method, path: &str, query: &str, body: &str) -> Result<ControlRequest, String> {
        match find(method, path) {
            RouteLookup::Route(route, members) => route.request(members, query, body.as_bytes(), "me"),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn an_address_is_a_request_of_the_control_socket() {
        let check = |method: Method, path: &str, query: &str, body: &str, expected: Value| {
            let asked = request(&method, path, query, body).unwrap_or_else(|error| panic!("{path}: {error}"));
            let expected: ControlRequest = serde_json::from_value(expected).unwrap();
            assert_eq!(asked, expected, "{path}");
        };
        check(Method::GET, "/status", "", "", json!({"verb": "status"}));
        check(
            Method::GET,
            "/deliveries",
            "state=dead&action=roles&limit=5&after=3.0",
            "",
            json!({"verb": "list", "filter": {"states": ["dead"], "action": "roles"}, "limit": 5, "after": "3.0"}),
        );
        check(Method::GET, "/deliveries/17.0", "", "", json!({"verb": "show", "id": "17.0"}));
        check(Method::GET, "/quarantine/4", "", "", json!({"verb": "quarantine-show", "id": 4}));
        let retry = json!({"verb": "retry", "filter": {"action": "a"}, "dry_run": true, "by": "me"});
        check(
            Method::POST,
            "/deliveries/retry",
            "",
            r#"{"filter": {"action": "a"}, "dry_run": true}"#,
            retry,
        );
        check(
            Method::POST,
            "/actions/r%20s/pause",
            "",
            "",
            json!({"verb": "pause", "action": "r s", "by": "me"}),
        );
        check(Method::POST, "/reload", "", "{}", json!({"verb": "reload", "by": "me"}));
    }

    /// A new verb of the control socket needs a line here, and then an address.
    #[test]
    fn every_verb_of_the_control_socket_has_an_address() {
        fn verb(request: &ControlRequest) -> &'static str {
            match request {
                ControlRequest::Status { .. } => "status",
                ControlRequest::List { .. } => "list",
                ControlRequest::Show { .. } => "show",
                ControlRequest::Retry { .. } => "retry",
                ControlRequest::Discard { .. } => "discard",
                ControlRequest::Release { .. } => "release",
                ControlRequest::Move { .. } => "move",
                ControlRequest::QuarantineList { .. } => "quarantine-list",
                ControlRequest::QuarantineShow { .. } => "quarantine-show",
                ControlRequest::QuarantineRetry { .. } => "quarantine-retry",
                ControlRequest::QuarantineDiscard { .. } => "quarantine-discard",
                ControlRequest::Reload { .. } => "reload",
                ControlRequest::Pause { .. } => "pause",
                ControlRequest::Probe { .. } => "probe",
                ControlRequest::Resume { .. } => "resume",
                ControlRequest::Replay { .. } => "replay",
            }
        }
        let mut verbs: Vec<_> = ROUTES.iter().map(|route| route.verb).collect();
        verbs.sort_unstable();
        let all = [
            "discard",
            "list",
            "move",
            "pause",
            "probe",
            "quarantine-discard",
            "quarantine-list",
            "quarantine-retry",
            "quarantine-show",
            "release",
            "reload",
            "replay",
            "resume",
            "retry",
            "show",
            "status",
        ];
        assert_eq!(verbs, all);
        for route in ROUTES {
            let body = match route.verb {
                "retry" | "discard" | "release" | "quarantine-discard" => r#"{"filter": {"ids": []}}"#,
                "move" => r#"{"filter": {"ids": []}, "to": "b"}"#,
                "quarantine-retry" => r#"{"messages": []}"#,
                "replay" => r#"{"events": []}"#,
                _ => "",
            };
            let path = route.path.replace("{id}", "1").replace("{action}", "a");
            let asked =
                request(&route.method, &path, "", body).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(verb(&asked), route.verb);
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let check = |method: Method, path: &str, query: &str, body: &str, expected: &str| {
            let error = request(&method, path, query, body).unwrap_err();
            assert!(error.contains(expected), "{path}: {error}");
        };
        check(Method::GET, "/nothing", "", "", "Nothing");
        check(Method::GET, "/deliveries/", "", "", "Nothing");
        check(Method::POST, "/status", "", "", "OtherMethod(\"GET, HEAD\")");
        check(Method::GET, "/reload", "", "", "OtherMethod(\"POST\")");
        check(Method::GET, "/deliveries/17.0", "raw=true", "", "allowed: none");
        check(Method::POST, "/deliveries/retry", "", "", "missing field `filter`");
        check(Method::POST, "/deliveries/retry", "", "[]", "not a JSON object");
        let number = "\"abc\" is not the number of a message in quarantine; allowed: a whole number";
        check(Method::GET, "/quarantine/abc", "", "", number);
        for path in ["/deliveries", "/quarantine"] {
            for limit in ["limit=99999999999", "limit=0", "limit=1001"] {
                check(Method::GET, path, limit, "", "limit: allowed are 1 to 1000");
            }
        }
        for (body, allowed) in [
            (r#"{"filter": {"ids": ["abc"]}}"#, "invalid type: string \"abc\"; allowed: a whole number"),
            (r#"{"filter": {"ids": 4}}"#, "allowed: a list"),
            (r#"{"filter": 4}"#, "allowed: an object"),
            (r#"{"filter": {}, "dry_run": 1}"#, "allowed: a boolean"),
        ] {
            check(Method::POST, "/quarantine/discard", "", body, allowed);
        }
        check(
            Method::POST,
            "/deliveries/retry",
            "",
            r#"{"filter": {}, "by": "eve"}"#,
            "\"by\" is not a member",
        );
        check(
            Method::POST,
            "/deliveries/discard",
            "",
            r#"{"filter": {"phases": ["dead"]}}"#,
            "unknown field `phases`; allowed: one of `ids`",
        );
        check(Method::POST, "/reload", "", r#"{"verb": "status"}"#, "\"verb\" is not a member");
        check(Method::POST, "/reload", "now=1", "", "allowed: none");
    }
}
