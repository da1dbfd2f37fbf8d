use super::rows::{InstanceRow, MemoryRow};
use super::{Memory, instance_name};
use crate::oss::bounds::{Bound, INSTANCE_ADDRESSES};
use crate::oss::event::{Lists, Occurrence, What};
use crate::oss::instance::{InstanceReading, KnownInstance, Nic};

const TWICE: &str = "nova has told of it already, in its other form";

impl Memory {
    pub(super) fn server(&mut self, event_type: &str, reading: InstanceReading, lists: &Lists) -> Occurrence {
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
        let is_untold = created == Some(true) && ip.is_none();
        let before = if is_untold {
            None
        } else if event_type.ends_with(".create.end") {
            row.came.replace(versioned)
        } else if event_type.ends_with(".delete.end") {
            row.went.replace(versioned)
        } else {
            None
        };
        let twice = before.is_some_and(|before| before != versioned).then(|| TWICE.to_owned());
        if created == Some(true) && ip.is_some() && twice.is_none() {
            row.told.clone_from(&ip);
        }
        let none = is_untold.then(|| "it has no address".to_owned());
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
    fn addresses(&self) -> impl Iterator<Item = String> {
        self.nics.iter().flat_map(Nic::all).chain(self.gone.iter().cloned())
    }
}
