//! The configuration of the demo: an `osnl.conf` with `driver = http`, whose target is an inventory
//! of hosts.

use std::sync::Arc;

use anyhow::Context as _;
use osnl::action::Action;
use osnl::action::http::HttpOptions;
use osnl::delivery::DeliverySettings;
use osnl::listener::ListenerConfig;
use osnl::native::{Sources, load_texts};
use osnl::rule::Rule;

use super::broker::DemoBroker;

/// Two listeners, one for each of nova's formats. Each has its own queue, because listeners on one
/// queue would share its messages. The exchange must be declared, since no service does so here.
const CONFIGURATION: &str = r#"
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

pub(super) struct ConfiguredParts {
    pub(super) listeners: Vec<(ListenerConfig, Rule)>,
    pub(super) action: (Arc<str>, Arc<dyn Action>, DeliverySettings),
}

pub(super) fn configure(broker: &DemoBroker, url: &str) -> anyhow::Result<ConfiguredParts> {
    let text = CONFIGURATION
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
    Ok(ConfiguredParts { listeners, action: (action.name.clone(), opened, action.delivery) })
}
