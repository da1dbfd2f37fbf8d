//! The scenarios whose target keeps a list of hosts: their configuration, and the requests that their stand-in
//! understands.
//!
//! | scenario | configuration | request | the target |
//! | --- | --- | --- | --- |
//! | `webhook` | an `osnl.conf` with `driver = http` | `PUT` and `DELETE /api/hosts/ID` | an inventory: hosts come and go with the events |
//! | `k2hr3` | three `k2hr3_osnl.conf` | `DELETE /v1/role?cuk=…` | K2HR3: hosts register themselves, osnl removes them |

use std::sync::Arc;

use anyhow::Context as _;
use osnl::action::Action;
use osnl::action::http::HttpOptions;
use osnl::action::k2hr3::K2hr3;
use osnl::delivery::DeliverySettings;
use osnl::listener::ListenerConfig;
use osnl::native::{Sources, load_texts};
use osnl::rule::Rule;
use osnl_k2hr3::{ApiUrl, Conf};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::broker::DemoBroker;

/// Two listeners, one for each of nova's formats; each has a queue of its own, since sharing one they would share
/// its messages. No service makes the exchange here. The names in braces are filled in.
const WEBHOOK: &str = r#"
[listener:nova]
transport_url = rabbit://127.0.0.1/
exchange = {nova}
declare = create
pool = {pool}

[listener:nova-versioned]
transport_url = rabbit://127.0.0.1/
exchange = {nova}
declare = create
topics = versioned_notifications
pool = {pool}-versioned

[rule:instances]
listeners = nova
event_type = ^compute\.instance\.(create|delete)\.end$
actions = inventory

[rule:instances-versioned]
listeners = nova-versioned
event_type = ^instance\.(create|delete)\.end$
actions = inventory

[action:inventory]
driver = http
method = {{ "DELETE" if event_type.endswith("delete.end") else "PUT" }}
url = {url}/{{ resource.id }}
body = {"name": "{{ resource.name }}", "addresses": {{ resource.addresses|default([])|map(attribute="address")|list|tojson }}}
"#;

/// Three files of k2hr3_osnl, one for each kind of message it knows: the name of the rule, the exchange, the pool,
/// and the rest of the text.
const K2HR3: [(&str, &str, &str, &str); 3] = [
    ("port-deleted", "neutron", "osnl-demo", ""),
    (
        "instance-deleted",
        "nova",
        "osnl-demo-nova",
        "publisher_id = ^compute\\..*$\nevent_type = ^compute\\.instance\\.delete\\.end$\n",
    ),
    (
        "instance-deleted-versioned",
        "nova",
        "osnl-demo-nova-versioned",
        "topic = versioned_notifications\npublisher_id = ^nova-(compute|api):.*$\n\
         event_type = ^instance\\.delete\\.end$\n",
    ),
];

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    Webhook,
    K2hr3,
}

/// The parts that a scenario configures.
pub(super) struct ScenarioParts {
    /// Each listener with its only rule.
    pub(super) listeners: Vec<(ListenerConfig, Rule)>,
    /// The action's name, the action, and its settings.
    pub(super) action: (Arc<str>, Arc<dyn Action>, DeliverySettings),
}

/// A request that the stand-in understands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HostRequest {
    /// The host has these addresses.
    Put { id: String, name: String, addresses: Vec<String> },
    /// These addresses of the host go, as a JSON list; without one all.
    Delete { id: String, addresses: Option<String> },
    /// The request lacks the host.
    Incomplete,
}

impl Scenario {
    /// The target's name on the screen.
    pub(super) fn target(self) -> &'static str {
        match self {
            Self::Webhook => "inventory",
            Self::K2hr3 => "K2HR3",
        }
    }

    /// Tells what the run shows.
    pub(super) fn introduction(self) -> &'static str {
        match self {
            Self::Webhook => {
                "Instances of a small cloud are created and deleted, and an inventory with a REST interface must list\n\
                 exactly those that exist. The notifications are recorded ones."
            }
            Self::K2hr3 => {
                "Instances that a small cloud reports as deleted must leave the roles of K2HR3. The notifications are\n\
                 recorded ones."
            }
        }
    }

    /// The heading above the listeners.
    pub(super) fn configuration(self) -> &'static str {
        match self {
            Self::Webhook => "osnl: two listeners, two rules, and one action with driver = http",
            Self::K2hr3 => "osnl: the listeners of three k2hr3_osnl.conf",
        }
    }

    /// The path that its target serves.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Webhook => "/api/hosts",
            Self::K2hr3 => "/v1/role",
        }
    }

    /// Whether hosts register themselves with the target.
    pub(super) fn has_registration(self) -> bool {
        match self {
            Self::Webhook => false,
            Self::K2hr3 => true,
        }
    }

    /// The last sentence of a run without a loss.
    pub(super) fn success(self) -> &'static str {
        match self {
            Self::Webhook => "The inventory lists exactly the instances that exist. Nothing was lost.",
            Self::K2hr3 => "Every deletion reached K2HR3. Nothing was lost.",
        }
    }

    /// Reads its configuration.
    ///
    /// # Errors
    /// It is not valid; a test sees to it that it is.
    pub(super) fn configure(self, broker: &DemoBroker, url: &str) -> anyhow::Result<ScenarioParts> {
        match self {
            Self::Webhook => webhook(broker, url),
            Self::K2hr3 => k2hr3(broker, url),
        }
    }

    /// Reads a request to its target; `None` if it has no such route.
    pub(super) fn read(self, method: &str, target: &str, body: &[u8]) -> Option<HostRequest> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match self {
            Self::Webhook => inventory_request(method, path.strip_prefix(self.path())?, body),
            Self::K2hr3 => (method == "DELETE" && path == self.path()).then(|| role_request(query)),
        }
    }
}

