use osnl_model::Priority;
use serde_json::json;

use super::limits::LONGEST_SOURCE;
use super::*;

mod jinja;
mod resource;
mod work;

fn names() -> Names {
    let serde_json::Value::Object(context) =
        json!({"user_name": "nova", "is_admin": true, "auth_token": "S3CRET"})
    else {
        panic!("an object")
    };
    Names::from(Notification {
        event_type: Some("port.delete.end".into()),
        publisher_id: Some("network.node1".into()),
        priority: Some(Priority::Info),
        message_id: Some("m-1".into()),
        timestamp: None,
        unique_id: None,
        context,
        payload: json!({
            "port": {
                "id": "P-1", "name": "Web-01 ", "device_owner": "compute:nova", "tags": ["blue", "prod"],
                "fixed_ips": [{"ip_address": "10.0.0.5"}, {"ip_address": "fd00::5"}], "mtu": 1500,
                "admin_state_up": true, "host": null, "empty": "", "ratio": 0.5, "none": [],
                "description": "a,b,,c", "n": "20",
            },
            "nova_object.data": {"host": "cmp1", "ips": [{"nova_object.data": {"address": "10.0.0.6"}}]},
            "adminPass": "S3CRET",
        }),
    })
}

fn verdict(source: &str) -> String {
    let names = names();
    match Expression::new(source) {
        Err(error) => format!("error at {}: {error}", error.at),
        Ok(expression) => match expression.holds(&names) {
            Ok(holds) => holds.to_string(),
            Err(EvalError::Lacks { name }) => format!("no {name}"),
            Err(error) => format!("failed: {error}"),
        },
    }
}

