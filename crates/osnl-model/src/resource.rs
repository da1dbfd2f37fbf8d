//! The resource of a notification: one view over legacy, versioned and CADF payloads of all
//! services.
//!
//! The same event in nova's legacy and versioned forms gives the same view, as far as both forms
//! have the values. The versioned form has no floating addresses, and its times are whole seconds.
//! Nothing is computed: an absent value is `None`, and so is an unreadable date or address.
//!
//! The payload decides the form, not the event type: two forms may share a type
//! (`aggregate.create.start`).
//!
//! | payload | read by |
//! |---|---|
//! | `<namespace>_object.name` and `.data` | [`versioned`]: nova, ironic, masakari, and other services with objects |
//! | `typeURI` | [`cadf`]: keystone, magnum, the audit middleware |
//! | neutron's wrapper (`port`, `ports`, `port_id`) | [`neutron`] |
//! | everything else | [`flat`], by event type: nova's legacy form, glance, cinder, manila, designate, heat, octavia |

mod cadf;
mod fields;
mod flat;
mod neutron;
mod shape;
mod versioned;

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use crate::{Notification, Timestamp, bounded_id};

/// The object of OpenStack that a notification is about, by which deliveries are ordered and shown.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Resource<'a> {
    /// The kind of the object, such as `port`.
    pub kind: Cow<'a, str>,
    /// The id: mostly a UUID, but the number of an aggregate and the name of a key pair.
    pub id: Option<Cow<'a, str>>,
    /// The id that orders the notifications where that is another resource's: the instance of a
    /// port, the node of an ironic port.
    #[serde(skip)]
    order: Option<&'a str>,
    /// The id of its project.
    pub project: Option<&'a str>,
    /// The id of its user.
    pub user: Option<&'a str>,
    /// The name that people gave it.
    pub name: Option<&'a str>,
    /// The host that it is on.
    pub host: Option<&'a str>,
    /// Its state, in the words of its service.
    pub state: Option<&'a str>,
    /// The addresses; `None` if the message has no list of addresses, empty if its list is empty.
    pub addresses: Option<Vec<Address>>,
    /// The time of its creation, if the message has it.
    pub created_at: Option<Timestamp>,
    /// The time of its latest change, if the message has it.
    pub updated_at: Option<Timestamp>,
    /// The time at which an instance was started on its host, if the message has it.
    pub launched_at: Option<Timestamp>,
    /// The time of its deletion, if the message has it.
    pub deleted_at: Option<Timestamp>,
}

/// An address of an instance or a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub address: IpAddr,
    pub kind: AddressKind,
}

impl Address {
    #[must_use]
    pub const fn version(&self) -> u8 {
        if self.address.is_ipv4() { 4 } else { 6 }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { address, kind } = self;
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("address", address)?;
        map.serialize_entry("version", &self.version())?;
        map.serialize_entry("kind", kind)?;
        map.end()
    }
}

/// The kind of an address, since targets register fixed and floating addresses differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressKind {
    Fixed,
    Floating,
}

impl Resource<'_> {
    /// Returns the key that orders the notifications of this resource, in lower case. An instance
    /// and its ports share a key, and so do an ironic node and its ports. The key of a long id is its digest.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        self.order.or(self.id.as_deref()).map(|id| bounded_id(id).to_lowercase())
    }
}

/// Returns the resources of a notification: several for a bulk request, none if the form is
/// unknown.
#[must_use]
pub fn resources(n: &Notification) -> Vec<Resource<'_>> {
    read(n).into_iter().map(named).collect()
}

fn named(mut resource: Resource<'_>) -> Resource<'_> {
    if resource.kind.is_empty() {
        resource.kind = "object".into();
    }
    resource
}

fn read(n: &Notification) -> Vec<Resource<'_>> {
    let payload = &n.payload;
    let event_type = n.event_type.as_deref().unwrap_or_default();
    if let Some(resource) = versioned::read(event_type, payload) {
        return vec![resource];
    }
    if let Some(resource) = cadf::read(event_type, payload) {
        return vec![resource];
    }
    if let Some(resource) = flat::read(event_type, payload) {
        return vec![resource];
    }
    neutron::read(event_type, payload)
}

#[must_use]
pub fn resource_keys(n: &Notification) -> Vec<String> {
    let mut seen = HashSet::new();
    let keys = resources(n).into_iter().filter_map(|resource| resource.key());
    keys.filter(|key| seen.insert(key.clone())).collect()
}

/// The list of a bulk request, each item of which has a delivery of its own.
#[derive(Clone, Copy, Debug)]
pub struct Bulk<'a> {
    kind: &'a str,
    items: &'a [Value],
}

impl<'a> Bulk<'a> {
    #[must_use]
    pub fn from_notification(n: &'a Notification) -> Option<Self> {
        let event_type = n.event_type.as_deref().unwrap_or_default();
        let (kind, items) = neutron::bulk(event_type, &n.payload)?;
        let other = versioned::read(event_type, &n.payload)
            .or_else(|| cadf::read(event_type, &n.payload))
            .or_else(|| flat::read(event_type, &n.payload));
        other.is_none().then_some(Self { kind, items })
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the payload as a request about one resource has it: for `{ports: [A, B]}` the first
    /// is `{port: A}`.
    #[must_use]
    pub fn part(&self, n: usize) -> Option<Value> {
        Some(Value::Object([(self.kind.to_owned(), self.items.get(n)?.clone())].into_iter().collect()))
    }

    #[must_use]
    pub fn resource(&self, n: usize) -> Option<Resource<'a>> {
        Some(named(neutron::read_bulk_item(self.kind, self.items.get(n)?)))
    }
}

#[must_use]
pub fn resource_at(n: &Notification, at: usize) -> Option<Resource<'_>> {
    match Bulk::from_notification(n) {
        Some(bulk) => bulk.resource(at),
        None => resources(n).into_iter().nth(at),
    }
}

/// Returns the key of the list that a bulk request of this event type has in its payload.
#[must_use]
pub fn list_of(event_type: &str) -> String {
    neutron::plural(event_type.split('.').next().unwrap_or_default())
}

#[must_use]
pub fn bulk_part(notification: &Notification, n: usize) -> Option<Value> {
    Bulk::from_notification(notification)?.part(n)
}

#[must_use]
pub fn bulk_len(notification: &Notification) -> Option<usize> {
    Bulk::from_notification(notification).map(|bulk| bulk.len())
}

#[must_use]
pub fn resource_key(n: &Notification) -> Option<String> {
    resource_keys(n).into_iter().next()
}
