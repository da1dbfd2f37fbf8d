//! The state of a member: its number of transactions, its leases, the queues that it reads, and the deliveries in its memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use osnl_journal::DeliveryId;
use osnl_journal::store::messages::{Message, MessageCache};

use crate::asked::ChangeRow;
use crate::delivery::ArrivedDelivery;
use crate::leases::{LeaseToken, Leases};
use crate::partition::PartitionNumber;
use crate::reader::QueueReader;

/// The arrivals that a reader numbers without asking for more numbers.
pub(crate) const BLOCK: i64 = 1 << 16;

pub(crate) struct Member {
    pub(crate) token: LeaseToken,
    /// Actions with a digest, of which one owner gathers all deliveries.
    pub(crate) digests: Arc<BTreeSet<Arc<str>>>,
    /// The number of the latest transaction that is known to be committed.
    pub(crate) number: i64,
    pub(crate) leases: Leases,
    pub(crate) reading: HashMap<QueueReader, ReaderEpoch>,
    /// Queues that another member has taken over: nothing of theirs is appended before the broker hands them here again.
    pub(crate) fenced: HashSet<QueueReader>,
    /// The deliveries in memory: claimable and claimed ones.
    pub(crate) places: HashMap<DeliveryId, DeliveryInMemory>,
    /// By the numbers of their arrivals.
    pub(crate) messages: MessageCache<i64>,
    /// Messages whose bodies are too large for one statement: they are to be read in parts.
    pub(crate) wanted: BTreeSet<i64>,
    /// The actions whose fetches want them.
    pub(crate) wanted_by: HashSet<Arc<str>>,
    /// Those that were read so, until the fetches that wanted them have them.
    pub(crate) large: HashMap<i64, Result<Message, String>>,
    /// Deliveries that had arrived in its partitions at the latest look, as many as one transaction admits.
    pub(crate) arrived: Vec<ArrivedDelivery>,
    /// Arrivals of messages without an id that were never settled: the broker delivers them again.
    pub(crate) unsettled: BTreeSet<i64>,
    /// Changes that the operator has asked for, of claimed deliveries: each is made when the claim has ended.
    pub(crate) deferred: HashMap<DeliveryId, ChangeRow>,
    /// For tests: what happens to the next COMMIT.
    pub(crate) fault: CommitFault,
}

/// A queue that this member reads.
#[derive(Clone, Debug)]
pub(crate) struct ReaderEpoch {
    pub(crate) epoch: i64,
    /// Numbers of arrivals that are left. They are above those of all earlier epochs, as they are drawn in a transaction
    /// that writes the epoch.
    pub(crate) numbers: Range<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct DeliveryInMemory {
    pub(crate) partition: PartitionNumber,
    /// The epoch in which it was read: its end is recorded in this one only.
    pub(crate) epoch: i64,
    pub(crate) action: Arc<str>,
}

/// A fault of the next COMMIT, which tests set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CommitFault {
    #[default]
    None,
    /// It is committed, and the connection breaks before the answer.
    AnswerLost,
    /// The connection breaks before the server has it.
    CommitLost,
}

impl Member {
    /// A member that has just been started, or that starts anew since its row is gone.
    pub(crate) fn new(digests: Arc<BTreeSet<Arc<str>>>) -> Self {
        let token = std::iter::repeat_with(|| fastrand::u8(..)).take(16).collect();
        Self {
            token,
            digests,
            number: 0,
            leases: Leases::default(),
            reading: HashMap::new(),
            fenced: HashSet::new(),
            places: HashMap::new(),
            messages: MessageCache::default(),
            wanted: BTreeSet::new(),
            wanted_by: HashSet::new(),
            large: HashMap::new(),
            arrived: Vec::new(),
            unsettled: BTreeSet::new(),
            deferred: HashMap::new(),
            fault: CommitFault::None,
        }
    }

    /// The member has given its own partition another epoch: what it has in memory of it stays its own.
    pub(crate) fn raise(&mut self, partition: PartitionNumber, from: i64, to: i64) {
        let own = |place: &&mut DeliveryInMemory| place.partition == partition && place.epoch == from;
        self.places.values_mut().filter(own).for_each(|place| place.epoch = to);
    }

    /// Returns the place of a delivery whose end this member may record.
    pub(crate) fn place(&self, id: DeliveryId) -> Option<&DeliveryInMemory> {
        self.places.get(&id).filter(|place| self.leases.holds(place.partition, place.epoch))
    }
}
