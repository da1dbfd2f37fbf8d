//! The resource of a notification: one view over legacy, versioned and CADF payloads of all services.
//!
//! [`resources`] reads id, kind, project, user, name, host, state, addresses and times, wherever the service
//! has them; the same event in nova's legacy and versioned forms gives the same view, as far as both say: the versioned
//! form has no floating addresses, and its times are whole seconds. Nothing is computed that
//! the message does not say: what is absent is `None`, and a date or an address that cannot be read is absent
//! while the rest is there.
//!
//! [`resource_keys`] says by what the notifications of one resource are kept in order.
//!
//! Which form a message has is read from its payload, not from its event type: two forms of one event may
//! share a type (`aggregate.create.start`).
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

use crate::{Notification, Timestamp};

/// One resource, with the values that the notification has.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Resource<'a> {
    /// Its kind: `port`, `instance`, `node`, `project`, `image`, `volume` …, the same in all forms.
    pub kind: Cow<'a, str>,
    /// Its id: mostly a UUID; the number of an aggregate, the name of a key pair.
    pub id: Option<Cow<'a, str>>,
    /// The id that orders its notifications, if that is not its own: the instance of a port, the node of an ironic
    /// port.
    #[serde(skip)]
    order: Option<&'a str>,
    /// The project it belongs to.
    pub project: Option<&'a str>,
    /// The user it belongs to; the user that acted is in the context.
    pub user: Option<&'a str>,
    /// Its name.
    pub name: Option<&'a str>,
    /// The host it runs on: a compute host, a backend.
    pub host: Option<&'a str>,
    /// Its state, in its service's words.
    pub state: Option<&'a str>,
    /// Its addresses; `None` if the message has no list of them, empty if its list is empty.
    pub addresses: Option<Vec<Address>>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
    /// When an instance or a volume began to work.
    pub launched_at: Option<Timestamp>,
    /// When it was deleted, or terminated.
    pub deleted_at: Option<Timestamp>,
}

/// An IP address of a resource; written as `address`, `version` (4 or 6) and `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// IPv4 or IPv6.
    pub address: IpAddr,
    /// Fixed, or floating.
    pub kind: AddressKind,
}

impl Address {
    /// 4 or 6.
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

/// The way in which a resource has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressKind {
    /// An address of one of its ports.
    Fixed,
    /// Mapped to one of those.
    Floating,
}

impl Resource<'_> {
    /// The key that orders the notifications of this resource, in lower case; `None` if the message has none. An
    /// instance and its ports have one key, and so have an ironic node and its ports.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        self.order.or(self.id.as_deref()).map(str::to_lowercase)
    }
}

/// Returns the resources that a notification is about: one, several for a bulk request, none if they are unknown.
#[must_use]
pub fn resources(n: &Notification) -> Vec<Resource<'_>> {
    read(n).into_iter().map(named).collect()
}

/// A class or an event type without a name.
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

/// The keys by which the notifications of their resources are kept in order, without repeats; none if none is
/// known.
#[must_use]
pub fn resource_keys(n: &Notification) -> Vec<String> {
    let mut seen = HashSet::new();
    let keys = resources(n).into_iter().filter_map(|resource| resource.key());
    keys.filter(|key| seen.insert(key.clone())).collect()
}

/// The resources of a bulk request, one at a time: finding out that it is one costs something, each of them then only
/// itself.
#[derive(Clone, Copy, Debug)]
pub struct Bulk<'a> {
    kind: &'a str,
    items: &'a [Value],
    payload: &'a Value,
}

impl<'a> Bulk<'a> {
    /// `None` where the notification is of no bulk request.
    #[must_use]
    pub fn of(n: &'a Notification) -> Option<Self> {
        let event_type = n.event_type.as_deref().unwrap_or_default();
        let (kind, items) = neutron::bulk(event_type, &n.payload)?;
        let other = versioned::read(event_type, &n.payload)
            .or_else(|| cadf::read(event_type, &n.payload))
            .or_else(|| flat::read(event_type, &n.payload));
        other.is_none().then_some(Self { kind, items, payload: &n.payload })
    }

    /// The number of resources; a bulk request may have one, or none.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The payload as a request about one alone has it: of `{ports: [A, B]}` the first is `{port: A}`. `None` beyond the
    /// last.
    #[must_use]
    pub fn part(&self, n: usize) -> Option<Value> {
        Some(Value::Object([(self.kind.to_owned(), self.items.get(n)?.clone())].into_iter().collect()))
    }

    /// Returns the resource that [`resources`] has in this place.
    #[must_use]
    pub fn resource(&self, n: usize) -> Option<Resource<'a>> {
        Some(named(neutron::one(self.kind, self.items.get(n)?, self.payload)))
    }
}

/// Returns one of the [`resources`], by its position. The others are not read.
#[must_use]
pub fn resource_at(n: &Notification, at: usize) -> Option<Resource<'_>> {
    match Bulk::of(n) {
        Some(bulk) => bulk.resource(at),
        None => resources(n).into_iter().nth(at),
    }
}

/// The payload of one resource of a bulk request: see [`Bulk::part`]. `n` is the place in [`resources`].
#[must_use]
pub fn bulk_part(notification: &Notification, n: usize) -> Option<Value> {
    Bulk::of(notification)?.part(n)
}

/// Returns the number of resources of a bulk request; `None` for any other notification. A bulk request may have one.
#[must_use]
pub fn bulk_len(notification: &Notification) -> Option<usize> {
    Bulk::of(notification).map(|bulk| bulk.len())
}

/// The first of the [`resource_keys`].
#[must_use]
pub fn resource_key(n: &Notification) -> Option<String> {
    resource_keys(n).into_iter().next()
}
