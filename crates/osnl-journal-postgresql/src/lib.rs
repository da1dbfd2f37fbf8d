//! A journal that any number of osnl daemons share, in a PostgreSQL database.
//!
//! `osnl run` opens it for `[journal] connection = postgresql://…`.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use osnl_journal_postgresql::{ConnectionUrl, Options, PostgresJournal};
//!
//! let url = ConnectionUrl::parse("postgresql+psycopg2://osnl:secret@db1,db2/osnl?sslmode=verify-full")?;
//! assert_eq!(url.to_string(), "postgresql://osnl@db1,db2/osnl", "without the password");
//! // `migrate`: it may make the tables.
//! let options = Options { migrate: true, ..Options::new(url, "osnl-1") };
//! let journal = PostgresJournal::open(options, Arc::default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The database decides everything, without a protocol between daemons. No rule relies on row locks, advisory locks,
//! or sequences: the same tables and rules are meant for MariaDB with Galera, where locks are not replicated. The
//! model in `osnl-journal/tests/shared_model` has every rule below, and breaks without it.
//!
//! # Rules
//!
//! - **Arrivals.** Any member appends an arrival (a message) and its deliveries in the state `arrived`. An
//!   append never decides whether a delivery is claimable.
//! - **Partitions.** A delivery belongs to one of 64 partitions, by its lane, or by its number if it waits
//!   for none. All deliveries of an action with a digest belong to one partition, whose owner gathers them.
//!   Only the owner of a partition admits arrivals, makes deliveries claimable, ends them, and counts.
//! - **Leases.** Each partition has a row: epoch, token of the owner, beat. Every transaction of an owner
//!   *writes* the rows of the partitions that it changes, on condition of epoch and token; a transaction that
//!   misses a row is repeated without that partition. A member that sees a row unchanged for a whole lease,
//!   by its own clock, takes the partition with the next epoch.
//! - **Readers.** Each listener and queue has a row. An append writes the row on condition of the reader's
//!   epoch, so that a stopped reader cannot append behind its successor. The broker chooses the reader: the
//!   first append takes the next epoch. A reader that has lost its epoch appends nothing before
//!   [`begin_reading`](PostgresJournal::begin_reading); its messages stay with the broker. A message that an
//!   operator appends again has a reader of the member's own, which fences none.
//! - **Consumer groups.** The group chooses the reader of each partition of a topic. The partition has a row
//!   as a queue does, and its epoch begins each time that the group assigns the partition to a member.
//! - **Numbers.** An epoch draws numbers of arrivals in blocks, in a transaction that writes its row. The
//!   numbers of one queue therefore grow with its epochs and messages; between queues they have no order.
//! - **Copies.** A unique index over 160 bits of a digest of listener, queue, id, and bytes. A message
//!   without an id is a copy only of an open or unsettled message, and only if the broker reports a
//!   redelivery.
//! - **Unknown commits.** A member's transactions are numbered in its row, each on condition of the one
//!   before. A COMMIT without an answer is repeated under its number: if the number is taken, the transaction
//!   is committed.
//! - **Changes** by the operator are a row for each delivery; the owner of its partition makes the change and
//!   answers in the row, in one transaction.
//! - **Outcomes** of a claim whose partition has another epoch are dropped, and a claim is answered only
//!   while all leases of the member hold.
//!
//! # Tables
//!
//! | table | a row is |
//! | --- | --- |
//! | `osnl_version` | a version of the tables, and the oldest that a program must know |
//! | `osnl_partition` | the lease of a partition |
//! | `osnl_member` | a running daemon, and the number of its latest transaction |
//! | `osnl_reader` | a listener and its queue: epoch and token of the reader |
//! | `osnl_counter` | the next number of an arrival; in a moved journal it is renamed after the new place |
//! | `osnl_arrival` | a message as received; `identity` is its key, `nameless` finds copies of one without an id |
//! | `osnl_delivery` | a delivery: its states are those of the SQLite journal, and -1 for `arrived`; `begins` is the state that admission gives it |
//! | `osnl_attempt`, `osnl_enriched`, `osnl_object` | as in the SQLite journal |
//! | `osnl_unreadable` | a message in quarantine |
//! | `osnl_part` | a part of a large body that is on its way |
//! | `osnl_tally` | deliveries per partition, action, and state |
//! | `osnl_paused` | a paused action: every member reads it each second |
//! | `osnl_change` | an operator's change of a delivery, and the answer of the delivery's owner |
//! | `osnl_forgotten` | the latest delivery with an effect that retention has removed, per partition and action |
//!
//! # While the database is away
//!
//! The journal is failed: no message is taken from the brokers, and no attempt begins. The member's thread
//! connects again each second, also at the start, and checks tables and settings again, because another
//! server may answer. Only a database that answers and cannot be used ends the start.
//!
//! # Guarantees
//!
//! At least once. Recorded effects keep their order per action and resource: a daemon that has lost a
//! partition records nothing in it. An attempt is abandoned when the lease ends; a request in its socket may
//! take effect late, unless the target refuses its [`Fence`](osnl_journal::Fence): the partition's epoch,
//! which each owner raises, and the claim's number, which the owner counts in memory. A member that has used
//! half of the numbers takes its own partition again, with the next epoch.
//!
//! `synchronous_commit = on` is set for each session; a server with `fsync = off` is refused. If the URL
//! names several hosts, a server whose replicas are all asynchronous is refused too, because a fail-over
//! would lose commits. A fail-over behind one address cannot be detected.

