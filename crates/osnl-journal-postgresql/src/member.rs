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

pub(crate) const BLOCK: i64 = 1 << 16;

pub(crate) struct Member {
    pub(crate) token: LeaseToken,
    pub(crate) digests: Arc<BTreeSet<Arc<str>>>,
    /// The number of the latest transaction that is known to be committed.
    pub(crate) number: i64,
    pub(crate) leases: Leases,
    pub(crate) reading: HashMap<QueueReader, ReaderEpoch>,
    /// Queues that another member has taken over: appends wait until the broker delivers a queue here again.
    pub(crate) fenced: HashSet<QueueReader>,
    pub(crate) places: HashMap<DeliveryId, DeliveryInMemory>,
    pub(crate) messages: MessageCache<i64>,
    /// Messages whose bodies are too large for one statement and must be read in parts.
    pub(crate) wanted: BTreeSet<i64>,
    pub(crate) wanted_by: HashSet<Arc<str>>,
    pub(crate) large: HashMap<i64, Result<Message, String>>,
    /// Arrived deliveries of the member's partitions at the latest check, as many as one transaction admits.
    pub(crate) arrived: Vec<ArrivedDelivery>,
    /// Arrivals of messages without an id that were never settled, so the broker delivers them again.
    pub(crate) unsettled: BTreeSet<i64>,
    pub(crate) deferred: HashMap<DeliveryId, ChangeRow>,
    pub(crate) fault: CommitFault,
}

#[derive(Clone, Debug)]
pub(crate) struct ReaderEpoch {
    pub(crate) epoch: i64,
    /// Unused numbers of arrivals, above those of earlier epochs, as the drawing transaction writes the epoch.
    pub(crate) numbers: Range<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct DeliveryInMemory {
    pub(crate) partition: PartitionNumber,
    /// The epoch in which the delivery was read: its end is recorded in this epoch only.
    pub(crate) epoch: i64,
    pub(crate) action: Arc<str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CommitFault {
    #[default]
    None,
    /// The transaction is committed, and the connection breaks before the answer.
    AnswerLost,
    /// The connection breaks before the server receives COMMIT.
    CommitLost,
}

impl Member {
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

    /// Gives the member's own partition another epoch: deliveries in memory stay valid.
    pub(crate) fn raise(&mut self, partition: PartitionNumber, from: i64, to: i64) {
        let own = |place: &&mut DeliveryInMemory| place.partition == partition && place.epoch == from;
        self.places.values_mut().filter(own).for_each(|place| place.epoch = to);
    }

    pub(crate) fn place(&self, id: DeliveryId) -> Option<&DeliveryInMemory> {
        self.places.get(&id).filter(|place| self.leases.holds(place.partition, place.epoch))
    }
}
