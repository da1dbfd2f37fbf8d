//! The declaration and the reading of osnl's queues. Pure.
//!
//! | | classic | quorum |
//! | --- | --- | --- |
//! | survives the broker's restart | `durable` | always |
//! | `auto_delete` | yes | no |
//! | `delivery_limit`, `max_in_memory_*` | no | yes |
//! | `ha_policy` | yes | no |
//!
//! A stream is refused ([`NO_STREAMS`]): a pool for each reader gives every notification to every reader, and a queue
//! knows what has been settled.
//!
//! A queue that oslo.messaging programs declare too ([`QueueKind::oslo_arguments`]) has only their arguments: the
//! broker refuses a program that declares other arguments. Every other queue of osnl names its type, so that a virtual
//! host's default type has no effect, and a quorum queue has no delivery limit. Measured with oslo.messaging 18.3.1 and
//! RabbitMQ 3.10.8, in `tests/it/declared.rs`:
//!
//! | declared first, durable | then by oslo.messaging, without a type | in a virtual host of default type quorum |
//! | --- | --- | --- |
//! | without a type | accepted | accepted, both are quorum queues |
//! | `x-queue-type = classic` | accepted | refused with 406: the broker adds `quorum` where the type is missing |
//!
//! A transient queue is classic in any virtual host.
//!
//! No queue of osnl is exclusive. [`QueueKind::refusal`] refuses options that a kind does not allow before the broker
//! is asked.

use std::collections::BTreeMap;
use std::fmt;

use super::broker_version::BrokerVersion;

/// The `x-` arguments of a queue.
pub type QueueArguments = BTreeMap<String, Argument>;

/// The value of a queue's argument, in the type in which it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Sent as `I` within 32 bits and as `l` beyond, as oslo.messaging's client does.
    Integer(i64),
    Boolean(bool),
    Text(String),
}

impl Argument {
    /// Reads whole numbers and `true`/`false` as such, and all other text as text. Double quotes make any value a text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match (quoted, text.parse::<i64>(), text.parse::<bool>()) {
            (Some(quoted), _, _) => Self::Text(quoted.to_owned()),
            (None, Ok(number), _) => Self::Integer(number),
            (None, Err(_), Ok(boolean)) => Self::Boolean(boolean),
            (None, Err(_), Err(_)) => Self::Text(text.to_owned()),
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(boolean) => boolean.fmt(f),
            Self::Text(text) if Self::parse(text) == *self => text.fmt(f),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

/// The type of a queue that osnl reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    #[default]
    Classic,
    /// Replicated; survives the loss of a minority of its nodes.
    Quorum,
}

osnl_config::words!(QueueType: "classic" => QueueType::Classic, "quorum" => QueueType::Quorum);

impl QueueType {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }

    /// Returns the type of this name. Older brokers recorded no type for a classic queue.
    pub(crate) fn named(name: &str) -> Self {
        if name == Self::Quorum.as_str() { Self::Quorum } else { Self::Classic }
    }
}

/// The type of a queue that osnl refuses to read.
pub const STREAM: &str = "stream";
/// The way to what a stream is for, in refusals.
pub const NO_STREAMS: &str = "give each reader a pool of its own: a quorum queue (queue_type = quorum) bound to the same \
     exchanges, so that every reader gets every notification";

/// The bytes of the bodies in a dead letter queue. A broker whose disk is full stops all publishers of the cloud.
pub(crate) const MOST_DEAD_LETTERS: i64 = 1 << 30;

/// The declaration of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueKind {
    /// Classic, or replicated.
    pub queue_type: QueueType,
    /// Whether the queue survives the broker's restart.
    pub durable: bool,
    /// Whether the broker deletes the queue after its last consumer.
    pub auto_delete: bool,
    /// Whether one consumer gets the messages and others are standbys, so that order survives a second daemon on the
    /// queue.
    pub single_active_consumer: bool,
    /// The returns of a message after which the broker drops it; `None` for the broker's default.
    pub delivery_limit: Option<u32>,
    /// The messages that a quorum queue keeps in memory; `None` for the broker's default.
    pub max_in_memory_length: Option<u32>,
    /// Their bytes; `None` for the broker's default.
    pub max_in_memory_bytes: Option<u32>,
    /// `x-ha-policy`, which RabbitMQ has ignored since 3.0; oslo.messaging sends `all` with `rabbit_ha_queues`.
    pub ha_policy: Option<String>,
    /// Whether oslo.messaging programs declare this queue too, such as a service's queue or the pool of k2hr3_osnl.
    /// Then only their arguments are sent.
    pub oslo_arguments: bool,
    /// Further arguments of the operator.
    pub arguments: QueueArguments,
}

