use osnl_model::Notification;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bounds::{id_of, name_of, nics_within};
use super::ordered::OrderedMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownInstance {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_gb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<OrderedMap>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Nic {
    pub address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub floating: Vec<String>,
}

impl Nic {
    /// Returns the first floating address, else its own, as oss_watcher did.
    pub(super) fn shown(&self) -> String {
        self.floating.first().unwrap_or(&self.address).clone()
    }

    pub(super) fn memory(&self) -> usize {
        let floating = self.floating.iter().map(|address| size_of::<String>() + address.len()).sum::<usize>();
        size_of::<Self>() + self.address.len() + self.port.as_ref().map_or(0, String::len) + floating
    }

    pub(super) fn all(&self) -> impl Iterator<Item = String> {
        self.floating.iter().chain([&self.address]).cloned()
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct InstanceReading {
    pub(super) instance: KnownInstance,
    /// `None` if the event has no list of addresses; empty if its list is empty.
    pub(super) nics: Option<Vec<Nic>>,
    pub(super) versioned: bool,
}

impl InstanceReading {
    /// Returns `None` for other payloads. `text` is the original payload, for the order of keys.
    pub(super) fn read(n: &Notification, text: Option<&str>) -> Option<Self> {
        let payload = &n.payload;
        match payload.get("nova_object.data") {
            Some(data) if payload.get("nova_object.namespace")? == "nova" => {
                data.get("uuid")?;
                let metadata = text.and_then(|text| OrderedMap::at(text, &["nova_object.data", "metadata"]));
                Some(Self { versioned: true, ..Self::versioned(data, metadata) })
            }
            Some(_) => None,
            None => {
                payload.get("instance_id")?;
                let metadata = text.and_then(|text| OrderedMap::at(text, &["metadata"]));
                Some(Self::legacy(payload, metadata))
            }
        }
    }

    fn legacy(payload: &Value, metadata: Option<OrderedMap>) -> Self {
        let image = payload.get("image_meta").unwrap_or(&Value::Null);
        let nics = payload.get("fixed_ips").and_then(Value::as_array).map(|list| {
            let nic = |item: &Value| {
                let floating = item.get("floating_ips").and_then(Value::as_array);
                let floating = floating.into_iter().flatten().filter_map(|ip| id_of(ip, "address"));
                Some(Nic { address: id_of(item, "address")?, port: None, floating: floating.collect() })
            };
            nics_within(list.iter().filter_map(nic))
        });
        let instance = KnownInstance {
            id: id_of(payload, "instance_id"),
            hostname: name_of(payload, "hostname"),
            display_name: name_of(payload, "display_name"),
            os: name_of(image, "os"),
            image: None,
            disk_gb: number(payload, "disk_gb"),
            root_gb: number(payload, "root_gb"),
            memory_mb: number(payload, "memory_mb"),
            vcpus: number(payload, "vcpus"),
            created_at: name_of(payload, "created_at"),
            metadata: metadata.or_else(|| noted(payload)).map(OrderedMap::bounded),
        };
        Self { instance, nics, versioned: false }
    }

    fn versioned(data: &Value, metadata: Option<OrderedMap>) -> Self {
        let flavor = data.pointer("/flavor/nova_object.data").unwrap_or(&Value::Null);
        let (root, ephemeral) = (number(flavor, "root_gb"), number(flavor, "ephemeral_gb"));
        let nics = data.get("ip_addresses").and_then(Value::as_array).map(|list| {
            let nic = |item: &Value| {
                let ip = item.get("nova_object.data")?;
                let port = id_of(ip, "port_uuid");
                Some(Nic { address: id_of(ip, "address")?, port, floating: Vec::new() })
            };
            nics_within(list.iter().filter_map(nic))
        });
        let instance = KnownInstance {
            id: id_of(data, "uuid"),
            hostname: name_of(data, "host_name"),
            display_name: name_of(data, "display_name"),
            // The versioned form has the image's id only.
            os: None,
            image: id_of(data, "image_uuid"),
            disk_gb: root.map(|root| root.saturating_add(ephemeral.unwrap_or(0))),
            root_gb: root,
            memory_mb: number(flavor, "memory_mb"),
            vcpus: number(flavor, "vcpus"),
            created_at: name_of(data, "created_at"),
            metadata: metadata.or_else(|| noted(data)).map(OrderedMap::bounded),
        };
        Self { instance, nics, versioned: true }
    }
}

impl KnownInstance {
    pub(super) fn unknown(id: Option<String>) -> Self {
        Self { id, ..Self::default() }
    }

    pub(super) fn memory(&self) -> usize {
        let Self { id, hostname, display_name, os, image, created_at, metadata, .. } = self;
        let texts = [id, hostname, display_name, os, image, created_at].into_iter().flatten();
        texts.map(String::len).sum::<usize>() + metadata.as_ref().map_or(0, OrderedMap::memory)
    }

    /// Takes over the known values of the other instance; unknown values change nothing.
    pub fn learn(&mut self, other: Self) {
        fn or<T>(mine: &mut Option<T>, other: Option<T>) {
            if other.is_some() {
                *mine = other;
            }
        }
        let Self { id, hostname, display_name, os, image, .. } = other;
        let Self { disk_gb, root_gb, memory_mb, vcpus, created_at, metadata, .. } = other;
        or(&mut self.id, id);
        or(&mut self.hostname, hostname);
        or(&mut self.display_name, display_name);
        or(&mut self.os, os);
        or(&mut self.image, image);
        or(&mut self.disk_gb, disk_gb);
        or(&mut self.root_gb, root_gb);
        or(&mut self.memory_mb, memory_mb);
        or(&mut self.vcpus, vcpus);
        or(&mut self.created_at, created_at);
        or(&mut self.metadata, metadata);
    }
}

pub(super) fn text_of(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(super) fn number(value: &Value, key: &str) -> Option<i64> {
    value.get(key)?.as_i64()
}

fn noted(payload: &Value) -> Option<OrderedMap> {
    match payload.get("metadata")? {
        Value::Object(map) => Some(map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
        Value::Array(items) => {
            let pair = |item: &Value| Some((text_of(item, "key")?, item.get("value")?.clone()));
            Some(items.iter().filter_map(pair).collect())
        }
        _ => None,
    }
}
