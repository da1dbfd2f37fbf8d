use osnl::native::{CallRequest, LoadedConf, Preview, Sources, load_texts};
use osnl_config::ConfigErrors;
use osnl_delivery::enrich::{AnswerForecast, Ask, Kind};
use osnl_model::Notification;
use serde_json::json;

use crate::oss::drivers;

pub(super) const WHOLE: &str = "\
[listener:neutron]
transport_url = rabbit://u:hunter2@localhost/
exchange = neutron
pool = osnl
[rule:gone]
event_type = ^port\\.delete\\.end$
actions = roles, record
[action:roles]
driver = k2hr3
api_url = http://k2hr3/v1/role
[action:record]
driver = dump
";

pub(super) fn load(text: &str) -> Result<LoadedConf, ConfigErrors> {
    let sources = Sources { drivers: drivers(), ..Sources::default() };
    load_texts(&[("a.conf".to_owned(), text.to_owned())], &sources)
}

#[test]
fn tables_are_whole() {
    let reference = osnl::native::reference(drivers());
    let actions = reference.sections.iter().find(|section| section.form == "[action:NAME]").unwrap();
    let of_all: Vec<&str> =
        actions.options.iter().filter(|row| row.driver.is_none()).map(|row| row.name.as_str()).collect();
    let entries = drivers().entries();
    for (n, entry) in entries.iter().enumerate() {
        let table = entry.table;
        assert!(entries[..n].iter().all(|other| other.table.name != table.name), "{} twice", table.name);
        for row in table.rows().chain(table.keyed) {
            let place = format!("driver {}, option {}", table.name, row.name);
            assert!(!of_all.contains(&row.name), "{place}: every action has it");
            assert!(!row.kind.shown().is_empty() && row.meaning.ends_with('.'), "{place}: {:?}", row.meaning);
            assert!(!row.secret || row.default.is_none(), "{place}: a secret with a default");
        }
        assert!(
            table.keyed.iter().all(|row| row.name.ends_with('.')),
            "{}: a prefix ends in a dot",
            table.name
        );
        for (option, default) in table.defaults {
            let known = of_all.contains(option) && *option != "driver";
            assert!(known, "{}: {option} = {default} is not an option of all actions", table.name);
        }
    }
}

#[test]
fn the_cloud_that_is_asked_is_a_section_that_is_there() {
    let cloud = "[enrich:cloud]\nkind = server\nauth_url = http://k/v3\nusername = u\npassword = p\n";
    let rest = WHOLE.replace("driver = dump", "driver = oss_rest\nurl_creation = http://t/");
    let python = WHOLE.replace("driver = dump", "driver = python\nplugin = a.B\nnode_detail = oss");
    for conf in [&rest, &python] {
        let loaded = load(&format!("{conf}ask = cloud\n{cloud}")).unwrap();
        let asks = loaded.conf.actions[1].driver.conf().traits().asks;
        assert_eq!(asks.map(|name| &**name), Some("cloud"));
    }
    let explained = load(&format!("{rest}ask = cloud\n{cloud}")).unwrap().conf.explain();
    assert!(
        explained.contains("asks       the cloud of [enrich:cloud] for what no event has told"),
        "{explained}"
    );
}

/// An answer that no option uses is probably a mistake, so it causes a warning.
#[test]
fn a_plug_in_can_use_an_answer_unless_it_has_the_old_details() {
    let check = |action: &str, expected: bool| {
        let cloud = "[enrich:server]\nkind = server\nauth_url = http://k/v3\nusername = u\npassword = p\n";
        let whole = WHOLE
            .replace("driver = dump", &format!("driver = python\nplugin = a.B\n{action}enrich = server"));
        let loaded = load(&format!("{whole}{cloud}")).unwrap_or_else(|errors| panic!("{errors}"));
        let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let slip = "enrich: fetches values that neither when nor the driver uses; write a when that names it";
        assert_eq!(said.join("\n").contains(slip), expected, "{action}\n{said:?}");
    };
    check("node_detail = oss\n", true);
    check("", false);
}

#[test]
fn a_preview_shows_the_answers_that_a_plug_in_would_get() {
    let action = "driver = python\nplugin = a.B\nevents_creation = port.create.end";
    let conf = load(&WHOLE.replace("driver = dump", action)).unwrap().conf;
    let notification = Notification {
        event_type: Some("port.create.end".to_owned()),
        payload: json!({}),
        ..Default::default()
    };
    let check = |value: AnswerForecast, expected: &str| {
        let asks = [Ask {
            name: "server".into(),
            kind: Kind::Server,
            id: Ok("s".to_owned()),
            cloud: "http://k/v3".to_owned(),
            value,
        }];
        let wanted = CallRequest { notification: &notification, rule: "r", resource: None, asks: &asks };
        let Preview::Effect { with, .. } = conf.actions[1].preview(&wanted) else { panic!("no effect") };
        let found = with.iter().find(|(name, _)| *name == "enrichments").map(|(_, text)| text.as_str());
        assert!(found.is_some_and(|text| text.contains(expected)), "{with:?}");
    };
    check(AnswerForecast::Unknown, "{\"server\":\"<server>\"}");
    check(AnswerForecast::Default(json!({"name": "nobody"})), "nobody");
}

