use crate::Priority;

/// Without an exchange the `control_exchange` of the configuration counts (`openstack` unless set),
/// which the caller has to fill in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub exchange: Option<String>,
    pub topic: String,
}

impl Target {
    pub fn new(exchange: impl Into<String>, topic: impl Into<String>) -> Self {
        Self { exchange: Some(exchange.into()), topic: topic.into() }
    }

    /// The key is also the name of the queue that oslo's notifier declares for that priority.
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
