//! The memory of instances, ports and floating IPs, which gives an event its meaning.
//!
//! | missing value | source |
//! | --- | --- |
//! | the addresses of a deleted instance | its payload; its reported creation; `instance.delete.start`; ports; APIs |
//! | the instance of a floating IP | `port_details`, then the port's own events, then the APIs |
//! | the former instance of a floating IP | the known association |
//! | whether an update changed the association | the same; else the request in `floatingip.update.start` |
//! | the new instance of a floating IP whose port was unused | the port's own events |
//! | the floating IPs of a deleted port | the known associations |
//!
//! The memory is bounded: beyond a hundred thousand rows, or 128 MiB, it forgets the least recently
//! used row, whose values then are null. Each change is returned as text for a journal; [`Memory::restore`]
//! reads the texts back. A repeated message gets its former answer while it is among the last four
//! thousand. No clock is read.

mod address;
mod asked;
mod decided;
mod floating;
mod port;
mod rows;
mod server;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use osnl_model::{Bulk, Notification, bounded_id};
use serde_json::Value;

use self::asked::asked_name;
use self::decided::{DecidedMessages, message_digest};
use self::rows::{FloatingRow, InstanceRow, MemoryRow, PortRow};
use super::bounds::{Bound, MESSAGE_DETAILS};
use super::event::{Lists, Occurrence};
use super::instance::{InstanceReading, KnownInstance};
use osnl_core::observe::PartKeys;
pub use osnl_core::received::RowChange;

const MOST: usize = 100_000;
const MOST_BYTES: usize = 128 << 20;
const LAST: usize = 4096;

#[derive(Debug)]
pub struct Memory {
    rows: HashMap<String, HeldRow>,
    order: BTreeMap<u64, String>,
    tick: u64,
    most: usize,
    bytes: usize,
    most_bytes: usize,
    decided: DecidedMessages,
    touched: BTreeSet<String>,
    /// The bytes of instances that the report of the present message may still have.
    details: usize,
}

#[derive(Debug)]
struct HeldRow {
    at: u64,
    bytes: usize,
    row: MemoryRow,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventMeaning {
    pub happened: Vec<Occurrence>,
    pub changes: Vec<RowChange>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_limits(MOST, MOST_BYTES)
    }
}

impl Memory {
    #[must_use]
    pub fn with_limits(most: usize, most_bytes: usize) -> Self {
        let (rows, order, tick, bytes, touched, details) = Default::default();
        let decided = DecidedMessages::new(LAST);
        Self { rows, order, tick, most, bytes, most_bytes, decided, touched, details }
    }

    /// Restores [`RowChange`]s, the latest last. Returns the number of unreadable rows. The next changes remove the
    /// rows that have no room.
    pub fn restore(&mut self, rows: impl IntoIterator<Item = (String, String)>) -> usize {
        let mut unread = 0;
        for (name, text) in rows {
            match serde_json::from_str(&text) {
                Ok(row) => self.put(name, row),
                Err(_) => unread += 1,
            }
        }
        let Self { rows, touched, .. } = self;
        touched.retain(|name| !rows.contains_key(name));
        unread
    }

    /// Returns the meaning of a message, and notes it. `payload` is the original text, for the
    /// order of keys.
    pub fn interpret(&mut self, n: &Notification, payload: Option<&str>, lists: &Lists) -> EventMeaning {
        let happened = self.meaning(n, payload, lists);
        EventMeaning { happened, changes: self.changes() }
    }

    pub(crate) fn meaning(
        &mut self,
        n: &Notification,
        payload: Option<&str>,
        lists: &Lists,
    ) -> Vec<Occurrence> {
        let message = message_digest(n, payload);
        if let Some(happened) = message.and_then(|message| self.decided.get(&message)) {
            return happened;
        }
        self.details = MESSAGE_DETAILS;
        let event_type = n.event_type.as_deref().unwrap_or_default();
        let mut happened = match event_type.split('.').next() {
            Some("floatingip") => self.parts(n, "floatingip", Self::floating_ip),
            Some("port") => {
                let told =
                    |memory: &mut Self, n: &Notification, payload: &Value| memory.port(n, payload, lists);
                self.parts(n, "port", told)
            }
            Some(_) | None => match InstanceReading::read(n, payload) {
                Some(reading) => vec![self.server(event_type, reading, lists)],
                None => Vec::new(),
            },
        };
        happened.retain(|happened| lists.created(event_type, happened.what).is_some());
        if let Some(message) = message {
            self.decided.put(message, happened.clone());
        }
        happened
    }

    pub(crate) fn keys(&self, happened: &[Occurrence]) -> PartKeys {
        let key = |happened: &Occurrence| {
            let key = bounded_id(self.lane(happened)?).into_owned();
            Some((happened.part, key))
        };
        happened.iter().filter_map(key).collect()
    }

