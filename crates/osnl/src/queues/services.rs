//! Settings of OpenStack services: the line for the service's file, and the same for each deployer.

use std::collections::BTreeMap;

use osnl_transport::shell_quoted;

use super::EXCHANGES;
use crate::management::QueuePolicies;
use crate::management::risk::precedence;

pub(super) const PRIORITIES: [&str; 7] = ["audit", "debug", "info", "warn", "error", "critical", "sample"];

pub(super) struct ServiceSetting<'a> {
    pub(super) exchange: &'a str,
    pub(super) section: &'static str,
    pub(super) option: &'static str,
    pub(super) value: &'a str,
}

impl ServiceSetting<'_> {
    pub(super) const fn driver(exchange: &str) -> ServiceSetting<'_> {
        let (section, option) = ("oslo_messaging_notifications", "driver");
        ServiceSetting { exchange, section, option, value: "messagingv2" }
    }

    /// cinder and manila publish to oslo.messaging's default exchange.
    pub(super) fn name(&self) -> &str {
        if self.exchange == "openstack" { "cinder" } else { self.exchange }
    }

    pub(super) fn command(&self) -> String {
        self.command_and(&format!("then restart the services of {}", self.name()))
    }

    pub(super) fn command_and(&self, more: &str) -> String {
        let Self { section, option, value, .. } = self;
        format!("set [{section}] {option} = {value} in {}, {more}", self.file())
    }

    pub(super) fn file(&self) -> String {
        match self.name() {
            "glance" => "/etc/glance/glance-api.conf".to_owned(),
            known if EXCHANGES.contains(&known) => format!("/etc/{known}/{known}.conf"),
            other => format!("the file of the service whose control_exchange is {other}"),
        }
    }

    pub(super) fn deployers(&self) -> BTreeMap<String, String> {
        let Self { section, option, value, .. } = self;
        let service = self.name();
        if !EXCHANGES.contains(&service) {
            return BTreeMap::new();
        }
        let file = if service == "glance" { "glance-api" } else { service };
        let rhoso = match *option {
            "driver" => format!("spec.{service}.template.notificationsBusInstance: NAME of the RabbitMQ"),
            _ => format!("spec.{service}.template.customServiceConfig: [{section}] {option} = {value}"),
        };
        let lines = [
            (
                "kolla-ansible",
                format!(
                    "/etc/kolla/config/{service}.conf: [{section}] {option} = {value}; kolla-ansible reconfigure -t {service}"
                ),
            ),
            (
                "openstack-ansible",
                format!(
                    "{service}_{}_conf_overrides: {{{section}: {{{option}: {value}}}}}; openstack-ansible os-{service}-install.yml",
                    file.replace('-', "_")
                ),
            ),
            (
                "openstack-helm",
                format!("values of {service}: conf.{service}.{section}.{option}: {value}; helm upgrade"),
            ),
            ("rhoso", rhoso),
        ];
        lines.into_iter().map(|(deployer, line)| (deployer.to_owned(), line)).collect()
    }
}

pub(crate) const BOUND_EFFECT: &str =
    "this keeps the newest 1,000 messages of each such queue, and drops older ones now and from then on";

/// Returns the command that bounds the queues of a topic, which keeps the other settings of their policy.
pub(super) fn bound(vhost: &str, topic: &str, policies: Option<&QueuePolicies>) -> String {
    let effective = policies.map(|policies| policies.effective.clone()).unwrap_or_default();
    let mut definition: serde_json::Map<String, serde_json::Value> = effective.into_iter().collect();
    definition.insert("max-length".to_owned(), serde_json::json!(1000));
    let pattern = format!("^{}\\.", osnl_transport::escaped(topic));
    format!(
        "rabbitmqctl set_policy -p {} --apply-to queues{} {} {} {}",
        shell_quoted(vhost),
        precedence(policies, |found| &found.policy),
        shell_quoted(&format!("osnl-unread-{topic}")),
        shell_quoted(&pattern),
        shell_quoted(&serde_json::Value::Object(definition).to_string())
    )
}
