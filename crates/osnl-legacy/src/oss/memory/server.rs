use osnl_model::nova::other_name;
use osnl_model::{Notification, bounded_id};
use serde_json::Value;

use super::rows::{HalfReport, InstanceRow, MemoryRow};
use super::{Memory, instance_name};
use crate::oss::bounds::{Bound, INSTANCE_ADDRESSES};
use crate::oss::event::{Lists, Occurrence, What};
use crate::oss::instance::{InstanceReading, KnownInstance, Nic};

const TWICE: &str = "nova has told of it already, in its other form";

impl Memory {
    pub(super) fn server(&mut self, n: &Notification, reading: InstanceReading, lists: &Lists) -> Occurrence {
        let event_type = n.event_type.as_deref().unwrap_or_default();
        let InstanceReading { instance, nics, versioned } = reading;
        // An event without an id says nothing of another such event, so the memory keeps no row of it.
        let id = instance.id.clone();
        let mut row = id.as_deref().and_then(|id| self.take_instance(id)).unwrap_or_default();
        row.instance.learn(instance);
        let said = nics.unwrap_or_default();
        if !said.is_empty() {
            // During a deletion the instance loses its addresses one by one, so an empty list
            // removes none.
            row.nics.clone_from(&said);
        }
        let created = lists.created(event_type, What::Instance);
        // The address of the report takes precedence; a floating address may belong to another
        // instance by now.
        let ip = {
            let told = row.told.iter().filter(|_| created == Some(false)).cloned();
            let mut addresses = told.chain(said.iter().flat_map(Nic::all)).chain(row.addresses());
            addresses.find(|address| !self.has_left(address, id.as_deref().unwrap_or_default()))
        };
        let ip = ip.or_else(|| self.asked(&instance_name(id.as_deref()?))?.nics.first().map(Nic::shown));
        let is_twice = if event_type.ends_with(".create.end") {
            row.came.replace(versioned).is_some_and(|before| before != versioned)
        } else if event_type.ends_with(".delete.end") {
            row.went.replace(versioned).is_some_and(|before| before != versioned)
        } else {
            // A creation without an address is not told, so its other half may be the first to tell.
            let is_told = created == Some(false) || (created == Some(true) && ip.is_some());
            is_told && row.is_other_half(n, versioned, ip.is_some())
        };
        let twice = is_twice.then(|| TWICE.to_owned());
        if created == Some(true) && ip.is_some() && twice.is_none() {
            row.told.clone_from(&ip);
        }
        let none = (ip.is_none() && created == Some(true)).then(|| "it has no address".to_owned());
        let instance = match &id {
            Some(id) => {
                self.put(instance_name(id), MemoryRow::Instance(row));
                self.instance(Some(id))
            }
            None => row.instance,
        };
        Occurrence { what: What::Instance, ip, port: None, instance, part: None, not: twice.or(none) }
    }

    pub(super) fn plugged(&mut self, id: &str, port: &str, addresses: &[String]) {
        let mut row = self.take_instance(id).unwrap_or_else(|| InstanceRow {
            instance: KnownInstance::unknown(Some(id.to_owned())),
            ..InstanceRow::default()
        });
        row.nics.retain(|nic| nic.port.as_deref() != Some(port) || addresses.contains(&nic.address));
        for address in addresses {
            let is_full = row.nics.len() >= INSTANCE_ADDRESSES;
            match row.nics.iter_mut().find(|nic| nic.address == *address) {
                Some(nic) => nic.port = Some(port.to_owned()),
                None if is_full => Bound::InstanceAddresses.exceeded(),
                None => row.nics.push(Nic {
                    address: address.clone(),
                    port: Some(port.to_owned()),
                    floating: Vec::new(),
                }),
            }
        }
        self.put(instance_name(id), MemoryRow::Instance(row));
    }

    pub(super) fn unplugged(&mut self, id: &str, port: &str) {
        let Some(mut row) = self.take_instance(id) else { return };
        let (gone, left) = row.nics.into_iter().partition(|nic| nic.port.as_deref() == Some(port));
        row.nics = left;
        let gone: Vec<Nic> = gone;
        if !gone.is_empty() {
            row.gone = gone.into_iter().map(|nic| nic.shown()).collect();
        }
        self.put(instance_name(id), MemoryRow::Instance(row));
    }
}

impl InstanceRow {
    /// Whether nova has told of this event in its other form, at the same request, and with an address if this report
    /// has one. An event may happen again, so only one report in the other form belongs to each report.
    fn is_other_half(&mut self, n: &Notification, versioned: bool, addressed: bool) -> bool {
        let Some(event_type) = n.event_type.as_deref() else { return false };
        let Some(other) = other_name(event_type) else { return false };
        let name = if versioned { other } else { event_type.to_owned() };
        let request = n.context.get("request_id").and_then(Value::as_str);
        let request = request.map(|id| bounded_id(id).into_owned());
        match self.halves.remove(&name) {
            Some(half)
                if half.versioned != versioned
                    && half.request == request
                    && (half.addressed || !addressed) =>
            {
                true
            }
            Some(_) | None => {
                self.halves.insert(name, HalfReport { versioned, addressed, request });
                false
            }
        }
    }

    fn addresses(&self) -> impl Iterator<Item = String> {
        self.nics.iter().flat_map(Nic::all).chain(self.gone.iter().cloned())
    }
}
