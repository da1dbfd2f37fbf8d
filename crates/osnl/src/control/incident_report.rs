use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::incident_kind::{IncidentKind, IncidentSeverity};
use crate::queues::BrokerPlace;

/// The side that ends an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentActor {
    Operator,
    Osnl,
}

/// A part of osnl in trouble, with one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// The kind of the cause, such as `target-down`; later versions may have other kinds.
    #[schemars(with = "String")]
    pub kind: IncidentKind,
    pub severity: IncidentSeverity,
    /// The part: `action roles`, `listener nova`, `queue osnl`, `quarantine`, `journal`, `configuration`, `daemon`.
    pub subject: String,
    /// The actions whose deliveries are concerned.
    pub actions: Vec<String>,
    /// The listeners that the cause concerns.
    pub listeners: Vec<String>,
    /// What is broken, with the duration and the cost, as one sentence.
    pub what: String,
    /// The cause, in the words of the target, the broker, or the disk; `null` if `what` has it.
    pub why: Option<String>,
    /// The beginning of the incident: of a quarantine, the arrival of its oldest message; of a certificate, fourteen days
    /// before its end; `null` if it is not known.
    pub since: Option<String>,
    pub since_seconds: Option<u64>,
    /// Deliveries that wait for the end of the incident.
    pub waiting: u64,
    /// The age of the oldest waiting delivery.
    pub oldest_seconds: Option<u64>,
    /// Deliveries that an operator has to release or to discard.
    pub for_release: u64,
    /// The party that must act before the incident ends.
    pub must_act: IncidentActor,
    /// The first step of an operator as a line for a shell, if there is such a line.
    #[serde(default)]
    pub command: Option<String>,
    /// The operator's step after `command`, or without it.
    pub to_do: Option<String>,
    /// The actions of osnl in the meantime.
    pub by_itself: Option<String>,
    /// The kinds of the effects of the cause, which are no incidents of their own.
    #[schemars(with = "Vec<String>")]
    pub symptoms: Vec<IncidentKind>,
    /// Whether `why` is the reason of one guard, by which the page finds the deliveries.
    #[serde(skip)]
    pub has_one_guard: bool,
    /// Whether a probe may end the incident sooner, so that the page proposes one first.
    #[serde(skip)]
    pub is_probe_helpful: bool,
    /// The part of `what` after the names of listeners; `None` if `what` does not begin with these.
    #[serde(skip)]
    pub(super) words: Option<String>,
    /// The action that has no place and blocks the listener, so that its incident is the cause.
    #[serde(skip)]
    pub(super) full_action: Option<String>,
    /// The cause for the label of a metric, where the words of `what` have numbers that change at each look.
    #[serde(skip)]
    pub(super) label: Option<String>,
    /// The broker that has the part; `None` for a part of this daemon.
    #[serde(skip)]
    pub(super) place: Option<BrokerPlace>,
    /// Seconds since the look of a listener that has found it.
    #[serde(skip)]
    pub(super) look_age: Option<u64>,
}
