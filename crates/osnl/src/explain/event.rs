use std::sync::Arc;
use std::time::SystemTime;

use osnl_core::event::AskedFor;
use osnl_model::{Budget, Notification, Priority};

use crate::received::ReceivedMessage;
use crate::saved::RecordedEvent;
use crate::unmatched::{FailedBehind, UnmatchedMessage};

/// The known facts of an event that rules are applied to. An origin that is not known decides nothing.
#[derive(Clone, Debug)]
pub struct ExplainedEvent {
    /// Its place for the reader: `FILE:LINE`, `event 17`, `unmatched`.
    pub name: String,
    pub content: Content,
    pub listener: Option<Arc<str>>,
    pub exchange: Option<String>,
    pub routing_key: Option<String>,
    pub received: Option<SystemTime>,
    /// The time for `max_event_age`; `None` skips that check.
    pub read: Option<SystemTime>,
    /// The answers that the journal keeps of its enrichments.
    pub asked: Vec<AskedFor>,
}

/// The known part of an event that is explained.
#[derive(Clone, Debug)]
pub enum Content {
    Whole(Arc<Notification>),
    /// The head of an unmatched message whose body was not kept, with the conditions that failed at the time.
    Head {
        head: Arc<Notification>,
        failed: Vec<FailedBehind>,
    },
    Unreadable(String),
}

impl ExplainedEvent {
    /// Returns an event whose way to osnl is unknown.
    #[must_use]
    pub fn new(name: impl Into<String>, content: Content) -> Self {
        Self {
            name: name.into(),
            content,
            listener: None,
            exchange: None,
            routing_key: None,
            received: None,
            read: None,
            asked: Vec::new(),
        }
    }

    #[must_use]
    pub fn from_notification(notification: Notification) -> Self {
        Self::new("event", Content::Whole(Arc::new(notification)))
    }

    #[must_use]
    pub fn from_received(name: impl Into<String>, received: &ReceivedMessage) -> Self {
        let origin = &received.origin;
        Self {
            listener: Some(origin.listener.clone()),
            exchange: Some(origin.exchange.clone()),
            routing_key: Some(origin.routing_key.clone()),
            received: Some(origin.received),
            read: Some(origin.received),
            ..Self::new(name, Content::from(received.decode()))
        }
    }

    #[must_use]
    pub fn from_saved(file: &str, saved: &RecordedEvent, budget: &Budget) -> Self {
        let plain = budget.plain_body(&saved.body, &saved.properties.content_info());
        let content = Content::from(plain.and_then(|plain| budget.decode(&plain)));
        Self {
            exchange: saved.exchange.clone(),
            routing_key: saved.routing_key.clone(),
            received: saved.received,
            read: saved.received,
            ..Self::new(format!("{file}:{}", saved.line), content)
        }
    }

    #[must_use]
    pub fn from_unmatched(unmatched: &UnmatchedMessage) -> Self {
        let head = || Notification {
            event_type: unmatched.event_type.clone(),
            publisher_id: unmatched.publisher_id.clone(),
            priority: unmatched.priority.as_deref().map(Priority::parse),
            message_id: unmatched.message_id.clone(),
            ..Notification::default()
        };
        let content = match unmatched.decoded() {
            Some(notification) => Content::Whole(Arc::new(notification)),
            None => Content::Head { head: Arc::new(head()), failed: unmatched.failed.clone() },
        };
        Self {
            listener: Some(unmatched.listener.clone()),
            exchange: Some(unmatched.exchange.clone()),
            routing_key: Some(unmatched.routing_key.clone()),
            received: unmatched.received,
            read: unmatched.received,
            ..Self::new("unmatched", content)
        }
    }

    #[must_use]
    pub fn with_asked(self, asked: Vec<AskedFor>) -> Self {
        Self { asked, ..self }
    }

    #[must_use]
    pub fn notification(&self) -> Option<&Arc<Notification>> {
        match &self.content {
            Content::Whole(notification) | Content::Head { head: notification, .. } => Some(notification),
            Content::Unreadable(_) => None,
        }
    }

    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.notification()?.message_id.as_deref()
    }
}

impl<E: ToString> From<Result<Notification, E>> for Content {
    fn from(read: Result<Notification, E>) -> Self {
        match read {
            Ok(notification) => Self::Whole(Arc::new(notification)),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }
}