mod asked;
mod bounds;
mod change;
mod clock;
mod command;
mod database;
mod delivery;
mod fence;
mod frames;
mod group;
mod job;
mod lane;
mod leases;
mod link;
mod load;
mod member;
mod options;
mod partition;
mod prepare;
mod prune;
mod queries;
mod reader;
mod report;
mod results;
pub mod schema;
mod session;
mod shared;
#[cfg(test)]
mod tests;
mod tls;
mod transaction;
mod url;
mod view;
mod writer;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use osnl_core::ends::{self, EndReports};
use osnl_core::event::EnrichedValues;
use osnl_core::metrics::Counters;
use osnl_core::received::ReceivedMessage;
use osnl_journal::store::clock::Clock;
use osnl_journal::store::gate::Gate;
use osnl_journal::{
    AttemptRetry, AttemptTerm, ClaimLimits, ClaimedDelivery, DeliveryId, End, Entry, Journal, JournalState,
    LearntFacts, Obstacle, PausedActions, Permit, Receipt, SentRequest, UsedLimits,
};
use osnl_transport::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

pub use self::clock::{BootClock, LeaseClock};
use self::command::{NewEntry, NewUnreadable, PostgresCommand};
pub use self::database::PostgresDatabase;
pub use self::options::Options;
use self::reader::QueueReader;
pub use self::session::OpenError;
use self::shared::SharedJournalState;
pub use self::url::{ConnectionUrl, DatabaseUrlError};
use self::view::JournalView;
use self::writer::PostgresWriter;

