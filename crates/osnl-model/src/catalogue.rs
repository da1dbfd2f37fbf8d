//! The notifications of OpenStack services: every known event, its exchange, the fields of its
//! payload, and a sample.
//!
//! The sources are recorded messages, the classes of versioned payloads of nova, ironic and
//! masakari, and a list of further events (see [`CatalogueEvent::recorded`]). A service of another
//! release, or with more extensions, sends more events: an event that is missing here need not be
//! wrong.
//!
//! ```
//! use osnl_model::catalogue;
//!
//! let event = &catalogue::find("port.delete.end")[0];
//! assert_eq!((event.service, event.exchange()), ("neutron", "neutron"));
//! assert!(event.has_field("port.fixed_ips.0.ip_address"));
//! assert!(!event.has_field("port.host"));
//! assert_eq!(catalogue::field_exists("instance.delete.end", "nova_object.data.uuid"), Some(true));
//! assert_eq!(catalogue::field_exists("made.up", "anything"), None);
//! ```
//!
//! `cargo xtask catalogue` writes the data, `data/catalogue.json` and `data/samples.json`. Each
//! file is parsed on first use.

mod data;
mod example;
mod fields;
mod lacking;
mod like;

use serde_json::Value;

pub use self::fields::CatalogueField;
pub use self::lacking::{LackingPath, lacking};
pub use self::like::alike;

/// An event that an OpenStack service sends, for `osnl events` and for the checks of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEvent {
    /// The name of the service.
    pub service: &'static str,
    /// The event type, such as `port.delete.end`.
    pub event_type: &'static str,
    /// The form of its payload.
    pub form: PayloadForm,
    /// The topics to which the service publishes it.
    pub topics: Vec<&'static str>,
    /// The priorities that it may have; empty if they are not known.
    pub priorities: Vec<&'static str>,
    /// Examples of publisher ids.
    pub publishers: Vec<&'static str>,
    /// Whether a message with this event was recorded. Otherwise the event is known from the
    /// service's lists, code or documentation, and its fields are those of similar events.
    pub recorded: bool,
    /// The place of its fields in the list of shapes; `None` if a class describes them.
    shape: Option<usize>,
    /// The place of its payload in the list of examples; `None` without one.
    sample: Option<usize>,
}

/// The form of an event's payload, which decides the paths that a rule can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadForm {
    Plain,
    Cadf,
    Text,
    Versioned(&'static str),
}

/// A recorded payload, as an example for documentation and tests of rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub event_type: &'static str,
    pub payload: &'static Value,
}

#[must_use]
pub fn events() -> &'static [CatalogueEvent] {
    &data::catalogue().events
}

#[must_use]
pub fn services() -> Vec<(&'static str, &'static str)> {
    data::catalogue().services.iter().map(|(name, service)| (*name, service.version)).collect()
}

#[must_use]
pub fn find(event_type: &str) -> Vec<&'static CatalogueEvent> {
    events().iter().filter(|event| event.event_type == event_type).collect()
}

/// Whether a payload of this event may have the field in any of its forms; `None` for an unknown
/// event.
#[must_use]
pub fn field_exists(event_type: &str, path: &str) -> Option<bool> {
    let found = find(event_type);
    (!found.is_empty()).then(|| found.iter().any(|event| event.has_field(path)))
}

/// Exchanges of services without events in the catalogue, as each service sets oslo.messaging's
/// `control_exchange`, and exchanges that bear their service's name only where an operator
/// configures that.
const MORE_EXCHANGES: [&str; 21] = [
    "aodh",
    "barbican",
    "blazar",
    "ceilometer",
    "cinder",
    "cloudkitty",
    "cyborg",
    "freezer",
    "gnocchi",
    "manila",
    "mistral",
    "murano",
    "sahara",
    "senlin",
    "swift",
    "tacker",
    "trove",
    "vitrage",
    "watcher",
    "zaqar",
    "zun",
];

/// Returns the service that owns an exchange, or "several services" for `openstack`, oslo.messaging's
/// default.
#[must_use]
pub fn owner_of_exchange(exchange: &str) -> Option<&'static str> {
    let services = &data::catalogue().services;
    let mut owners =
        services.iter().filter(|(_, service)| service.exchange == exchange).map(|(name, _)| *name);
    match (owners.next(), owners.next()) {
        (Some(_), Some(_)) => Some("several services"),
        (Some(only), None) => Some(only),
        (None, _) => MORE_EXCHANGES.into_iter().find(|name| *name == exchange),
    }
}

impl CatalogueEvent {
    /// Returns the usual exchange. Cinder and manila use `openstack` unless configured otherwise.
    #[must_use]
    pub fn exchange(&self) -> &'static str {
        data::catalogue().services.get(self.service).map_or("", |service| service.exchange)
    }

    /// Returns the version of the payload's class in the catalogue: a service sends this version or
    /// an older one.
    #[must_use]
    pub fn version(&self) -> Option<&'static str> {
        match self.form {
            PayloadForm::Versioned(class) => data::class(self.service, class).map(|class| class.version),
            PayloadForm::Plain | PayloadForm::Cadf | PayloadForm::Text => None,
        }
    }

    #[must_use]
    pub fn fields(&self) -> Vec<CatalogueField> {
        fields::list(self)
    }

    /// Any member of a free map counts as a field.
    #[must_use]
    pub fn has_field(&self, path: &str) -> bool {
        fields::has(self, path)
    }

    /// Whether the path is in a field of a Neutron extension, which no recorded message has.
    #[must_use]
    pub fn is_of_extension(&self, path: &str) -> bool {
        lacking::is_of_extension(self, path)
    }

    #[must_use]
    pub fn field(&self, path: &str) -> Option<CatalogueField> {
        let path = lacking::starred(path);
        self.fields().into_iter().find(|field| field.path.join(".") == path)
    }

    #[must_use]
    pub fn sample(&self) -> Option<Sample> {
        let sample = data::samples().get(self.sample?)?;
        Some(Sample { event_type: sample.event, payload: &sample.payload })
    }
}
