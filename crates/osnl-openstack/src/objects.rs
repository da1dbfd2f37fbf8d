//! Typed objects with the fields that osnl reads, under the services' names; a missing or null
//! value is `None` or empty.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use osnl_delivery::enrich::Kind;
use osnl_model::foreign_json;

pub trait Object: DeserializeOwned {
    const KIND: Kind;
}

macro_rules! objects {
    ($($name:ident),+) => {
        $(impl Object for $name {
            const KIND: Kind = Kind::$name;
        })+
    };
}

objects!(Server, Port, FloatingIp, Flavor, Image, Project, User, Node);

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Server {
    pub id: String,
    pub name: String,
    pub status: Option<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The time as nova writes it: `2024-05-06T07:08:09Z`.
    pub created: String,
    pub tenant_id: Option<String>,
    /// The flavor's id; `None` from a service that embeds the flavor (microversion 2.47 and up).
    #[serde(rename = "flavor", deserialize_with = "id_of", default)]
    pub flavor_id: Option<String>,
    /// The image's id; `None` for a server that boots from a volume, for which nova sends `""`.
    #[serde(rename = "image", deserialize_with = "id_of", default)]
    pub image_id: Option<String>,
    /// Nova's form by network name: `addr`, `version`, `OS-EXT-IPS:type` (`fixed` or `floating`).
    #[serde(default, deserialize_with = "foreign_json")]
    pub addresses: Value,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Port {
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub device_id: String,
    #[serde(default)]
    pub device_owner: String,
    pub project_id: Option<String>,
    pub network_id: Option<String>,
    pub mac_address: Option<String>,
    #[serde(default)]
    pub fixed_ips: Vec<FixedIp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FixedIp {
    pub ip_address: String,
    pub subnet_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FloatingIp {
    pub id: String,
    pub floating_ip_address: String,
    pub fixed_ip_address: Option<String>,
    pub port_id: Option<String>,
    pub router_id: Option<String>,
    pub project_id: Option<String>,
    /// The details of the port in neutron, with `device_id`; newer neutrons only.
    #[serde(default, deserialize_with = "foreign_json")]
    pub port_details: Value,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Flavor {
    pub id: String,
    pub name: String,
    /// The memory in MiB, as nova counts.
    pub ram: u64,
    pub disk: u64,
    #[serde(rename = "OS-FLV-EXT-DATA:ephemeral", default)]
    pub ephemeral: u64,
    pub vcpus: u64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Image {
    pub id: String,
    pub name: Option<String>,
    pub owner: Option<String>,
    pub status: Option<String>,
    pub os: Option<String>,
    pub os_distro: Option<String>,
    pub os_version: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Project {
    pub id: String,
    pub name: String,
    pub domain_id: Option<String>,
    pub description: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    pub id: String,
    pub name: String,
    pub domain_id: Option<String>,
    pub email: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Node {
    #[serde(rename = "uuid")]
    pub id: String,
    pub name: Option<String>,
    pub instance_uuid: Option<String>,
    pub owner: Option<String>,
    pub provision_state: Option<String>,
    pub power_state: Option<String>,
}

fn id_of<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let value = foreign_json(from)?;
    Ok(value.get("id").and_then(Value::as_str).map(str::to_owned))
}
