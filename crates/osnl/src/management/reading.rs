//! Reads answers of the management API. Pure. The broker's texts are cut and lose control characters.

use std::collections::BTreeMap;

use osnl_model::{Budget, is_dangerous, nearest};
use serde_json::Value;

use super::{BrokerFacts, ConsumerFacts, QueueFacts, QueuePolicies, UnknownFact};

const LONGEST: usize = 200;
const CONSUMERS: usize = 20;
/// The limit of kept keys of a definition; RabbitMQ knows about forty.
const KEYS: usize = 100;

pub(super) fn overview(body: &[u8]) -> Result<BrokerFacts, UnknownFact> {
    let found = object(body)?;
    let version = text(&found["rabbitmq_version"]).or_else(|| text(&found["product_version"]));
    if version.is_none() {
        return Err(not_the_api("it names no version of RabbitMQ"));
    }
    let cluster = text(&found["cluster_name"]);
    Ok(BrokerFacts { version, cluster, ..BrokerFacts::default() })
}

pub(super) fn default_queue_type(vhost: &str, body: &[u8]) -> Option<String> {
    let found = Budget::DEFAULT.read_json(body)?;
    let found = found.as_array()?.iter().find(|found| found["name"] == vhost)?;
    text(&found["default_queue_type"]).filter(|word| word != "undefined")
}

pub(super) fn queue(name: &str, body: &[u8]) -> Result<QueueFacts, UnknownFact> {
    let found = object(body)?;
    if found["name"].as_str() != Some(name) {
        return Err(not_the_api("it is about another queue"));
    }
    Ok(facts(&found))
}

pub(super) fn queues(body: &[u8]) -> Option<Vec<(String, QueueFacts)>> {
    let found = Budget::DEFAULT.read_json(body)?;
    let items = found["items"].as_array()?;
    Some(items.iter().filter_map(|item| Some((text(&item["name"])?, facts(item)))).collect())
}

pub(super) fn bindings(body: &[u8]) -> Option<Vec<(String, String)>> {
    let found = Budget::DEFAULT.read_json(body)?;
    let binding = |one: &Value| Some((text(&one["source"])?, text(&one["routing_key"]).unwrap_or_default()));
    Some(found.as_array()?.iter().filter_map(binding).collect())
}

pub(super) fn exchanges(names: &[String], body: &[u8]) -> Option<Vec<(String, String)>> {
    let found = Budget::DEFAULT.read_json(body)?;
    let exchange = |one: &Value| Some((text(&one["vhost"])?, text(&one["name"])?));
    let all = found.as_array()?.iter().filter_map(exchange);
    Some(all.filter(|(_, name)| names.iter().any(|one| nearest(one, [&**name]).is_some())).collect())
}

pub(super) fn nodes(body: &[u8]) -> Option<usize> {
    let found = Budget::DEFAULT.read_json(body)?;
    Some(found.as_array()?.len())
}

fn facts(found: &Value) -> QueueFacts {
    let empty = Vec::new();
    let consumers = found["consumer_details"].as_array().unwrap_or(&empty);
    let consumer = |consumer: &Value| {
        let channel = &consumer["channel_details"];
        ConsumerFacts {
            tag: text(&consumer["consumer_tag"]).unwrap_or_default(),
            connection: text(&channel["connection_name"]).unwrap_or_default(),
            user: text(&channel["user"]).unwrap_or_default(),
        }
    };
    QueueFacts {
        queue_type: text(&found["type"]),
        durable: found["durable"].as_bool(),
        messages: found["messages"].as_u64(),
        consumer_count: found["consumers"].as_u64(),
        arguments: entries(&found["arguments"]),
        policies: policies(found),
        delivery_limit: number(&found["delivery_limit"])
            .or_else(|| (found["delivery_limit"] == "unlimited").then_some(-1)),
        consumers: consumers.iter().take(CONSUMERS).map(consumer).collect(),
    }
}

fn policies(found: &Value) -> Result<QueuePolicies, UnknownFact> {
    let effective = &found["effective_policy_definition"];
    // A queue without a policy has an empty definition, which some versions write as a list.
    if !effective.is_object() && !effective.is_array() {
        return Err(UnknownFact::new(
            "the management API has no statistics of the queue",
            "ask again after some seconds; to see whether they are turned off: rabbitmqctl environment (disable_stats, \
             disable_metrics_collector)",
        ));
    }
    Ok(QueuePolicies {
        policy: text(&found["policy"]),
        operator_policy: text(&found["operator_policy"]),
        effective: entries(effective),
    })
}

fn object(body: &[u8]) -> Result<Value, UnknownFact> {
    let found = Budget::DEFAULT.read_json(body).ok_or_else(|| not_the_api("it is not valid JSON"))?;
    if found.is_object() { Ok(found) } else { Err(not_the_api("it is not a JSON object")) }
}

fn not_the_api(why: &str) -> UnknownFact {
    UnknownFact::new(
        format!("the answer is not that of RabbitMQ's management API: {why}"),
        "look at host, port, and path of management_url",
    )
}

fn entries(found: &Value) -> BTreeMap<String, Value> {
    let entries = found.as_object().into_iter().flatten().take(KEYS);
    entries.map(|(name, value)| (clean(name), scalar(value))).collect()
}

fn scalar(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Number(_) | Value::Bool(_) => value.clone(),
        Value::Null | Value::Array(_) | Value::Object(_) => Value::Null,
    }
}

/// Returns a whole number in any notation, limited to the type's bounds.
pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_u64().map(|_| i64::MAX)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(clean).filter(|text| !text.is_empty())
}

fn clean(text: &str) -> String {
    text.chars().take(LONGEST).map(|c| if is_dangerous(c) { ' ' } else { c }).collect()
}
