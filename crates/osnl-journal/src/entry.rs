//! The unit of an append: a message with the deliveries that rules asked for. A store keeps all of an entry or
//! nothing.

use std::sync::Arc;

use osnl_core::event::EnrichedValues;
use osnl_core::received::ReceivedMessage;

#[derive(Clone, Debug)]
pub struct Entry {
    pub received: Arc<ReceivedMessage>,
    pub notification: Arc<osnl_model::Notification>,
    /// One delivery per rule and action.
    pub deliveries: Vec<NewDelivery>,
}

#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub rule: Arc<str>,
    pub action: Arc<str>,
    /// Deliveries of one action with the same key keep their order; `None` is a key of its own.
    pub key: Option<String>,
    /// The resource among several of a bulk request; `None` is the whole event.
    pub resource: Option<u32>,
    /// Whether the delivery waits for earlier ones of its action and key.
    pub ordered: bool,
    pub told: Option<Arc<EnrichedValues>>,
    pub begin: Begin,
    pub subject: Subject,
    /// The number of the waiting letter of which this delivery is the copy; `None` for a delivery of its own.
    pub letter: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub id: Option<String>,
    pub name: Option<String>,
}

impl NewDelivery {
    pub fn new(rule: impl Into<Arc<str>>, action: impl Into<Arc<str>>, key: Option<String>) -> Self {
        Self {
            rule: rule.into(),
            action: action.into(),
            key,
            resource: None,
            ordered: true,
            told: None,
            begin: Begin::Live,
            subject: Subject::default(),
            letter: None,
        }
    }
}

/// The first state of a new delivery, decided once before the append and stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    #[default]
    Live,
    Shadow,
    /// The key's later deliveries wait for release too; the text is the reason. `memory://` keeps the delivery in the
    /// dead letter queue of its listener, and attempts it if there is none: the configuration does not permit that.
    Held(String),
    Dead(String),
    /// The event was too old when first read, so the delivery is a dead letter from the start.
    TooOld(String),
}

impl Begin {
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Live | Self::Held(_) => true,
            Self::Shadow | Self::Dead(_) | Self::TooOld(_) => false,
        }
    }

    #[must_use]
    pub fn dead_letter(&self) -> Option<&str> {
        match self {
            Self::Dead(why) | Self::TooOld(why) => Some(why),
            Self::Live | Self::Held(_) | Self::Shadow => None,
        }
    }
}
