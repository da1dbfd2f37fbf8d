use osnl_model::Notification;
use serde_json::Value;

use super::asked::asked_name;
use super::rows::{MemoryRow, PortRow};
use super::{Memory, port_name};
use crate::oss::bounds::{Bound, PORT_ADDRESSES, id_of, name_of};
use crate::oss::event::{Lists, Occurrence, What};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) instance: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) unbound: bool,
}

impl Holder {
    pub(super) fn from_port(port: &Value) -> Self {
        // The device of a router's or load balancer's port is no instance.
        let owner = name_of(port, "device_owner").filter(|owner| !owner.starts_with("compute:"));
        let instance = id_of(port, "device_id").filter(|_| owner.is_none());
        let unbound = owner.is_none() && instance.is_none();
        Self { instance, owner, unbound }
    }
}

impl Memory {
    pub(super) fn port(&mut self, n: &Notification, payload: &Value, lists: &Lists) -> Vec<Occurrence> {
        let event_type = n.event_type.as_deref().unwrap_or_default();
        let port = payload.get("port").unwrap_or(&Value::Null);
        let Some(id) = id_of(port, "id").or_else(|| id_of(payload, "port_id")) else { return Vec::new() };
        if !event_type.ends_with(".end") {
            return Vec::new();
        }
        let known = self.port_row(&id).cloned().unwrap_or_default();
        let told = port.get("device_id").is_some();
        let holder = if told { Holder::from_port(port) } else { self.holder(&id) };
        let addresses = addresses(port);
        if known.instance != holder.instance
            && let Some(before) = &known.instance
        {
            self.unplugged(before, &id);
        }
        if let Some(instance) = &holder.instance
            && !addresses.is_empty()
        {
            self.plugged(instance, &id, &addresses);
        }
        let mut happened = Vec::new();
        if lists.created(event_type, What::Port).is_some() {
            let not = holder.owner.as_ref();
            happened.push(Occurrence {
                what: What::Port,
                ip: addresses.first().cloned().or_else(|| self.plugged_address(&holder, &id)),
                port: Some(id.clone()),
                instance: self.details(holder.instance.as_deref()),
                part: None,
                not: not.map(|owner| format!("the port belongs to {owner}, not to an instance")),
            });
        }
        if event_type == "port.delete.end" {
            for floating in &known.floating {
                happened.extend(self.left(floating, &id));
            }
            if let Some(instance) = &holder.instance {
                self.unplugged(instance, &id);
            }
            self.forget(&port_name(&id));
            self.forget(&asked_name(&port_name(&id)));
            return happened;
        }
        for floating in known.floating.iter().filter(|_| told) {
            happened.extend(self.held(floating, &id, &holder));
        }
        let Holder { instance, owner, unbound } = holder;
        let row = PortRow { instance, owner, unbound, floating: known.floating };
        self.put(port_name(&id), MemoryRow::Port(row));
        happened
    }

    /// Returns the address of a port whose event names none, as older neutrons' deletions do.
    fn plugged_address(&self, holder: &Holder, port: &str) -> Option<String> {
        let row = self.instance_row(holder.instance.as_deref()?)?;
        row.nics.iter().find(|nic| nic.port.as_deref() == Some(port)).map(|nic| nic.address.clone())
    }

    pub(super) fn holder(&self, port: &str) -> Holder {
        match self.port_row(port) {
            Some(PortRow { instance, owner, unbound, .. }) => {
                Holder { instance: instance.clone(), owner: owner.clone(), unbound: *unbound }
            }
            None => Holder::default(),
        }
    }
}

fn addresses(port: &Value) -> Vec<String> {
    let list = port.get("fixed_ips").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if list.len() > PORT_ADDRESSES {
        Bound::PortAddresses.exceeded();
    }
    list.iter().take(PORT_ADDRESSES).filter_map(|ip| id_of(ip, "ip_address")).collect()
}
