//! The doctor of queues: the picture that a broker gives of a listener's exchanges and queues, and its judgement.
//!
//! A [`Survey`] is one look for one listener: by AMQP alone ([`gather`](Wanted::survey)), and completed by the
//! management API. A [`Finding`] is the only text of a trouble: `osnl queues`, `osnl check --connect`, `osnl status`,
//! the page, and HTTP show it.
//!
//! The services' own queues are the evidence for "nothing arrives". The publisher of oslo.messaging declares the queue
//! `<topic>.<priority>` and binds the queue before each message, so a missing queue shows that nothing was published:
//!
//! | first step that fails | shown by | finding |
//! | --- | --- | --- |
//! | the exchange is there | passive declaration | the service has never published here: driver, virtual host, or `control_exchange` |
//! | some queue `<topic>.<priority>` is there | passive declaration | the exchange carries RPC alone: driver |
//! | one of the listener's topics has such a queue | the same | topics, or `notification_format` of nova |
//! | one of its priorities too | the same | priorities |
//! | such a queue is bound to the listener's exchange | management API | another exchange |
//! | the listener's queue is bound | management API | the binding |
//! | messages come, and a rule matches | counters of the daemon | rules |
//!
//! A step whose evidence is unknown is passed over.

mod bindings;
mod from_url;
mod gather;
mod judge;
mod left;
mod mending;
mod nothing;
mod services;
mod shards;
#[cfg(test)]
mod tests;
mod wanted;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use osnl_transport::{
    Binding, Declare, ExchangeInspection, Greeting, QueueKind, RabbitOptions, Remedy, Shards,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::gather::SurveyLimits;
pub(crate) use self::gather::{near_names, refused};
pub(crate) use self::judge::judge_alarm;
pub use self::judge::sort;
pub use self::judge::tag_parts;
pub(crate) use self::left::judge_left_queue;
pub use self::mending::QueueChanges;
pub(crate) use self::services::BOUND_EFFECT;
use crate::management::{BrokerFacts, QueueFacts, UnknownFact};
use crate::native::ManagementConf;

/// The usual exchanges of services that send notifications. `openstack` is oslo.messaging's default: cinder, manila, and
/// the audit middleware publish there.
pub const EXCHANGES: [&str; 12] = [
    "nova",
    "neutron",
    "glance",
    "cinder",
    "keystone",
    "ironic",
    "openstack",
    "heat",
    "designate",
    "octavia",
    "magnum",
    "masakari",
];

/// Topics of oslo.messaging, of nova and masakari, and of ironic.
pub const TOPICS: [&str; 3] = ["notifications", "versioned_notifications", "ironic_versioned_notifications"];

/// The names in JSON do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    Unreachable,
    /// The broker takes no messages of any publisher, by an alarm of memory or disk.
    PublishersBlocked,
    Permissions,
    QueueMissing,
    /// The broker refuses a look at a queue of osnl: another connection has the queue, or its node is down.
    QueueRefused,
    ExchangeMissing,
    ExchangeType,
    ExchangeDiffers,
    NeverPublished,
    WrongTopic,
    WrongPriority,
    OtherExchange,
    NotBound,
    NoRuleMatches,
    Unread,
    Growing,
    Rival,
    OtherRules,
    SamePool,
    Differs,
    Lossy,
    ClassicOnCluster,
    TransientQueue,
    Left,
    /// The number of shards differs from that of the broker, or from the bindings.
    OtherShards,
}

/// The urgency of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingSeverity {
    Note,
    Warning,
    Critical,
}

/// A finding of `osnl queues` about a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The kind, as `osnl queues` names it, such as `unread`; later versions may have other kinds.
    #[schemars(with = "String")]
    pub kind: FindingKind,
    pub severity: FindingSeverity,
    /// The hosts of the broker.
    pub broker: String,
    pub vhost: String,
    /// The part: `queue notifications.info`, `exchange nova`, `listener nova`.
    pub subject: String,
    /// The evidence for the finding, from the broker.
    pub seen: String,
    /// The effect if the finding is not mended.
    pub consequence: String,
    /// The command or setting that mends the finding.
    #[schemars(with = "String")]
    pub command: Remedy,
    /// The same setting for each deployer; absent if there is none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deployers: BTreeMap<String, String>,
    /// The files of services that `command` names; findings of one part that differ in them alone are one.
    #[serde(skip)]
    pub files: Vec<String>,
}

impl FindingKind {
    /// Whether the evidence has counts, which differ between looks and between queues of one cause.
    #[must_use]
    pub fn is_counted(self) -> bool {
        matches!(self, Self::Unread | Self::Growing)
    }

    /// Whether a look proves that the listener's configuration receives nothing, however long it has listened.
    #[must_use]
    pub(crate) fn proves_silence(self) -> bool {
        matches!(self, Self::WrongTopic | Self::WrongPriority | Self::OtherExchange)
    }

    #[must_use]
    pub(crate) fn explains_silence(self) -> bool {
        matches!(
            self,
            Self::ExchangeMissing
                | Self::NeverPublished
                | Self::WrongTopic
                | Self::WrongPriority
                | Self::OtherExchange
                | Self::NotBound
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, vhost, seen, consequence, .. } = self;
        write!(f, "{subject} in virtual host {vhost}: {seen}: {consequence}")
    }
}