#[test]
fn credentials_that_leave_this_machine_in_clear_are_warned_of() {
    let check = |options: &str, warned: &[&str]| {
        for (origin, clear) in [("http://cmdb", true), ("https://cmdb", false), ("http://127.0.0.1", false)] {
            let text = format!("{WHOLE}[action:x]\ndriver = oss_rest\n{}", options.replace("ORIGIN", origin));
            let loaded = load(&text).unwrap_or_else(|errors| panic!("{errors}"));
            let said = loaded.warnings.iter().map(ToString::to_string);
            let said: Vec<String> = said.filter(|said| said.contains("in clear")).collect();
            assert_eq!(said.len(), if clear { warned.len() } else { 0 }, "{origin} {said:?}");
            assert!(
                said.iter().zip(warned).all(|(said, option)| said.contains(&format!("] {option}: "))),
                "{said:?}"
            );
        }
    };
    let rest = "url_creation = ORIGIN/a\nuser = u\npassword = hunter2\n";
    check(rest, &["url_creation"]);
    check(&format!("{rest}url_deletion = ORIGIN/b\n"), &["url_creation"]);
    check(&format!("{rest}url_deletion = ORIGIN:81/b\n"), &["url_creation", "url_deletion"]);
    let to_both = "url_creation = https://cmdb/a\nurl_deletion = ORIGIN/b\nuser = u\npassword = hunter2\n";
    check(to_both, &["url_deletion"]);
    check("url_creation = ORIGIN/a\n", &[]);
}

#[test]
fn the_secrets_in_the_query_of_a_rest_target_are_masked() {
    let action = "driver = oss_rest\nurl_creation = https://h/new?token=S3CRET\nurl_deletion = https://h/gone?key=S3CRET";
    let conf = load(&WHOLE.replace("driver = dump", action)).unwrap().conf;
    let action = &conf.actions[1];
    let payload = json!({"instance_id": "i", "fixed_ips": [{"address": "10.0.0.1"}]});
    let event_type = Some("compute.instance.create.end".to_owned());
    let notification = Notification { event_type, payload, ..Default::default() };
    let wanted = CallRequest { notification: &notification, rule: "r", resource: None, asks: &[] };
    let Preview::Request { url, .. } = action.preview(&wanted) else { panic!("no request") };
    assert_eq!(url, "https://h/new?token=***");
    let does = action.driver.conf().does();
    assert_eq!(does, "POST https://h/new?token=*** for what comes, https://h/gone?key=*** for what goes");
    let explained = conf.explain();
    assert!(!explained.contains("S3CRET"), "{explained}");
}

#[test]
fn the_secrets_of_an_event_are_masked_in_the_preview_of_a_rest_target() {
    let secret = json!({"db_password": "S3CRET"});
    for (options, metadata) in [
        ("keys = flattened", secret.clone()),
        ("keys = metadata", secret.clone()),
        ("keys = flattened\nbody = xml", secret),
        // The node detail has a list of it, in which the first value names the second.
        ("keys = documented", json!({"AdditionalUsers": "--password, S3CRET"})),
    ] {
        let action = format!("driver = oss_rest\nurl_creation = https://h/new\n{options}");
        let conf = load(&WHOLE.replace("driver = dump", &action)).unwrap().conf;
        let payload =
            json!({"instance_id": "i", "fixed_ips": [{"address": "10.0.0.1"}], "metadata": metadata});
        let event_type = Some("compute.instance.create.end".to_owned());
        let notification = Notification { event_type, payload, ..Default::default() };
        let wanted = CallRequest { notification: &notification, rule: "r", resource: None, asks: &[] };
        let Preview::Request { body, .. } = conf.actions[1].preview(&wanted) else { panic!("no request") };
        let body = body.unwrap();
        assert!(body.contains("***") && !body.contains("S3CRET"), "{options}\n{body}");
    }
}

#[test]
fn a_preview_of_a_plug_in_that_is_not_called_has_no_secret() {
    let action = "driver = python\nplugin = a.B\nnode_detail = oss\nevents_creation = port.create.end";
    let conf = load(&WHOLE.replace("driver = dump", action)).unwrap().conf;
    let port = json!({"id": "p", "device_id": "d", "device_owner": "token=S3CRET", "fixed_ips": [{"ip_address": "10.0.0.1"}]});
    let notification = Notification {
        event_type: Some("port.create.end".to_owned()),
        payload: json!({ "port": port }),
        ..Default::default()
    };
    let wanted = CallRequest { notification: &notification, rule: "r", resource: None, asks: &[] };
    let Preview::Nothing { why } = conf.actions[1].preview(&wanted) else { panic!("not nothing") };
    assert_eq!(why, "the port belongs to token=***, not to an instance");
}