fn inventory_request(method: &str, rest: &str, body: &[u8]) -> Option<HostRequest> {
    let id = rest.strip_prefix('/').unwrap_or_default().to_owned();
    match method {
        "PUT" | "DELETE" if id.is_empty() => Some(HostRequest::Incomplete),
        "DELETE" => Some(HostRequest::Delete { id, addresses: None }),
        "PUT" => {
            let host: Value = serde_json::from_slice(body).unwrap_or_default();
            let Some(name) = host["name"].as_str() else { return Some(HostRequest::Incomplete) };
            let addresses = host["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
            let addresses = addresses.iter().filter_map(|address| Some(address.as_str()?.to_owned()));
            Some(HostRequest::Put { id, name: name.to_owned(), addresses: addresses.collect() })
        }
        _ => None,
    }
}

fn role_request(query: &str) -> HostRequest {
    let parameter = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    match parameter("cuk").filter(|cuk| !cuk.is_empty()) {
        Some(id) => HostRequest::Delete { id, addresses: parameter("host") },
        None => HostRequest::Incomplete,
    }
}

fn webhook(broker: &DemoBroker, url: &str) -> anyhow::Result<ScenarioParts> {
    let text = WEBHOOK
        .replace("{nova}", &broker.name("nova"))
        .replace("{pool}", &broker.name("osnl-demo"))
        .replace("{url}", url);
    let conf = load_texts(&[("osnl.conf".to_owned(), text)], &Sources::default())?.conf;
    let rule = |name: &Arc<str>| {
        let rule = conf.rules.iter().find(|rule| rule.listeners.contains(name));
        rule.map(|rule| rule.rule.clone()).context("a listener without a rule")
    };
    let listeners = conf.listeners.iter().map(|listener| Ok((listener.config(), rule(&listener.name)?)));
    let listeners = listeners.collect::<anyhow::Result<_>>()?;
    let action = conf.actions.first().context("no action")?;
    let opened = action.open(&HttpOptions::default())?;
    Ok(ScenarioParts { listeners, action: (action.name.clone(), opened, action.delivery) })
}

fn k2hr3(broker: &DemoBroker, url: &str) -> anyhow::Result<ScenarioParts> {
    const ACTION: &str = "k2hr3";
    let confs = K2HR3.iter().map(|(name, exchange, pool, rest)| {
        let (exchange, pool) = (broker.name(exchange), broker.name(pool));
        let text = format!("[oslo_messaging_notifications]\nexchange = {exchange}\npool = {pool}\n{rest}");
        Ok((*name, Conf::from_text(name, &text)?.conf))
    });
    let confs = confs.collect::<anyhow::Result<Vec<_>>>()?;
    let listeners = confs.iter().map(|(name, conf)| {
        let listener = ListenerConfig { name: (*name).into(), ..conf.listener() };
        (listener, Rule { name: (*name).into(), actions: vec![ACTION.into()], ..conf.rule() })
    });
    let listeners = listeners.collect();
    let settings = confs.first().map(|(_, conf)| conf.delivery()).context("no configuration")?;
    // The environment's proxies have no part in what stays within the process.
    let action = Arc::new(K2hr3::new(ApiUrl::parse(url)?, &HttpOptions::default())?);
    Ok(ScenarioParts { listeners, action: (ACTION.into(), action, settings) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delete(id: &str, addresses: Option<&str>) -> Option<HostRequest> {
        Some(HostRequest::Delete { id: id.to_owned(), addresses: addresses.map(str::to_owned) })
    }

    #[test]
    fn a_stand_in_reads_the_requests_of_its_scenario_only() {
        let put =
            HostRequest::Put { id: "a".into(), name: "web-1".into(), addresses: vec!["10.0.0.1".into()] };
        let body = r#"{"name": "web-1", "addresses": ["10.0.0.1", null]}"#;
        for (scenario, method, target, body, expected) in [
            (Scenario::Webhook, "PUT", "/api/hosts/a", body, Some(put)),
            (Scenario::Webhook, "PUT", "/api/hosts/a", "{", Some(HostRequest::Incomplete)),
            (Scenario::Webhook, "DELETE", "/api/hosts/a", "", delete("a", None)),
            (Scenario::Webhook, "DELETE", "/api/hosts/", "", Some(HostRequest::Incomplete)),
            (Scenario::Webhook, "GET", "/api/hosts/a", "", None),
            (Scenario::Webhook, "DELETE", "/v1/role?cuk=a", "", None),
            (Scenario::K2hr3, "DELETE", "/v1/role?cuk=a", "", delete("a", None)),
            (
                Scenario::K2hr3,
                "DELETE",
                "/v1/role?cuk=a&host=%5B%22x%22%5D",
                "",
                delete("a", Some(r#"["x"]"#)),
            ),
            (Scenario::K2hr3, "DELETE", "/v1/role?cuk=", "", Some(HostRequest::Incomplete)),
            (Scenario::K2hr3, "PUT", "/v1/role?cuk=a", "", None),
        ] {
            assert_eq!(scenario.read(method, target, body.as_bytes()), expected, "{method} {target}");
        }
    }
}
