//! Events of ports.

use osnl_model::Notification;
use serde_json::Value;

use super::rows::{PortRow, Row};
use super::{Memory, port_name};
use crate::oss::event::{Happened, Lists, What};
use crate::oss::instance::text_of;

impl Memory {
    pub(super) fn port(&mut self, n: &Notification, payload: &Value, lists: &Lists) -> Vec<Happened> {
        let event_type = n.event_type.as_deref().unwrap_or_default();
        let port = payload.get("port").unwrap_or(&Value::Null);
        let Some(id) = text_of(port, "id").or_else(|| text_of(payload, "port_id")) else { return Vec::new() };
        if !event_type.ends_with(".end") {
            return Vec::new();
        }
        let known = self.port_row(&id).cloned().unwrap_or_default();
        // A port of a router or of a load balancer has a device that is no instance.
        let device = text_of(port, "device_id").filter(|_| owner(port).is_none());
        let instance = match port.get("device_id") {
            Some(_) => device,
            None => known.instance.clone(),
        };
        let addresses = addresses(port);
        if known.instance != instance
            && let Some(before) = &known.instance
        {
            self.unplugged(before, &id);
        }
        if let Some(instance) = &instance
            && !addresses.is_empty()
        {
            self.plugged(instance, &id, &addresses);
        }
        let mut happened = Vec::new();
        if lists.created(event_type, What::Port).is_some() {
            happened.push(Happened {
                what: What::Port,
                ip: addresses.first().cloned(),
                port: Some(id.clone()),
                instance: self.instance(instance.as_deref()),
                part: None,
                not: owner(port).map(|owner| format!("the port belongs to {owner}, not to an instance")),
            });
        }
        if event_type == "port.delete.end" {
            for floating in &known.floating {
                happened.extend(self.left(floating));
            }
            if let Some(instance) = &instance {
                self.unplugged(instance, &id);
            }
            self.forget(&port_name(&id));
        } else {
            self.put(port_name(&id), Row::Port(PortRow { instance, ..known }));
        }
        happened
    }
}

/// Who has a port that is no instance's.
pub(super) fn owner(port: &Value) -> Option<String> {
    text_of(port, "device_owner").filter(|owner| !owner.starts_with("compute:"))
}

fn addresses(port: &Value) -> Vec<String> {
    let list = port.get("fixed_ips").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|ip| text_of(ip, "ip_address")).collect()
}
