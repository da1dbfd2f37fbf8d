use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::Tally;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedMember {
    pub name: String,
    pub version: String,
    pub partitions: u64,
    pub is_own: bool,
    /// The time without a sign of life, after which the daemon may be dead.
    pub silent: Option<Duration>,
    pub sections: Option<BTreeMap<String, String>>,
    pub held: Vec<HeldTarget>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTarget {
    pub action: String,
    pub since: SystemTime,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    pub subject: String,
    pub record: String,
    pub reason: String,
    pub since: SystemTime,
    /// Whether the record is not retried any more: its data is lost, and nothing waits for it.
    pub is_given_up: bool,
}

/// The part of a shared journal that one daemon reports to monitoring; the parts of all daemons add up.
#[derive(Clone, Debug, Default)]
pub struct OwnShare {
    pub tally: Vec<Tally>,
    /// Whether this daemon reports the numbers of the whole journal: the owner of the first partition does.
    pub reports_sums: bool,
}
