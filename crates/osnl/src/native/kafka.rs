use osnl_brokers::kafka::FirstOffset;
use osnl_model::Priority;
use osnl_transport::effect_of;

use super::ListenerConf;

pub(super) fn explain(listener: &ListenerConf) -> Vec<String> {
    let priorities: Vec<&str> = listener.priorities.iter().map(|priority| priority.as_str()).collect();
    let topics = listener.topics.iter().map(|topic| format!("{topic}.{{{}}}", priorities.join(",")));
    let mut lines = vec![format!("topics     {}", topics.collect::<Vec<_>>().join(", "))];
    let group = listener.pool.as_deref().unwrap_or_else(|| listener.kafka.group());
    let first = match listener.kafka.first_offset() {
        FirstOffset::Latest => "the next message",
        FirstOffset::Earliest => "the oldest message that is kept",
    };
    lines.push(format!("group      {group}; a new one begins with {first}"));
    if listener.has_canary {
        let topic = format!("{}.{}", super::canary::TOPIC, Priority::Info.as_str());
        lines.push(format!(
            "canary     topic {topic}, which must exist with one partition; the user needs Write on it"
        ));
    }
    lines.push(format!("prefetch   at most {} unfinished messages", listener.prefetch));
    let set = listener.kafka.set_options();
    lines.extend(
        set.map(|(option, value)| format!("option     {} = {value} {}", option.name, effect_of(option))),
    );
    lines
}
