use super::load;

fn check(lines: &str, expected: &[&str]) {
    let said: Vec<String> = match load(lines) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(said, expected, "{lines}");
}

#[test]
fn every_wrong_url_is_said_at_its_line() {
    check("", &["a.conf:8: [action:hook] url: is not set; write the target's URL, https://host/path"]);
    check(
        "url = ftp://h/",
        &["a.conf:10: [action:hook] url: the scheme must be http or https; begin with http:// or https://"],
    );
    check(
        "url = http://h/a b",
        &[
            "a.conf:10: [action:hook] url: the path has a character that a URL can't have; write spaces, control and non-ASCII characters percent-encoded (a space is %20)",
        ],
    );
    check(
        "url = http://u:hunter2@h/{{ payload.a }}",
        &[
            "a.conf:10: [action:hook] url: user information is not allowed; remove the part before the @ of the host",
        ],
    );
}

#[test]
fn every_wrong_value_of_a_request_is_said_at_its_line() {
    let h = "url = http://h/\n";
    check(
        &format!("{h}method = post"),
        &[
            "a.conf:11: [action:hook] method: \"post\" is not a usable HTTP method; write POST, PUT, PATCH, DELETE, GET or another one in capitals",
        ],
    );
    check(
        &format!("{h}format = yaml"),
        &["a.conf:11: [action:hook] format: unknown value \"yaml\"; allowed: json, ndjson, xml, form, text"],
    );
    check(
        &format!("{h}format = xml"),
        &[
            "a.conf:11: [action:hook] format: needs a body; write one, or remove the line to send the event as JSON",
        ],
    );
    check(
        &format!("{h}format = form"),
        &["a.conf:11: [action:hook] format: form needs parameters; write a field.KEY for each of them"],
    );
    check(
        &format!("{h}field.a = b"),
        &["a.conf:11: [action:hook] field.a: requires format = form; set that, or remove the line"],
    );
    check(
        &format!("{h}header.Host = x\nheader.a b = c\nheader.Content-Type = d"),
        &[
            "a.conf:11: [action:hook] header.Host: is set by the connection; remove the line",
            "a.conf:12: [action:hook] header.a b: is not the name of a header; use letters, digits, and dashes",
            "a.conf:13: [action:hook] header.Content-Type: is set by content_type; remove the line",
        ],
    );
    check(
        &format!("{h}secret.a-b = c"),
        &["a.conf:11: [action:hook] secret.a-b: is not a name for templates; use letters, digits, and _"],
    );
    check(
        &format!("{h}success = 20x"),
        &["a.conf:11: [action:hook] success: \"20x\" is not a list of statuses; write 2xx, 304"],
    );
    check(
        &format!("{h}success = 200-299, 404\nfinal = 404"),
        &["a.conf:12: [action:hook] final: has 404, which success has too; a status is in one of them"],
    );
    check(
        &format!("{h}redirects = 99"),
        &["a.conf:11: [action:hook] redirects: 99 is out of range; allowed: 0 to 20"],
    );
    check(
        &format!("{h}reply_limit = 1GiB"),
        &["a.conf:11: [action:hook] reply_limit: \"1GiB\" is out of range; allowed: 0 B to 16 MiB"],
    );
    check(
        &format!("{h}allow_hosts = http://a"),
        &[
            "a.conf:11: [action:hook] allow_hosts: the value (not shown, it looks like a URL) is neither a name, nor *.NAME, nor an address, nor a network such as 10.0.0.0/8; write cmdb.example, *.example or 10.0.0.0/8",
        ],
    );
}

