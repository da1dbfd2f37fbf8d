//! The rows of the memory. A journal stores their text: names of fields never change, and new
//! fields are optional.

use serde::{Deserialize, Serialize};

use crate::oss::instance::{KnownInstance, Nic};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MemoryRow {
    Instance(InstanceRow),
    Port(PortRow),
    Floating(FloatingRow),
    Asked(AskedRow),
    Address(AddressRow),
}

impl MemoryRow {
    pub(super) fn memory(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let list = |list: &[String]| list.iter().map(|text| size_of::<String>() + text.len()).sum::<usize>();
        let nics = |nics: &[Nic]| nics.iter().map(Nic::memory).sum::<usize>();
        size_of::<Self>()
            + match self {
                Self::Instance(row) => {
                    row.instance.memory() + nics(&row.nics) + list(&row.gone) + text(&row.told)
                }
                Self::Port(row) => text(&row.instance) + text(&row.owner) + list(&row.floating),
                Self::Floating(row) => {
                    [&row.address, &row.port, &row.instance, &row.owner].into_iter().map(text).sum()
                }
                Self::Asked(row) => row.instance.memory() + nics(&row.nics),
                Self::Address(row) => row.lane.len() + text(&row.holder),
            }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AddressRow {
    pub(super) lane: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) held: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct InstanceRow {
    pub(super) instance: KnownInstance,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nics: Vec<Nic>,
    /// The last known addresses whose ports are gone, for the deletion of the instance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) gone: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) told: Option<String>,
    /// Whether its creation, or its deletion, was reported in nova's versioned form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) came: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) went: Option<bool>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AskedRow {
    pub(super) instance: KnownInstance,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nics: Vec<Nic>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PortRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) unbound: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) floating: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FloatingRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) unbound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<i64>,
    /// Only the start of an update is known, and it requested no other port.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) edited: bool,
}
