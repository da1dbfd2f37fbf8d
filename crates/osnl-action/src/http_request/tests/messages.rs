use std::time::{Duration, UNIX_EPOCH};

use osnl_config::template::Names;

use super::super::message::RequestSubject;
use super::{conf, event, previewed, sent};
use crate::Action as _;
use crate::driver::{DriverConf as _, Preview};

const KEY: &str = "idempotency-key: m-1/r/hook\n";

fn check(lines: &str, expected: &str) {
    assert_eq!(sent(lines).unwrap_or_else(|why| format!("! {why}")), expected, "{lines}");
}

#[test]
fn values_stay_in_their_places() {
    let url = "url = https://api.example:8443/v1";
    check(
        &format!("{url}/{{{{ payload.port.name }}}}?n={{{{ payload.n }}}}\nmethod = DELETE"),
        &format!("DELETE https://api.example:8443/v1/web%20%221%22%20%3Ca%26b%3E%2F..x%3Fy%3Dz?n=3\n{KEY}\n"),
    );
    check(
        &format!("{url}\nmethod = GET\nquery.name = {{{{ payload.port.name }}}}\nquery.b c = d&e"),
        &format!(
            "GET https://api.example:8443/v1?name=web+%221%22+%3Ca%26b%3E%2F..x%3Fy%3Dz&b+c=d%26e\n{KEY}\n"
        ),
    );
    check(
        &format!(
            "{url}\nformat = form\nfield.n = {{{{ payload.n }}}}\nfield.name = {{{{ payload.port.name }}}}"
        ),
        &format!(
            "POST https://api.example:8443/v1\n{KEY}content-type: application/x-www-form-urlencoded\n\n\
             n=3&name=web+%221%22+%3Ca%26b%3E%2F..x%3Fy%3Dz"
        ),
    );
    check(
        &format!("{url}\nformat = xml\nbody = <p n='{{{{ payload.port.name }}}}'/>"),
        &format!(
            "POST https://api.example:8443/v1\n{KEY}content-type: application/xml; charset=utf-8\n\n\
             <p n='web &quot;1&quot; &lt;a&amp;b&gt;/..x?y=z'/>"
        ),
    );
    check(
        &format!("{url}\nbody = {{\"text\": \"{{{{ payload.port.name }}}}\", \"n\": {{{{ payload.n }}}}}}"),
        &format!(
            "POST https://api.example:8443/v1\n{KEY}content-type: application/json\n\n\
             {{\"text\": \"web \\\"1\\\" <a&b>/..x?y=z\", \"n\": 3}}"
        ),
    );
    check(
        &format!(
            "{url}\nformat = text\nbody = {{{{ rule }}}} {{{{ action }}}} {{{{ idempotency_key }}}}\ncontent_type = a/b"
        ),
        &format!("POST https://api.example:8443/v1\n{KEY}content-type: a/b\n\nr hook m-1/r/hook"),
    );
}

#[test]
fn a_method_may_come_out_of_a_template_and_is_one() {
    let url = "url = http://h/";
    let by = |expression: &str| format!("{url}\nmethod = {{{{ {expression} }}}}");
    let chosen = "\"DELETE\" if event_type is search(\"delete\") else \"PUT\"";
    check(&by(chosen), &format!("DELETE http://h/\n{KEY}\n"));
    let put = sent(&by("\"PUT\"")).unwrap();
    assert!(
        put.starts_with("PUT http://h/\n") && put.contains("\"event_type\":\"port.delete.end\""),
        "{put}"
    );
    for none in ["payload.port.name", "\"\"", "\"put\"", "\"CONNECT\"", "\"TRACE\"", "\"GET / HTTP/1.1\""] {
        assert_eq!(
            sent(&by(none)).unwrap_err(),
            "method: the rendered template is not an HTTP method",
            "{none}"
        );
    }
    assert_eq!(sent(&by("payload.no")).unwrap_err(), "method: the event has no payload.no");
    let Preview::Request { method, .. } = previewed(&by(chosen)) else { panic!("no request") };
    assert_eq!(method, "DELETE");
}

#[test]
fn without_a_body_the_event_is_sent_and_no_secret_of_it() {
    let text = sent("url = http://h/").unwrap();
    let body: serde_json::Value = serde_json::from_str(text.split_once("\n\n").unwrap().1).unwrap();
    assert_eq!(body["event_type"], "port.delete.end");
    assert_eq!(body["payload"]["port"]["id"], "p-1");
    assert_eq!(body["message_id"], "m-1");
    assert!(!text.contains("S3CRET"), "{text}");
    check("url = http://h/\nmethod = GET", &format!("GET http://h/\n{KEY}\n"));
    check("url = http://h/\nmethod = PUT\nbody =\nidempotency_header =", "PUT http://h/\n\n");
}

