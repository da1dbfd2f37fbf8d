//! Appended entries: a message and its deliveries.

use std::sync::Arc;

use osnl_core::event::EnrichedValues;
use osnl_core::received::ReceivedMessage;

/// An entry to append: a message and its deliveries.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The message.
    pub received: Arc<ReceivedMessage>,
    /// The same, read.
    pub notification: Arc<osnl_model::Notification>,
    /// One delivery per rule and action; empty only if a shared journal still has to note the message.
    pub deliveries: Vec<NewDelivery>,
}

/// One rule's wish.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The rule that matched.
    pub rule: Arc<str>,
    /// The action it wants.
    pub action: Arc<str>,
    /// Deliveries of one action with the same key keep their order; `None` is a key of its own.
    pub key: Option<String>,
    /// The one of the event's resources that it is about, where a bulk request has several; `None` is the event.
    pub resource: Option<u32>,
    /// Whether it waits for those of its action and key that came before it.
    pub ordered: bool,
    /// Facts known from the beginning, beside the event: the reason why the action before it gave up.
    pub told: Option<Arc<EnrichedValues>>,
    /// The state in which it begins.
    pub begin: Begin,
    /// The resource that it is about, for an operator.
    pub subject: Subject,
}

/// A resource by the words that an operator knows it by; empty where the message does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

impl NewDelivery {
    /// One about the whole event, to be delivered.
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
        }
    }
}

/// The first state of a new delivery, kept with it: it is decided once, before the append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// It is attempted in its turn.
    #[default]
    Live,
    /// It is recorded as done, and nothing is called.
    Shadow,
    /// It waits until the operator releases it, and so do the later deliveries of its key; the reason. `memory://`,
    /// where the operator can't release it, attempts it.
    Held(String),
    /// It is a dead letter from the start; why.
    Dead(String),
    /// It is a dead letter from the start, because its event was too old when it was first read; the reason.
    TooOld(String),
}

impl Begin {
    /// Whether an outcome is still to come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Live | Self::Held(_) => true,
            Self::Shadow | Self::Dead(_) | Self::TooOld(_) => false,
        }
    }

    /// Returns the reason of one that is a dead letter from the start.
    #[must_use]
    pub fn dead_letter(&self) -> Option<&str> {
        match self {
            Self::Dead(why) | Self::TooOld(why) => Some(why),
            Self::Live | Self::Held(_) | Self::Shadow => None,
        }
    }
}
