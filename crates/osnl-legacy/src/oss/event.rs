use osnl_model::nova::other_name;
use serde::{Deserialize, Serialize};

use super::instance::KnownInstance;

/// The one name for all events of floating IPs, as in oss_watcher.
const FLOATING: &str = "floatingip.update.end";

/// A name counts in both of nova's forms: `compute.instance.create.end` is `instance.create.end`
/// too. `floatingip.update.end`, in either list, means every way in which an instance gets or loses
/// a floating IP. That may be an update, a creation with a port, a deletion, or an event of its
/// port. The earlier state decides between allocation and release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lists {
    pub creation: Vec<String>,
    pub deletion: Vec<String>,
}

impl Default for Lists {
    fn default() -> Self {
        let names = |first: &str| vec![first.to_owned(), FLOATING.to_owned()];
        Self {
            creation: names("compute.instance.create.end"),
            deletion: names("compute.instance.delete.end"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Instance,
    Port,
    Allocated,
    Released,
}

/// An occurrence that may have to be reported to plug-ins. The journal keeps it with its event, so
/// that each attempt has the same content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Occurrence {
    pub what: What,
    pub ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    pub instance: KnownInstance,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<String>,
}

impl Occurrence {
    pub(super) fn memory(&self) -> usize {
        let texts = [&self.ip, &self.port, &self.not].into_iter().flatten();
        size_of::<Self>() + texts.map(String::len).sum::<usize>() + self.instance.memory()
    }
}

impl Lists {
    #[must_use]
    pub fn has(&self, event_type: &str) -> bool {
        names(&self.creation, event_type)
            || names(&self.deletion, event_type)
            || (self.floating() && FLOATING_EVENTS.contains(&event_type))
    }

    #[must_use]
    pub fn floating(&self) -> bool {
        self.creation.iter().chain(&self.deletion).any(|listed| listed == FLOATING)
    }

    #[must_use]
    pub fn created(&self, event_type: &str, what: What) -> Option<bool> {
        match what {
            What::Allocated | What::Released if self.has(event_type) => Some(what == What::Allocated),
            What::Allocated | What::Released => None,
            What::Instance | What::Port => {
                match (names(&self.creation, event_type), names(&self.deletion, event_type)) {
                    (true, _) => Some(true),
                    (false, true) => Some(false),
                    (false, false) => None,
                }
            }
        }
    }

    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        let Self { creation, deletion } = &mut self;
        for (mine, others) in [(creation, &other.creation), (deletion, &other.deletion)] {
            mine.extend(others.iter().filter(|name| !mine.contains(name)).cloned().collect::<Vec<_>>());
        }
        self
    }
}

fn names(list: &[String], event_type: &str) -> bool {
    let other = other_name(event_type);
    list.iter().any(|name| name == event_type || other.as_ref() == Some(name))
}

const FLOATING_EVENTS: [&str; 6] = [
    FLOATING,
    "floatingip.create.end",
    "floatingip.delete.end",
    "port.create.end",
    "port.update.end",
    "port.delete.end",
];