#[test]
fn lines_of_several_events_share_a_request_that_no_event_decides() {
    let lines = "url = http://h/{{ secret.path }}\nsecret.path = p\nformat = ndjson\n";
    check(&format!("{lines}body = {{{{ event|tojson }}}}\nheader.X-Kind = osnl"), &[]);
    let wrong = |line: u32, option: &str| {
        format!(
            "a.conf:{line}: [action:hook] {option}: depends on one event, and a request with format = ndjson may carry \
             several; use values of the event in body alone, such as {{{{ idempotency_key }}}}"
        )
    };
    let more = "body = {{ event|tojson }}\nidempotency_header = X-Key\nquery.a = {{ payload.n }}\n\
                header.X-Kind = {{ event_type }}\nmethod = {{ payload.n }}\ncloudevents = binary";
    let expected = [
        (14, "idempotency_header"),
        (15, "query.a"),
        (16, "header.X-Kind"),
        (17, "method"),
        (18, "cloudevents"),
    ];
    let expected = expected.map(|(line, option)| wrong(line, option));
    check(&format!("{lines}{more}"), &expected.each_ref().map(String::as_str));
    let url = "url = http://h/{{ payload.n }}\nformat = ndjson\nbody = {{ event|tojson }}";
    check(url, &[&wrong(10, "url")]);
    check(
        &format!("{lines}reply_status = payload.n"),
        &[
            "a.conf:12: [action:hook] format: needs a body; write one, or remove the line to send the event as JSON",
            "a.conf:13:16: [action:hook] reply_status: payload.n is not in the reply, which is the same for all events of a call; use only the name reply",
        ],
    );
    check(
        "url = http://h/\nheader.X = {{ event }}",
        &[
            "a.conf:11:15: [action:hook] header.X: there is no name event; the names are payload, context, event_type, publisher_id, priority, message_id, timestamp, resource, rule, action, idempotency_key, fence, secret, failure",
        ],
    );
}

#[test]
fn a_service_needs_a_catalogue_and_a_type_that_is_written_out() {
    let login = "auth = keystone\nauth_url = http://k/\nusername = u\npassword = p\n";
    check(
        "url = catalog:dns/v2/zones",
        &[
            "a.conf:10: [action:hook] url: names a service of the catalogue, which needs a login to Keystone; set auth = keystone, or write a fixed scheme and host",
        ],
    );
    check(&format!("url = catalog:dns/v2/zones\n{login}region_name = one\ninterface = internal"), &[]);
    let service = "a.conf:10: [action:hook] url: the type of its service is none that is written out; write \
        catalog:TYPE/path, as catalog:dns/v2/zones; only what follows may come out of the event";
    for url in
        ["catalog:{{ payload.type }}/v2", "catalog:dns{{ payload.more }}/v2", "catalog:/v2", "catalog:d.ns/"]
    {
        check(&format!("url = {url}\n{login}"), &[service]);
    }
    check(
        &format!("url = catalog:dns/a b\n{login}"),
        &[
            "a.conf:10: [action:hook] url: the path has a character that a URL can't have; write spaces, control and non-ASCII characters percent-encoded (a space is %20)",
        ],
    );
    check(
        &format!("url = http://h/\n{login}region_name = one"),
        &[
            "a.conf:15: [action:hook] region_name: chooses among the URLs of a service, and url names none; write url = \
            catalog:TYPE/path, or remove the line",
        ],
    );
    check(
        "url = http://h/\nhost_concurrency = 2\nhost_rate = 10 per 1m",
        &[
            "a.conf:11: [action:hook] host_concurrency: limits each host that an event names, but the host of url is fixed; remove the line; concurrency and rate limit the target",
        ],
    );
    check(
        "url = {{ payload.hook }}\nhost_rate = often",
        &[
            "a.conf:11: [action:hook] host_rate: \"often\" is not a rate; write 100 per 10m: at most this many calls within \
            that time",
        ],
    );
    check(
        &format!("url = catalog:dns/\n{login}interface = private"),
        &[
            "a.conf:15: [action:hook] interface: private is not an interface; allowed: public, internal, admin",
        ],
    );
    check(
        "url = http://h/\nregion_name = one",
        &["a.conf:11: [action:hook] region_name: requires auth = keystone; set that, or remove the line"],
    );
}

#[test]
fn what_others_set_no_header_of_ours_may() {
    let h = "url = http://h/\n";
    let taken = |header: &str, whose: &str, more: &str| {
        let expected =
            format!("a.conf:11: [action:hook] header.{header}: is set by {whose}; remove the line");
        check(&format!("{h}header.{header} = x\n{more}"), &[&expected]);
    };
    let connection = [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
    ];
    for header in connection.into_iter().chain(["Expect", "Proxy-Authorization", "Proxy-Connection"]) {
        taken(header, "the connection", "");
    }
    let keystone = "auth = keystone\nauth_url = http://k/\nusername = u\npassword = p";
    taken("X-Auth-Token", "auth", keystone);
    check(&format!("{h}header.Authorization = x\n{keystone}"), &[]);
    check(&format!("{h}header.X-Auth-Token = x"), &[]);
    taken("Ce-Source", "cloudevents", "cloudevents = binary");
    check(&format!("{h}header.ce-tenant = x\ncloudevents = binary"), &[]);
    check(&format!("{h}header.ce-id = x"), &[]);
    for header in ["Host", "content-length", "Authorization"] {
        for option in ["idempotency_header", "fence_header"] {
            let problem = "is a header with another use; name another one, or leave it empty for none";
            check(
                &format!("{h}{option} = {header}"),
                &[&format!("a.conf:11: [action:hook] {option}: {problem}")],
            );
        }
    }
    for kind in ["json", "/json", "application/", "a/b/c", "a b/c", "a/b c", "ä/b"] {
        check(
            &format!("{h}content_type = {kind}"),
            &[
                "a.conf:11: [action:hook] content_type: is not a content type; write application/json or another one",
            ],
        );
    }
    check(&format!("{h}content_type = application/problem+json; charset=utf-8"), &[]);
}

