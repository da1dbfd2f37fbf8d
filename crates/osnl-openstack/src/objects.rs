//! The fields that are read of an object, where more than its JSON is wanted. Names are the services' own; a value
//! that a service leaves out or sends as null is `None` or empty.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::kind::Kind;

/// A type that an object can be read as.
pub trait Object: DeserializeOwned {
    /// The kind of the object.
    const KIND: Kind;
}

/// Types with the kind that each is.
macro_rules! objects {
    ($($name:ident),+) => {
        $(impl Object for $name {
            const KIND: Kind = Kind::$name;
        })+
    };
}

objects!(Server, Port, FloatingIp, Flavor, Image, Project, User, Node);

/// nova's, at microversion 2.1.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Server {
    /// Its UUID.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// `ACTIVE` and so on.
    pub status: Option<String>,
    /// The metadata of its owner.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// As nova writes it: `2024-05-06T07:08:09Z`.
    pub created: String,
    /// The project's id.
    pub tenant_id: Option<String>,
    /// The flavor's id; `None` from a service that embeds the flavor (microversion 2.47 and up).
    #[serde(rename = "flavor", deserialize_with = "id_of", default)]
    pub flavor_id: Option<String>,
    /// The image's id; `None` for a server that boots from a volume, whose image nova has as `""`.
    #[serde(rename = "image", deserialize_with = "id_of", default)]
    pub image_id: Option<String>,
    /// By network name, nova's own form: `addr`, `version`, `OS-EXT-IPS:type` (`fixed` or `floating`).
    #[serde(default)]
    pub addresses: Value,
}

/// neutron's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Port {
    /// Its UUID.
    pub id: String,
    /// Its name, often empty.
    #[serde(default)]
    pub name: String,
    /// The instance or router it belongs to; empty for none.
    #[serde(default)]
    pub device_id: String,
    /// `compute:nova`, `network:router_interface` and so on.
    #[serde(default)]
    pub device_owner: String,
    /// The project's id.
    pub project_id: Option<String>,
    /// The network's id.
    pub network_id: Option<String>,
    /// `aa:bb:cc:dd:ee:ff`.
    pub mac_address: Option<String>,
    /// Its addresses.
    #[serde(default)]
    pub fixed_ips: Vec<FixedIp>,
}

/// An address of a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FixedIp {
    /// The address.
    pub ip_address: String,
    /// Out of which subnet.
    pub subnet_id: Option<String>,
}

/// neutron's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FloatingIp {
    /// Its UUID.
    pub id: String,
    /// The public address.
    pub floating_ip_address: String,
    /// The private one behind it; `None` while it is associated with nothing.
    pub fixed_ip_address: Option<String>,
    /// The port behind it.
    pub port_id: Option<String>,
    /// The router between them.
    pub router_id: Option<String>,
    /// The project's id.
    pub project_id: Option<String>,
    /// The details of the port in neutron, `device_id` included; newer neutrons only.
    #[serde(default)]
    pub port_details: Value,
}

/// nova's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Flavor {
    /// Its flavor id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// MiB.
    pub ram: u64,
    /// The root disk, in GiB.
    pub disk: u64,
    /// The ephemeral disk, in GiB.
    #[serde(rename = "OS-FLV-EXT-DATA:ephemeral", default)]
    pub ephemeral: u64,
    /// Virtual CPUs.
    pub vcpus: u64,
}

/// glance's. Its properties stand beside its attributes, as glance has them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Image {
    /// Its UUID.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// The project's id.
    pub owner: Option<String>,
    /// `active` and so on.
    pub status: Option<String>,
    /// The property `os`, which the OSS Framework reads.
    pub os: Option<String>,
    /// The property `os_distro`.
    pub os_distro: Option<String>,
    /// The property `os_version`.
    pub os_version: Option<String>,
}

/// Keystone's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its domain's id.
    pub domain_id: Option<String>,
    /// Its description.
    pub description: Option<String>,
}

/// Keystone's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its domain's id.
    pub domain_id: Option<String>,
    /// Its mail address, where there is one.
    pub email: Option<String>,
}

/// ironic's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Node {
    /// Its UUID.
    #[serde(rename = "uuid")]
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// The instance on it.
    pub instance_uuid: Option<String>,
    /// The project it belongs to.
    pub owner: Option<String>,
    /// `active`, `available` and so on.
    pub provision_state: Option<String>,
    /// `power on` and so on.
    pub power_state: Option<String>,
}

/// The `id` of an object; `""` and null are none.
fn id_of<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(value.get("id").and_then(Value::as_str).map(str::to_owned))
}
