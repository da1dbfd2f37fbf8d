use osnl_model::{Priority, Target};

/// An exchange and the topics on it; each topic gets its own copy of every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    exchange: String,
    topics: Vec<String>,
}

impl Topics {
    /// Returns ironic's defaults: exchange `ironic`, topic `ironic_versioned_notifications`.
    pub fn ironic() -> Self {
        Self::from_option("ironic", "ironic_versioned_notifications")
    }

    /// Returns nova's defaults: exchange `nova`, topic `versioned_notifications`.
    pub fn nova() -> Self {
        Self::from_option("nova", "versioned_notifications")
    }

    /// Reads the options `control_exchange` and `versioned_notifications_topics`, a list with commas; spaces
    /// around a topic are trimmed, and empty items are skipped.
    pub fn from_option(control_exchange: &str, versioned_notifications_topics: &str) -> Self {
        let topics =
            versioned_notifications_topics.split(',').map(str::trim).filter(|topic| !topic.is_empty());
        Self { exchange: control_exchange.to_owned(), topics: topics.map(str::to_owned).collect() }
    }

    /// Returns one target for each topic.
    pub fn targets(&self) -> Vec<Target> {
        let target = |topic: &String| Target { exchange: Some(self.exchange.clone()), topic: topic.clone() };
        self.topics.iter().map(target).collect()
    }

    /// Returns the routing key of each copy: `<topic>.<priority>`.
    pub fn routing_keys(&self, priority: &Priority) -> Vec<String> {
        self.topics.iter().map(|topic| format!("{topic}.{priority}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_gets_a_copy() {
        let check = |topics: Topics, priority: Priority, expected: &[&str]| {
            assert_eq!(topics.routing_keys(&priority), expected);
            let exchange = topics.exchange.clone();
            assert!(topics.targets().iter().all(|target| target.exchange.as_ref() == Some(&exchange)));
            assert_eq!(topics.targets().len(), expected.len());
        };
        check(Topics::ironic(), Priority::Warn, &["ironic_versioned_notifications.warn"]);
        check(Topics::nova(), Priority::Info, &["versioned_notifications.info"]);
        check(Topics::from_option("ironic", "t_one, t_two"), Priority::Info, &["t_one.info", "t_two.info"]);
        check(Topics::from_option("ironic", " , "), Priority::Info, &[]);
    }
}
