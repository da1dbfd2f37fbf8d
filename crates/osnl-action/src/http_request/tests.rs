mod messages;
mod properties;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use osnl_config::sections::{Dialect, Findings, Layers, Schema, SectionDef, SectionReader, repeated};
use osnl_config::template::Names;
use osnl_config::{ConfigErrors, Ini, OptionDef, in_order, secret_file};
use osnl_model::{Notification, Priority};
use osnl_net::http::{HttpError, HttpOptions, Url};
use osnl_transport::BoxFuture;
use serde_json::json;

use super::message::RequestSubject;
use super::{Authorization, FetchedLogin, FixedHeader, HttpConf};
use crate::driver::{ACTION, CallRequest, DriverConf as _, Preview, Probe, ProbeContext, SharedValues};
use osnl_delivery::HostLimits;

static SCHEMA: Schema = Schema {
    sections: &[
        SectionDef::named(
            "listener",
            "",
            &[option("transport_url"), option("exchange"), option("pool"), option("priorities")],
        ),
        SectionDef::named("rule", "", &[option("actions"), option("event_type")]),
        SectionDef {
            drivers: &[HttpConf::TABLE],
            ..SectionDef::named(ACTION, "", &[option("driver"), option("enrich")])
        },
    ],
    dialect: Dialect::Strict {
        foreign: &[],
        reference: "osnl config reference",
        synonyms: &[],
        machine_default: |_| None,
    },
    former: &[],
};

const fn option(name: &'static str) -> OptionDef {
    OptionDef::new(name, "text", "")
}

/// A login that has a token, and no catalogue.
#[derive(Debug)]
struct Stranger;

impl FetchedLogin for Stranger {
    fn authorization(&self, _: &HttpOptions, _: &SharedValues) -> Result<Arc<dyn Authorization>, HttpError> {
        Ok(Arc::new(FixedHeader::bearer("t").unwrap()))
    }

    fn account(&self) -> String {
        "a stranger".to_owned()
    }

    fn url(&self) -> Option<&Url> {
        None
    }

    fn service(&self, service: &str) -> String {
        service.to_owned()
    }

    fn probe<'a>(
        &'a self,
        _: ProbeContext<'a>,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, (Vec<Probe>, Option<String>)> {
        Box::pin(std::future::ready((Vec::new(), None)))
    }

    fn is_same(&self, _: &dyn FetchedLogin) -> bool {
        true
    }
}

fn load(lines: &str) -> Result<HttpConf, ConfigErrors> {
    let text = format!(
        "[listener:n]\ntransport_url = rabbit://u:p@h/\nexchange = neutron\npriorities = info\n\
         [rule:r]\nactions = hook\nevent_type = ^x\n[action:hook]\ndriver = http\n{lines}\n[listener:n]\npool = osnl\n"
    );
    let (ini, mut errors) = Ini::parse("a.conf", &text);
    errors.extend(repeated(&ini).0);
    let mut layers = Layers::new(&SCHEMA);
    errors.extend(layers.apply(&ini).errors);
    secret_file::read_all(&mut layers, &Default::default());
    let mut findings = Findings::default();
    let section = layers.sections.iter().find(|section| section.def.kind == ACTION).unwrap();
    let mut reader = SectionReader { file: "a.conf", layers: &layers, section, findings: &mut findings };
    let conf = HttpConf::read(&mut reader, |_| Some(Arc::new(Stranger)));
    errors.extend(findings.errors);
    in_order(&mut errors, |error| &error.0, &["a.conf".to_owned()]);
    match conf {
        Some(conf) if errors.is_empty() => Ok(conf),
        _ => Err(ConfigErrors(errors)),
    }
}

fn conf(lines: &str) -> HttpConf {
    load(lines).unwrap_or_else(|errors| panic!("{lines}\n{errors}"))
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

const ABOUT: RequestSubject<'_> =
    RequestSubject { rule: "r", action: "hook", key: "m-1/r/hook", id: Some("m-1"), resource: None };

fn sent(lines: &str) -> Result<String, String> {
    let conf = conf(lines);
    let at = UNIX_EPOCH + Duration::from_secs(1_614_265_330);
    let request = conf.0.message.request(&Names::from(event()), &ABOUT, at)?;
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        if !["user-agent", "accept", "accept-encoding"].contains(&name.as_str()) {
            text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
    }
    Ok(format!("{text}\n{}", String::from_utf8_lossy(&request.body)))
}

fn previewed(lines: &str) -> Preview {
    conf(lines).preview(&CallRequest { notification: &event(), rule: "r", resource: None, asks: &[] })
}

#[test]
fn the_host_of_an_event_is_known_before_the_attempt_and_that_of_the_configuration_is_none() {
    let about = RequestSubject { id: None, ..ABOUT };
    let check = |lines: &str, expected: Option<&str>| {
        let host = conf(lines).0.message.host(&Names::from(event()), &about);
        assert_eq!(host.as_deref(), expected, "{lines}");
    };
    check("url = {{ payload.callback }}", Some("hook.example:80"));
    check("url = https://{{ payload.port.id }}.Example/x", Some("p-1.example:443"));
    check("url = http://{{ '[::1]:8080' }}/", Some("[::1]:8080"));
    check("url = {{ payload.nothing }}", None);
    let limits = |lines: &str| conf(lines).traits().hosts.unwrap_or_default();
    let bounded = limits("url = {{ payload.callback }}\nhost_concurrency = 2\nhost_rate = 10 per 1m");
    assert_eq!(bounded.concurrency, Some(2));
    assert_eq!(bounded.rate.map(|rate| rate.to_string()).as_deref(), Some("10 per 1m"));
    assert_eq!(limits("url = http://h/"), HostLimits::default());
}
