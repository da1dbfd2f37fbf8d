use std::time::SystemTime;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesReport {
    pub since: SystemTime,
    pub rules: Vec<RuleReport>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleReport {
    pub name: String,
    /// The rule's settings; `None` for a rule without a section, such as the canary's.
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
    /// Whether the rule ends the evaluation once it has fired.
    pub stops: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedPage {
    /// The most messages that are kept; 0 keeps none.
    pub keep: u32,
    pub with_bodies: bool,
    pub messages: Vec<UnmatchedRow>,
    /// The start of the next page, as `before`; `None` on the last page.
    pub next: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedRow {
    pub number: u64,
    pub age_seconds: u64,
    pub listener: String,
    pub queue: String,
    pub event_type: Option<String>,
    pub publisher_id: Option<String>,
    pub priority: Option<String>,
    /// The resource by its name and its id; known while the body is kept.
    pub resource: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriedEvent {
    Text(String),
    Unmatched(u64),
    Delivery(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialReport {
    pub about: String,
    pub rules: Vec<RuleTrial>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrial {
    pub fires: bool,
    pub verdict: String,
    pub effects: Vec<String>,
}
