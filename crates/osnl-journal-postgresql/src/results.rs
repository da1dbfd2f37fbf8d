use std::collections::{BTreeSet, HashMap, HashSet};

use osnl_journal::DeliveryId;

use crate::change::{ChangePassResult, ChangedDelivery};
use crate::delivery::{ArrivedDelivery, Promotion};
use crate::partition::PartitionNumber;

#[derive(Clone, Debug)]
pub(crate) enum JobResult {
    Group(Box<GroupResult>),
    Renewed(BTreeSet<PartitionNumber>),
    Taken(Vec<(PartitionNumber, i64)>),
    Released,
    Pruned,
    Changed(Box<ChangePassResult>),
    Read { epoch: i64, first: i64, numbers: i64 },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct GroupResult {
    pub(crate) appended: HashMap<usize, AppendResult>,
    /// Recorded ends, each with whether a delivery of another action was made.
    pub(crate) ended: HashMap<DeliveryId, bool>,
    pub(crate) retried: HashSet<DeliveryId>,
    pub(crate) changed: HashMap<DeliveryId, ChangedDelivery>,
    pub(crate) due_more: bool,
    pub(crate) promoted: Vec<Promotion>,
    pub(crate) adopted: Vec<i64>,
    /// Deliveries to be admitted; unknown after a COMMIT without an answer.
    pub(crate) arrived: Option<Vec<ArrivedDelivery>>,
    pub(crate) written: BTreeSet<PartitionNumber>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendResult {
    New,
    Copy,
    /// Another member reads the queue, so the message belongs to that member.
    Refused,
}