impl QueueKind {
    /// The kind that oslo.messaging declares: lost when the broker restarts, and shared by all consumers.
    pub const OSLO: Self = Self::classic(false, false);
    pub const DURABLE: Self = Self::classic(true, true);

    /// Returns the kind of a dead letter queue: replicated, without a delivery limit, with at most
    /// 1 GiB of bodies, and refusing new messages when full instead of dropping the oldest. One reader gets the messages
    /// at a time, so that all of the reader before are back first.
    #[must_use]
    pub fn dead_letters() -> Self {
        let overflow = ("x-overflow".to_owned(), Argument::Text("reject-publish".to_owned()));
        let most = ("x-max-length-bytes".to_owned(), Argument::Integer(MOST_DEAD_LETTERS));
        Self {
            queue_type: QueueType::Quorum,
            single_active_consumer: true,
            arguments: [overflow, most].into(),
            ..Self::DURABLE
        }
    }

    const fn classic(durable: bool, single_active_consumer: bool) -> Self {
        Self {
            queue_type: QueueType::Classic,
            durable,
            auto_delete: false,
            single_active_consumer,
            delivery_limit: None,
            max_in_memory_length: None,
            max_in_memory_bytes: None,
            ha_policy: None,
            oslo_arguments: !single_active_consumer,
            arguments: BTreeMap::new(),
        }
    }

    /// Returns the returns of a message after which the broker drops it, as an option or a further argument sets them.
    #[must_use]
    pub fn most_returns(&self) -> Option<u32> {
        let argument = match self.arguments.get(DELIVERY_LIMIT) {
            Some(Argument::Integer(limit)) => u32::try_from(*limit).ok(),
            Some(Argument::Boolean(_) | Argument::Text(_)) | None => None,
        };
        self.delivery_limit.or(argument)
    }

    /// Returns all arguments of the declaration in oslo.messaging's spelling. As there, a classic queue that
    /// oslo.messaging programs declare too has no type.
    #[must_use]
    pub fn declared_arguments(&self) -> QueueArguments {
        let mut all = self.arguments.clone();
        let mut set = |name: &str, value: Option<Argument>| {
            all.extend(value.map(|value| (name.to_owned(), value)));
        };
        let number = |number: Option<u32>| number.map(|number| Argument::Integer(number.into()));
        let typed = self.queue_type != QueueType::Classic || !self.oslo_arguments;
        set("x-queue-type", typed.then(|| Argument::Text(self.queue_type.as_str().to_owned())));
        set("x-single-active-consumer", self.single_active_consumer.then_some(Argument::Boolean(true)));
        set("x-delivery-limit", number(self.delivery_limit));
        set("x-max-in-memory-length", number(self.max_in_memory_length));
        set("x-max-in-memory-bytes", number(self.max_in_memory_bytes));
        set("x-ha-policy", self.ha_policy.clone().map(Argument::Text));
        all
    }

    /// Returns this kind in the form for a broker of this version. A quorum queue of osnl gets, unless these are set:
    ///
    /// - no delivery limit. Since 4.0 the default is 20, and -1 means none. Before, the default is none, and -1 would
    ///   drop a message at its first return;
    /// - [`CONSUMER_DISCONNECTED_TIMEOUT`] on every version: a queue outlives an upgrade, and versions before 4.3
    ///   ignore the argument.
    #[must_use]
    pub(crate) fn for_broker(&self, version: Option<BrokerVersion>) -> Self {
        let mut kind = self.clone();
        if self.queue_type != QueueType::Quorum || self.oslo_arguments {
            return kind;
        }
        let mut unless_set = |name: &str, value: i64| {
            kind.arguments.entry(name.to_owned()).or_insert(Argument::Integer(value));
        };
        if self.delivery_limit.is_none() && version.is_some_and(BrokerVersion::knows_unlimited_deliveries) {
            unless_set(DELIVERY_LIMIT, -1);
        }
        unless_set(CONSUMER_DISCONNECTED, CONSUMER_DISCONNECTED_TIMEOUT.into());
        kind
    }

