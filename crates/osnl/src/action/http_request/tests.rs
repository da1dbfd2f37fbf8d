//! The requests that configurations make of one event, and the errors of those that are wrong.

mod messages;
mod properties;
mod refused;

use std::time::{Duration, UNIX_EPOCH};

use osnl_config::ConfigErrors;
use osnl_model::{Notification, Priority};
use osnl_template::Names;
use serde_json::json;

use super::HttpConf;
use super::message::About;
use crate::action::driver::{Preview, Wanted};
use crate::delivery::HostLimits;
use crate::native::{Loaded, Sources, load_texts};

/// A file whose one action has these lines.
fn load(lines: &str) -> Result<Loaded, ConfigErrors> {
    let text = format!(
        "[listener:n]\ntransport_url = rabbit://u:p@h/\nexchange = neutron\npriorities = info\n\
         [rule:r]\nactions = hook\nevent_type = ^x\n[action:hook]\ndriver = http\n{lines}\n[listener:n]\npool = osnl\n"
    );
    load_texts(&[("a.conf".to_owned(), text)], &Sources::default())
}

fn conf(lines: &str) -> HttpConf {
    let loaded = load(lines).unwrap_or_else(|errors| panic!("{lines}\n{errors}"));
    loaded.conf.actions[0].driver.options::<HttpConf>().expect("its driver").clone()
}

fn event() -> Notification {
    Notification {
        event_type: Some("port.delete.end".into()),
        publisher_id: Some("network.node 1".into()),
        priority: Some(Priority::Info),
        message_id: Some("m-1".into()),
        timestamp: Some("2026-11-20 06:36:22.662155".into()),
        payload: json!({
            "port": {"id": "p-1", "name": "web \"1\" <a&b>/..x?y=z"}, "adminPass": "S3CRET",
            "callback": "http://hook.example/cb?a=1", "n": 3,
        }),
        ..Notification::default()
    }
}

/// The request as text: its line, its headers but for those that are always there, and its body.
fn sent(lines: &str) -> Result<String, String> {
    let conf = conf(lines);
    let about = About { rule: "r", action: "hook", key: "m-1/r/hook", id: Some("m-1"), resource: None };
    let at = UNIX_EPOCH + Duration::from_secs(1_614_265_330);
    let request = conf.0.message.request(&Names::from(event()), &about, at)?;
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        if !["user-agent", "accept"].contains(&name.as_str()) {
            text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
    }
    Ok(format!("{text}\n{}", String::from_utf8_lossy(&request.body)))
}

/// Returns the preview that `osnl explain` shows.
fn previewed(lines: &str) -> Preview {
    let loaded = load(lines).unwrap_or_else(|errors| panic!("{lines}\n{errors}"));
    loaded.conf.actions[0].preview(&Wanted { notification: &event(), rule: "r", resource: None, asks: &[] })
}

#[test]
fn the_example_and_every_recipe_load_without_a_warning() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let said = |text: &str| match load_texts(&[("a.conf".to_owned(), text.to_owned())], &Sources::default()) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    let example = std::fs::read_to_string(format!("{root}/examples/http.conf")).unwrap();
    assert_eq!(said(&example), [""; 0]);
    let page = std::fs::read_to_string(format!("{root}/docs/http.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```ini\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 6, "{}", blocks.len());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clouds.yaml");
    let auth = "auth_url: https://k/v3, username: u, password: p, project_name: oss";
    std::fs::write(&file, format!("clouds: {{mycloud: {{auth: {{{auth}}}}}}}\n")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let cloud = format!("cloud = mycloud\nclouds_file = {}", file.display());
    for block in blocks {
        // Secrets are in files that only the reader has.
        let block = block.replace("file:///etc/osnl/", "in-").replace("cloud = mycloud", &cloud);
        let names: Vec<&str> =
            block.lines().filter_map(|line| line.strip_prefix("[action:")?.strip_suffix(']')).collect();
        let frame = format!(
            "[listener:n]\ntransport_url = rabbit://u:p@h/\nexchange = neutron\n\
             pool = osnl\n[listener:m]\ntransport_url = rabbit://u:p@h/\nexchange = nova\ntopics = versioned_notifications\npool = m\n\
             [rule:r]\nactions = {}\n",
            names.join(", ")
        );
        assert_eq!(said(&format!("{frame}{block}")), [""; 0], "{block}");
    }
}

#[test]
fn the_host_of_an_event_is_known_before_the_attempt_and_that_of_the_configuration_is_none() {
    let about = About { rule: "r", action: "hook", key: "m-1/r/hook", id: None, resource: None };
    let check = |lines: &str, expected: Option<&str>| {
        let host = conf(lines).0.message.host(&Names::from(event()), &about);
        assert_eq!(host.as_deref(), expected, "{lines}");
    };
    check("url = {{ payload.callback }}", Some("hook.example:80"));
    check("url = https://{{ payload.port.id }}.Example/x", Some("p-1.example:443"));
    check("url = http://{{ '[::1]:8080' }}/", Some("[::1]:8080"));
    check("url = {{ payload.nothing }}", None);
    let limits = |lines: &str| load(lines).unwrap().conf.actions[0].delivery().hosts;
    let bounded = limits("url = {{ payload.callback }}\nhost_concurrency = 2\nhost_rate = 10 per 1m");
    assert_eq!(bounded.concurrency, Some(2));
    assert_eq!(bounded.rate.map(|rate| rate.to_string()).as_deref(), Some("10 per 1m"));
    assert_eq!(limits("url = http://h/"), HostLimits::default());
}
