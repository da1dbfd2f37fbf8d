//! The requests that a handler answers.

use std::fmt;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::again::Again;
use super::conditions::{condition, joined, listed};
use super::quarantine::{MessageAgain, WhichMessages};
use super::refusal::{Code, RequestRefusal};
use super::time;
use crate::journal::DeliveryId;
use crate::journal::query::{About, AnswerPolicy, Filter, HeldBy, Phase, QueryContext, RowOrder};
use crate::verify::VerifiedKind;

pub(crate) const MOST_LISTED: u32 = 1000;

fn usual() -> u32 {
    100
}

/// A request. Its row of [`ROUTES`](super::routes::ROUTES) has the meaning; the parameters of its address and of its
/// body are its members. `by` names the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ControlRequest {
    Status {
        /// Look at the queues of the brokers again, for the next status: on the control socket only.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[schemars(extend("x-control-socket-only" = true))]
        look: bool,
    },
    List {
        #[serde(default)]
        filter: Which,
        /// The order: by number (the default), or the largest number first.
        #[serde(default, skip_serializing_if = "ListOrder::is_oldest")]
        order: ListOrder,
        /// The value of next of the page before.
        #[serde(default)]
        after: Option<String>,
        /// Entries of a page, at most 1000; 100 unless set.
        #[serde(default = "usual")]
        #[schemars(range(min = 1, max = MOST_LISTED))]
        limit: u32,
        /// The totals count at most this many deliveries, the newest. Only the page bounds them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(skip)]
        count_at_most: Option<u64>,
    },
    Groups {
        #[serde(default)]
        filter: Which,
    },
    Show {
        /// The delivery, as EVENT.N.
        id: String,
        /// With the bytes of the message, which may have secrets: on the control socket only.
        #[serde(default)]
        #[schemars(extend("x-control-socket-only" = true))]
        raw: bool,
    },
    History {
        /// The resource: its id, its name, or its order key.
        resource: String,
        /// The number of its latest deliveries, at most 1000; 100 unless set.
        #[serde(default = "usual")]
        #[schemars(range(min = 1, max = MOST_LISTED))]
        limit: u32,
    },
    Retry {
        filter: Which,
        /// Retry even where a later delivery of the same resource was made.
        #[serde(default)]
        out_of_order: bool,
        /// Answer what would change, and change nothing.
        #[serde(default)]
        dry_run: bool,
        by: String,
    },
    Discard {
        filter: Which,
        /// Answer what would change, and change nothing.
        #[serde(default)]
        dry_run: bool,
        by: String,
    },
    Release {
        filter: Which,
        /// Answer what would change, and change nothing.
        #[serde(default)]
        dry_run: bool,
        by: String,
    },
    Move {
        filter: Which,
        /// The other action.
        to: String,
        /// Answer what would change, and change nothing.
        #[serde(default)]
        dry_run: bool,
        by: String,
    },
    Pause {
        /// The action.
        action: String,
        /// The reason for the next operator: one line of at most 300 characters. A second one replaces the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        by: String,
    },
    Probe {
        /// The action.
        action: String,
        by: String,
    },
    Resume {
        /// The action.
        action: String,
        by: String,
    },
    Replay {
        /// Events with the deliveries to make, as osnl replay plans them.
        events: Vec<Again>,
        /// Keep ids, so that what the journal has is not appended again.
        #[serde(default)]
        keep_ids: bool,
        /// Let the guards of rules and actions hold deliveries, as for messages of a broker.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        guarded: bool,
        by: String,
    },
    QuarantineList {
        #[serde(default)]
        filter: WhichMessages,
        /// Messages with a larger number.
        #[serde(default)]
        #[schemars(range(min = 0))]
        after: i64,
        /// Entries of a page, at most 1000; 100 unless set.
        #[serde(default = "usual")]
        #[schemars(range(min = 1, max = MOST_LISTED))]
        limit: u32,
    },
    QuarantineShow {
        /// The number of the message.
        #[schemars(range(min = 0))]
        id: i64,
        /// With the bytes of the message, which may have secrets: on the control socket only.
        #[serde(default)]
        #[schemars(extend("x-control-socket-only" = true))]
        raw: bool,
    },
    QuarantineRetry {
        /// Numbers of messages with the deliveries to make, as osnl quarantine retry plans them.
        messages: Vec<MessageAgain>,
        by: String,
    },
    QuarantineDiscard {
        filter: WhichMessages,
        /// Answer what would change, and change nothing.
        #[serde(default)]
        dry_run: bool,
        by: String,
    },
    Reload {
        by: String,
    },
    /// Removes queues without a listener from the status. The broker's queues stay.
    ForgetQueue {
        /// The queue's name.
        queue: String,
        /// Only the queue of this virtual host.
        #[serde(default)]
        vhost: Option<String>,
        by: String,
    },
    Gaps,
    /// Closes gaps without a verification.
    DismissGaps {
        /// The numbers of the gaps.
        #[serde(default)]
        gaps: Vec<u64>,
        /// All gaps; then no number may be given.
        #[serde(default)]
        all: bool,
        by: String,
    },
    /// Closes the gaps that a complete verification of an action covers.
    VerifiedGaps {
        action: String,
        /// The kind of the ids.
        kind: VerifiedKind,
        /// The time before which each missed deletion was found.
        until: String,
        by: String,
    },
}

