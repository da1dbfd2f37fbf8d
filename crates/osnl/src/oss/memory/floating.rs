//! Events of floating IPs. An update says what is so now; whether that is new follows from what was known.

use osnl_model::Notification;
use serde_json::Value;

use super::port::owner;
use super::rows::{FloatingRow, PortRow, Row};
use super::{Memory, floating_name, port_name};
use crate::oss::event::{Happened, What};
use crate::oss::instance::text_of;

impl Memory {
    pub(super) fn floating_ip(&mut self, n: &Notification, payload: &Value) -> Vec<Happened> {
        let event_type = n.event_type.as_deref().unwrap_or_default();
        let one = payload.get("floatingip").unwrap_or(&Value::Null);
        let id = text_of(one, "id").or_else(|| text_of(payload, "floatingip_id"));
        let Some(id) = id.or_else(|| text_of(payload, "id")) else { return Vec::new() };
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
                let released = match known.filter(|row| !row.edited) {
                    Some(row) => self.released(&row),
                    None => self.released(&self.now(one)),
                };
                self.detach(&id);
                self.forget(&floating_name(&id));
                released.into_iter().collect()
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
    ) -> Vec<Happened> {
        let now = self.now(one);
        let edited = known.as_ref().is_some_and(|row| row.edited);
        let known = known.filter(|row| !row.edited);
        if let (Some(before), Some(revision)) = (known.as_ref().and_then(|row| row.revision), now.revision)
            && revision < before
        {
            return Vec::new();
        }
        let same = |before: &FloatingRow| {
            let moved =
                before.instance.is_some() && now.instance.is_some() && before.instance != now.instance;
            before.port == now.port && !moved
        };
        let mut happened = Vec::new();
        match &known {
            Some(before) if same(before) => {}
            Some(before) => {
                happened.extend(self.released(before));
                happened.extend(self.allocated(&now));
            }
            // It was only described, and nothing was known of it.
            None if edited => {}
            None if now.port.is_some() => happened.extend(self.allocated(&now)),
            None if event_type == "floatingip.create.end" => {}
            None => {
                // A patched neutron names the port that it has left.
                let port = text_of(payload, "port_id");
                let instance = port.as_deref().and_then(|port| self.port_row(port)?.instance.clone());
                let what = What::Released;
                let instance = self.instance(instance.as_deref());
                happened.push(Happened {
                    what,
                    ip: now.address.clone(),
                    port,
                    instance,
                    part: None,
                    not: None,
                });
            }
        }
        self.detach(id);
        if let Some(port) = &now.port {
            let mut row = self.port_row(port).cloned().unwrap_or_default();
            if !row.floating.iter().any(|floating| floating == id) {
                row.floating.push(id.to_owned());
            }
            if row.instance.is_none() {
                row.instance.clone_from(&now.instance);
            }
            self.put(port_name(port), Row::Port(row));
        }
        self.put_floating(id, now);
        happened
    }

    /// The port of a floating IP is gone.
    pub(super) fn left(&mut self, id: &str) -> Option<Happened> {
        let row = self.floating_row(id)?.clone();
        let free = FloatingRow { port: None, instance: None, owner: None, ..row.clone() };
        self.put_floating(id, free);
        self.released(&row)
    }

    /// As an event has it.
    fn now(&self, one: &Value) -> FloatingRow {
        let details = one.get("port_details").unwrap_or(&Value::Null);
        let port = text_of(one, "port_id");
        let owner = owner(details);
        let instance = text_of(details, "device_id").filter(|_| owner.is_none());
        let instance = match &owner {
            None => instance.or_else(|| self.port_row(port.as_deref()?)?.instance.clone()),
            Some(_) => None,
        };
        FloatingRow {
            address: text_of(one, "floating_ip_address"),
            instance,
            owner,
            port,
            revision: one.get("revision_number").and_then(Value::as_i64),
            edited: false,
        }
    }

    fn allocated(&self, row: &FloatingRow) -> Option<Happened> {
        self.about(What::Allocated, row)
    }

    fn released(&self, row: &FloatingRow) -> Option<Happened> {
        self.about(What::Released, row)
    }

    fn about(&self, what: What, row: &FloatingRow) -> Option<Happened> {
        let port = Some(row.port.clone()?);
        let not = row.owner.as_ref();
        let not = not.map(|owner| format!("the floating IP's port belongs to {owner}, not to an instance"));
        let instance = self.instance(row.instance.as_deref());
        Some(Happened { what, ip: row.address.clone(), port, instance, part: None, not })
    }

    fn put_floating(&mut self, id: &str, row: FloatingRow) {
        self.put(floating_name(id), Row::Floating(row));
    }

    /// No port knows it any more.
    fn detach(&mut self, id: &str) {
        let Some(port) = self.floating_row(id).and_then(|row| row.port.clone()) else { return };
        let Some(row) = self.port_row(&port) else { return };
        let floating = row.floating.iter().filter(|floating| *floating != id).cloned().collect();
        let row = PortRow { floating, ..row.clone() };
        self.put(port_name(&port), Row::Port(row));
    }
}
