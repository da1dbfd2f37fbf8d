//! The memory of a resource. The text of a row is what a journal keeps: names never change, new ones are optional.

use serde::{Deserialize, Serialize};

use crate::instance::{KnownInstance, Nic};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MemoryRow {
    Instance(InstanceRow),
    Port(PortRow),
    Floating(FloatingRow),
    Asked(AskedRow),
    Address(AddressRow),
}

/// The row of a floating address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AddressRow {
    /// The key that keeps its deliveries in order.
    pub(super) lane: String,
    /// Whether it was reported as allocated.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) held: bool,
    /// The holder, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct InstanceRow {
    pub(super) instance: KnownInstance,
    /// In the order in which they were told of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nics: Vec<Nic>,
    /// Addresses whose port is gone: the last that is known, when the instance goes as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) gone: Vec<String>,
    /// The address that its creation was told with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) told: Option<String>,
    /// Whether its creation, and its deletion, came in nova's versioned form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) came: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) went: Option<bool>,
}

/// The answers of the APIs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AskedRow {
    /// The instance; of a port the one that has it, by its id.
    pub(super) instance: KnownInstance,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nics: Vec<Nic>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PortRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<String>,
    /// The owner of the port, if it is not an instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    /// Whether the port is unused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) unbound: bool,
    /// Ids of the floating IPs that are mapped to it.
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
    /// The owner of the port, if it is not an instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    /// Whether the port is still unused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) unbound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<i64>,
    /// Only a request is known, which did not ask for another port.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) edited: bool,
}
