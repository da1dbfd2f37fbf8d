//! The results of transactions, to be reported after their commit.

use std::collections::{BTreeSet, HashMap, HashSet};

use osnl_journal::DeliveryId;

use crate::change::{ChangePassResult, ChangedDelivery};
use crate::delivery::{ArrivedDelivery, Promotion};
use crate::partition::PartitionNumber;

/// The result of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum JobResult {
    Group(Box<GroupResult>),
    Renewed(BTreeSet<PartitionNumber>),
    /// Partitions and their new epochs.
    Taken(Vec<(PartitionNumber, i64)>),
    Released,
    Pruned,
    Changed(Box<ChangePassResult>),
    /// The epoch, and the first of the numbers.
    Read {
        epoch: i64,
        first: i64,
        numbers: i64,
    },
}

/// The results of a group, to be reported after its commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupResult {
    /// By the place of the command in the group.
    pub(crate) appended: HashMap<usize, AppendResult>,
    /// Ends that are recorded; whether a delivery of another action was made.
    pub(crate) ended: HashMap<DeliveryId, bool>,
    pub(crate) retried: HashSet<DeliveryId>,
    /// Claims that have ended with the operator's change.
    pub(crate) changed: HashMap<DeliveryId, ChangedDelivery>,
    /// Retries of an action are due; whether there are more of them.
    pub(crate) due_more: bool,
    pub(crate) promoted: Vec<Promotion>,
    /// Arrivals without an id whose message came again.
    pub(crate) adopted: Vec<i64>,
    /// Deliveries that are to be admitted; not known of a COMMIT without an answer.
    pub(crate) arrived: Option<Vec<ArrivedDelivery>>,
    pub(crate) written: BTreeSet<PartitionNumber>,
}

/// The result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendResult {
    New,
    /// The same message is there.
    Copy,
    /// Another member reads the queue: the message is that one's.
    Refused,
}
