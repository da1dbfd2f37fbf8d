use std::time::SystemTime;

/// The counts of all rules since one time, for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesReport {
    pub since: SystemTime,
    pub rules: Vec<RuleReport>,
}

/// The settings and counts of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleReport {
    pub name: String,
    pub settings: Option<RuleSettings>,
    pub seen: u64,
    pub fired: u64,
    pub last_fired: Option<SystemTime>,
    /// Messages with a matching head that an earlier rule with `stop` took.
    pub stopped: u64,
    /// The count of each other condition as the first that failed, the most frequent first.
    pub failed: Vec<(String, u64)>,
}

/// The settings of a rule that explain its counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSettings {
    pub listeners: Vec<String>,
    pub actions: Vec<String>,
    pub is_enabled: bool,
    pub is_shadow: bool,
    pub stops: bool,
}

/// The remembered messages that matched no rule, for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedReport {
    pub keep: u32,
    pub with_bodies: bool,
    pub groups: Vec<UnmatchedGroup>,
    pub more: usize,
}

/// The unmatched messages of one event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedGroup {
    pub event_type: Option<String>,
    pub count: u64,
    /// Why the newest matches no rule: the rule that comes closest, and its condition.
    pub why: String,
    pub newest: Vec<UnmatchedRow>,
}

/// One unmatched message of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedRow {
    pub number: u64,
    pub age_seconds: u64,
    pub listener: String,
    pub queue: String,
    pub publisher_id: Option<String>,
    /// The resource by its name and its id; known while the body is kept.
    pub resource: Option<String>,
}

/// The event on which rules are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriedEvent {
    Text(String),
    Unmatched(u64),
    Delivery(String),
}
