//! Finds ways in which the broker loses or withholds a queue's messages. Pure.
//!
//! A setting in the listener's own section is intended, and no risk.

use std::time::Duration;

use osnl_transport::{AS_CONFIGURED, QueueKind, Remedy, shell_quoted};
use serde_json::{Map, Value, json};

use super::{QueueFacts, QueuePolicies, reading};
use crate::listener::DropLimits;

/// The default delivery limit of a quorum queue since RabbitMQ 4.0.
const DEFAULT_LIMIT: i64 = 20;
/// A bound that no queue reaches, because a policy needs a key.
const NO_BOUND: i64 = 2_000_000_000;

type PolicyKind = fn(&QueuePolicies) -> &Option<String>;

/// Returns the option with which a new policy precedes a present one, or one that is not known, such as Kolla's `ha-all`.
pub(crate) fn precedence(policies: Option<&QueuePolicies>, of: PolicyKind) -> &'static str {
    if policies.is_some_and(|found| of(found).is_none()) { "" } else { " --priority 999" }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueRisk {
    pub(crate) seen: String,
    pub(crate) consequence: String,
    pub(crate) remedy: Remedy,
}

enum Setting {
    Policy,
    Argument,
    Default,
}

/// Returns the risks of a queue. `declares`: osnl declares its queues, so AMQP has compared them.
pub(crate) fn risks(
    (name, queue): (&str, &QueueFacts),
    vhost: &str,
    wanted: &QueueKind,
    declares: bool,
    major: Option<u32>,
) -> Vec<QueueRisk> {
    QueueJudge { name, vhost, queue, wanted, major }.all(declares)
}

struct QueueJudge<'a> {
    name: &'a str,
    vhost: &'a str,
    queue: &'a QueueFacts,
    wanted: &'a QueueKind,
    major: Option<u32>,
}

/// Returns the limits by which the broker drops waiting messages of a queue; `None` without one.
pub(crate) fn drop_limits((name, queue): (&str, &QueueFacts), wanted: &QueueKind) -> Option<DropLimits> {
    let judge = QueueJudge { name, vhost: "", queue, wanted, major: None };
    let number = |key: &str| {
        let (_, value) = judge.bound(key)?;
        reading::number(&value).and_then(|number| u64::try_from(number).ok())
    };
    let [ttl, max_length] = ["message-ttl", "max-length"].map(number);
    let seen = ["message-ttl", "max-length"].iter().filter_map(|key| Some(judge.judge_key(key)?.seen));
    let words = format!("queue {name}: {}", seen.collect::<Vec<_>>().join("; "));
    let found = DropLimits { ttl: ttl.map(Duration::from_millis), max_length, words };
    (ttl.is_some() || max_length.is_some()).then_some(found)
}

