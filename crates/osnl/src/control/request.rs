//! The requests that a handler answers.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::again::Again;
use super::quarantine::{MessageAgain, WhichMessages};
use super::refusal::{Code, RequestRefusal};
use super::time;
use crate::journal::DeliveryId;
use crate::journal::sqlite::{About, AnswerPolicy, Cursor, Filter, Moment, Phase, RowOrder};

/// Deliveries that one list holds at most.
pub const MOST_LISTED: u32 = 1000;

fn usual() -> u32 {
    100
}

/// A request. See the [module](super) for what each answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ControlRequest {
    Status {},
    /// Deliveries, a page at a time.
    List {
        #[serde(default)]
        filter: Which,
        #[serde(default, skip_serializing_if = "ListOrder::is_oldest")]
        order: ListOrder,
        /// Those behind this one: `next` of the page before.
        #[serde(default)]
        after: Option<String>,
        /// At most so many, up to [`MOST_LISTED`].
        #[serde(default = "usual")]
        limit: u32,
        /// The totals count at most so many deliveries, the newest; all of them without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count_at_most: Option<u64>,
    },
    /// One delivery with its history and its message.
    Show {
        id: String,
        /// With the message's bytes, secrets and all.
        #[serde(default)]
        raw: bool,
    },
    /// Dead letters are open again.
    Retry {
        /// The selection among dead deliveries.
        filter: Which,
        /// Even where its resource has had a later delivery since.
        #[serde(default)]
        out_of_order: bool,
        /// Only what would come of it.
        #[serde(default)]
        dry_run: bool,
        by: String,
    },
    /// Open and dead ones end.
    Discard {
        /// The selection among open and dead deliveries.
        filter: Which,
        /// Only what would come of it.
        #[serde(default)]
        dry_run: bool,
        /// The requester, kept with the delivery.
        by: String,
    },
    Release {
        /// The selection among held deliveries.
        filter: Which,
        /// Only what would come of it.
        #[serde(default)]
        dry_run: bool,
        by: String,
    },
    /// Open ones become another action's.
    Move {
        /// The selection among open deliveries.
        filter: Which,
        to: String,
        /// Only what would come of it.
        #[serde(default)]
        dry_run: bool,
        by: String,
    },
    /// No attempt of an action begins, across restarts.
    Pause {
        action: String,
        by: String,
    },
    /// A held target is asked now, with a delivery that waits; the answer waits for the result.
    Probe {
        action: String,
        by: String,
    },
    /// Attempts of a paused action begin again.
    Resume {
        action: String,
        by: String,
    },
    /// Events are appended anew, with what a command has planned for them, in this order.
    Replay {
        events: Vec<Again>,
        /// With the ids they had: what the journal keeps already is no second event then.
        #[serde(default)]
        keep_ids: bool,
        by: String,
    },
    /// Messages that are kept unread, in the order of their arrival.
    QuarantineList {
        #[serde(default)]
        filter: WhichMessages,
        /// Those with a larger number.
        #[serde(default)]
        after: i64,
        /// At most so many, up to [`MOST_LISTED`].
        #[serde(default = "usual")]
        limit: u32,
    },
    QuarantineShow {
        id: i64,
        /// With the bytes that are kept, secrets and all.
        #[serde(default)]
        raw: bool,
    },
    /// Messages go through rules again, with what a command has planned for them, and leave the quarantine.
    QuarantineRetry {
        messages: Vec<MessageAgain>,
        by: String,
    },
    /// Messages leave the quarantine and are gone.
    QuarantineDiscard {
        filter: WhichMessages,
        /// Only what would come of it.
        #[serde(default)]
        dry_run: bool,
        by: String,
    },
    /// The daemon reads its configuration again.
    Reload {
        by: String,
    },
}

