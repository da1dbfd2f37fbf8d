//! A node detail: the data that plug-ins receive.
//!
//! | key | value |
//! | --- | --- |
//! | `FQDN` or `Hostname` | text or null |
//! | `IP` | text or null: the allocated or released address |
//! | `ID` | text or null: the instance's UUID; not in the documented form |
//! | `IPType` | text: a constant, or `Public` and `Private` by the address |
//! | `OS` | text or null: the image's property `os` |
//! | `Storage` | number or null, GiB |
//! | `Ram` | number or null, MiB; documented form: GiB |
//! | `CPU` | number or null |
//! | `Datacenter`, `SecurityDomain` | text: constants |
//! | `CreationDate` | text or null: the time of the instance's creation; documented form: the day |
//! | `Owner`, `ApplicationName`, `EnvironmentCI`, `Description` | documented form: the instance's metadata of that name, or null |
//! | `AdditionalUsers` | documented form: the same as a list, which may be empty |
//! | each key of the metadata | flattened form: its value, unless one of the keys above is the same |
//! | `Metadata` | metadata form: an object |

use std::net::IpAddr;

use osnl_model::ForeignJson;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

use super::event::{Occurrence, What};
use super::instance::KnownInstance;
use super::ordered::OrderedMap;

const USERS: &str = "AdditionalUsers";
const NOTED: [&str; 5] = ["Owner", USERS, "ApplicationName", "EnvironmentCI", "Description"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DetailKeys {
    /// The keys and the values of the document; its program never wrote these values.
    #[default]
    Documented,
    /// The keys of its last version: `Hostname`, `ID`, and each key of the metadata beside these.
    Flattened,
    /// The keys of the branch `oldmeta`, with the metadata as one object.
    Metadata,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IpType {
    Constant(String),
    /// `Private` for addresses that no provider routes, else `Public`; null without an address.
    FromAddress,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constants {
    pub ip_type: IpType,
    pub datacenter: String,
    pub security_domain: String,
}

impl Default for Constants {
    fn default() -> Self {
        Self {
            ip_type: IpType::Constant("Public".to_owned()),
            datacenter: "KDC".to_owned(),
            security_domain: "DQT".to_owned(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeForm {
    pub keys: DetailKeys,
    pub constants: Constants,
}

impl NodeForm {
    #[must_use]
    pub fn node_detail(&self, happened: &Occurrence) -> NodeDetail {
        let instance = &happened.instance;
        let name = match self.keys {
            DetailKeys::Documented => "FQDN",
            DetailKeys::Flattened | DetailKeys::Metadata => "Hostname",
        };
        let mut node = NodeDetail::default();
        node.add(name, name_of(happened));
        node.add("IP", &happened.ip);
        match self.keys {
            DetailKeys::Documented => {}
            DetailKeys::Flattened | DetailKeys::Metadata => node.add("ID", &instance.id),
        }
        node.add("IPType", self.ip_type(happened.ip.as_deref()));
        node.add("OS", &instance.os);
        node.add("Storage", storage(happened));
        match self.keys {
            DetailKeys::Documented => node.add("Ram", instance.memory_mb.map(gib)),
            DetailKeys::Flattened | DetailKeys::Metadata => node.add("Ram", instance.memory_mb),
        }
        node.add("CPU", instance.vcpus);
        node.add("Datacenter", &self.constants.datacenter);
        node.add("SecurityDomain", &self.constants.security_domain);
        let noted = |key: &str| instance.metadata.as_ref().and_then(|metadata| metadata.get(key));
        match self.keys {
            DetailKeys::Documented => NOTED.iter().for_each(|&key| match key {
                USERS => node.add(key, users(noted(key))),
                _ => node.add(key, noted(key)),
            }),
            DetailKeys::Metadata => {
                let metadata = instance.metadata.clone().unwrap_or_default();
                node.0.push(("Metadata".to_owned(), MemberValue::Object(metadata)));
            }
            DetailKeys::Flattened => {}
        }
        node.add("CreationDate", self.date(happened));
        match (self.keys, &instance.metadata) {
            (DetailKeys::Flattened, Some(metadata)) => {
                let own = node.0.len();
                for (key, value) in &metadata.0 {
                    if !node.0[..own].iter().any(|(name, _)| name == key) {
                        node.add(key, value);
                    }
                }
            }
            (DetailKeys::Flattened, None) | (DetailKeys::Documented | DetailKeys::Metadata, _) => {}
        }
        node
    }

    fn date(&self, happened: &Occurrence) -> Option<String> {
        let written = happened.instance.created_at.as_deref()?;
        let parts = (written.get(..10), written.get(10..11), written.get(11..19), written.get(19..));
        let (Some(day), Some("T" | " "), Some(time), Some(rest)) = parts else {
            return Some(written.to_owned());
        };
        let fraction =
            rest.strip_prefix('.').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        if !matches!(fraction.unwrap_or(rest), "" | "Z" | "+00:00") {
            return Some(written.to_owned());
        }
        let is_legacy = written.as_bytes()[10] == b' ';
        Some(match (self.keys, is_asked(happened)) {
            (DetailKeys::Documented, _) => day.to_owned(),
            (DetailKeys::Flattened | DetailKeys::Metadata, true) => format!("{day}T{time}Z"),
            (DetailKeys::Flattened | DetailKeys::Metadata, false) if is_legacy => written.to_owned(),
            (DetailKeys::Flattened | DetailKeys::Metadata, false) => format!("{day} {time}+00:00"),
        })
    }

    fn ip_type(&self, ip: Option<&str>) -> Option<&str> {
        match &self.constants.ip_type {
            IpType::Constant(text) => Some(text),
            IpType::FromAddress => {
                let address: IpAddr = ip?.parse().ok()?;
                Some(if is_private(address) { "Private" } else { "Public" })
            }
        }
    }
}

/// Whether the program took the values from nova's API instead of the event: the display name, the root disk alone, and
/// the date in the API's form.
fn is_asked(happened: &Occurrence) -> bool {
    match happened.what {
        What::Allocated | What::Released => true,
        What::Instance | What::Port => false,
    }
}

fn name_of(happened: &Occurrence) -> Option<String> {
    let KnownInstance { hostname, display_name, .. } = &happened.instance;
    let (first, second) =
        if is_asked(happened) { (display_name, hostname) } else { (hostname, display_name) };
    first.as_ref().or(second.as_ref()).cloned()
}

fn storage(happened: &Occurrence) -> Option<i64> {
    let KnownInstance { disk_gb, root_gb, .. } = happened.instance;
    if is_asked(happened) { root_gb.or(disk_gb) } else { disk_gb.or(root_gb) }
}

fn gib(mib: i64) -> Value {
    if mib % 1024 == 0 { json!(mib / 1024) } else { json!(mib as f64 / 1024.0) }
}

/// Returns the list that a text of the metadata is, such as `ops, dev` or `["ops", "dev"]`.
fn users(noted: Option<&Value>) -> Value {
    match noted {
        None | Some(Value::Null) => json!([]),
        Some(Value::String(text)) => serde_json::from_str::<Vec<ForeignJson>>(text).map_or_else(
            |_| text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(),
            |names| names.into_iter().map(|ForeignJson(name)| name).collect(),
        ),
        Some(list @ Value::Array(_)) => list.clone(),
        Some(other) => json!([other]),
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(IpAddr::V4(v4)),
            None => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
        },
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeDetail(Vec<(String, MemberValue)>);

#[derive(Clone, Debug, PartialEq)]
enum MemberValue {
    Value(Value),
    Object(OrderedMap),
}

impl NodeDetail {
    fn add(&mut self, key: &str, value: impl Serialize) {
        self.0.push((key.to_owned(), MemberValue::Value(json!(value))));
    }
}

impl Serialize for NodeDetail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, member) in &self.0 {
            match member {
                MemberValue::Value(value) => map.serialize_entry(key, value)?,
                MemberValue::Object(object) => map.serialize_entry(key, object)?,
            }
        }
        map.end()
    }
}
