//! Topics and groups as oslo.messaging's Kafka driver names them.
//!
//! The topic is `<topic>.<priority>`, so two targets that differ only in their exchange are one topic.

use osnl_model::{Priority, Target};
use osnl_transport::parts::DEFAULT_EXCHANGE;
use osnl_transport::{Binding, Declare, ListenOptions, TransportError};

const LONGEST: usize = 249;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) group: String,
    /// A binding for each target and priority, whose queue is the group.
    pub(super) bindings: Vec<Binding>,
}

impl Plan {
    pub(super) fn new(
        to: &[(Target, Priority)],
        options: &ListenOptions,
        group: &str,
    ) -> Result<Self, TransportError> {
        let refuse = |problem: String| Err(TransportError::ListenOptions { problem });
        match options.declare {
            Declare::Create | Declare::Passive => {}
            Declare::Nothing => {
                return refuse(
                    "queue: Kafka has no queues; name exchange and topics, and the group as pool".to_owned(),
                );
            }
        }
        let group = options.pool.clone().unwrap_or_else(|| group.to_owned());
        let mut bindings: Vec<Binding> = Vec::new();
        for (target, priority) in to {
            let routing_key = topic_of(target, priority)?;
            if bindings.iter().all(|binding| binding.routing_key != routing_key) {
                let exchange = target.exchange.clone().unwrap_or_else(|| DEFAULT_EXCHANGE.to_owned());
                bindings.push(Binding { queue: group.clone(), exchange, routing_key });
            }
        }
        if bindings.is_empty() {
            return refuse("there is no topic to read: name a target".to_owned());
        }
        Ok(Self { group, bindings })
    }

    pub(super) fn topics(&self) -> Vec<&str> {
        self.bindings.iter().map(|binding| binding.routing_key.as_str()).collect()
    }

    /// Returns the exchange of the target that named a topic, because Kafka's messages have none.
    pub(super) fn exchange(&self, topic: &str) -> &str {
        let named = self.bindings.iter().find(|binding| binding.routing_key == topic);
        named.map_or(DEFAULT_EXCHANGE, |binding| &binding.exchange)
    }
}

pub(super) fn topic_of(target: &Target, priority: &Priority) -> Result<String, TransportError> {
    let topic = target.routing_key(priority);
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    let problem = match topic.as_str() {
        long if long.len() > LONGEST => "it has more than 249 characters",
        odd if !odd.chars().all(is_allowed) => {
            "allowed are letters, digits, dots, dashes and underscores of ASCII"
        }
        "" | "." | ".." => "it needs a letter or a digit",
        _ => return Ok(topic),
    };
    let problem = format!("topics: \"{topic}\" can't be a topic of Kafka: {problem}");
    Err(TransportError::ListenOptions { problem })
}

#[cfg(test)]
mod tests {
    use osnl_transport::QueueKind;

    use super::*;

    fn plan(to: &[(&str, &str, Priority)], pool: Option<&str>, declare: Declare) -> Result<Plan, String> {
        let to: Vec<_> = to
            .iter()
            .map(|(exchange, topic, priority)| (Target::new(*exchange, *topic), priority.clone()))
            .collect();
        let options = ListenOptions::new(pool, 10, declare, QueueKind::OSLO);
        Plan::new(&to, &options, "oslo_messaging_consumer").map_err(|error| error.to_string())
    }

    #[test]
    fn topics_and_groups_are_named_as_oslo_names_them() {
        let to = [
            ("neutron", "notifications", Priority::Info),
            ("nova", "notifications", Priority::Info),
            ("nova", "versioned_notifications", Priority::Error),
        ];
        let planned = plan(&to, None, Declare::Create).unwrap();
        assert_eq!(planned.group, "oslo_messaging_consumer");
        assert_eq!(planned.topics(), ["notifications.info", "versioned_notifications.error"]);
        assert_eq!(planned.exchange("versioned_notifications.error"), "nova");
        assert_eq!(plan(&to, Some("osnl"), Declare::Passive).unwrap().group, "osnl");
    }

    #[test]
    fn names_that_kafka_does_not_have_are_refused() {
        let odd = "allowed are letters, digits, dots, dashes and underscores of ASCII";
        let long = "x".repeat(245);
        for (topic, expected) in
            [("a b", odd), ("名前", odd), ("any.*", odd), (long.as_str(), "it has more than 249 characters")]
        {
            let error = plan(&[("neutron", topic, Priority::Info)], Some("p"), Declare::Create).unwrap_err();
            assert_eq!(error, format!("topics: \"{topic}.info\" can't be a topic of Kafka: {expected}"));
        }
        assert!(plan(&[("neutron", &long[1..], Priority::Info)], Some("p"), Declare::Create).is_ok());
        let nothing = plan(&[], Some("p"), Declare::Nothing).unwrap_err();
        assert!(nothing.starts_with("queue: Kafka has no queues"), "{nothing}");
        assert_eq!(plan(&[], None, Declare::Create).unwrap_err(), "there is no topic to read: name a target");
    }
}
