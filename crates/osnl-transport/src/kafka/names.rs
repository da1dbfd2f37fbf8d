//! Topics and groups under the names that oslo.messaging's Kafka driver gives them. Pure.
//!
//! The topic of a target and a priority is `<topic>.<priority>`. The exchange takes no part, so two targets that differ
//! only in their exchange are one topic. A pool is a consumer group; without one the group is `consumer_group`.

use osnl_model::{Priority, Target};

use crate::TransportError;
use crate::topology::{Binding, DEFAULT_EXCHANGE, Declare, ListenOptions};

/// The longest name of a topic.
const LONGEST: usize = 249;

/// The group and the topics of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The consumer group.
    pub(super) group: String,
    /// A binding for each target and priority, whose queue is the group.
    pub(super) bindings: Vec<Binding>,
}

impl Plan {
    /// Plans the subscription for listening to `to`, with `group` where there is no pool.
    ///
    /// # Errors
    /// [`TransportError::ListenOptions`]: Kafka can't do it.
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

    /// The topics, in the order of the targets.
    pub(super) fn topics(&self) -> Vec<&str> {
        self.bindings.iter().map(|binding| binding.routing_key.as_str()).collect()
    }

    /// Returns the exchange of the target that named a topic: Kafka does not tell it.
    pub(super) fn exchange(&self, topic: &str) -> &str {
        let named = self.bindings.iter().find(|binding| binding.routing_key == topic);
        named.map_or(DEFAULT_EXCHANGE, |binding| &binding.exchange)
    }
}

/// Returns the topic of a target and a priority.
///
/// # Errors
/// [`TransportError::ListenOptions`]: Kafka has no topic of this name.
pub(super) fn topic_of(target: &Target, priority: &Priority) -> Result<String, TransportError> {
    let topic = target.routing_key(priority);
    match refusal(&topic) {
        None => Ok(topic),
        Some(problem) => Err(TransportError::ListenOptions {
            problem: format!("topics: \"{topic}\" can't be a topic of Kafka: {problem}"),
        }),
    }
}

/// Returns the reason why Kafka has no topic of this name.
fn refusal(topic: &str) -> Option<&'static str> {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    if topic.len() > LONGEST {
        return Some("it has more than 249 characters");
    }
    if !topic.chars().all(is_allowed) {
        return Some("allowed are letters, digits, dots, dashes and underscores of ASCII");
    }
    ["", ".", ".."].contains(&topic).then_some("it needs a letter or a digit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::QueueKind;

    fn plan(to: &[(&str, &str, Priority)], pool: Option<&str>, declare: Declare) -> Result<Plan, String> {
        let to: Vec<_> = to
            .iter()
            .map(|(exchange, topic, priority)| (Target::new(*exchange, *topic), priority.clone()))
            .collect();
        let options = ListenOptions {
            pool: pool.map(str::to_owned),
            prefetch: 10,
            declare,
            queue: QueueKind::OSLO,
            bodies: Default::default(),
        };
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
        let check = |topic: &str, expected: &str| {
            let error = plan(&[("neutron", topic, Priority::Info)], Some("p"), Declare::Create).unwrap_err();
            assert_eq!(error, format!("topics: \"{topic}.info\" can't be a topic of Kafka: {expected}"));
        };
        check("a b", "allowed are letters, digits, dots, dashes and underscores of ASCII");
        check("名前", "allowed are letters, digits, dots, dashes and underscores of ASCII");
        check("any.*", "allowed are letters, digits, dots, dashes and underscores of ASCII");
        check(&"x".repeat(245), "it has more than 249 characters");
        assert!(plan(&[("neutron", &"x".repeat(244), Priority::Info)], Some("p"), Declare::Create).is_ok());
        let nothing = plan(&[], Some("p"), Declare::Nothing).unwrap_err();
        assert!(nothing.starts_with("queue: Kafka has no queues"), "{nothing}");
        assert_eq!(plan(&[], None, Declare::Create).unwrap_err(), "there is no topic to read: name a target");
    }
}
