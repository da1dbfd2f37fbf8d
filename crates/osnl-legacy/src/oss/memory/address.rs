//! The owners of floating addresses, and the key that orders the reports about each.
//!
//! The receiver must get the final state of an address last, and deliveries are ordered by one key.
//! So an address keeps the key of its first report, that of its first instance, even for another
//! instance or another floating IP.

use super::rows::{AddressRow, MemoryRow};
use super::{Memory, address_name};
use crate::oss::event::{Occurrence, What};

impl Memory {
    pub(super) fn addressed(&mut self, floating: &str, happened: &Occurrence) {
        let Occurrence { what, ip: Some(ip), instance, not: None, .. } = happened else { return };
        let id = instance.id.as_ref().map(|id| id.to_lowercase());
        let lane = match self.address_row(ip) {
            Some(row) => row.lane.clone(),
            None => id.clone().unwrap_or_else(|| floating.to_owned()),
        };
        let held = *what == What::Allocated;
        self.put(
            address_name(ip),
            MemoryRow::Address(AddressRow { lane, held, holder: id.filter(|_| held) }),
        );
    }

    pub(crate) fn lane(&self, happened: &Occurrence) -> Option<String> {
        let of_instance = || Some(happened.instance.id.as_ref()?.to_lowercase());
        match happened.what {
            What::Instance | What::Port => of_instance(),
            What::Allocated | What::Released => {
                let row = happened.ip.as_deref().and_then(|ip| self.address_row(ip));
                row.map(|row| row.lane.clone()).or_else(of_instance)
            }
        }
    }

    pub(super) fn has_left(&self, address: &str, id: &str) -> bool {
        let other = |holder: &String| !holder.eq_ignore_ascii_case(id);
        self.address_row(address).is_some_and(|row| !row.held || row.holder.as_ref().is_some_and(other))
    }

    /// Whether the last report about an address was its release.
    pub(super) fn is_released(&self, ip: &str) -> bool {
        self.address_row(ip).is_some_and(|row| !row.held)
    }

    fn address_row(&self, ip: &str) -> Option<&AddressRow> {
        match self.row(&address_name(ip))? {
            MemoryRow::Address(row) => Some(row),
            MemoryRow::Instance(_) | MemoryRow::Port(_) | MemoryRow::Floating(_) | MemoryRow::Asked(_) => {
                None
            }
        }
    }
}
