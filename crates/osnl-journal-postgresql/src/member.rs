//! The state of a member: its number of transactions, its leases, the queues that it reads, and the deliveries in its memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use osnl_journal::DeliveryId;
use osnl_journal::shared::GuardRates;
use osnl_journal::store::messages::MessageCache;

use crate::asked::ChangeRow;
use crate::clock::LeaseClock;
use crate::delivery::ArrivedDelivery;
use crate::leases::{LeaseToken, Leases};
use crate::partition::PartitionNumber;
use crate::reader::QueueReader;
use crate::times::WindowTimes;

/// The arrivals that a reader numbers without asking for more numbers.
pub(crate) const BLOCK: i64 = 1 << 16;
/// The same of a reader whose numbers have to be larger than those of other readers, again and again.
pub(crate) const SMALL_BLOCK: i64 = 1 << 6;

/// See the [module](self).
pub(crate) struct Member {
    pub(crate) token: LeaseToken,
    pub(crate) limits: MemberLimits,
    /// The number of the latest transaction that is known to be committed.
    pub(crate) number: i64,
    pub(crate) leases: Leases,
    pub(crate) reading: HashMap<QueueReader, ReaderEpoch>,
    /// Queues that another member has taken over: nothing of theirs is appended before the broker hands them here again.
    pub(crate) fenced: HashSet<QueueReader>,
    /// The streams whose leases it has; each is in `reading` too.
    pub(crate) leased: BTreeSet<QueueReader>,
    /// Queues whose messages had too small numbers beside those of other queues: they are given few at a time.
    pub(crate) abreast: HashSet<QueueReader>,
    /// The largest number of a message with a meaning that this member has kept.
    pub(crate) recalled: i64,
    /// The deliveries in memory: claimable and claimed ones.
    pub(crate) places: HashMap<DeliveryId, DeliveryInMemory>,
    /// By the numbers of their arrivals.
    pub(crate) messages: MessageCache<i64>,
    /// Deliveries that had arrived in its partitions at the latest look, as many as one transaction admits.
    pub(crate) arrived: Vec<ArrivedDelivery>,
    /// Arrivals of messages without an id that were never settled: the broker delivers them again.
    pub(crate) unsettled: BTreeSet<i64>,
    /// Changes that the operator has asked for, of claimed deliveries: each is made when the claim has ended.
    pub(crate) deferred: HashMap<DeliveryId, ChangeRow>,
    /// For tests: what happens to the next COMMIT.
    pub(crate) fault: CommitFault,
}

/// The limits and the digests that this member keeps with others.
#[derive(Clone, Debug)]
pub(crate) struct MemberLimits {
    pub(crate) guards: Arc<GuardRates>,
    /// Actions with a digest, of which one owner gathers all deliveries.
    pub(crate) digests: Arc<BTreeSet<Arc<str>>>,
    pub(crate) times: Arc<WindowTimes>,
}

impl MemberLimits {
    pub(crate) fn new(guards: GuardRates, digests: BTreeSet<Arc<str>>, clock: Arc<dyn LeaseClock>) -> Self {
        Self {
            guards: Arc::new(guards),
            digests: Arc::new(digests),
            times: Arc::new(WindowTimes::new(clock)),
        }
    }
}

/// A queue that this member reads.
#[derive(Clone, Debug)]
pub(crate) struct ReaderEpoch {
    pub(crate) epoch: i64,
    /// Numbers of arrivals that are left. They are above those of all earlier epochs, as they are drawn in a transaction
    /// that writes the epoch.
    pub(crate) numbers: Range<i64>,
}

/// A delivery in memory.
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
    pub(crate) fn new(limits: MemberLimits) -> Self {
        let token = std::iter::repeat_with(|| fastrand::u8(..)).take(16).collect();
        Self {
            token,
            limits,
            number: 0,
            leases: Leases::default(),
            reading: HashMap::new(),
            fenced: HashSet::new(),
            leased: BTreeSet::new(),
            abreast: HashSet::new(),
            recalled: 0,
            places: HashMap::new(),
            messages: MessageCache::default(),
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