impl QueueJudge<'_> {
    fn all(&self, declares: bool) -> Vec<QueueRisk> {
        let mut found: Vec<QueueRisk> = self.keys().iter().filter_map(|key| self.judge_key(key)).collect();
        if !declares && self.queue.durable == Some(false) {
            found.push(QueueRisk {
                seen: "it is transient".to_owned(),
                consequence: "a restart of the broker deletes it with its messages".to_owned(),
                remedy: AS_CONFIGURED.into(),
            });
        }
        found
    }

    fn keys(&self) -> &'static [&'static str] {
        match self.queue.queue_type.as_deref() {
            Some("quorum") => &["message-ttl", "expires", "max-length", "max-length-bytes", "delivery-limit"],
            Some(_) | None => &["message-ttl", "expires", "max-length", "max-length-bytes"],
        }
    }

    fn in_force(&self, key: &str) -> Option<(Setting, Value)> {
        if key == "delivery-limit" { self.limit() } else { self.bound(key) }
    }

    fn policies(&self) -> Option<&QueuePolicies> {
        self.queue.policies.as_ref().ok()
    }

    fn judge_key(&self, key: &str) -> Option<QueueRisk> {
        let (setting, value) = self.in_force(key)?;
        let place = match &setting {
            Setting::Policy => self.named(),
            Setting::Argument => "its declaration".to_owned(),
            Setting::Default if self.policies().is_none() => "the broker or a policy".to_owned(),
            Setting::Default => "the broker's default".to_owned(),
        };
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let remedy = match setting {
            Setting::Policy | Setting::Default => self.safe_policy(),
            Setting::Argument => AS_CONFIGURED.into(),
        };
        let seen = format!("{place} sets {key} = {shown}");
        Some(QueueRisk { seen, consequence: self.consequence(key, &shown), remedy })
    }

    fn bound(&self, key: &str) -> Option<(Setting, Value)> {
        let of_policy = self.policies().and_then(|policies| policies.effective.get(key));
        let of_policy = of_policy.map(|value| (Setting::Policy, value.clone()));
        let name = format!("x-{key}");
        let own = self.wanted.declared_arguments();
        let argument = self.queue.arguments.get(&name).filter(|_| !own.contains_key(&name));
        let argument = argument.map(|value| (Setting::Argument, value.clone()));
        let size = |value: &Value| reading::number(value).unwrap_or(0);
        let both = of_policy.into_iter().chain(argument);
        both.filter(|(_, value)| size(value) < NO_BOUND).min_by_key(|(_, value)| size(value))
    }

    fn limit(&self) -> Option<(Setting, Value)> {
        let reported = self.queue.delivery_limit;
        let of = |value: Option<&Value>| value.and_then(reading::number);
        let of_policy = of(self.policies().and_then(|policies| policies.effective.get("delivery-limit")));
        let argument = of(self.queue.arguments.get("x-delivery-limit"));
        let lowest = [of_policy, argument].into_iter().flatten().min();
        let is_new = self.major.is_some_and(|major| major >= 4);
        // Without policies, the limit is known only from the broker's report.
        self.policies().map(|_| ()).or(reported.map(|_| ()))?;
        let limit = reported.or(lowest).or(is_new.then_some(DEFAULT_LIMIT))?;
        if limit < 0 || self.wanted.delivery_limit.is_some_and(|own| i64::from(own) == limit) {
            return None;
        }
        let setting = match () {
            () if of_policy == Some(limit) => Setting::Policy,
            () if argument == Some(limit) => Setting::Argument,
            () => Setting::Default,
        };
        Some((setting, json!(limit)))
    }

    /// Names every policy, because the broker does not report which has a key.
    fn named(&self) -> String {
        let policies = self.policies();
        let policy = policies.and_then(|policies| policies.policy.as_ref());
        let operator = policies.and_then(|policies| policies.operator_policy.as_ref());
        match (policy, operator) {
            (Some(policy), Some(operator)) => {
                format!("policy \"{policy}\" or operator policy \"{operator}\"")
            }
            (Some(policy), None) => format!("policy \"{policy}\""),
            (None, Some(operator)) => format!("operator policy \"{operator}\""),
            (None, None) => "a policy".to_owned(),
        }
    }

    fn consequence(&self, key: &str, value: &str) -> String {
        let effective = |key: &str| {
            let of_policy = self.policies().and_then(|policies| policies.effective.get(key));
            let value = of_policy.or_else(|| self.queue.arguments.get(&format!("x-{key}")))?;
            Some(value.as_str()?.to_owned())
        };
        let fate = match effective("dead-letter-exchange") {
            Some(exchange) => format!("goes to exchange \"{exchange}\", and osnl does not read it"),
            None => "is dropped: the queue has no dead-letter exchange".to_owned(),
        };
        let time = match value.parse::<u64>() {
            Ok(ms) if ms % 1000 == 0 => format!("{} s", ms / 1000),
            Ok(_) | Err(_) => format!("{value} ms"),
        };
        let unit = if key == "max-length" { "messages" } else { "bytes" };
        let overflow = effective("overflow");
        match key {
            "message-ttl" => format!("a message that waits for {time} {fate}"),
            "expires" => {
                format!("the broker deletes the queue with its messages after {time} without a consumer")
            }
            "delivery-limit" => format!(
                "a message that returns more than {value} times {fate}; each lost connection counts as a return"
            ),
            _ if overflow.as_deref().is_some_and(|overflow| overflow.starts_with("reject-publish")) => {
                format!(
                    "beyond {value} {unit} the broker refuses new messages, and their publisher loses them or waits"
                )
            }
            _ => format!("beyond {value} {unit} the oldest message {fate}"),
        }
    }

    /// Returns the command for a policy of this queue alone that has none of the risky keys: a second policy of the same
    /// name would bring the first key back.
    fn safe_policy(&self) -> Remedy {
        let is_argument = |key: &str| matches!(self.in_force(key), None | Some((Setting::Argument, _)));
        let risky: Vec<&str> = self.keys().iter().copied().filter(|key| !is_argument(key)).collect();
        let policies = self.policies();
        let present = policies.into_iter().flat_map(|policies| &policies.effective);
        let mut definition: Map<String, Value> = present
            .filter(|(name, _)| !risky.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if risky.contains(&"delivery-limit") && self.major.is_some_and(|major| major >= 4) {
            definition.insert("delivery-limit".to_owned(), json!(-1));
        } else if definition.is_empty() {
            definition.insert("max-length".to_owned(), json!(NO_BOUND));
        }
        let name = shell_quoted(&format!("osnl-{}", self.name)).into_owned();
        let pattern = shell_quoted(&format!("^{}$", osnl_transport::escaped(self.name))).into_owned();
        let definition = shell_quoted(&Value::Object(definition).to_string()).into_owned();
        let vhost = shell_quoted(self.vhost);
        let command = |verb: &str, of: PolicyKind| {
            let priority = precedence(policies, of);
            format!("rabbitmqctl {verb} -p {vhost} --apply-to queues{priority} {name} {pattern} {definition}")
        };
        let (policy, operator): (PolicyKind, PolicyKind) =
            (|found| &found.policy, |found| &found.operator_policy);
        let has = |of: PolicyKind| policies.is_some_and(|found| of(found).is_some());
        match (has(policy), has(operator)) {
            (_, false) => Remedy::command(command("set_policy", policy)),
            (false, true) => Remedy::command(command("set_operator_policy", operator)),
            (true, true) => format!(
                "to see which one: rabbitmqctl list_policies -p {vhost}; rabbitmqctl list_operator_policies -p {vhost}; then {}, \
                 or the same with set_operator_policy",
                command("set_policy", policy)
            )
            .into(),
        }
    }
}