#[test]
fn each_value_of_a_body_is_a_line_and_the_event_has_no_secret() {
    let lines = "url = http://h/\nformat = ndjson\n";
    check(
        &format!(
            "{lines}body = {{\"id\": \"{{{{ payload.port.name }}}}\",\n  \"key\": \"{{{{ idempotency_key }}}}\"}}\n  [{{{{ payload.n }}}}]"
        ),
        "POST http://h/\ncontent-type: application/x-ndjson\n\n\
         {\"id\": \"web \\\"1\\\" <a&b>/..x?y=z\", \"key\": \"m-1/r/hook\"}\n[3]\n",
    );
    let text = sent(&format!("{lines}body = {{{{ event|tojson }}}}")).unwrap();
    let body: serde_json::Value = serde_json::from_str(text.split_once("\n\n").unwrap().1).unwrap();
    assert_eq!((&body["message_id"], &body["payload"]["port"]["id"]), (&"m-1".into(), &"p-1".into()));
    assert!(!text.contains("S3CRET"), "{text}");
    let check = |body: &str, expected: &str| {
        let error = sent(&format!("{lines}body = {body}")).unwrap_err();
        assert_eq!(error, format!("body: the rendered template has {expected}"), "{body}");
    };
    check("{{ payload.port.name }}", "a line that is not JSON: expected value at line 1 column 1");
    check("{% if false %}1{% endif %}", "no line");
}

#[test]
fn what_an_event_lacks_or_breaks_is_said_without_its_values() {
    let check = |lines: &str, expected: &str| assert_eq!(sent(lines).unwrap_err(), expected, "{lines}");
    check("url = http://h/{{ payload.no }}", "url: the event has no payload.no");
    check("url = http://h/\nheader.X-A = {{ payload.no }}", "header.x-a: the event has no payload.no");
    check("url = http://h/\nquery.a = {{ payload.no }}", "query.a: the event has no payload.no");
    check(
        "url = http://h/\nformat = form\nfield.a = {{ payload.no }}",
        "field.a: the event has no payload.no",
    );
    check("url = http://h/\nbody = [{{ payload.no }}]", "body: the event has no payload.no");
    check(
        "url = http://h/\nbody = [{{ payload.port.name }}]",
        "body: the rendered template is not JSON: expected value at line 1 column 2",
    );
    check(
        "url = http://h/\nheader.X-A = {{ \"a\\nb\" }}",
        "header.x-a: the rendered template has a line break or another control character",
    );
    check(
        "url = {{ payload.port.name }}",
        "url: the scheme must be http or https; begin with http:// or https://",
    );
    check(
        "url = http://h/\ncloudevents = binary\ncloudevents_subject = {{ payload.no }}",
        "cloudevents_subject: the event has no payload.no",
    );
}

#[test]
fn cloud_events_have_the_payload_or_the_body_as_data() {
    check(
        "url = http://h/\ncloudevents = binary\nbody = {\"id\": \"{{ payload.port.id }}\"}",
        &format!(
            "POST http://h/\n{KEY}content-type: application/json\nce-specversion: 1.0\nce-id: m-1\n\
             ce-source: openstack/network.node%2520%201\nce-type: org.openstack.port.delete.end\n\
             ce-subject: p-1\nce-time: 2026-11-20T06:36:22.662155Z\nce-priority: info\n\n{{\"id\": \"p-1\"}}"
        )
        .replace("%2520%201", "%25201"),
    );
    let text = sent("url = http://h/\ncloudevents = structured\ncloudevents_type = t").unwrap();
    assert!(text.contains("content-type: application/cloudevents+json; charset=utf-8\n"), "{text}");
    let body: serde_json::Value = serde_json::from_str(text.split_once("\n\n").unwrap().1).unwrap();
    assert_eq!((&body["type"], &body["source"]), (&"t".into(), &"openstack/network.node%201".into()));
    assert_eq!((&body["id"], &body["data"]["port"]["id"]), (&"m-1".into(), &"p-1".into()));
    assert!(!text.contains("S3CRET"), "{text}");
}

#[test]
fn a_host_out_of_the_event_is_the_event_s_whole_url() {
    check("url = {{ payload.callback }}\nmethod = GET", &format!("GET http://hook.example/cb?a=1\n{KEY}\n"));
    check(
        "url = {{ payload.callback }}\nmethod = GET\nquery.b = 2",
        &format!("GET http://hook.example/cb?a=1&b=2\n{KEY}\n"),
    );
    let origin = |url: &str| conf(&format!("url = {url}")).0.message.target.origin().map(ToString::to_string);
    assert_eq!(origin("https://h:1/a/{{ payload.n }}"), Some("https://h:1/".to_owned()));
    assert_eq!(origin("https://h?{{ payload.n }}"), Some("https://h/".to_owned()));
    assert_eq!(origin("https://h/a"), Some("https://h/".to_owned()));
    for event_s in [
        "https://{{ payload.n }}/",
        "https://h{{ payload.n }}/",
        "{{ payload.n }}://h/",
        "{% if true %}http://h/{% endif %}",
    ] {
        assert_eq!(origin(event_s), None, "{event_s}");
    }
}

