//! The unit of an append: a message with the deliveries that rules asked for. A store keeps all of an entry or
//! nothing.

use std::sync::Arc;

use osnl_core::event::EnrichedValues;
use osnl_core::received::ReceivedMessage;
use osnl_core::rule::GuardHold;

/// A message and all that its rules ask for, kept whole or not at all.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The message as received, which is stored.
    pub received: Arc<ReceivedMessage>,
    /// The decoded message.
    pub notification: Arc<osnl_model::Notification>,
    /// One delivery per rule and action.
    pub deliveries: Vec<NewDelivery>,
}

/// One delivery as a rule asks for it, before it has a number.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The rule that asks for it.
    pub rule: Arc<str>,
    /// The action that is called.
    pub action: Arc<str>,
    /// Deliveries of one action with the same key keep their order; `None` is a key of its own.
    pub key: Option<String>,
    /// The resource among several of a bulk request; `None` is the whole event.
    pub resource: Option<u32>,
    /// Whether the delivery waits for earlier ones of its action and key.
    pub ordered: bool,
    /// Values that exist before any enrichment, such as the failure for the action of `on_failure`; `None` for most.
    pub enriched: Option<Arc<EnrichedValues>>,
    /// Its first state.
    pub begin: Begin,
    /// The id and name of its resource, for listings.
    pub subject: Subject,
    /// The number of the waiting letter of which this delivery is the copy; `None` for a delivery of its own.
    pub letter: Option<u64>,
}

/// The resource of a delivery in words by which operators search for it.
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
            enriched: None,
            begin: Begin::Live,
            subject: Subject::default(),
            letter: None,
        }
    }
}

/// The first state of a new delivery, decided once before the append and stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// The delivery is attempted when its turn comes.
    #[default]
    Live,
    /// The rule is in shadow: the delivery is recorded as done.
    Shadow,
    /// A guard holds the delivery until an operator releases it, and with it later ones of its key. `memory://` keeps the
    /// delivery in the dead letter queue of its listener, and attempts it if there is none: the configuration does not
    /// permit that.
    Held(GuardHold),
    /// A condition cannot be decided, or no room is left; the text is the reason.
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

    /// Returns the decision of the guard that holds the delivery.
    pub(crate) fn hold(&self) -> Option<&GuardHold> {
        match self {
            Self::Held(hold) => Some(hold),
            Self::Live | Self::Shadow | Self::Dead(_) | Self::TooOld(_) => None,
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
