//! Events of floating IPs. An update has the current state; the earlier state shows the change.
//!
//! A floating IP is allocated to an instance when its port belongs to the instance. If its port is
//! unused, the allocation follows when an instance takes the port, and the release when the
//! instance loses the port.

use osnl_model::Notification;
use serde_json::Value;

use super::port::Holder;
use super::rows::{FloatingRow, MemoryRow};
use super::{Memory, floating_name, port_name};
use crate::oss::bounds::{Bound, PORT_FLOATING_IPS, id_of};
use crate::oss::event::{Occurrence, What};

impl Memory {
    pub(super) fn floating_ip(&mut self, n: &Notification, payload: &Value) -> Vec<Occurrence> {
        let event_type = n.event_type.as_deref().unwrap_or_default();
        let one = payload.get("floatingip").unwrap_or(&Value::Null);
        let id = id_of(one, "id").or_else(|| id_of(payload, "floatingip_id"));
        let Some(id) = id.or_else(|| id_of(payload, "id")) else { return Vec::new() };
        let known = self.floating_row(&id).cloned();
        match event_type {
            "floatingip.update.start" => {
                if known.as_ref().is_none_or(|row| row.edited) {
                    let edited = one.get("port_id").is_none();
                    let row = FloatingRow { edited, ..FloatingRow::default() };
                    if edited { self.put_floating(&id, row) } else { self.forget(&floating_name(&id)) }
                }
                Vec::new()
            }
            "floatingip.delete.end" => {
                let before = known.filter(|row| !row.edited).unwrap_or_else(|| self.now(one));
                let happened = self.changed(&id, Some(&before), &FloatingRow::default());
                self.detach(&id);
                self.forget(&floating_name(&id));
                happened
            }
            "floatingip.create.end" | "floatingip.update.end" => {
                self.set(&id, known, one, payload, event_type)
            }
            _ => Vec::new(),
        }
    }

    fn set(
        &mut self,
        id: &str,
        known: Option<FloatingRow>,
        one: &Value,
        payload: &Value,
        event_type: &str,
    ) -> Vec<Occurrence> {
        let now = self.now(one);
        let edited = known.as_ref().is_some_and(|row| row.edited);
        let known = known.filter(|row| !row.edited);
        if let (Some(before), Some(revision)) = (known.as_ref().and_then(|row| row.revision), now.revision)
            && revision < before
        {
            return Vec::new();
        }
        let happened = match &known {
            Some(before) => self.changed(id, Some(before), &now),
            // Only the description changed, and nothing was known of the floating IP.
            None if edited => Vec::new(),
            None if now.port.is_some() || event_type == "floatingip.create.end" => {
                self.changed(id, None, &now)
            }
            None => {
                let left = FloatingRow { port: id_of(payload, "port_id"), ..now.clone() };
                match left.address.as_deref().is_some_and(|ip| self.is_released(ip)) && left.port.is_none() {
                    true => Vec::new(),
                    false => vec![self.about(id, What::Released, &left)],
                }
            }
        };
        self.detach(id);
        if let Some(port) = &now.port {
            let mut row = self.take_port(port).unwrap_or_default();
            if row.floating.len() >= PORT_FLOATING_IPS {
                Bound::PortFloatingIps.exceeded();
            } else if !row.floating.iter().any(|floating| floating == id) {
                row.floating.push(id.to_owned());
            }
            if row.instance.is_none() {
                row.instance.clone_from(&now.instance);
            }
            self.put(port_name(port), MemoryRow::Port(row));
        }
        self.put_floating(id, now);
        happened
    }

    pub(super) fn left(&mut self, id: &str, port: &str) -> Vec<Occurrence> {
        let Some(row) = self.floating_of(id, port) else { return Vec::new() };
        let free =
            FloatingRow { address: row.address.clone(), revision: row.revision, ..FloatingRow::default() };
        let happened = self.changed(id, Some(&row), &free);
        self.put_floating(id, free);
        happened
    }

    pub(super) fn held(&mut self, id: &str, port: &str, holder: &Holder) -> Vec<Occurrence> {
        let Some(row) = self.floating_of(id, port) else { return Vec::new() };
        let now = row.clone().with(holder.clone());
        if now == row {
            return Vec::new();
        }
        let happened = self.changed(id, Some(&row), &now);
        self.put_floating(id, now);
        happened
    }

    fn floating_of(&self, id: &str, port: &str) -> Option<FloatingRow> {
        self.floating_row(id).filter(|row| row.port.as_deref() == Some(port)).cloned()
    }

    fn now(&self, one: &Value) -> FloatingRow {
        let port = id_of(one, "port_id");
        let holder = match (&port, one.get("port_details")) {
            (None, _) => Holder::default(),
            (Some(_), Some(details)) if details.get("device_id").is_some() => Holder::from_port(details),
            (Some(port), _) => self.holder(port),
        };
        let row = FloatingRow {
            address: id_of(one, "floating_ip_address"),
            port,
            revision: one.get("revision_number").and_then(Value::as_i64),
            ..FloatingRow::default()
        };
        row.with(holder)
    }

    fn changed(&mut self, id: &str, before: Option<&FloatingRow>, now: &FloatingRow) -> Vec<Occurrence> {
        let before = before.filter(|row| row.port.is_some());
        let moved = |before: &FloatingRow| {
            before.instance.is_some() && now.instance.is_some() && before.instance != now.instance
        };
        if let Some(before) = before
            && before.port == now.port
            && before.is_told() == now.is_told()
            && !moved(before)
        {
            return Vec::new();
        }
        let mut happened = Vec::new();
        happened.extend(before.map(|before| self.about(id, What::Released, before)));
        happened.extend(now.port.is_some().then(|| self.about(id, What::Allocated, now)));
        if happened.iter().any(|one| one.not.is_none()) {
            happened.retain(|one| one.not.is_none());
        }
        happened
    }

    fn about(&mut self, id: &str, what: What, row: &FloatingRow) -> Occurrence {
        let not = match &row.owner {
            Some(owner) => Some(format!("the floating IP's port belongs to {owner}, not to an instance")),
            None if row.unbound => Some("the floating IP's port is no instance's yet".to_owned()),
            None => None,
        };
        let server_of_port =
            || if not.is_some() { None } else { self.instance_of_port(row.port.as_deref()?) };
        let known = row.instance.clone().or_else(server_of_port);
        let instance = self.details(known.as_deref());
        let happened =
            Occurrence { what, ip: row.address.clone(), port: row.port.clone(), instance, part: None, not };
        self.addressed(id, &happened);
        happened
    }

    fn put_floating(&mut self, id: &str, row: FloatingRow) {
        self.put(floating_name(id), MemoryRow::Floating(row));
    }

    fn detach(&mut self, id: &str) {
        let Some(port) = self.floating_row(id).and_then(|row| row.port.clone()) else { return };
        let Some(mut row) = self.take_port(&port) else { return };
        row.floating.retain(|floating| floating != id);
        self.put(port_name(&port), MemoryRow::Port(row));
    }
}

impl FloatingRow {
    fn with(self, holder: Holder) -> Self {
        let Holder { instance, owner, unbound } = holder;
        let instance = if owner.is_none() && !unbound { instance.or(self.instance) } else { None };
        Self { instance, owner, unbound, ..self }
    }

    fn is_told(&self) -> bool {
        self.port.is_some() && self.owner.is_none() && !self.unbound
    }
}
