//! The events that count, and whether something came or went.

use osnl_model::nova::legacy_name;
use serde::{Deserialize, Serialize};

use super::instance::KnownInstance;

/// The one name that stands for all events of floating IPs, as in oss_watcher.
const FLOATING: &str = "floatingip.update.end";

/// `events_creation` and `events_deletion`.
///
/// A name counts in both of nova's forms: `compute.instance.create.end` is `instance.create.end` too.
/// `floatingip.update.end`, in whichever list, stands for every way in which a floating IP comes to an instance or leaves it:
/// an update, a creation with a port, a deletion, and what becomes of its port. Which of the two happened follows from what
/// was known of it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lists {
    /// Event types that are allocations.
    pub creation: Vec<String>,
    /// Event types that are releases.
    pub deletion: Vec<String>,
}

impl Default for Lists {
    /// The program's four.
    fn default() -> Self {
        let names = |first: &str| vec![first.to_owned(), FLOATING.to_owned()];
        Self {
            creation: names("compute.instance.create.end"),
            deletion: names("compute.instance.delete.end"),
        }
    }
}

/// The subject of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An instance; the lists say whether it came or went.
    Instance,
    /// A port, if the configuration lists its events.
    Port,
    /// A floating IP has come to an instance.
    Allocated,
    /// A floating IP has left an instance.
    Released,
}

/// Something that plug-ins may have to be told of. Journalled with its event, so that each attempt says the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Occurrence {
    /// The subject.
    pub what: What,
    /// The address; `None` if no event has it.
    pub ip: Option<String>,
    /// The port by which the instance can be asked for where its id is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The instance, as far as it is known.
    pub instance: KnownInstance,
    /// The resource of a bulk request, by its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// The reason why nothing is reported after all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<String>,
}

impl Lists {
    /// Whether events of this type may have something to be told of.
    #[must_use]
    pub fn has(&self, event_type: &str) -> bool {
        let any = |name: &str| self.creation.iter().chain(&self.deletion).any(|listed| listed == name);
        any(event_type)
            || legacy_name(event_type).is_some_and(|name| any(&name))
            || (self.floating() && FLOATING_EVENTS.contains(&event_type))
    }

    /// Whether floating IPs count.
    #[must_use]
    pub fn floating(&self) -> bool {
        self.creation.iter().chain(&self.deletion).any(|listed| listed == FLOATING)
    }

    /// Whether it is an allocation; `None` where it is not to be told of.
    #[must_use]
    pub fn created(&self, event_type: &str, what: What) -> Option<bool> {
        match what {
            What::Allocated | What::Released if self.has(event_type) => Some(what == What::Allocated),
            What::Allocated | What::Released => None,
            What::Instance | What::Port => {
                let legacy = legacy_name(event_type);
                let of = |list: &[String]| {
                    list.iter().any(|name| name == event_type || Some(name) == legacy.as_ref())
                };
                match (of(&self.creation), of(&self.deletion)) {
                    (true, _) => Some(true),
                    (false, true) => Some(false),
                    (false, false) => None,
                }
            }
        }
    }

    /// The lists of both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        let Self { creation, deletion } = &mut self;
        for (mine, others) in [(creation, &other.creation), (deletion, &other.deletion)] {
            mine.extend(others.iter().filter(|name| !mine.contains(name)).cloned().collect::<Vec<_>>());
        }
        self
    }
}

/// The events of floating IPs, or of the port of one.
const FLOATING_EVENTS: [&str; 6] = [
    FLOATING,
    "floatingip.create.end",
    "floatingip.delete.end",
    "port.create.end",
    "port.update.end",
    "port.delete.end",
];
