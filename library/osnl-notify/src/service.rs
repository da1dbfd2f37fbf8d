//! Typed readers: the payload as its service means it, borrowed from the notification.
//!
//! [`read`] selects a reader by the payload's form and the event type. Each member of the returned struct is
//! a [`Field`], because absent, null, and a value differ for these services. Reading never fails: a member of
//! an unexpected type is [`Field::Odd`], and the other members are still read. A payload without a reader is
//! [`Service::Other`].
//!
//! | module | reads |
//! |---|---|
//! | [`nova`] | legacy and versioned instances, addresses, flavors, faults; which names mean the same |
//! | [`neutron`] | ports, floating IPs, networks and the like, single and bulk, before and after |
//! | [`ironic`] | nodes and what belongs to them |
//! | [`keystone`] | CADF and the basic form |
//! | [`glance`] | images, also as a sentence; members, tasks |
//! | [`cinder`] | volumes and their attachments, snapshots, backups |
//! | [`others`] | designate, heat, magnum, manila, masakari, octavia |
//!
//! [`osnl_model::resources`] is a view that does not depend on the service. Debug output of these structs
//! masks the secrets in free maps and texts.
//!
#![doc = include_str!("service/guide.md")]
#![expect(missing_docs, reason = "a field without a line has the name and meaning of the service's key")]

pub mod cinder;
pub mod glance;
pub mod ironic;
pub mod keystone;
pub mod neutron;
pub mod nova;
pub mod others;

mod field;
mod free;

use serde_json::Value;

use osnl_model::Notification;

pub use self::field::{Field, FieldState, Read, View};
pub use self::free::{Free, FreeValue};

/// A payload, as its service's reader returns it.
#[derive(Clone, Debug, PartialEq)]
pub enum Service<'a> {
    /// A payload of nova, in either form.
    Nova(nova::Payload<'a>),
    Neutron(neutron::Payload<'a>),
    Ironic(ironic::Payload<'a>),
    /// A payload of keystone, in either form.
    Keystone(keystone::Payload<'a>),
    Glance(glance::Payload<'a>),
    Cinder(cinder::Payload<'a>),
    /// A payload of one of the smaller readers.
    Others(others::Payload<'a>),
    /// A payload of an unknown service.
    Other(FreeValue<'a>),
}

/// Reads the payload with its service's reader.
#[must_use]
pub fn read(n: &Notification) -> Service<'_> {
    let event_type = n.event_type.as_deref().unwrap_or_default();
    let payload = &n.payload;
    if let Some((namespace, class, _)) = object(payload) {
        return match namespace {
            "nova" => Service::Nova(nova::versioned(class, payload)),
            "ironic" => Service::Ironic(ironic::read(class, payload)),
            "masakari" => {
                others::masakari(class, payload).map_or(Service::Other(FreeValue(payload)), Service::Others)
            }
            _ => Service::Other(FreeValue(payload)),
        };
    }
    let first = event_type.split('.').next().unwrap_or_default();
    match first {
        "identity" => Service::Keystone(keystone::read(payload)),
        "image" | "task" => Service::Glance(glance::read(event_type, payload)),
        first if first.starts_with("metadef_") => Service::Glance(glance::read(event_type, payload)),
        _ => {
            let read = nova::legacy(event_type, payload).map(Service::Nova);
            let read = read.or_else(|| others::read(event_type, payload).map(Service::Others));
            let read = read.or_else(|| cinder::read(event_type, payload).map(Service::Cinder));
            let read = read.or_else(|| neutron::read(event_type, payload).map(Service::Neutron));
            read.unwrap_or(Service::Other(FreeValue(payload)))
        }
    }
}

/// Returns namespace, class, and version of a versioned object.
///
/// ```
/// let payload = serde_json::json!({
///     "nova_object.name": "IpPayload", "nova_object.namespace": "nova", "nova_object.version": "1.0",
///     "nova_object.data": {},
/// });
/// assert_eq!(osnl_notify::service::object(&payload), Some(("nova", "IpPayload", "1.0")));
/// ```
#[must_use]
pub fn object(value: &Value) -> Option<(&str, &str, &str)> {
    let object = value.as_object()?;
    let (prefix, class) =
        object.iter().find_map(|(key, class)| Some((key.strip_suffix("_object.name")?, class.as_str()?)))?;
    let version = object.get(&format!("{prefix}_object.version")).and_then(Value::as_str);
    Some((prefix, class, version.unwrap_or_default()))
}

/// Returns the members of a versioned object, or the value itself.
pub(crate) fn data(value: &Value) -> &Value {
    let inside = value.as_object().into_iter().flatten().find(|(key, _)| key.ends_with("_object.data"));
    inside.map_or(value, |(_, data)| data)
}
