use super::*;
use crate::control::{ListOrder, Which};

fn request(method: &Method, path: &str, query: &str, body: &str) -> Result<ControlRequest, String> {
    match find(method, path) {
        RouteLookup::Route(route, members) => {
            route.read(members, query, body.as_bytes(), Sender { name: "me", is_own: false })
        }
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn an_address_is_a_request() {
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

/// A new verb needs a line here, and then a row.
#[test]
fn every_verb_has_an_address() {
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
        let asked = request(&route.method, &path, "", body).unwrap_or_else(|error| panic!("{path}: {error}"));
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
    check(Method::POST, "/deliveries/retry", "", r#"{"filter": {}, "by": "eve"}"#, "\"by\" is not a member");
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

#[test]
fn what_is_written_can_be_read() {
    let by = "eve".to_owned();
    let filter = Which {
        ids: vec!["1.0".to_owned(), "2.1".to_owned()],
        event: Some(7),
        rule: Some("a&b=c+d é".to_owned()),
        states: vec!["dead".to_owned()],
        ..Which::default()
    };
    let list = ControlRequest::List {
        filter: filter.clone(),
        order: ListOrder::Attention,
        after: Some("1.0".to_owned()),
        limit: 7,
        count_at_most: None,
    };
    for request in [
        ControlRequest::Status {},
        list.clone(),
        ControlRequest::Show { id: "a/b?".to_owned(), raw: true },
        ControlRequest::QuarantineShow { id: 4, raw: false },
        ControlRequest::Pause { action: "r s".to_owned(), by: by.clone() },
        ControlRequest::Retry { filter, out_of_order: true, dry_run: true, by },
    ] {
        let (route, target, body) = Route::write(&request).unwrap();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let found = find(&route.method, path.strip_prefix(BASE).unwrap());
        let RouteLookup::Route(found, members) = found else { panic!("{target}: {found:?}") };
        let own = Sender { name: "me", is_own: true };
        assert_eq!(found.read(members, query, &body, own).unwrap(), request, "{target}");
    }
    let ControlRequest::List { filter, order, after, limit, .. } = list else { panic!("a list") };
    let bounded = ControlRequest::List { filter, order, after, limit, count_at_most: Some(9) };
    assert!(Route::write(&bounded).unwrap_err().contains("count_at_most"));
}

/// The client names who asks; a caller of the admin endpoint has no other name than its own.
#[test]
fn the_control_socket_alone_takes_a_name_and_shows_bytes() {
    let RouteLookup::Route(route, members) = find(&Method::POST, "/reload") else { panic!("a row") };
    let own = route.read(members, "", br#"{"by": "eve"}"#, Sender { name: "user 7", is_own: true });
    assert_eq!(own, Ok(ControlRequest::Reload { by: "eve".to_owned() }));
    let own = route.read(Vec::new(), "", b"", Sender { name: "user 7", is_own: true });
    assert_eq!(own, Ok(ControlRequest::Reload { by: "user 7".to_owned() }));
    let RouteLookup::Route(route, members) = find(&Method::GET, "/deliveries/17.0") else { panic!("a row") };
    let own = route.read(members, "raw=true", b"", Sender { name: "user 7", is_own: true });
    assert_eq!(own, Ok(ControlRequest::Show { id: "17.0".to_owned(), raw: true }));
}