/// A place that all listeners and daemons see alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerPlace {
    /// The hosts of the broker.
    pub broker: String,
    /// `None` for the broker as a whole.
    pub vhost: Option<String>,
}

impl fmt::Display for BrokerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.broker)?;
        self.vhost.iter().try_for_each(|vhost| write!(f, ", virtual host {vhost}"))
    }
}

/// The subject of a survey: the exchanges, topics, and queues of one listener, and its login.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub listener: Arc<str>,
    pub broker: String,
    pub exchanges: Vec<String>,
    pub topics: Vec<String>,
    pub priorities: Vec<String>,
    /// `None` means the services' own queues.
    pub pool: Option<String>,
    pub queues: Vec<String>,
    /// Queues of dead letters, which the management API alone is asked about.
    pub dead_letters: Vec<String>,
    pub bindings: Vec<Binding>,
    /// The objects that osnl makes. The publisher of an exchange that osnl creates may be no service of OpenStack.
    pub declare: Declare,
    pub kind: QueueKind,
    pub url: osnl_model::TransportUrl,
    pub rabbit: RabbitOptions,
    pub management: Option<ManagementConf>,
    pub rules_digest: String,
    pub permissions: String,
    pub origin: WantedOrigin,
}

/// The part of osnl for which a survey is made.
#[derive(Clone, Debug)]
pub enum WantedOrigin {
    /// A listener of the configuration.
    Listener,
    /// An action that publishes to these shards: the queues are theirs, and `listener` is the name of the action.
    Shards(WantedShards),
    /// No part: exchanges, topics, and priorities are flags of a command, and no queue is read.
    Url,
}

impl Wanted {
    /// Whether osnl declares its queues, so that the broker compares their arguments.
    pub(crate) fn declares(&self) -> bool {
        self.declare != Declare::Nothing
    }

    pub(crate) fn creates_exchanges(&self) -> bool {
        self.declare == Declare::Create
    }

    #[must_use]
    pub fn shards(&self) -> Option<&WantedShards> {
        match &self.origin {
            WantedOrigin::Shards(shards) => Some(shards),
            WantedOrigin::Listener | WantedOrigin::Url => None,
        }
    }

    pub(crate) fn is_of_url(&self) -> bool {
        matches!(self.origin, WantedOrigin::Url)
    }

    /// Returns the place of the exchanges and queues.
    pub(crate) fn place(&self) -> BrokerPlace {
        let vhost = Some(self.url.virtual_host().to_owned());
        BrokerPlace { broker: self.broker.clone(), vhost }
    }
}

/// The shards of a survey.
#[derive(Clone, Debug)]
pub struct WantedShards {
    pub all: Shards,
    /// The number by which messages have been published, which the broker keeps; filled in by the survey.
    pub former: Option<u32>,
}

/// One look at a broker for one listener, from which findings are judged.
#[derive(Clone, Debug)]
pub struct Survey {
    pub wanted: Wanted,
    pub greeting: Greeting,
    pub refusals: Vec<(String, String, Option<Remedy>)>,
    pub is_reached: bool,
    pub exchanges: Vec<(String, ExchangeInspection)>,
    /// Exchanges that exist, with names near the name of a missing exchange.
    pub near: Vec<String>,
    pub queues: Vec<QueueRow>,
    pub denied: Vec<String>,
    /// The alarm for which the broker blocks publishers.
    pub alarm: Option<String>,
    pub facts: Option<BrokerFacts>,
    pub unknown: Option<UnknownFact>,
    pub daemon: DaemonCounts,
}

/// The counts of a running daemon that complete a survey.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonCounts {
    pub has_received: Option<bool>,
    pub received: u64,
    pub matched: Option<u64>,
    pub consumers: Option<BTreeMap<String, u64>>,
    /// The digest in the tag of its consumers, of the rules at its start.
    pub rules_digest: Option<String>,
}

/// The existence of a queue, as a look shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueState {
    There,
    Missing,
    Refused(String),
}

/// A queue of a survey, as `osnl queues` lists it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueueRow {
    pub name: String,
    #[serde(rename = "read_by_osnl")]
    pub is_read: bool,
    pub state: QueueState,
    pub messages: u64,
    pub consumers: u64,
    #[serde(rename = "growth_per_second")]
    pub growth: Option<f64>,
    pub durable: Option<bool>,
    #[serde(rename = "type")]
    pub queue_type: Option<String>,
    pub bindings: Option<Vec<(String, String)>>,
    pub differs: Option<String>,
    pub drops: Option<String>,
    #[serde(skip)]
    pub remedy: Option<Remedy>,
    #[serde(skip)]
    pub facts: Option<QueueFacts>,
}

impl QueueRow {
    #[must_use]
    pub fn missing(name: &str, is_read: bool) -> Self {
        Self {
            name: name.to_owned(),
            is_read,
            state: QueueState::Missing,
            messages: 0,
            consumers: 0,
            growth: None,
            durable: None,
            queue_type: None,
            bindings: None,
            differs: None,
            drops: None,
            remedy: None,
            facts: None,
        }
    }

    #[must_use]
    pub fn is_there(&self) -> bool {
        self.state == QueueState::There
    }

    fn service(&self) -> Option<(&str, &str)> {
        let (topic, priority) = self.name.rsplit_once('.')?;
        services::PRIORITIES.contains(&priority).then_some((topic, priority))
    }
}
