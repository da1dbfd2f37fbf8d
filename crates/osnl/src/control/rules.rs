//! The rules with their counts, the messages that matched none, and an event tried against them.

use std::time::SystemTime;

/// The rules with their counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesReport {
    pub since: SystemTime,
    /// In the order in which they are asked.
    pub rules: Vec<RuleReport>,
}

/// A rule with its counts over all its listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleReport {
    pub name: String,
    /// Its settings; `None` of a rule that no file configures, such as the canary's.
    pub settings: Option<RuleSettings>,
    /// Messages that it was asked about.
    pub seen: u64,
    /// Those on which it fired.
    pub fired: u64,
    pub last_fired: Option<SystemTime>,
    /// Messages whose head it matches, and that a rule before it took with `stop`.
    pub stopped: u64,
    /// The count of each other condition as the first that failed, the most frequent first.
    pub failed: Vec<(String, u64)>,
}

/// The settings of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSettings {
    /// The listeners whose messages it sees.
    pub listeners: Vec<String>,
    pub actions: Vec<String>,
    pub is_enabled: bool,
    /// Whether its deliveries are recorded, and not made.
    pub is_shadow: bool,
    /// Whether no rule after it is asked once it has fired.
    pub stops: bool,
}

/// Messages that matched no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedPage {
    /// The number of messages that are kept at most; 0 is none.
    pub keep: u32,
    /// Whether their bodies are kept too.
    pub with_bodies: bool,
    pub messages: Vec<UnmatchedRow>,
    /// The start of the next page, as `before`; `None` on the last page.
    pub next: Option<u64>,
}

/// A message that matched no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedRow {
    /// Its number in this process.
    pub number: u64,
    /// Seconds since it was received.
    pub age_seconds: u64,
    pub listener: String,
    /// The queue it was taken from.
    pub queue: String,
    pub event_type: Option<String>,
    pub publisher_id: Option<String>,
    pub priority: Option<String>,
    /// The resource that it is about, by its name and its id; known where the body is kept.
    pub resource: Option<String>,
}

/// An event to try against the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriedEvent {
    /// JSON, as [`saved`](crate::saved) reads it.
    Text(String),
    /// A message that matched no rule, by its number.
    Unmatched(u64),
    /// The event of a delivery.
    Delivery(String),
}

/// The verdicts of all rules on an event, in the words of `osnl explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialReport {
    /// The event, in a line or two.
    pub about: String,
    /// In the order in which they are asked.
    pub rules: Vec<RuleTrial>,
}

/// The verdict of a rule on an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrial {
    pub fires: bool,
    /// The verdict, in a line.
    pub verdict: String,
    /// The effect of each action.
    pub effects: Vec<String>,
}
