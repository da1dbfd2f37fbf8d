//! The target of notifications: an exchange and a topic.

use crate::Priority;

/// An exchange and a topic, as in oslo.messaging's `Target`.
///
/// Without an exchange, what is meant is the `control_exchange` of the configuration (`openstack` unless
/// set): the model leaves that choice to the caller with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The name of the topic exchange, such as `neutron`.
    pub exchange: Option<String>,
    /// The topic, such as `notifications` or `versioned_notifications`.
    pub topic: String,
}

impl Target {
    /// A topic on a named exchange.
    pub fn new(exchange: impl Into<String>, topic: impl Into<String>) -> Self {
        Self { exchange: Some(exchange.into()), topic: topic.into() }
    }

    /// `<topic>.<priority>`: the routing key notifications of one priority are published with, and the name
    /// of the queue oslo's own notifier declares for them.
    pub fn routing_key(&self, priority: &Priority) -> String {
        format!("{}.{}", self.topic, priority.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_keys_are_topic_and_lower_case_priority() {
        let target = Target::new("nova", "versioned_notifications");
        assert_eq!(target.exchange.as_deref(), Some("nova"));
        assert_eq!(target.routing_key(&Priority::Error), "versioned_notifications.error");
        assert_eq!(target.routing_key(&Priority::parse("Odd")), "versioned_notifications.odd");
    }
}
