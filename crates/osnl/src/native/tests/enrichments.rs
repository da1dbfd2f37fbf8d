use std::sync::Arc;

use osnl_core::event::AskedFor;
use osnl_model::Notification;
use serde_json::{Value, json};

use super::{errors, load};
use crate::enrich::{AnswerForecast, Ask, Kind, foresee};
use crate::explain::{ExplainedEvent, Explainer};
use crate::native::Drivers;
use crate::native::{CallRequest, Preview};

const LOGIN: &str = "auth_url = http://keystone/v3\nusername = u\npassword = p";

const TEMPLATES: [(&str, &str); 17] = [
    ("http", "url = http://h/\nbody = {\"a\": \"TEXT\"}"),
    ("http", "url = http://h/TEXT"),
    ("http", "url = http://h/\nheader.X-Name = TEXT"),
    ("http", "url = http://h/\nquery.name = TEXT"),
    ("http", "url = http://h/\nformat = form\nfield.name = TEXT"),
    ("http", "url = http://h/\ncloudevents = binary\ncloudevents_subject = TEXT"),
    ("file", "path = /x\nformat = template\ntemplate = TEXT"),
    ("syslog", "message = TEXT"),
    ("mail", "server = h\nfrom = a@b\nto = a@b\nsubject = TEXT"),
    ("mail", "server = h\nfrom = a@b\nto = a@b\nbody = TEXT"),
    ("mail", "server = h\nfrom = a@b\nto = a@b\nhtml = TEXT"),
    ("mail", "server = h\nfrom = a@b\nto = a@b\ndigest = 1m\ndigest_subject = TEXT"),
    ("mail", "server = h\nfrom = a@b\nto = x@y, TEXT@example.com"),
    ("publish", "transport_url = rabbit://h/\nexchange = TEXT"),
    ("publish", "transport_url = rabbit://h/\nexchange = x\npayload = TEXT"),
    ("publish", "transport_url = rabbit://h/\nexchange = x\nformat = raw\npayload = TEXT"),
    ("publish", "transport_url = rabbit://h/\nexchange = x\nformat = cloudevents\npayload = TEXT"),
];

fn text(action: &str) -> String {
    format!(
        "[listener:n]\ntransport_url = rabbit://u:p@localhost/\nexchange = n\n[rule:r]\nevent_type = ^port\nactions = a\n\
         [enrich:server]\nkind = server\n{LOGIN}\n[enrich:flavor]\nkind = flavor\n{LOGIN}\n[action:a]\n{action}\n[listener:n]\npool = osnl\n"
    )
}

#[test]
fn every_template_takes_what_its_action_asks_and_nothing_else() {
    for (driver, options) in TEMPLATES {
        let action = |enrich: &str, value: &str| {
            text(&format!("driver = {driver}\n{enrich}{}", options.replace("TEXT", value)))
        };
        let asking = "enrich = server\n";
        assert_eq!(errors(load(&action(asking, "{{ server.name }}"))), [""; 0], "{driver} {options}");
        let said = |enrich: &str, value: &str| {
            let whole = action(enrich, value);
            let (line, written) =
                whole.lines().enumerate().find(|(_, line)| line.contains(value)).expect("the line");
            let column = written.find(value).unwrap() + 4;
            let said = errors(load(&whole)).join("\n");
            let place = format!("a.conf:{}:{column}: [action:a] ", line + 1);
            assert!(said.starts_with(&place), "{driver} {options}\n{place}\n{said}");
            said
        };
        let unasked = said("", "{{ server.name }}");
        let expected = ": [enrich:server] is not asked by this action; write enrich = server";
        assert!(unasked.ends_with(expected), "{unasked}");
        let other = said(asking, "{{ flavor.ram }}");
        assert!(other.ends_with("is not asked by this action; write enrich = server, flavor"), "{other}");
        let slip = said(asking, "{{ servr.name }}");
        assert!(slip.contains("there is no name servr") && slip.ends_with("did you mean server?"), "{slip}");
        let slip = said("", "{{ servr.name }}");
        assert!(slip.ends_with("did you mean server?"), "{slip}");
    }
    // Each driver with templates must be in the table.
    for entry in Drivers::default().entries() {
        let has = entry.table.rows().any(|option| option.kind == osnl_config::Kind::Form("template"));
        assert_eq!(
            has,
            TEMPLATES.iter().any(|(driver, _)| *driver == entry.table.name),
            "{}",
            entry.table.name
        );
    }
}