#[test]
fn a_preview_shows_the_request_and_no_secret() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let lines = format!(
        "url = https://chat.example/hooks/{{{{ secret.hook|urlencode }}}}\nsecret.hook = T0/B0/hunter2\n\
         auth = basic\nusername = osnl\npassword = hunter3\nheader.X-Key = {{{{ secret.hook }}}}\n\
         signing_secret = {secret}\nbody = {{\"a\": \"{{{{ secret.hook }}}}\", \"pass\": \"{{{{ payload.adminPass }}}}\"}}"
    );
    let text = sent(&lines).unwrap();
    assert!(text.starts_with("POST https://chat.example/hooks/T0/B0/hunter2\n"), "{text}");
    assert!(text.contains("x-key: T0/B0/hunter2\n") && text.contains("webhook-signature: v1,"), "{text}");
    let shown = previewed(&lines);
    let printed = format!("{shown:?} {:?}", conf(&lines));
    for hidden in ["hunter", "S3CRET", "MfKQ", "aHVudGVy", "v1,"] {
        assert!(!printed.contains(hidden), "{hidden}: {printed}");
    }
    let Preview::Request { method, url, headers, body } = shown else { panic!("{printed}") };
    assert_eq!((method.as_str(), url.as_str()), ("POST", "https://chat.example/hooks/***"));
    let named: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let own = env!("CARGO_PKG_VERSION");
    let expected = [
        &format!("User-Agent: osnl/{own}"),
        "Accept: */*",
        "Accept-Encoding: identity",
        "Idempotency-Key: m-1/r/hook",
        "Content-Type: application/json",
        "X-Key: ***",
        "Webhook-Id: m-1/r/hook",
        "Webhook-Timestamp: ***",
        "Webhook-Signature: ***",
        "Authorization: Basic ***",
    ];
    assert_eq!(named, expected);
    assert_eq!(body.as_deref(), Some(r#"{"a": "***", "pass": "***"}"#));
}

#[test]
fn what_is_a_secret_by_its_name_is_in_no_form_for_people() {
    let lines = "url = https://h/{{ payload.n }}?token=S3CRET1&n=1\nquery.sig = S3CRET2\n\
                 header.Authorization = Bearer S3CRET3\nheader.X-Api-Key = S3CRET4\nheader.X-Kind = plain\n\
                 body = {\"password\": \"S3CRET5\", \"n\": {{ payload.n }}}";
    let request = sent(lines).unwrap();
    for n in 1..=5 {
        assert!(request.contains(&format!("S3CRET{n}")), "it is sent: {request}");
    }
    let preview = format!("{:?}", previewed(lines));
    assert!(!preview.contains("S3CRET") && preview.contains("***"), "{preview}");
    let target = conf(lines).build(&Default::default(), None).unwrap().target();
    assert!(!target.contains("S3CRET"), "{target}");
}

/// The publisher chooses the id, and a control character in it must not make each request a dead
/// letter.
#[test]
fn an_id_that_no_header_can_hold_is_escaped_where_a_header_is_wanted_and_nowhere_else() {
    let request = |lines: &str, key: &str| {
        let about = RequestSubject { rule: "r", action: "hook", key, id: None, resource: None };
        let at = UNIX_EPOCH + Duration::from_secs(1_614_265_330);
        conf(lines).0.message.request(&Names::from(event()), &about, at)
    };
    for (key, expected) in [
        ("m-1/r/hook", "m-1/r/hook"),
        ("m\n1\0/r/hook", "m%0A1%00/r/hook"),
        ("\u{7f}\u{1b}[2J/r/hook", "%7F%1B[2J/r/hook"),
    ] {
        let sent = request("url = http://h/", key).unwrap();
        assert_eq!(sent.headers["idempotency-key"], expected, "{key:?}");
        let sent = request("url = http://h/\nidempotency_header =", key).unwrap();
        assert!(!sent.headers.contains_key("idempotency-key"), "{key:?}");
    }
    let secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let signed = request(&format!("url = http://h/\nsigning_secret = {secret}"), "m\n1/r/hook").unwrap();
    assert_eq!(signed.headers["webhook-id"], "m%0A1/r/hook");
}

/// The context contains the request's token, which no preview and no log line may show.
#[test]
fn the_context_is_masked_for_people() {
    let lines = "url = http://h/{{ context.auth_token }}?x={{ payload.adminPass }}\nquery.t = {{ context.auth_token }}\n\
                 header.X-T = {{ context.auth_token }}\nbody = {\"t\": \"{{ context.auth_token }}\"}";
    let mut event = event();
    event.context.insert("auth_token".to_owned(), "TOKENS3CRET".into());
    let wanted = super::CallRequest { notification: &event, rule: "r", resource: None, asks: &[] };
    let preview = format!("{:?}", conf(lines).preview(&wanted));
    assert!(!preview.contains("S3CRET") && preview.contains("***"), "{preview}");
    let conf = conf(lines);
    let about = RequestSubject { rule: "r", action: "hook", key: "k", id: None, resource: None };
    let names = Names::from(event);
    let request = conf.0.message.request(&names, &about, UNIX_EPOCH).unwrap();
    assert!(request.url.to_string().contains("TOKENS3CRET"), "{}", request.url);
    let shown = conf.0.message.shown_target(&names, &about, &request);
    assert!(!shown.contains("S3CRET") && shown.starts_with("POST http://h/***?"), "{shown}");
}