#[test]
fn logins_are_whole_and_never_repeated() {
    let h = "url = http://h/\n";
    check(
        &format!("{h}auth = basic\nusername = a:b\npassword = hunter2"),
        &["a.conf:12: [action:hook] username: holds a colon; a name for auth = basic has none"],
    );
    check(
        &format!("{h}auth = basic\nusername = a"),
        &["a.conf:8: [action:hook] password: is not set; write it, or file:///path"],
    );
    check(
        &format!("{h}token = hunter2"),
        &["a.conf:11: [action:hook] token: requires auth = bearer; set that, or remove the line"],
    );
    check(
        &format!("{h}auth = bearer\ntoken = t\nheader.authorization = x"),
        &["a.conf:13: [action:hook] header.authorization: is set by auth; remove the line"],
    );
    check(
        &format!("{h}client_key = /k"),
        &[
            "a.conf:11: [action:hook] client_key: needs client_certificate; name the file of the certificate there",
        ],
    );
    check(
        &format!("{h}signing_secret = hunter2"),
        &[
            "a.conf:11: [action:hook] signing_secret: does not begin with whsec_; write whsec_ and base64, as the \
            receiver shows it; several with spaces between them",
        ],
    );
    let credentials = "a.conf:10: [action:hook] url: its host comes from the event, so any host that an event names would receive the credentials; write a fixed scheme and host, or remove the credentials";
    check("url = {{ payload.url }}\nauth = bearer\ntoken = t", &[credentials]);
    check("url = https://{{ payload.host }}/\nsecret.a = b", &[credentials]);
    check("url = {{ payload.url }}\nclient_certificate = /c", &[credentials]);
}

#[test]
fn templates_are_refused_with_line_and_column() {
    check(
        "url = http://h/{{ paylod.a }}",
        &[
            "a.conf:10:19: [action:hook] url: there is no name paylod; the names are payload, context, event_type, \
            publisher_id, priority, message_id, timestamp, resource, rule, action, idempotency_key, fence, secret, failure; did you \
            mean payload?",
        ],
    );
}

#[test]
fn no_credential_stands_beside_a_url_out_of_the_event() {
    let url = "url = {{ payload.callback }}\n";
    let named = |option: &str| {
        format!(
            "a.conf:11: [action:hook] {option}: looks like a credential, and the host of url comes from the event: any host that an event names would receive it; write a fixed scheme and host into url, or remove the line"
        )
    };
    check(&format!("{url}header.Authorization = Bearer hunter2"), &[&named("header.Authorization")]);
    check(&format!("{url}header.X-Api-Key = hunter2"), &[&named("header.X-Api-Key")]);
    check(&format!("{url}header.cookie = s={{{{ payload.n }}}}"), &[&named("header.cookie")]);
    check(&format!("{url}query.sig = hunter2"), &[&named("query.sig")]);
    check(
        &format!("{url}format = form\nfield.password = hunter2"),
        &[&named("field.password").replace(":11:", ":12:")],
    );
    check("url = {{ payload.callback }}?token=hunter2", &[&named("url").replace(":11:", ":10:")]);
    let credentials = "a.conf:10: [action:hook] url: its host comes from the event, so any host that an event names would receive the credentials; write a fixed scheme and host, or remove the credentials";
    check(&format!("{url}signing_secret = whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &[credentials]);
    check(&format!("{url}header.Authorization = Bearer {{{{ payload.token }}}}"), &[]);
    check(&format!("{url}header.X-Kind = plain"), &[]);
    check("url = https://h/x\nheader.Authorization = Bearer hunter2", &[]);
}