    fn parts(
        &mut self,
        n: &Notification,
        kind: &str,
        mut interpret: impl FnMut(&mut Self, &Notification, &Value) -> Vec<Occurrence>,
    ) -> Vec<Occurrence> {
        let Some(bulk) = Bulk::from_notification(n) else {
            let bare = n.payload.get(kind).is_none() && n.payload.get(format!("{kind}_id")).is_none();
            return match bare && n.payload.get("device_id").is_some() {
                true => interpret(self, n, &serde_json::json!({ kind: n.payload })),
                false => interpret(self, n, &n.payload),
            };
        };
        let mut happened = Vec::new();
        for part in 0..bulk.len() {
            let Some(payload) = bulk.part(part) else { continue };
            let of_part = interpret(self, n, &payload).into_iter();
            happened.extend(of_part.map(|one| Occurrence { part: u32::try_from(part).ok(), ..one }));
        }
        happened
    }

    fn row(&self, name: &str) -> Option<&MemoryRow> {
        self.rows.get(name).map(|held| &held.row)
    }

    fn put(&mut self, name: String, row: MemoryRow) {
        self.take(&name);
        self.tick += 1;
        let bytes = row.memory() + 3 * name.len();
        self.bytes += bytes;
        self.order.insert(self.tick, name.clone());
        self.rows.insert(name.clone(), HeldRow { at: self.tick, bytes, row });
        self.touched.insert(name);
        while (self.rows.len() > self.most || self.bytes > self.most_bytes)
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, name: &str) {
        if self.take(name).is_some() {
            self.touched.insert(name.to_owned());
        }
    }

    fn take(&mut self, name: &str) -> Option<MemoryRow> {
        let HeldRow { at, bytes, row } = self.rows.remove(name)?;
        self.order.remove(&at);
        self.bytes -= bytes;
        Some(row)
    }

    fn take_instance(&mut self, id: &str) -> Option<InstanceRow> {
        match self.take(&instance_name(id))? {
            MemoryRow::Instance(row) => Some(row),
            MemoryRow::Port(_) | MemoryRow::Floating(_) | MemoryRow::Asked(_) | MemoryRow::Address(_) => None,
        }
    }

    fn take_port(&mut self, id: &str) -> Option<PortRow> {
        match self.take(&port_name(id))? {
            MemoryRow::Port(row) => Some(row),
            MemoryRow::Instance(_) | MemoryRow::Floating(_) | MemoryRow::Asked(_) | MemoryRow::Address(_) => {
                None
            }
        }
    }

    pub(super) fn changes(&mut self) -> Vec<RowChange> {
        let touched = std::mem::take(&mut self.touched);
        let change = |name: String| {
            let row = self.row(&name).and_then(|row| serde_json::to_string(row).ok());
            RowChange { name, row }
        };
        touched.into_iter().map(change).collect()
    }

    fn instance_row(&self, id: &str) -> Option<&InstanceRow> {
        match self.row(&instance_name(id))? {
            MemoryRow::Instance(row) => Some(row),
            _ => None,
        }
    }

    fn port_row(&self, id: &str) -> Option<&PortRow> {
        match self.row(&port_name(id))? {
            MemoryRow::Port(row) => Some(row),
            MemoryRow::Instance(_) | MemoryRow::Floating(_) | MemoryRow::Asked(_) | MemoryRow::Address(_) => {
                None
            }
        }
    }

    fn floating_row(&self, id: &str) -> Option<&FloatingRow> {
        match self.row(&floating_name(id))? {
            MemoryRow::Floating(row) => Some(row),
            _ => None,
        }
    }

    /// Returns an instance for a report: the id alone, if a bulk request is about too many large instances.
    fn details(&mut self, id: Option<&str>) -> KnownInstance {
        let bytes = |name: &str| self.rows.get(name).map_or(0, |held| held.bytes);
        let known = id.map_or(0, |id| {
            let name = instance_name(id);
            bytes(&name) + bytes(&asked_name(&name))
        });
        match self.details.checked_sub(known) {
            Some(left) => {
                self.details = left;
                self.instance(id)
            }
            None => {
                Bound::MessageDetails.exceeded();
                KnownInstance::unknown(id.map(str::to_owned))
            }
        }
    }

    #[must_use]
    pub fn instance(&self, id: Option<&str>) -> KnownInstance {
        let mut known = KnownInstance::unknown(id.map(str::to_owned));
        let Some(id) = id else { return known };
        if let Some(asked) = self.asked(&instance_name(id)) {
            known.learn(asked.instance.clone());
        }
        if let Some(row) = self.instance_row(id) {
            known.learn(row.instance.clone());
        }
        known
    }

    fn instance_of_port(&self, port: &str) -> Option<String> {
        let told = self.port_row(port).and_then(|row| row.instance.clone());
        told.or_else(|| self.asked(&port_name(port))?.instance.id.clone())
    }
}

fn instance_name(id: &str) -> String {
    format!("instance/{}", id.to_lowercase())
}

fn port_name(id: &str) -> String {
    format!("port/{id}")
}

fn address_name(ip: &str) -> String {
    format!("address/{ip}")
}

fn floating_name(id: &str) -> String {
    format!("floatingip/{id}")
}