#[derive(Debug)]
pub struct PostgresJournal {
    shared: Arc<SharedJournalState>,
    commands: mpsc::UnboundedSender<PostgresCommand>,
    options: Options,
    own: QueueReader,
    view: JournalView,
    /// A connection of its own: a canary must not wait for an operator's query.
    canaries: JournalView,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl PostgresJournal {
    /// Connects, starts the writing thread, and blocks until the free partitions are taken, for seconds at
    /// most if the database is away.
    pub fn open(options: Options, counters: Arc<Counters>) -> Result<Self, OpenError> {
        let gate = Gate::new(options.bounds.max_pending, options.overflowing.clone());
        let shared = Arc::new(SharedJournalState::new(gate, counters, Clock::starting_at(options.started)));
        let (commands, receiver) = mpsc::unbounded_channel();
        let (opened, opens) = std::sync::mpsc::sync_channel(1);
        let (theirs, its_options) = (shared.clone(), options.clone());
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = opened.send(Err(OpenError::Refused(error.to_string())));
                    return;
                }
            };
            runtime.block_on(async move {
                match PostgresWriter::open(its_options, theirs, receiver).await {
                    Ok(writer) => {
                        let _ = opened.send(Ok(()));
                        writer.run().await;
                    }
                    Err(error) => _ = opened.send(Err(error)),
                }
            });
        };
        let theirs = shared.clone();
        let run = move || {
            if let Err(words) = ends::caught(body) {
                theirs.writer_is_gone(&words);
                theirs.ends.report("journal", words);
            }
        };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(run);
        let thread = thread.map_err(|error| OpenError::Refused(error.to_string()))?;
        let ended = || OpenError::Refused("the journal's thread has ended".to_owned());
        opens.recv().map_err(|_| ended())??;
        let (own, view, canaries) = (QueueReader::own(), JournalView::default(), JournalView::default());
        Ok(Self { shared, commands, options, own, view, canaries, writer: Mutex::new(Some(thread)) })
    }

    #[must_use]
    pub fn ends(&self) -> EndReports {
        self.shared.ends.clone()
    }

    /// Makes this member the queue's reader: its next append takes the next epoch. Call it after each new
    /// subscription of a queue that another member may have read meanwhile.
    pub fn begin_reading(&self, listener: &str, queue: &str) {
        self.send(PostgresCommand::BeginReading(QueueReader {
            listener: listener.into(),
            queue: queue.into(),
        }));
    }

    /// Reads arrivals of other members and the leases now, and completes when that is done.
    pub async fn check(&self) {
        let (sender, receiver) = oneshot::channel();
        self.send(PostgresCommand::Check(sender));
        let _ = receiver.await;
    }

    fn send(&self, command: PostgresCommand) {
        // A closed journal keeps no late command, and the receipt reports the loss.
        if self.commands.send(command).is_err() && !self.shared.closing.load(Ordering::Relaxed) {
            self.shared.writer_is_gone("nothing takes its commands");
        }
    }
}

/// The lease of claims: the member's earliest lease end, or nothing if another member owns one of the claims
/// already.
#[derive(Debug)]
struct MemberLease {
    shared: Arc<SharedJournalState>,
    clock: Arc<dyn LeaseClock>,
    deliveries: Vec<DeliveryId>,
}

impl AttemptTerm for MemberLease {
    fn left(&self) -> Duration {
        // After a suspended process resumes, the other leases may be renewed before its attempts go on.
        if self.shared.has_lost_claim(&self.deliveries) {
            return Duration::ZERO;
        }
        self.shared.lease_end().saturating_sub(self.clock.now())
    }
}

impl Journal for PostgresJournal {
    fn reserve<'a>(&'a self, actions: &'a [Arc<str>], at_most: usize) -> BoxFuture<'a, Permit> {
        Box::pin(self.shared.gate.reserve(actions, at_most))
    }

    fn obstacle(&self, actions: &[Arc<str>]) -> Option<Obstacle> {
        let failing = self.shared.state.borrow().obstacle();
        failing.or_else(|| self.shared.gate.obstacle(actions))
    }

    fn append(&self, permit: &mut Permit, mut entry: Entry) -> Receipt {
        let (sender, receipt) = Receipt::open();
        self.shared.gate.refuse_overflowing(&mut entry.deliveries);
        let open = entry.deliveries.iter().filter(|new| new.begin.is_open());
        self.shared.appended(open.map(|new| &new.action));
        drop(permit.take_one());
        self.send(PostgresCommand::Append(Box::new(NewEntry::new(entry, &self.own)), sender));
        receipt
    }

    fn set_aside(&self, received: ReceivedMessage, reason: String) -> Receipt {
        let (sender, receipt) = Receipt::open();
        let reader = QueueReader::of(&received);
        let new = NewUnreadable { received, reason, reader, id: 0, sent: None };
        self.send(PostgresCommand::SetAside(Box::new(new), sender));
        receipt
    }