impl ControlRequest {
    /// Whether the answer has the bytes of a message, which are not masked.
    #[must_use]
    pub fn shows_secrets(&self) -> bool {
        matches!(self, Self::Show { raw: true, .. } | Self::QuarantineShow { raw: true, .. })
    }

    #[must_use]
    pub fn changed_word(&self) -> &'static str {
        match self {
            Self::Retry { .. } => "retried",
            Self::Discard { .. } => "discarded",
            Self::Release { .. } => "released",
            Self::Move { .. } => "moved",
            _ => "",
        }
    }
}

/// The order of a list by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListOrder {
    #[default]
    Oldest,
    Newest,
}

impl ListOrder {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_oldest(&self) -> bool {
        *self == Self::Oldest
    }

    pub(super) fn order(self) -> RowOrder {
        match self {
            Self::Oldest => RowOrder::Oldest,
            Self::Newest => RowOrder::Newest,
        }
    }
}

/// A filter of deliveries. An empty or missing member selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeliveryFilter")]
#[serde(default, deny_unknown_fields)]
pub struct Which {
    /// Deliveries with these ids, written as `EVENT.N`.
    pub ids: Vec<String>,
    /// Deliveries of this event.
    pub event: Option<u64>,
    /// Deliveries of this rule.
    pub rule: Option<String>,
    /// Deliveries of this action.
    pub action: Option<String>,
    /// In one of these states, or groups of states, as `osnl deliveries list --state` has them; a state may be several,
    /// separated by commas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<String>,
    /// Deliveries that wait for release and are kept back by this: `guard` or `unexpected-end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// With one of these: the number of a delivery or an event, the id of a message, the id or the name of a resource.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
    /// Deliveries about this resource: its id, its name, or its order key.
    pub resource: Option<String>,
    /// With an answer of this HTTP status, such as 409 or 4xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// With this text in an answer or a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Deliveries of this event type.
    pub event_type: Option<String>,
    /// Received at this time or later, RFC 3339.
    pub since: Option<String>,
    /// Received before this time, RFC 3339.
    pub until: Option<String>,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ids,
            event,
            rule,
            action,
            states,
            held_by,
            about,
            resource,
            status,
            text,
            event_type,
            since,
            until,
        } = self;
        let parts = [
            listed("ids", ids),
            condition("event", event.map(|event| event.to_string()).as_deref()),
            condition("rule", rule.as_deref()),
            condition("action", action.as_deref()),
            listed("state", states),
            condition("held_by", held_by.as_deref()),
            listed("about", about),
            condition("resource", resource.as_deref()),
            condition("status", status.as_deref()),
            condition("text", text.as_deref()),
            condition("event_type", event_type.as_deref()),
            condition("since", since.as_deref()),
            condition("until", until.as_deref()),
        ];
        f.write_str(&joined(parts))
    }
}

impl Which {
    pub(super) fn filter(&self, now: QueryContext) -> Result<Filter, RequestRefusal> {
        let status = self.status.as_deref().map(status).transpose()?;
        // A form has one field for several states.
        let names = self.states.iter().flat_map(|names| names.split(','));
        Ok(Filter {
            ids: self.ids.iter().map(|id| delivery_id(id)).collect::<Result<_, _>>()?,
            event: self.event,
            rule: self.rule.clone(),
            action: self.action.clone(),
            states: Vec::new(),
            phases: names.map(phases).collect::<Result<Vec<_>, _>>()?.concat(),
            held_by: self.held_by.as_deref().map(held_by).transpose()?,
            context: now,
            about: self.about.iter().map(|text| About::parse(text)).collect(),
            key: self.resource.clone(),
            status,
            text: self.text.clone().map(AnswerPolicy::Text),
            event_type: self.event_type.clone(),
            since: parse_time("since", self.since.as_deref())?,
            until: parse_time("until", self.until.as_deref())?,
        })
    }
}

pub(super) fn delivery_id(text: &str) -> Result<DeliveryId, RequestRefusal> {
    DeliveryId::parse(text).ok_or_else(|| {
        RequestRefusal::new(
            Code::BadRequest,
            format!("{text:?} is not a delivery's number; write it as listed: 17.0"),
        )
    })
}

fn phases(name: &str) -> Result<Vec<Phase>, RequestRefusal> {
    Phase::named(name).ok_or_else(|| {
        RequestRefusal::new(
            Code::BadRequest,
            format!("unknown state {name:?}; allowed: {}", Phase::NAMES.join(", ")),
        )
    })
}

fn held_by(name: &str) -> Result<HeldBy, RequestRefusal> {
    HeldBy::named(name).ok_or_else(|| {
        let allowed = HeldBy::ALL.map(HeldBy::name).join(", ");
        RequestRefusal::new(Code::BadRequest, format!("held_by: unknown value {name:?}; allowed: {allowed}"))
    })
}

fn status(text: &str) -> Result<AnswerPolicy, RequestRefusal> {
    AnswerPolicy::status(text).ok_or_else(|| {
        RequestRefusal::new(Code::BadRequest, format!("{text:?} is not an HTTP status; write 409 or 4xx"))
    })
}

pub(super) fn parse_time(what: &str, text: Option<&str>) -> Result<Option<SystemTime>, RequestRefusal> {
    let Some(text) = text else { return Ok(None) };
    match time::read(text) {
        Some(at) => Ok(Some(at)),
        None => {
            let problem = format!("{what}: {text:?} is not a time; write it as 2026-11-20T06:00:00Z");
            Err(RequestRefusal::new(Code::BadRequest, problem))
        }
    }
}
