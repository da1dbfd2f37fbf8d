use std::time::SystemTime;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesReport {
    pub since: SystemTime,
    pub rules: Vec<RuleReport>,
}

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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSettings {
    pub listeners: Vec<String>,
    pub actions: Vec<String>,
    pub is_enabled: bool,
    pub is_shadow: bool,
    pub stops: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedReport {
    pub keep: u32,
    pub with_bodies: bool,
    pub groups: Vec<UnmatchedGroup>,
    pub more: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedGroup {
    pub event_type: Option<String>,
    pub count: u64,
    /// Why the newest matches no rule: the rule that comes closest, and its condition.
    pub why: String,
    pub newest: Vec<UnmatchedRow>,
}

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriedEvent {
    Text(String),
    Unmatched(u64),
    Delivery(String),
}