    #[must_use]
    pub fn refusal(&self) -> Option<(&'static str, String)> {
        let queue_type = self.queue_type.as_str();
        let replicated = self.queue_type != QueueType::Classic;
        let refuse = |option, what: &str| Some((option, format!("a {queue_type} queue {what}")));
        if replicated && !self.durable {
            return refuse("durable", "always survives a restart of the broker");
        }
        if replicated && self.auto_delete {
            return refuse("auto_delete", "is not deleted with its last consumer");
        }
        if replicated && self.ha_policy.is_some() {
            return refuse("ha_policy", "is replicated by itself");
        }
        if self.delivery_limit.is_some() && self.queue_type != QueueType::Quorum {
            return refuse("delivery_limit", "has no limit of deliveries");
        }
        let quorum_only = [
            self.max_in_memory_length.map(|_| "x-max-in-memory-length"),
            self.max_in_memory_bytes.map(|_| "x-max-in-memory-bytes"),
        ];
        let named = quorum_only.into_iter().flatten().chain(self.arguments.keys().map(String::as_str));
        for name in named {
            if unknown_arguments(self.queue_type).contains(&name) {
                return refuse("arguments", &format!("does not know {name}"));
            }
        }
        if let Some((name, field)) = OWN_FIELD.iter().find(|(name, _)| self.arguments.contains_key(*name)) {
            return Some(("arguments", format!("{name} has an option of its own, {field}")));
        }
        None
    }
}

/// The time in milliseconds after which RabbitMQ 4.3 gives the messages of a lost node's consumer to the next consumer.
/// The default is 60 s. With less than 20 s the next consumer could begin before a daemon that is cut off with its node
/// notices.
pub(crate) const CONSUMER_DISCONNECTED_TIMEOUT: u32 = 20_000;
pub(crate) const CONSUMER_DISCONNECTED: &str = "x-consumer-disconnected-timeout";
pub(crate) const DELIVERY_LIMIT: &str = "x-delivery-limit";
pub(crate) const TYPE: &str = "x-queue-type";

const OWN_FIELD: [(&str, &str); 2] =
    [("x-queue-type", "queue_type"), ("x-single-active-consumer", "single_active_consumer")];

/// The arguments of queues and consumers in RabbitMQ's manual, without those of a stream's consumer. A broker ignores unknown arguments silently.
pub const KNOWN_ARGUMENTS: [&str; 28] = [
    "x-cancel-on-ha-failover",
    "x-consumer-disconnected-timeout",
    "x-consumer-timeout",
    "x-credit",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-delivery-limit",
    "x-expires",
    "x-ha-policy",
    "x-initial-cluster-size",
    "x-max-age",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-message-ttl",
    "x-overflow",
    "x-priority",
    "x-queue-leader-locator",
    "x-queue-master-locator",
    "x-queue-mode",
    "x-queue-type",
    "x-queue-version",
    "x-quorum-initial-group-size",
    "x-single-active-consumer",
    "x-stream-max-segment-size-bytes",
];

