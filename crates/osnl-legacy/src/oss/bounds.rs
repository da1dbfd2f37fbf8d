//! The bounds of a resource's values. A publisher chooses the values, and each event of the resource repeats them.
//!
//! Each bound is above what stock services write: nova's quota is 128 keys of metadata, neutron's is five addresses of
//! a port, and names have 255 characters.

use std::sync::Once;

use osnl_model::{bounded_id, cut};
use serde_json::Value;

use super::instance::{Nic, text_of};

pub(super) const METADATA_KEYS: usize = 1024;
pub(super) const METADATA_BYTES: usize = 256 << 10;
pub(super) const INSTANCE_ADDRESSES: usize = 1024;
pub(super) const PORT_ADDRESSES: usize = 128;
pub(super) const PORT_FLOATING_IPS: usize = 128;
/// The bytes of instances in the report of one message, which may be about ten thousand resources.
pub(super) const MESSAGE_DETAILS: usize = 16 << 20;
const NAME: usize = 1024;

pub(super) fn id_of(value: &Value, key: &str) -> Option<String> {
    text_of(value, key).map(|id| bounded_id(id).into_owned())
}

pub(super) fn name_of(value: &Value, key: &str) -> Option<String> {
    text_of(value, key).map(|name| cut(&name, NAME).to_owned())
}

pub(super) fn nics_within(nics: impl IntoIterator<Item = Nic>) -> Vec<Nic> {
    let (mut kept, mut left) = (Vec::new(), INSTANCE_ADDRESSES);
    for mut nic in nics {
        if left <= nic.floating.len() {
            Bound::InstanceAddresses.exceeded();
            let Some(floating) = left.checked_sub(1) else { break };
            nic.floating.truncate(floating);
        }
        left -= 1 + nic.floating.len();
        kept.push(nic);
    }
    kept
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    Metadata,
    InstanceAddresses,
    PortAddresses,
    PortFloatingIps,
    MessageDetails,
}

impl Bound {
    pub(super) fn exceeded(self) {
        static SAID: [Once; 5] = [const { Once::new() }; 5];
        let words = match self {
            Self::Metadata => {
                "an instance has more than 1024 keys or 256 KiB of metadata: the rest is left out of reports, also of later \
                 instances"
            }
            Self::InstanceAddresses => {
                "an instance has more than 1024 addresses: the rest is not remembered, also of later instances"
            }
            Self::PortAddresses => {
                "a port has more than 128 addresses: the rest is not remembered, also of later ports"
            }
            Self::PortFloatingIps => {
                "a port has more than 128 floating IPs: its end is not reported for the rest, also of later ports"
            }
            Self::MessageDetails => {
                "a bulk request is about more than 16 MiB of instances: the rest is reported by id alone, also of later \
                 requests"
            }
        };
        SAID[self as usize].call_once(|| tracing::warn!("{words}"));
    }
}