    fn claim<'a>(&'a self, action: &'a str, wanted: ClaimLimits) -> BoxFuture<'a, Vec<ClaimedDelivery>> {
        let shared = &self.shared;
        let now = || {
            let works = shared.state.borrow().takes_outcomes();
            (works && shared.leases_hold(self.options.clock.now())).then(|| shared.clock.now())
        };
        let fetch = move |ask, now| self.send(PostgresCommand::Fetch(action.into(), ask, now));
        Box::pin(shared.claimable.claim_when_any(action, wanted, now, fetch))
    }

    fn attempted(&self, delivery: DeliveryId, used: UsedLimits, answer: &str) {
        self.send(PostgresCommand::Attempted(delivery, used, answer.to_owned()));
    }

    fn sent(&self, delivery: DeliveryId, made: u32, sent: SentRequest) {
        self.send(PostgresCommand::Sent(delivery, made, sent));
    }

    fn next_due(&self, action: &str) -> Option<Instant> {
        if !self.shared.state.borrow().takes_outcomes() {
            return None;
        }
        self.shared.clock.instant(self.shared.claimable.next_due(action)?)
    }

    fn retry_at(&self, delivery: DeliveryId, retry: AttemptRetry) {
        let AttemptRetry { due, used, answer } = retry;
        let due = self.shared.clock.due(due);
        self.shared.claimable.retries(delivery, due.at);
        self.send(PostgresCommand::Retry(delivery, due, used, answer));
    }

    fn due_now(&self, action: &str) {
        self.send(PostgresCommand::DueNow(action.into(), self.shared.clock.now()));
    }

    fn end(&self, delivery: DeliveryId, end: End) {
        self.send(PostgresCommand::End(delivery, end));
    }

    fn enriched(
        &self,
        delivery: DeliveryId,
        enriched: &EnrichedValues,
        learnt: LearntFacts,
    ) -> BoxFuture<'static, ()> {
        let (sender, receiver) = oneshot::channel();
        let found = serde_json::to_string(enriched).unwrap_or_default();
        self.send(PostgresCommand::Enriched(delivery, found, learnt, sender));
        Box::pin(async move {
            let _ = receiver.await;
        })
    }

    fn known<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Option<String>> {
        let (sender, receiver) = oneshot::channel();
        self.send(PostgresCommand::Known(object.to_owned(), sender));
        Box::pin(async move { receiver.await.ok().flatten() })
    }

    fn overdue(&self, _action: &str) -> Vec<DeliveryId> {
        Vec::new()
    }

    fn withdrawn(&self, action: &str) -> Vec<DeliveryId> {
        self.shared.claimable.withdrawn(action)
    }

    fn retired(&self, action: &str) {
        self.shared.claimable.retire(action);
    }

    fn state(&self) -> watch::Receiver<JournalState> {
        self.shared.state.subscribe()
    }

    fn paused(&self) -> watch::Receiver<PausedActions> {
        self.shared.paused.subscribe()
    }

    fn term(&self, deliveries: &[DeliveryId]) -> Option<Arc<dyn AttemptTerm>> {
        let (shared, clock) = (self.shared.clone(), self.options.clock.clone());
        Some(Arc::new(MemberLease { shared, clock, deliveries: deliveries.to_vec() }))
    }

    fn daemons(&self) -> watch::Receiver<usize> {
        self.shared.daemons.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let (sender, receiver) = oneshot::channel();
        self.shared.closing.store(true, Ordering::Relaxed);
        self.send(PostgresCommand::Close(Some(sender)));
        Box::pin(async move {
            // A thread that has ended drops the sender, and then the journal is closed already.
            let _ = receiver.await;
        })
    }
}

impl Drop for PostgresJournal {
    /// Waits until queued commands are committed and the partitions are given back.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.send(PostgresCommand::Close(None));
        if let Some(writer) = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
    }
}
