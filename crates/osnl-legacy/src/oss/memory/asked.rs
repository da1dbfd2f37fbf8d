//! The answers of the APIs, in rows of their own. Details of events are stored with the message,
//! answers with the delivery, so that neither overwrites the other.

use super::rows::{AskedRow, MemoryRow};
use super::{Memory, instance_name, port_name};
use crate::oss::instance::KnownInstance;
use crate::oss::servers::Complete;

impl Memory {
    pub(crate) fn learn(&mut self, found: &Complete) {
        let instance = &found.happened.instance;
        let Some(id) = instance.id.as_deref() else { return };
        if let Some(port) = &found.happened.port {
            let server_of_port =
                AskedRow { instance: KnownInstance::unknown(Some(id.to_owned())), nics: Vec::new() };
            self.put(asked_name(&port_name(port)), MemoryRow::Asked(server_of_port));
        }
        let mut row = self.asked(&instance_name(id)).cloned().unwrap_or_default();
        row.instance.learn(instance.clone());
        if !found.nics.is_empty() {
            row.nics.clone_from(&found.nics);
        }
        self.put(asked_name(&instance_name(id)), MemoryRow::Asked(row));
    }

    pub(super) fn asked(&self, name: &str) -> Option<&AskedRow> {
        match self.row(&asked_name(name))? {
            MemoryRow::Asked(row) => Some(row),
            MemoryRow::Instance(_) | MemoryRow::Port(_) | MemoryRow::Floating(_) | MemoryRow::Address(_) => {
                None
            }
        }
    }
}

pub(super) fn asked_name(name: &str) -> String {
    format!("asked/{name}")
}