/// Known arguments that a type refuses or ignores (RabbitMQ 3.10, `capabilities/0` of `rabbit_classic_queue` and
/// `rabbit_quorum_queue`).
fn unknown_arguments(queue_type: QueueType) -> &'static [&'static str] {
    match queue_type {
        QueueType::Classic => &[
            "x-consumer-disconnected-timeout",
            "x-delivery-limit",
            "x-max-in-memory-length",
            "x-max-in-memory-bytes",
            "x-dead-letter-strategy",
            "x-quorum-initial-group-size",
            "x-max-age",
            "x-stream-max-segment-size-bytes",
            "x-initial-cluster-size",
        ],
        QueueType::Quorum => &[
            "x-max-priority",
            "x-queue-mode",
            "x-queue-version",
            "x-max-age",
            "x-stream-max-segment-size-bytes",
            "x-initial-cluster-size",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(queue_type: QueueType, arguments: &[(&str, &str)]) -> QueueKind {
        let arguments = arguments.iter().map(|(k, v)| ((*k).to_owned(), Argument::parse(v))).collect();
        let single_active_consumer = false;
        QueueKind { queue_type, single_active_consumer, arguments, ..QueueKind::DURABLE }
    }

    #[test]
    fn arguments_are_what_they_look_like_and_read_back() {
        for (text, expected) in [
            ("1000", Argument::Integer(1000)),
            ("-1", Argument::Integer(-1)),
            ("5000000000", Argument::Integer(5_000_000_000)),
            ("true", Argument::Boolean(true)),
            ("False", Argument::Text("False".into())),
            ("reject-publish", Argument::Text("reject-publish".into())),
            ("\"1000\"", Argument::Text("1000".into())),
            ("\"\"\"\"", Argument::Text("\"\"".into())),
            ("", Argument::Text(String::new())),
        ] {
            let read = Argument::parse(text);
            assert_eq!(read, expected, "{text}");
            assert_eq!(Argument::parse(&read.to_string()), expected, "{read}");
        }
    }

    #[test]
    fn what_is_declared_is_named_as_oslo_names_it() {
        let check = |kind: &QueueKind, expected: &str| {
            let seen: Vec<String> =
                kind.declared_arguments().iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(seen.join(" "), expected);
        };
        check(&QueueKind::OSLO, "");
        check(&QueueKind { durable: true, ..QueueKind::OSLO }, "");
        check(&QueueKind::DURABLE, "x-queue-type=classic x-single-active-consumer=true");
        check(&QueueKind { ha_policy: Some("all".into()), ..QueueKind::OSLO }, "x-ha-policy=all");
        let quorum = QueueKind {
            delivery_limit: Some(5),
            max_in_memory_length: Some(10),
            max_in_memory_bytes: Some(1000),
            ..kind(QueueType::Quorum, &[("x-max-length", "9")])
        };
        check(
            &quorum,
            "x-delivery-limit=5 x-max-in-memory-bytes=1000 x-max-in-memory-length=10 x-max-length=9 \
             x-queue-type=quorum",
        );
    }

    #[test]
    fn a_quorum_queue_has_no_delivery_limit_where_the_broker_can_do_without() {
        let check = |queue_type,
                     limit: Option<u32>,
                     own: &[(&str, &str)],
                     version: &str,
                     expected: Option<i64>| {
            let kind = QueueKind { delivery_limit: limit, ..kind(queue_type, own) };
            let asked = kind
                .for_broker(BrokerVersion::read(version))
                .declared_arguments()
                .get(DELIVERY_LIMIT)
                .cloned();
            assert_eq!(asked, expected.map(Argument::Integer), "{queue_type:?} {limit:?} {own:?} {version}");
        };
        for version in ["", "3.10.8"] {
            check(QueueType::Quorum, None, &[], version, None);
            check(QueueType::Quorum, Some(5), &[], version, Some(5));
        }
        for version in ["4.0.5", "4.3.6", "5.0.0"] {
            check(QueueType::Quorum, None, &[], version, Some(-1));
            let of_service = QueueKind { oslo_arguments: true, ..kind(QueueType::Quorum, &[]) };
            assert_eq!(of_service.for_broker(BrokerVersion::read(version)), of_service);
            check(QueueType::Quorum, Some(5), &[], version, Some(5));
            check(QueueType::Quorum, None, &[(DELIVERY_LIMIT, "7")], version, Some(7));
            check(QueueType::Classic, None, &[], version, None);
        }
    }

    #[test]
    fn a_quorum_queue_of_our_own_changes_hands_after_20_s_when_a_node_dies() {
        let check = |kind: QueueKind, expected: Option<i64>| {
            for version in ["", "3.10.8", "4.0.5", "4.3.6"] {
                let asked = kind.for_broker(BrokerVersion::read(version)).declared_arguments();
                let time = asked.get(CONSUMER_DISCONNECTED).cloned();
                assert_eq!(time, expected.map(Argument::Integer), "{version}");
            }
        };
        check(kind(QueueType::Quorum, &[]), Some(20_000));
        check(kind(QueueType::Quorum, &[(CONSUMER_DISCONNECTED, "5000")]), Some(5000));
        check(QueueKind { oslo_arguments: true, ..kind(QueueType::Quorum, &[]) }, None);
        check(kind(QueueType::Classic, &[]), None);
    }

    #[test]
    fn what_a_type_does_not_allow_is_refused_before_the_broker_does() {
        use QueueType::{Classic, Quorum};
        let check = |kind: QueueKind, expected: Option<&str>| {
            assert_eq!(kind.refusal().map(|(option, why)| format!("{option}: {why}")).as_deref(), expected);
        };
        for queue_type in [Classic, Quorum] {
            check(kind(queue_type, &[("x-max-length-bytes", "1"), ("x-of-tomorrow", "1")]), None);
        }
        check(QueueKind::OSLO, None);
        check(QueueKind { single_active_consumer: true, ..kind(Quorum, &[("x-delivery-limit", "3")]) }, None);
        check(
            QueueKind { durable: false, ..kind(Quorum, &[]) },
            Some("durable: a quorum queue always survives a restart of the broker"),
        );
        check(
            QueueKind { auto_delete: true, ..kind(Quorum, &[]) },
            Some("auto_delete: a quorum queue is not deleted with its last consumer"),
        );
        check(
            QueueKind { ha_policy: Some("all".into()), ..kind(Quorum, &[]) },
            Some("ha_policy: a quorum queue is replicated by itself"),
        );
        check(
            QueueKind { delivery_limit: Some(1), ..kind(Classic, &[]) },
            Some("delivery_limit: a classic queue has no limit of deliveries"),
        );
        check(
            kind(Quorum, &[("x-max-age", "1D")]),
            Some("arguments: a quorum queue does not know x-max-age"),
        );
        check(
            kind(Classic, &[("x-queue-type", "quorum")]),
            Some("arguments: x-queue-type has an option of its own, queue_type"),
        );
    }
}
