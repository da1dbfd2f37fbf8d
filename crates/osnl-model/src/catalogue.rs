//! The notifications of OpenStack services: every known event, where it is published, the fields of its payload, a
//! sample.
//!
//! Known is what was recorded from the services, what nova's, ironic's and masakari's own classes of versioned
//! payloads say, and a list of events beside them ([`CatalogueEvent::recorded`] tells these apart). A service of
//! another release, or with more extensions, sends more: what is not in here need not be wrong.
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
//! The data, `data/catalogue.json` and `data/samples.json`, is written by `cargo xtask catalogue`; it is read
//! when it is first asked for, the samples apart from the rest.

mod data;
mod example;
mod fields;
mod lacking;
mod like;

use serde_json::Value;

pub use self::fields::CatalogueField;
pub use self::lacking::{LackingPath, lacking};
pub use self::like::alike;

/// One event of one service, in one form of its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEvent {
    /// `nova`, `neutron`, …
    pub service: &'static str,
    /// `instance.create.end`, …
    pub event_type: &'static str,
    /// The form of its payload.
    pub form: PayloadForm,
    /// Topics it was seen on.
    pub topics: Vec<&'static str>,
    /// Priorities in capitals: `INFO`, …
    pub priorities: Vec<&'static str>,
    /// Publishers: `nova-compute:<host>`, `volume.<host>@<backend>`; `null` where there is none.
    pub publishers: Vec<&'static str>,
    /// Whether a recorded message had it; else it is known from its service's lists, code or documentation, and
    /// its fields are those of events like it.
    pub recorded: bool,
    shape: Option<usize>,
    sample: Option<usize>,
}

/// The form of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadForm {
    /// An object of the service's own.
    Plain,
    /// A CADF event.
    Cadf,
    /// A sentence.
    Text,
    /// An object of a class, with a version.
    Versioned(&'static str),
}

/// A payload as an example: secrets masked, long texts and lists cut, nested contexts left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The event that it was recorded from: the same, or one like it.
    pub event_type: &'static str,
    /// The payload.
    pub payload: &'static Value,
}

/// Every known event, by service and event type. An event with two forms is in it twice.
#[must_use]
pub fn events() -> &'static [CatalogueEvent] {
    &data::catalogue().events
}

/// The services, with the release that was recorded.
#[must_use]
pub fn services() -> Vec<(&'static str, &'static str)> {
    data::catalogue().services.iter().map(|(name, service)| (*name, service.version)).collect()
}

/// The events of this type: none, one, or one for each form and service.
#[must_use]
pub fn find(event_type: &str) -> Vec<&'static CatalogueEvent> {
    events().iter().filter(|event| event.event_type == event_type).collect()
}

/// Whether a payload of this event may have the field, `None` if the event is not known.
///
/// The path is as in [`CatalogueEvent::has_field`]. One form that has it is enough.
#[must_use]
pub fn field_exists(event_type: &str, path: &str) -> Option<bool> {
    let found = find(event_type);
    (!found.is_empty()).then(|| found.iter().any(|event| event.has_field(path)))
}

/// Exchanges of services that the catalogue has no events of, as they set oslo.messaging's `control_exchange`, and those
/// that have their service's name where it is configured so.
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

/// Returns the owner of an exchange of OpenStack: the name of a service, or "several services" for `openstack`,
/// oslo.messaging's default. Such an exchange also carries RPC.
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
    /// Returns the exchange it is usually published to. Cinder and manila use `openstack` unless configured otherwise.
    #[must_use]
    pub fn exchange(&self) -> &'static str {
        data::catalogue().services.get(self.service).map_or("", |service| service.exchange)
    }

    /// The version of its class, as the catalogue knows it: a service sends this or an older one.
    #[must_use]
    pub fn version(&self) -> Option<&'static str> {
        match self.form {
            PayloadForm::Versioned(class) => data::class(self.service, class).map(|class| class.version),
            PayloadForm::Plain | PayloadForm::Cadf | PayloadForm::Text => None,
        }
    }

    /// Every field that is described, in the order of names; nested ones behind the one that holds them.
    #[must_use]
    pub fn fields(&self) -> Vec<CatalogueField> {
        fields::list(self)
    }

    /// Whether its payload may have the field. Keys are separated by dots and may have some themselves
    /// (`nova_object.data.uuid`); an item of a list is a number or `*`.
    ///
    /// A field without a description, such as a member of a free map, counts as there.
    #[must_use]
    pub fn has_field(&self, path: &str) -> bool {
        fields::has(self, path)
    }

    /// The description of a field, the path as in [`has_field`](Self::has_field); `None` also for a field without
    /// one.
    #[must_use]
    pub fn field(&self, path: &str) -> Option<CatalogueField> {
        let path = lacking::starred(path);
        self.fields().into_iter().find(|field| field.path.join(".") == path)
    }

    /// An example.
    #[must_use]
    pub fn sample(&self) -> Option<Sample> {
        let sample = data::samples().get(self.sample?)?;
        Some(Sample { event_type: sample.event, payload: &sample.payload })
    }
}
