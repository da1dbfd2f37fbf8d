//! The OpenStack APIs as the source of instances: oss_watcher's questions to nova and neutron, with
//! today's APIs.
//!
//! | request | fields | result |
//! | --- | --- | --- |
//! | neutron: the port | `device_id`, if `device_owner` begins with `compute:` | the instance's id |
//! | nova: the server | `name`, host name, `metadata`, `created`, `addresses`, the ids of flavor and image | the same |
//! | nova: its flavor | `disk`, `OS-FLV-EXT-DATA:ephemeral`, `ram`, `vcpus` | sizes |
//! | glance: its image | the property `os`, as in nova's own events | the operating system |
//!
//! A deleted object only makes its own fields null. A server that boots from a volume has no image
//! (`""`), and a flavor may be deleted before its servers. oss_watcher terminated in each case, and
//! read images by nova's proxy, which newer novas do not have.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use osnl_net::http::Expiry;
use osnl_transport::BoxFuture;
use serde_json::Value;

use super::bounds::{Bound, INSTANCE_ADDRESSES, id_of, name_of};
use super::instance::{KnownInstance, Nic, number, text_of};
use super::ordered::OrderedMap;
use super::servers::{KnownServer, Servers};
use osnl_action::ActionError;
use osnl_delivery::enrich::{EnrichmentStep, Kind, Lookup, LookupAnswer, OnError, dependency};

pub struct CloudLookup {
    name: Arc<str>,
    lookup: Arc<dyn Lookup>,
    on_error: OnError,
}

impl CloudLookup {
    /// Creates a lookup that errors call `[enrich:NAME]`. If the cloud cannot be asked, `on_error`
    /// decides whether the delivery waits or the value counts as missing.
    pub fn new(name: impl Into<Arc<str>>, lookup: Arc<dyn Lookup>, on_error: OnError) -> Self {
        Self { name: name.into(), lookup, on_error }
    }

    pub(crate) fn for_step(step: &EnrichmentStep) -> Self {
        Self::new(step.name.clone(), Arc::new(step.enricher.clone()), step.on_error)
    }

    async fn ask(&self, kind: Kind, id: Option<&str>) -> Result<Option<Arc<Value>>, ActionError> {
        let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(None) };
        match self.lookup.fetch(kind, id).await {
            Ok(LookupAnswer::There(object)) => Ok(Some(object)),
            Ok(LookupAnswer::Gone) => Ok(None),
            Err(error) => match self.on_error {
                OnError::Retry => Err(error.to_action_error(&self.name, &self.lookup.target())),
                OnError::Default => {
                    tracing::warn!(
                        enrich.name = &*self.name,
                        error = error.to_string(),
                        "the cloud does not answer: the delivery continues without its values (on_error = default)"
                    );
                    Ok(None)
                }
            },
        }
    }
}

impl Servers for CloudLookup {
    fn expiries(&self) -> Vec<Expiry> {
        self.lookup.expiries()
    }

    fn failed_at(&self) -> Option<SystemTime> {
        self.lookup.failed_at()
    }

    fn dependency(&self) -> Arc<str> {
        dependency(&self.name, &self.lookup.target())
    }

    fn server_of_port<'a>(&'a self, port: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>> {
        Box::pin(async move {
            let port = self.ask(Kind::Port, Some(port)).await?;
            let of_nova =
                port.filter(|port| text_of(port, "device_owner").is_some_and(|o| o.starts_with("compute:")));
            Ok(of_nova.and_then(|port| id_of(&port, "device_id")))
        })
    }

    fn instance<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<KnownServer>, ActionError>> {
        Box::pin(async move {
            let Some(server) = self.ask(Kind::Server, Some(id)).await? else { return Ok(None) };
            let part = |pointer: &str| server.pointer(pointer).and_then(Value::as_str);
            let flavor = self.ask(Kind::Flavor, part("/flavor/id")).await?;
            let image = part("/image/id");
            let os = match image {
                Some(image) => self.os_of_image(image).await?,
                None => None,
            };
            let of_flavor = |key: &str| flavor.as_ref().and_then(|flavor| number(flavor, key));
            let (root, ephemeral) = (of_flavor("disk"), of_flavor("OS-FLV-EXT-DATA:ephemeral"));
            let metadata = server.get("metadata").and_then(Value::as_object);
            let instance = KnownInstance {
                id: Some(id.to_owned()),
                // Nova shows this name to administrators only, newer novas to all users.
                hostname: name_of(&server, "OS-EXT-SRV-ATTR:hostname"),
                display_name: name_of(&server, "name"),
                os,
                image: None,
                disk_gb: root.map(|root| root.saturating_add(ephemeral.unwrap_or(0))),
                root_gb: root,
                memory_mb: of_flavor("ram"),
                vcpus: of_flavor("vcpus"),
                created_at: name_of(&server, "created"),
                metadata: metadata.map(|map| {
                    let pairs = map.iter().map(|(key, value)| (key.clone(), value.clone()));
                    pairs.collect::<OrderedMap>().bounded()
                }),
            };
            Ok(Some(KnownServer { instance, nics: nics(&server) }))
        })
    }

    fn os_of_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>> {
        Box::pin(async move {
            let image = self.ask(Kind::Image, Some(image)).await?;
            Ok(image.and_then(|image| name_of(&image, "os")))
        })
    }
}

pub(super) fn nics(server: &Value) -> Vec<Nic> {
    let networks = server.get("addresses").and_then(Value::as_object);
    let networks = networks.into_iter().flat_map(|networks| networks.values());
    let mut listed = networks.filter_map(Value::as_array).flatten();
    let mut nics: Vec<(Option<String>, Nic)> = Vec::new();
    for item in listed.by_ref().take(INSTANCE_ADDRESSES) {
        let Some(address) = id_of(item, "addr") else { continue };
        let mac = id_of(item, "OS-EXT-IPS-MAC:mac_addr");
        let floating = text_of(item, "OS-EXT-IPS:type").as_deref() == Some("floating");
        let of = nics.iter_mut().find(|(known, _)| floating && *known == mac);
        match of {
            Some((_, nic)) => nic.floating.push(address),
            None => nics.push((mac, Nic { address, ..Nic::default() })),
        }
    }
    if listed.next().is_some() {
        Bound::InstanceAddresses.exceeded();
    }
    nics.into_iter().map(|(_, nic)| nic).collect()
}

impl fmt::Debug for CloudLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("name", &self.name)
            .field("target", &self.lookup.target())
            .field("on_error", &self.on_error)
            .finish()
    }
}