impl ControlRequest {
    /// Whether it changes nothing and shows no secret.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Status {} | Self::List { .. } | Self::QuarantineList { .. } => true,
            Self::Show { raw, .. } | Self::QuarantineShow { raw, .. } => !raw,
            Self::Retry { .. }
            | Self::Discard { .. }
            | Self::Release { .. }
            | Self::Move { .. }
            | Self::Pause { .. }
            | Self::Probe { .. }
            | Self::Resume { .. }
            | Self::Replay { .. }
            | Self::QuarantineRetry { .. }
            | Self::QuarantineDiscard { .. }
            | Self::Reload { .. } => false,
        }
    }

    /// The word for deliveries that it has changed: `retried`; empty for requests that change none.
    #[must_use]
    pub fn changed_word(&self) -> &'static str {
        match self {
            Self::Retry { .. } => "retried",
            Self::Discard { .. } => "discarded",
            Self::Release { .. } => "released",
            Self::Move { .. } => "moved",
            Self::Status {}
            | Self::List { .. }
            | Self::Show { .. }
            | Self::Pause { .. }
            | Self::Probe { .. }
            | Self::Resume { .. }
            | Self::Reload { .. }
            | Self::QuarantineList { .. }
            | Self::QuarantineShow { .. }
            | Self::QuarantineRetry { .. }
            | Self::QuarantineDiscard { .. }
            | Self::Replay { .. } => "",
        }
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListOrder {
    #[default]
    Oldest,
    /// By number, the largest first.
    Newest,
    /// Those that need attention or fail, then everything else, each with the newest first.
    Attention,
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
            Self::Attention => RowOrder::Attention,
        }
    }
}

/// A filter of deliveries. An empty or missing member selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Which {
    pub ids: Vec<String>,
    /// All of this event's, by its number.
    pub event: Option<u64>,
    /// Only deliveries of this rule.
    pub rule: Option<String>,
    /// Only deliveries of this action.
    pub action: Option<String>,
    /// In one of these states, by the words of the glossary or the name of a group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<String>,
    /// With one of these: the number of a delivery or an event, the id of a message, the id or the name of a resource.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
    /// About this resource: its id, its name, or its order key.
    pub resource: Option<String>,
    /// With an answer of this HTTP status, such as `409` or `4xx`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// With this text in an answer or a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Only deliveries of this event type.
    pub event_type: Option<String>,
    /// Received then or later, RFC 3339.
    pub since: Option<String>,
    /// Received before then, RFC 3339.
    pub until: Option<String>,
}

impl Which {
    /// Reads it; the facts of the moment decide about phases.
    pub(super) fn filter(&self, now: Moment) -> Result<Filter, RequestRefusal> {
        let status = self.status.as_deref().map(status).transpose()?;
        Ok(Filter {
            after: None,
            ids: self.ids.iter().map(|id| delivery_id(id)).collect::<Result<_, _>>()?,
            event: self.event,
            rule: self.rule.clone(),
            action: self.action.clone(),
            states: Vec::new(),
            phases: self.states.iter().map(|name| phases(name)).collect::<Result<Vec<_>, _>>()?.concat(),
            moment: now,
            about: self.about.iter().map(|text| About::parse(text)).collect(),
            key: self.resource.clone(),
            status,
            text: self.text.clone().map(AnswerPolicy::Text),
            event_type: self.event_type.clone(),
            since: moment("since", self.since.as_deref())?,
            until: moment("until", self.until.as_deref())?,
        })
    }
}

pub(super) fn cursor(text: &str) -> Result<Cursor, RequestRefusal> {
    Cursor::parse(text).ok_or_else(|| {
        RequestRefusal::new(
            Code::BadRequest,
            format!("after: {text:?} is not the end of a page; write its `next`"),
        )
    })
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

fn status(text: &str) -> Result<AnswerPolicy, RequestRefusal> {
    AnswerPolicy::status(text).ok_or_else(|| {
        RequestRefusal::new(Code::BadRequest, format!("{text:?} is not an HTTP status; write 409 or 4xx"))
    })
}

pub(super) fn moment(what: &str, text: Option<&str>) -> Result<Option<SystemTime>, RequestRefusal> {
    let Some(text) = text else { return Ok(None) };
    match time::read(text) {
        Some(at) => Ok(Some(at)),
        None => {
            let problem = format!("{what}: {text:?} is not a time; write it as 2026-11-20T06:00:00Z");
            Err(RequestRefusal::new(Code::BadRequest, problem))
        }
    }
}