fn preview(action: &str, value: &AnswerForecast) -> Preview {
    let loaded =
        load(&text(&format!("enrich = server\n{action}"))).unwrap_or_else(|errors| panic!("{errors}"));
    let notification = Notification {
        event_type: Some("port.create.end".to_owned()),
        message_id: Some("m1".to_owned()),
        payload: json!({"id": "p"}),
        ..Notification::default()
    };
    let ask = Ask {
        name: "server".into(),
        kind: Kind::Server,
        id: Ok("s".to_owned()),
        cloud: "http://keystone/v3".to_owned(),
        value: value.clone(),
    };
    loaded.conf.actions[0].preview(&CallRequest {
        notification: &notification,
        rule: "r",
        resource: None,
        asks: &[ask],
    })
}

fn shown(preview: &Preview) -> String {
    match preview {
        Preview::Request { url, headers, body, .. } => {
            let headers =
                headers.iter().filter(|(name, _)| name.starts_with("X-") || name.starts_with("Ce-"));
            let headers: String = headers.map(|(name, value)| format!(" {name}: {value}")).collect();
            format!("{url}{headers} {}", body.as_deref().unwrap_or_default())
        }
        Preview::Effect { does, with } => {
            let with = with.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
            format!("{does}: {}", with.join(", "))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn a_preview_shows_where_a_value_will_stand() {
    let kept =
        AnswerForecast::Kept(json!({"name": "web 1", "metadata": {"Owner": "ops"}, "adminPass": "S3CRET"}));
    let check = |action: &str, unknown: &str, known: &str| {
        for (value, expected) in [(&AnswerForecast::Unknown, unknown), (&kept, known)] {
            let text = shown(&preview(action, value));
            assert!(text.contains(expected), "{action}\n{text}\n{expected}");
            assert!(!text.contains("S3CRET"), "{text}");
        }
    };
    let name = "{{ server.name }}";
    check(
        "driver = http\nurl = http://h/{{ server.name }}?o={{ server.metadata['Owner'] }}\nheader.X-N = {{ server.name|upper }}\n\
         body = {\"a\": \"{{ server.name }}\", \"b\": {{ server.ram|default(1) }}, \"c\": {{ server.metadata|tojson }}}",
        "http://h/<server.name>?o=<server.metadata.Owner> X-N: <SERVER.NAME> {\"a\": \"<server.name>\", \"b\": \
         <server.ram>, \"c\": \"<server.metadata>\"}",
        "http://h/web%201?o=ops X-N: WEB 1 {\"a\": \"web 1\", \"b\": 1, \"c\": {\"Owner\": \"ops\"}}",
    );
    check(
        "driver = http\nurl = http://h/\nformat = form\nfield.n = {{ server.name }}",
        "n=<server.name>",
        "n=web+1",
    );
    check(
        "driver = http\nurl = http://h/\nformat = xml\nbody = <n>{{ server.name }}</n>",
        "<n><server.name></n>",
        "<n>web 1</n>",
    );
    check(
        "driver = http\nurl = http://h/",
        "\"enrichments\":{\"server\":\"<server>\"}",
        "\"name\":\"web 1\"",
    );
    check(
        "driver = http\nurl = http://h/\ncloudevents = binary\ncloudevents_subject = {{ server.name }}",
        "Ce-Subject: <server.name>",
        "Ce-Subject: web%201",
    );
    check(&format!("driver = syslog\nmessage = {name}"), " <server.name>", " web 1");
    check(
        &format!("driver = file\npath = /x\nformat = template\ntemplate = {name}"),
        "write a line to /x: line <server.name>",
        "write a line to /x: line web 1",
    );
    check(
        &format!(
            "driver = mail\nserver = h\nfrom = a@b\nto = {{{{ server.metadata.Owner }}}}@example.com\nbody = {name}"
        ),
        "mails to <server.metadata.Owner>@example.com: subject",
        "mails to ops@example.com: subject",
    );
    check(
        &format!("driver = mail\nserver = h\nfrom = a@b\nto = a@b\nbody = {name}"),
        "text <server.name>",
        "text web 1",
    );
    check(
        &format!(
            "driver = publish\ntransport_url = rabbit://h/\nexchange = {name}\npayload = {{{{ server }}}}"
        ),
        "publishes to <server.name>: key notifications.info, payload \"<server>\"",
        "publishes to web 1: key notifications.info, payload {",
    );
    for driver in ["dump", "file\npath = /x", "exec\ncommand = /bin/true"] {
        let driver = format!("driver = {driver}");
        check(
            &driver,
            "enrichments {\"server\":\"<server>\"}",
            "enrichments {\"server\":{\"adminPass\":\"***\"",
        );
    }
    // A value that is more than a text cannot be shown yet.
    check(
        "driver = http\nurl = http://h/\nbody = {\"a\": {{ server.ram * 2 }}}",
        "POST http://h/, when it knows server: ",
        "Unusable",
    );
}

#[test]
fn a_default_is_a_value() {
    let default = AnswerForecast::Default(json!({"name": "nobody"}));
    let action = "driver = syslog\nmessage = {{ server.name }}";
    assert!(shown(&preview(action, &default)).ends_with(" nobody"));
    let lacks = preview(action, &AnswerForecast::Default(Value::Null));
    assert!(
        matches!(&lacks, Preview::Unusable { why } if why.to_string().contains("server.name")),
        "{lacks:?}"
    );
}

#[test]
fn a_condition_on_an_answer_that_cannot_be_decided_is_a_dead_letter() {
    let check = |when: &str, dead: Option<&str>, not_asked: Option<&str>| {
        let conf = load(&text(&format!("driver = dump\nenrich = server\nwhen = {when}"))).unwrap().conf;
        let event = Notification {
            event_type: Some("port.create.end".to_owned()),
            payload: json!({"port": {"device_id": "d", "device_owner": "compute:nova"}}),
            ..Notification::default()
        };
        let found = [("server".to_owned(), json!({"name": "web"}))].into();
        let asked = AskedFor { rule: "r".to_owned(), action: "a".to_owned(), resource: None, found };
        let event = ExplainedEvent::from_notification(event).with_asked(vec![asked]);
        let trace = Explainer::new(&conf).trace(event);
        let effect = &trace.rules[0].ruling.effects()[0];
        assert_eq!(effect.dead_letter().as_deref(), dead, "{when}");
        let why = match &effect.would {
            Preview::NotAsked { why } => Some(why.as_str()),
            _ => None,
        };
        assert_eq!(why, not_asked, "{when}");
    };
    check("server.name == 'web'", None, None);
    check("server.name == 'db'", None, Some("when is false: server.name == 'db'"));
    check("server.nothing == 'db'", None, Some("when is false: the event has no server.nothing"));
    let undecided = "when cannot be decided: invalid operation: tried to use + operator on unsupported types string \
                     and number, at \"server.name + 1\"";
    check("server.name + 1 > 1", Some(undecided), None);
}

#[test]
fn the_ids_that_would_be_asked_are_foreseen() {
    let check = |id: &str, payload: &Value, kept: Option<&Value>, expected: [Result<&str, &str>; 2]| {
        let conf = text("driver = dump\nenrich = server, flavor")
            .replace("kind = server\n", &format!("kind = server\n{id}"));
        let conf = load(&conf).unwrap_or_else(|errors| panic!("{errors}")).conf;
        let notification = Notification {
            event_type: Some("port.create.end".to_owned()),
            payload: payload.clone(),
            ..Notification::default()
        };
        let kept = kept.map(|server| [("server".to_owned(), server.clone())].into());
        let asks = foresee(conf.asked_by(&conf.actions[0]), &Arc::new(notification), kept.as_ref());
        let ids: Vec<_> = asks.iter().map(|ask| ask.id.as_deref().map_err(String::as_str)).collect();
        assert_eq!(ids, expected, "{id} {payload}");
    };
    let port = json!({"port": {"id": "p", "device_id": "s"}});
    check("", &port, None, [Ok("s"), Ok("<server.flavor.id>")]);
    check("", &port, Some(&json!({"flavor": {"id": "f"}})), [Ok("s"), Ok("f")]);
    check("", &port, Some(&Value::Null), [Ok("s"), Err("the event names no flavor")]);
    let nobody = [Err("the event names no server"), Err("the event names no flavor")];
    check("", &json!({"port": {"id": "p", "device_id": ""}}), None, nobody);
    let unnamed = [Err("the event has no payload.host"), Err("the event names no flavor")];
    check("id = {{ payload.host }}\n", &port, None, unnamed);
    let empty = [Err("its id is empty for this event"), Err("the event names no flavor")];
    check("id = {{ payload.host|default(' ') }}\n", &port, None, empty);
    let secret = json!({"adminPass": "S3CRET"});
    check("id = {{ payload.adminPass }}\n", &secret, None, [Ok("***"), Ok("<server.flavor.id>")]);
}
