use std::collections::BTreeSet;

use super::*;
use crate::control::query::ValueForm;
use crate::control::{ListOrder, Which};

const PUBLIC: Sender<'static> = Sender { name: "me", is_own: false };
const OWN: Sender<'static> = Sender { name: "user 7", is_own: true };

fn request(
    method: &Method,
    path: &str,
    query: &str,
    body: &str,
    by: Sender<'_>,
) -> Result<ControlRequest, String> {
    match find(method, path) {
        RouteLookup::Route(route, values) => route.read(values, query, body.as_bytes(), by),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn an_address_is_a_request() {
    let check = |method: Method, path: &str, query: &str, body: &str, expected: Value| {
        let asked =
            request(&method, path, query, body, PUBLIC).unwrap_or_else(|error| panic!("{path}: {error}"));
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
    check(Method::POST, "/deliveries/retry", "", r#"{"filter": {"action": "a"}, "dry_run": true}"#, retry);
    check(
        Method::POST,
        "/actions/r%20s/pause",
        "",
        "",
        json!({"verb": "pause", "action": "r s", "by": "me"}),
    );
    check(Method::POST, "/reload", "", "{}", json!({"verb": "reload", "by": "me"}));
}

/// Serde's refusal of an unknown name lists the known names.
fn known(request: Value) -> BTreeSet<String> {
    let error = serde_json::from_value::<ControlRequest>(request).unwrap_err().to_string();
    error.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
}

#[test]
fn every_verb_has_a_row() {
    let verbs: BTreeSet<String> = ROUTES.iter().map(|route| route.verb.to_owned()).collect();
    assert_eq!(known(json!({"verb": "?"})), verbs);
    assert_eq!(ROUTES.len(), verbs.len());
}

#[test]
fn a_query_has_the_members_of_its_request() {
    let route = |verb: &str| ROUTES.iter().find(|route| route.verb == verb).unwrap();
    let names =
        |verb: &str| route(verb).taken(ParameterPlace::Query).map(|row| row.name).collect::<BTreeSet<_>>();
    let quarantine = ["id", "queue", "reason", "since", "until", "after", "limit"];
    assert_eq!(names("quarantine-list"), BTreeSet::from(quarantine));
    let list = names("list");
    assert!(
        ["id", "state", "held_by", "status", "order", "limit"].iter().all(|name| list.contains(name)),
        "{list:?}"
    );
    assert!(!list.contains("count_at_most"), "{list:?}");
    assert_eq!(names("retry"), BTreeSet::new());
    let path: Vec<_> = route("quarantine-show").taken(ParameterPlace::Path).collect();
    assert!(matches!(&path[..], [Parameter { name: "id", form: ValueForm::Number, .. }]), "{path:?}");
}

#[test]
fn a_request_that_is_not_understood_is_refused_with_the_reason() {
    let check = |method: Method, path: &str, query: &str, body: &str, expected: &str| {
        let error = request(&method, path, query, body, PUBLIC).unwrap_err();
        assert!(error.contains(expected), "{path}: {error}");
    };
    check(Method::GET, "/nothing", "", "", "Nothing");
    check(Method::GET, "/deliveries/", "", "", "Nothing");
    check(Method::POST, "/status", "", "", "OtherMethod(\"GET, HEAD\")");
    check(Method::GET, "/reload", "", "", "OtherMethod(\"POST\")");
    check(Method::GET, "/deliveries/17.0", "raw=true", "", "allowed: none");
    check(Method::POST, "/deliveries/retry", "", "", "filter is missing");
    check(Method::POST, "/deliveries/retry", "", "[]", "not a JSON object");
    check(Method::GET, "/quarantine/abc", "", "", "id: \"abc\" is not a number; allowed: a whole number");
    for path in ["/deliveries", "/quarantine"] {
        for limit in ["limit=99999999999", "limit=0", "limit=1001"] {
            check(Method::GET, path, limit, "", "limit: allowed are 1 to 1000");
        }
    }
    for (path, body, refusal) in [
        (
            "/quarantine/discard",
            r#"{"filter": {"ids": ["abc"]}}"#,
            "filter.ids[0]: \"abc\" is not a whole number from 0 on; allowed: a whole number from 0 on",
        ),
        ("/quarantine/discard", r#"{"filter": {"ids": 4}}"#, "filter.ids: 4 is not a list; allowed: a list"),
        ("/quarantine/discard", r#"{"filter": 4}"#, "filter: 4 is not an object; allowed: an object"),
        (
            "/quarantine/discard",
            r#"{"filter": {}, "dry_run": 1}"#,
            "dry_run: 1 is not true or false; allowed: true or false",
        ),
        ("/quarantine/retry", r#"{"messages": [{"id": 1, "deliveries": []}, {"id": null}]}"#, "messages[1]"),
        (
            "/deliveries/discard",
            r#"{"filter": {"phases": ["dead"]}}"#,
            "filter.phases is not a member; allowed: about, action",
        ),
        (
            "/deliveries/discard",
            r#"{"filter": {"event": -1}}"#,
            "filter.event: -1 is not a whole number from 0 on",
        ),
        (
            "/deliveries/discard",
            r#"{"filter": {"action": ["a"]}}"#,
            "filter.action: a list is not a string; allowed: a string",
        ),
        (
            "/deliveries/discard",
            r#"{"filter": {}, "dryrun": true}"#,
            "dryrun is not a member; allowed: dry_run, filter",
        ),
        (
            "/deliveries/retry",
            r#"{"filter": {}, "out_of_order": "yes"}"#,
            "out_of_order: \"yes\" is not true or false",
        ),
        ("/deliveries/move", r#"{"filter": {}, "to": null}"#, "to: null is not a string; allowed: a string"),
        (
            "/replay",
            r#"{"events": {}, "keep_ids": true}"#,
            "events: an object is not a list; allowed: a list",
        ),
        ("/queues/osnl/forget", r#"{"vhost": 4}"#, "vhost: 4 is not a string; allowed: a string"),
        ("/reload", r#"{"now": true}"#, "now is not a member; allowed: none"),
        ("/actions/a/resume", r#"{"reason": "x"}"#, "reason is not a member; allowed: none"),
    ] {
        check(Method::POST, path, "", body, refusal);
    }
    // A program reads the last of two members, and a person the first.
    check(
        Method::POST,
        "/deliveries/discard",
        "",
        r#"{"filter": {"action": "a"}, "filter": {}}"#,
        "filter is given twice",
    );
    let retry = r#"{"filter": {}, "by": "eve"}"#;
    check(Method::POST, "/deliveries/retry", "", retry, "\"by\" is not a member");
    check(Method::POST, "/reload", "", r#"{"verb": "status"}"#, "\"verb\" is not a member");
    check(Method::POST, "/actions/a/pause", "", r#"{"action": "b"}"#, "\"action\" is not a member");
    check(Method::POST, "/reload", "now=1", "", "allowed: none");
}

#[test]
fn a_written_request_is_read_as_the_same() {
    let by = "eve".to_owned();
    let filter = Which {
        ids: vec!["1.0".to_owned(), "2.1".to_owned()],
        event: Some(7),
        rule: Some("a&b=c+d é".to_owned()),
        states: vec!["dead".to_owned()],
        ..Which::default()
    };
    let list = |count_at_most| ControlRequest::List {
        filter: filter.clone(),
        order: ListOrder::Newest,
        after: Some("1.0".to_owned()),
        limit: 7,
        count_at_most,
    };
    for request in [
        ControlRequest::Status { look: false },
        ControlRequest::Status { look: true },
        list(None),
        ControlRequest::Show { id: "a/b?".to_owned(), raw: true },
        ControlRequest::QuarantineShow { id: 4, raw: false },
        ControlRequest::Pause { action: "r s".to_owned(), reason: Some("a b&c".to_owned()), by: by.clone() },
        ControlRequest::Retry { filter: filter.clone(), out_of_order: true, dry_run: true, by },
    ] {
        let (route, target, body) = Route::write(&request).unwrap();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let found = find(&route.method, path.strip_prefix(BASE).unwrap());
        let RouteLookup::Route(found, values) = found else { panic!("{target}: {found:?}") };
        assert_eq!(found.read(values, query, &body, OWN).unwrap(), request, "{target}");
    }
    assert!(Route::write(&list(Some(9))).unwrap_err().contains("count_at_most"));
}

/// A command names its user; a caller of the admin endpoint has no other name than that of its connection.
#[test]
fn only_the_control_socket_accepts_a_name_and_shows_bytes() {
    let own = |method, path: &str, query: &str, body: &str| request(&method, path, query, body, OWN);
    let reload = |by: &str| Ok(ControlRequest::Reload { by: by.to_owned() });
    assert_eq!(own(Method::POST, "/reload", "", r#"{"by": "eve"}"#), reload("eve"));
    assert_eq!(own(Method::POST, "/reload", "", ""), reload("user 7"));
    let show = ControlRequest::Show { id: "17.0".to_owned(), raw: true };
    assert_eq!(own(Method::GET, "/deliveries/17.0", "raw=true", ""), Ok(show));
}