#[test]
fn expressions() {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/src/template/tests/expressions.txt");
    let mut wrong = Vec::new();
    for line in std::fs::read_to_string(table).unwrap().lines() {
        let Some((source, expected)) = line.split_once(" => ") else {
            assert!(line.is_empty() || line.starts_with('#'), "{line}");
            continue;
        };
        let verdict = verdict(source.trim());
        if verdict != expected.trim() {
            wrong.push(format!("{source} => {verdict}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_condition_is_masked_where_it_compares_a_secret_and_nowhere_else() {
    let check = |source: &str, expected: &str| {
        let when = Expression::new(source).unwrap();
        assert_eq!(when.shown(), expected, "{source}");
        assert_eq!(format!("{when:?}"), format!("Expression({expected:?})"));
    };
    for secret in [
        "payload.admin_pass == 'S3CRET' and payload.n == 1",
        "payload.n == 1 or payload['adminPass'] == 'S3CRET'",
        "payload.key == 'S3CRET'",
        "payload ['key'] == 'S3CRET'",
        "payload.get('key') == 'S3CRET'",
        "payload.pin in [4321]",
        "payload.token is defined and payload.n == 1",
        "context.auth_token != 'S3CRET'",
        "payload.get('admin_pass') == 'S3CRET'",
        "payload.users[payload.n]['password'] == 'S3CRET'",
        "payload.users | selectattr('password', 'eq', 'S3CRET')",
        "payload.users | map(attribute='login.password') | first == 'S3CRET'",
    ] {
        check(secret, "***");
    }
    for harmless in [
        "payload.key_name == 'k'",
        "payload.keypair_name == 'token'",
        "payload.port.key == 1",
        "payload.token is defined",
        "payload.users[0]['password'] is none",
        "payload.kind in ['password', 'token']",
        "payload.get('key_name') == 'password'",
        "event_type == 'identity.application_credential.created'",
    ] {
        check(harmless, harmless);
    }
    check("payload.n == 1\n  and payload.m == 2", "payload.n == 1 and payload.m == 2");
    let template = Template::new("{{ payload.admin_pass == 'S3CRET' }} token=S3CRET").unwrap();
    assert_eq!(format!("{template:?}"), r#"Template("{{ *** }} token=***")"#);
}

#[test]
fn a_failure_at_a_secret_repeats_neither_the_source_nor_a_number() {
    let payload = json!({"pin": 4321, "n": 7, "admin_pass": "S3CRET"});
    let names = Names::from(Notification { payload, ..Notification::default() });
    let check = |source: &str, expected: &str| {
        let failed = Expression::new(source).unwrap().holds(&names).unwrap_err();
        assert_eq!(failed.to_string(), expected, "{source}");
        let template = Template::new(&format!("a {{{{ {source} }}}}")).unwrap();
        assert_eq!(template.render(&names).unwrap_err().to_string(), expected, "{source}");
    };
    let hidden = "invalid operation, at \"***\"";
    let shown = "invalid operation: unable to calculate 7 / 0, at \"payload.n / 0\"";
    check("payload.pin / 0 == 1", hidden);
    check("payload.admin_pass * 'hunter2' == 3", hidden);
    check("payload.n / 0 == 1", shown);
    check("payload.n / 0 == 1 or payload.admin_pass == 'hunter2'", shown);
    let failed = |source: &str| Template::new(source).unwrap().render(&names).unwrap_err().to_string();
    assert_eq!(failed(r#"{"id": "{{ payload.n / 0 }}", "p": "{{ payload.admin_pass }}"}"#), shown);
    assert_eq!(failed("{% set x = payload.pin %}{{ x / 0 }}"), hidden);
}

#[test]
fn a_value_of_a_secret_is_masked_whatever_its_type() {
    let payload = json!({"pin": 4321, "key": "S3CRET", "key_name": "k", "token": {"a": 1}, "secret": null});
    let names = Names::from(Notification { payload, ..Notification::default() });
    let check = |path: &str, expected: Option<&str>| {
        let observed = Expression::new(&format!("{path} == 1")).unwrap().observed(&names);
        assert_eq!(observed, [(path.to_owned(), expected.map(str::to_owned))]);
    };
    check("payload.pin", Some("***"));
    check("payload.key", Some("***"));
    check("payload.token", Some("***"));
    check("payload.secret", Some("null"));
    check("payload.password", None);
    check("payload.key_name", Some("\"k\""));
}

#[test]
fn templates() {
    let names_are =
        "the names are payload, context, event_type, publisher_id, priority, message_id, timestamp, resource";
    let no_name = |name: &str| format!("there is no name {name}; {names_are}");
    let check = |source: &str, expected: Result<&str, &str>| {
        let rendered = Template::new(source).map_err(|error| error.to_string());
        let rendered =
            rendered.and_then(|template| template.render(&names()).map_err(|error| error.to_string()));
        assert_eq!(rendered.as_deref().map_err(String::as_str), expected, "{source}");
    };
    check("{{ event_type }} of {{ payload.port.id|lower }}", Ok("port.delete.end of p-1"));
    check("{% for ip in payload.port.fixed_ips %}{{ ip.ip_address }};{% endfor %}", Ok("10.0.0.5;fd00::5;"));
    check("{% if payload.a.b is defined %}x{% else %}{# none #}y{% endif %}", Ok("y"));
    check("{{ payload.port.description|replace(',', '-') }}", Ok("a-b--c"));
    check("{{ payload.port.id }} {{ (payload.port.mtu) }}", Ok("P-1 1500"));
    check("{{ payload.port.mtu is number }}{{ nobody }}", Err(&no_name("nobody")));
    check("{{ payload.port.x }}", Err("the event has no payload.port.x"));
    check("{{ payload.port.x | first }}", Err("the event has no payload.port.x"));
    check("{{ payload.port.x | default('-') }}", Ok("-"));
    check("{{ (payload.port.x if false) | upper }}", Ok(""));
    check("{{ payload.port.tags | tojson }}", Ok("[\"blue\", \"prod\"]"));
    check("{% raw %}{{ nothing }}{% endraw %}", Ok("{{ nothing }}"));
    check("<b> & \"{{ publisher_id }}\"", Ok("<b> & \"network.node1\""));
    check("{{ paylod.x }}", Err(&format!("{}; did you mean payload?", no_name("paylod"))));
    check(
        "{% for payload in [1] %}{% endfor %}",
        Err("payload is a name already and cannot be another one; give the variable another name"),
    );
}

#[test]
fn no_template_runs_or_writes_without_end() {
    let long = "x".repeat(2000);
    let payload =
        json!({"evil": "{{ payload.secret }}{% raw %}", "long": long, "many": vec!["y"; 5000], "n": 9});
    let names = Names::from(Notification { payload, ..Notification::default() });
    let render = |source: &str| Template::new(source).unwrap().render(&names);
    assert_eq!(render("{{ payload.evil }}").as_deref(), Ok("{{ payload.secret }}{% raw %}"));
    assert_eq!(render("{{ payload.many | join(payload.long) }}"), Err(EvalError::TooLong));
    assert_eq!(render("{{ payload.long | replace('', payload.long) }}"), Err(EvalError::TooLong));
    assert_eq!(render("{{ payload.long.replace('x', payload.long) }}"), Err(EvalError::TooLong));
    let loops = "{% for a in payload.many %}{% for b in payload.many %}{{ a }}{% endfor %}{% endfor %}";
    assert_eq!(render(loops), Err(EvalError::Fuel));
    let writes = "{% for a in payload.many %}{{ payload.long }}{% endfor %}";
    assert_eq!(render(writes), Err(EvalError::TooLong));
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(Expression::new(&deep).is_err());
    assert!(Expression::new(&"a".repeat(LONGEST_SOURCE + 1)).unwrap_err().problem.contains("bytes long"));
}

#[test]
fn more_names_and_other_formats() {
    let more = ["rule", "owner", "idempotency_key"];
    let names = names()
        .with("rule", "old")
        .with("rule", "r 1")
        .with("owner", json!({"mail": "a&b@example.com", "tags": ["x", "y"], "n": 7}))
        .with("payload", "never");
    let check = |source: &str, expected: Result<serde_json::Value, &str>| {
        let compiled = Template::compile(source, &more).map_err(|error| error.to_string());
        let value = compiled.and_then(|template| template.value(&names).map_err(|error| error.to_string()));
        assert_eq!(value, expected.map_err(str::to_owned), "{source}");
    };
    check("{{ rule }} for {{ owner.tags[1] }}{{ owner.tags.0 }}", Ok(json!("r 1 for yx")));
    check("{{ owner.tags }}", Ok(json!(["x", "y"])));
    check(" {{- owner.n + 1 -}} ", Ok(json!(8)));
    check("{{ owner.n }}!", Ok(json!("7!")));
    check("{{ owner.n }}{{ owner.n }}", Ok(json!("77")));
    check("{{ {'a': owner.n, 'b': [payload.port.host, 0.5]} }}", Ok(json!({"a": 7, "b": [null, 0.5]})));
    check("{{ payload.port.mtu }}", Ok(json!(1500)));
    check("{{ idempotency_key }}", Err("the event has no idempotency_key"));
    check("{{ owner.name }}", Err("the event has no owner.name"));
    check("{{ owner.name | default(rule) }}", Ok(json!("r 1")));
    check("{{ owner.mail|xml }}", Ok(json!("a&amp;b@example.com")));
    check("{{ '<\\n\\u0001\"\\'>'|xml }}", Ok(json!("&lt;&#10;\u{fffd}&quot;&#39;&gt;")));
    check("{{ 'a b/ü?&~'|urlencode }}", Ok(json!("a%20b/%C3%BC%3F%26~")));
    check("{{ 'a b/ü?&~'|form }}", Ok(json!("a+b%2F%C3%BC%3F%26~")));
    check("{{ {'q': 'a b', 'n': 1}|form }}", Ok(json!("n=1&q=a+b")));
    check("{{ [('q', 'a/b'), ('t', True)]|urlencode }}", Ok(json!("q=a%2Fb&t=True")));
    check("{{ '2026-11-20 06:36:22.662155'|unix }}", Ok(json!(1_795_156_582)));
    check("{{ '2026-11-20T06:36:22.662155Z'|unix(3) }}", Ok(json!(1_795_156_582_662_i64)));
    check("{{ '2026-11-20 06:36:22'|unix(9) }}", Ok(json!(1_795_156_582_000_000_000_i64)));
    let problem = "invalid operation: 10 digits are more than a number has; at most 9, at \"unix(10)\"";
    check("{{ '2026-11-20 06:36:22'|unix(10) }}", Err(problem));
    check("{{ 'soon'|unix }}", Err("invalid operation: the string is not a date and time, at \"unix\""));
    check("{{ owner.n|unix }}", Err("invalid operation: the time is not a string but number, at \"unix\""));
    check(
        "{{ ['alone']|form }}",
        Err("invalid operation: the list has an item that is not a pair of a name and a value, at \"form\""),
    );
    check("{{ payload.x|xml }}", Err("the event has no payload.x"));
    check("x={{ payload.x|form }}", Err("the event has no payload.x"));
    let names_are = "the names are payload, context, event_type, publisher_id, priority, message_id, timestamp, \
                     resource, rule, owner, idempotency_key";
    check("{{ ownr }}", Err(&format!("there is no name ownr; {names_are}; did you mean owner?")));
    check(
        "{% set rule = 1 %}",
        Err("rule is a name already and cannot be another one; give the variable another name"),
    );
}

#[test]
fn a_mistake_has_its_line_and_column() {
    let check = |source: &str, line: u32, column: u32| {
        let error = Template::new(source).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{source}: {error}");
    };
    check("{{ nothing }}", 1, 4);
    check("ü{{ nothing }}", 1, 5);
    check("a\nb {{ payload.x }}\n  {{ x | lowr }}", 3, 10);
    check("a\n{{ payload.x ==}}", 2, 16);
}
