//! Topics and consumer groups of Kafka, which has no queues.

use osnl::native::ListenerConf;
use osnl_transport::{BodyBounds, GroupSeen, TapBinding, TapOptions, TopicSeen, TopicsSeen};
use serde_json::{Value, json};

const NAMED: usize = 3;

pub(super) struct TopicsInspection {
    pub(super) broker: String,
    pub(super) seen: Result<TopicsSeen, String>,
    /// Routing keys without a topic.
    pub(super) missing: Vec<String>,
}

impl TopicsInspection {
    pub(super) fn is_wrong(&self) -> bool {
        self.seen.is_err() || !self.missing.is_empty()
    }
}

/// Looks from no consumer group: nothing is read or committed.
pub(super) async fn inspect(conf: &ListenerConf) -> TopicsInspection {
    let broker =
        conf.transport_url.hosts().iter().map(|host| host.hostname.clone()).collect::<Vec<_>>().join(", ");
    let keys = conf.topics.iter().flat_map(|topic| {
        conf.priorities.iter().map(move |priority| format!("{topic}.{}", priority.as_str()))
    });
    let bindings = keys.map(|routing_key| TapBinding { exchange: String::new(), routing_key }).collect();
    let options = TapOptions {
        bindings,
        prefetch: 1,
        max_messages: 1,
        max_bytes: 1,
        ttl: std::time::Duration::from_secs(1),
        bodies: BodyBounds::for_max_body(conf.budget.body),
    };
    let asked = async {
        let transport = conf.transport()?;
        let mut tap = transport.tap(&options).await?;
        let missing = tap.tapped().missing.clone();
        let seen = tap.topics(conf.pool.iter().cloned().collect()).await?.unwrap_or_default();
        tap.close().await;
        Ok::<_, osnl_transport::TransportError>((seen, missing))
    };
    match asked.await {
        Ok((seen, missing)) => TopicsInspection { broker, seen: Ok(seen), missing },
        Err(error) => TopicsInspection { broker, seen: Err(error.with_own_remedy()), missing: Vec::new() },
    }
}

pub(super) fn lines(seen: &TopicsSeen, missing: &[String]) -> Vec<(&'static str, String)> {
    let mut lines: Vec<(&'static str, String)> =
        seen.topics.iter().map(|topic| ("topic", describe_topic(topic))).collect();
    lines.extend(missing.iter().map(|key| ("topic", format!("{key}: does not exist"))));
    lines.extend(seen.groups.iter().map(|group| ("group", describe_group(group))));
    if seen.more_groups > 0 {
        lines.push(("group", format!("{} more, which were not looked at", seen.more_groups)));
    }
    if let Some(reason) = &seen.unlisted {
        let what = "other groups are not known: the brokers do not list them";
        lines.push(("group", format!("{what} ({reason}); those of listeners are shown with -c FILE")));
    } else if seen.groups.is_empty() {
        lines.push(("group", "none has committed an offset of these topics".to_owned()));
    }
    lines
}

fn describe_topic(topic: &TopicSeen) -> String {
    let TopicSeen { name, partitions, unreachable } = topic;
    let mut text = match partitions {
        1 => format!("{name}: 1 partition"),
        many => format!("{name}: {many} partitions"),
    };
    if !unreachable.is_empty() {
        let named = unreachable.iter().take(NAMED).map(|(number, reason)| format!("{number}: {reason}"));
        let more = if unreachable.len() > NAMED { ", ..." } else { "" };
        let named = named.collect::<Vec<_>>().join(", ");
        text.push_str(&format!("; the end of {} is not known ({named}{more})", unreachable.len()));
    }
    text
}

fn describe_group(group: &GroupSeen) -> String {
    let GroupSeen { name, state, members, lag } = group;
    let state = match (state, members) {
        (Some(state), Some(1)) => format!("{state}, 1 member"),
        (Some(state), Some(members)) => format!("{state}, {members} members"),
        (Some(_) | None, _) => "state not known".to_owned(),
    };
    match lag {
        Err(reason) => format!("{name}: {state}; {reason}"),
        Ok(lag) if lag.is_empty() => format!("{name}: {state}; has committed no offset of these topics"),
        Ok(lag) => {
            let of = |(topic, lag): &(String, Option<u64>)| match lag {
                Some(lag) => format!("{lag} in {topic}"),
                None => format!("unknown in {topic}"),
            };
            format!("{name}: {state}; lag {}", lag.iter().map(of).collect::<Vec<_>>().join(", "))
        }
    }
}

pub(super) fn json(seen: &TopicsSeen) -> Value {
    let topics = seen.topics.iter().map(|topic| {
        let unreachable = topic.unreachable.iter();
        json!({
            "name": topic.name,
            "partitions": topic.partitions,
            "unreachable": unreachable.map(|(n, why)| json!({"partition": n, "reason": why})).collect::<Vec<_>>(),
        })
    });
    let groups = seen.groups.iter().map(|group| {
        let lag = group.lag.as_ref().map(|lag| {
            lag.iter().map(|(topic, lag)| json!({"topic": topic, "lag": lag})).collect::<Vec<_>>()
        });
        json!({
            "name": group.name,
            "state": group.state,
            "members": group.members,
            "lag": lag.as_ref().ok(),
            "reason": group.lag.as_ref().err(),
        })
    });
    json!({
        "topics": topics.collect::<Vec<_>>(),
        "groups": groups.collect::<Vec<_>>(),
        "more_groups": seen.more_groups,
        "groups_not_listed": seen.unlisted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_that_is_not_known_is_said() {
        let group = |name: &str, members: Option<usize>, lag| GroupSeen {
            name: name.to_owned(),
            state: members.map(|_| "stable".to_owned()),
            members,
            lag,
        };
        let topic = |name: &str, unreachable| TopicSeen { name: name.to_owned(), partitions: 4, unreachable };
        let seen = TopicsSeen {
            topics: vec![topic("n.info", vec![]), topic("v.info", vec![(3, "it has no leader".to_owned())])],
            groups: vec![
                group("a", Some(1), Ok(vec![("n.info".to_owned(), Some(7)), ("v.info".to_owned(), None)])),
                group("b", None, Ok(vec![])),
                group("c", Some(2), Err("its offsets are not known: timed out".to_owned())),
            ],
            more_groups: 0,
            unlisted: Some("no".to_owned()),
        };
        let lines: Vec<String> =
            lines(&seen, &["x.*".to_owned()]).into_iter().map(|(_, line)| line).collect();
        assert_eq!(
            lines,
            [
                "n.info: 4 partitions",
                "v.info: 4 partitions; the end of 1 is not known (3: it has no leader)",
                "x.*: does not exist",
                "a: stable, 1 member; lag 7 in n.info, unknown in v.info",
                "b: state not known; has committed no offset of these topics",
                "c: stable, 2 members; its offsets are not known: timed out",
                "other groups are not known: the brokers do not list them (no); those of listeners are shown with -c FILE",
            ]
        );
        assert_eq!(json(&seen)["groups"][0]["lag"][1]["lag"], Value::Null);
    }
}
