//! A journal in a database that several daemons share: the seam between `osnl run` and the crate that knows a database.
//!
//! | part | is |
//! | --- | --- |
//! | [`SharedDatabase`] | a kind of database: reads its URLs, opens journals, migrates tables, reports. A program passes in those that it is built with. |
//! | [`SharedOptions`] | `[journal]`, checked |
//! | [`SharedJournal`] | an open journal: a [`Journal`], and the answers that the daemon's commands need |
//!
//! An answer is the whole truth of the database at that moment, or an error that says why there is none. A daemon opens the
//! journal also while the database is away: it is [failed](crate::JournalState::Failed) then, takes nothing from the brokers,
//! and recovers by itself.

mod changing;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_core::ends::EndReports;
use osnl_core::event::AskedFor;
use osnl_core::metrics::Counters;
use osnl_core::received::ReceivedMessage;
use osnl_model::{Notification, Secret, SentLogin};
use osnl_transport::BoxFuture;

pub use self::changing::SharedChangeRun;
use crate::sqlite::upkeep::{Observer, VerifyReport};
use crate::sqlite::{
    Bodies, BoundedCount, Change, ChangeOutcome, DeliveryDetails, DeliveryListRow, FailingKey, Filter,
    KeptEvent, ListPage, Overview, Tally, Unreadable, UnreadableFilter,
};
use crate::{DeliveryId, Journal};

/// A connection that can be used.
#[derive(Clone, Debug)]
pub struct CheckedConnection {
    /// The connection for display, without its password.
    pub shown: String,
    /// The login at each of its hosts.
    pub logins: Vec<SentLogin>,
}

/// A kind of database that can hold a shared journal.
pub trait SharedDatabase: Send + Sync + fmt::Debug {
    /// Checks a connection.
    ///
    /// # Errors
    /// The problem, without the password.
    fn check(&self, connection: &Secret) -> Result<CheckedConnection, String>;

    /// Opens a journal. Blocks for seconds at most. A database that cannot be reached is no error: the journal is failed
    /// until it can.
    ///
    /// # Errors
    /// The database answers, and cannot be used as it is: the problem and the remedy.
    fn open(
        &self,
        options: &SharedOptions,
        counters: Arc<Counters>,
    ) -> Result<Arc<dyn SharedJournal>, UnusableDatabase>;

    /// Looks at the server, the tables, and the network between, and changes nothing. The largest body of a message has so many
    /// bytes.
    fn look(&self, options: &SharedOptions, largest_body: u64) -> BoxFuture<'static, Vec<DatabaseFact>>;

    /// Brings the tables to this program's version; a dry run only returns the SQL.
    ///
    /// # Errors
    /// The problem and the remedy.
    fn migrate(
        &self,
        options: &SharedOptions,
        is_dry_run: bool,
    ) -> BoxFuture<'static, Result<Migration, String>>;

    /// Returns the kept messages that have a delivery of this kind, oldest first: the first `limit`, or the last. It needs no
    /// daemon.
    ///
    /// # Errors
    /// The database's.
    fn events(
        &self,
        options: &SharedOptions,
        filter: Filter,
        limit: u32,
        last: bool,
    ) -> BoxFuture<'static, Result<Vec<KeptEvent>, String>>;

    /// Returns the enrichments that are kept with the deliveries of each message, secrets and all.
    ///
    /// # Errors
    /// The database's.
    fn asked_for(
        &self,
        options: &SharedOptions,
        events: Vec<Vec<DeliveryListRow>>,
    ) -> BoxFuture<'static, Result<Vec<Vec<AskedFor>>, String>>;

    /// Reads all of the tables at one moment, also while daemons work; `None` if the observer has ended it.
    ///
    /// # Errors
    /// The database's, or tables of another version.
    fn verify(
        &self,
        options: &SharedOptions,
        observer: Observer,
    ) -> BoxFuture<'static, Result<Option<VerifyReport>, String>>;

    /// Returns the names of the daemons that share the journal, sorted.
    ///
    /// # Errors
    /// The database's.
    fn member_names(&self, options: &SharedOptions) -> BoxFuture<'static, Result<Vec<String>, String>>;

    /// Returns the known ones of these message ids, each with its deliveries.
    ///
    /// # Errors
    /// The database's.
    fn deliveries_of(
        &self,
        options: &SharedOptions,
        message_ids: HashSet<String>,
    ) -> BoxFuture<'static, Result<HashMap<String, Vec<DeliveryListRow>>, String>>;
}

/// The problem of a database that answers and cannot be used, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnusableDatabase(pub String);

/// The options of a shared journal.
#[derive(Clone, Debug)]
pub struct SharedOptions {
    /// The kind of database.
    pub database: &'static dyn SharedDatabase,
    /// The connection, with its password.
    pub connection: Secret,
    /// The file that has the connection, whose password may change while the daemon runs.
    pub connection_file: Option<PathBuf>,
    /// The same for display.
    pub shown: String,
    /// The time after which another daemon takes over the work of a silent one; the same for all daemons.
    pub lease: Duration,
    /// The time for which ended deliveries are kept.
    pub retention: Duration,
    /// Pending deliveries of one action.
    pub max_pending: u64,
    /// Dead letters that are kept, and messages in quarantine.
    pub max_dead: u64,
    /// The file beside which those are written that leave; without it they stay.
    pub archive: Option<PathBuf>,
    /// Whether a server will do that may lose what it has committed.
    pub allow_volatile: bool,
    /// Actions whose deliveries beyond `max_pending` are dead letters at once.
    pub overflowing: BTreeSet<Arc<str>>,
    /// Actions with a digest: one daemon gathers all of their deliveries.
    pub digests: BTreeSet<Arc<str>>,
}

impl PartialEq for SharedOptions {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            database: _,
            connection,
            connection_file,
            shown,
            lease,
            retention,
            max_pending,
            max_dead,
            archive,
            allow_volatile,
            overflowing,
            digests,
        } = self;
        (connection, connection_file, shown, lease, retention)
            == (&other.connection, &other.connection_file, &other.shown, &other.lease, &other.retention)
            && (max_pending, max_dead, archive) == (&other.max_pending, &other.max_dead, &other.archive)
            && (allow_volatile, overflowing, digests)
                == (&other.allow_volatile, &other.overflowing, &other.digests)
    }
}

impl Eq for SharedOptions {}

/// The weight of a fact about a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    /// As it should be.
    Fine,
    /// It works, and the operator should know of it.
    Warning,
    /// A journal cannot be kept there.
    Failed,
}

/// A fact about a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFact {
    /// The part that was looked at: `server`, `tables`, `network`.
    pub part: &'static str,
    /// Its weight.
    pub kind: FactKind,
    /// The fact.
    pub found: String,
    /// The remedy.
    pub advice: Option<String>,
}

/// The way from the tables that are there to this program's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The version of the tables that were there; 0 without any.
    pub from: i32,
    /// The version that this program needs.
    pub to: i32,
    /// The SQL between the two; empty if there is nothing to do.
    pub sql: String,
}

/// A daemon that shares the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedMember {
    /// Its name: machine and process.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Its part of the partitions.
    pub partitions: u64,
    /// Whether it is the daemon that answers.
    pub is_own: bool,
    /// The time for which it has been silent; it may be dead.
    pub silent: Option<Duration>,
    /// The digests of the sections of its configuration, by their headings; `None` where it has not told them.
    pub sections: Option<BTreeMap<String, String>>,
    /// The targets that it holds.
    pub held: Vec<HeldTarget>,
}

/// A target that a daemon holds: it attempts nothing there but probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTarget {
    /// The action.
    pub action: String,
    /// When the hold began, by that daemon's clock, to the millisecond.
    pub since: SystemTime,
    /// The answer that the latest attempt had.
    pub reason: String,
}

/// Returns the targets that a daemon holds at the moment.
pub type HeldTargets = Box<dyn Fn() -> Vec<HeldTarget> + Send + Sync>;

/// A record that the database refuses while it takes others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// The part that it is about: `action hook`, `listener nova`, `journal`.
    pub subject: String,
    /// The record: `the end of delivery 4711`.
    pub record: String,
    /// The database's words.
    pub reason: String,
    /// When it was refused first.
    pub since: SystemTime,
    /// Whether it is tried no more: what it would have kept is not kept, and nothing waits for it.
    pub is_given_up: bool,
}

/// The contents of a shared journal and its members, in numbers.
#[derive(Clone, Debug, Default)]
pub struct SharedOverview {
    /// Messages, quarantine, paused actions.
    pub contents: Option<Overview>,
    /// Deliveries of each action and state; those that have arrived and are in no lane yet are waiting.
    pub tally: Vec<Tally>,
    /// When the oldest pending delivery of each action was received.
    pub oldest: BTreeMap<String, SystemTime>,
    /// Open deliveries that have failed several times, of each action; a bounded number.
    pub failing: BTreeMap<String, Vec<FailingKey>>,
    /// The reason of the latest dead letter of each action.
    pub dead_reasons: BTreeMap<String, String>,
    /// The daemons.
    pub members: Vec<SharedMember>,
    /// Partitions that no daemon owns: their deliveries wait.
    pub unowned: u64,
    /// The records of this daemon that the database refuses while it takes others.
    pub refused: Vec<RefusedRecord>,
    /// The share of this daemon.
    pub own: OwnShare,
}

/// The part of a shared journal that one daemon reports to monitoring: those of all daemons add up.
#[derive(Clone, Debug, Default)]
pub struct OwnShare {
    /// Deliveries in the partitions that it owns, of each action and state.
    pub tally: Vec<Tally>,
    /// Whether it is the one of the daemons that reports the numbers of the whole journal: the owner of the first partition.
    pub reports_sums: bool,
}

/// An open journal that other daemons share. See the [module](self).
pub trait SharedJournal: Journal + fmt::Debug {
    /// Returns the place where its thread reports an unexpected end.
    fn ends(&self) -> EndReports;

    /// Returns the number of deliveries of one action that may be pending.
    fn max_pending(&self) -> u64;

    /// Returns the number of dead letters that are kept.
    fn max_dead(&self) -> u64;

    /// Sets the actions whose deliveries beyond the bound are dead letters at once.
    fn set_overflowing(&self, actions: BTreeSet<Arc<str>>);

    /// Sets the actions with a digest; what is moved to one from now on is gathered with its other deliveries.
    fn set_digests(&self, actions: BTreeSet<Arc<str>>);

    /// Tells the other daemons how this one is configured: the digests of its sections.
    fn set_sections(&self, sections: &BTreeMap<String, String>);

    /// Tells the other daemons which targets this one holds, within a second of each change.
    fn tell_held(&self, held: HeldTargets);

    /// Takes note of a new subscription: the next message of this queue comes from the broker's choice of this daemon. The same of
    /// a [partition](osnl_core::received::MessageNotes::partition) that a consumer group has assigned.
    fn begin_reading(&self, listener: &str, queue: &str);

    /// Counts what is kept.
    fn overview(&self) -> BoxFuture<'_, Result<SharedOverview, String>>;

    /// Returns the deliveries of a page, and the counts of all that match, at most so many.
    fn list(
        &self,
        filter: Filter,
        page: ListPage,
        most: u64,
    ) -> BoxFuture<'_, Result<(Vec<DeliveryListRow>, BoundedCount), String>>;

    /// Returns all that is known of a delivery.
    fn show(&self, id: DeliveryId) -> BoxFuture<'_, Result<Option<DeliveryDetails>, String>>;

    /// Returns the deliveries that a change is about, in the order of their numbers.
    fn select(&self, change: &Change) -> BoxFuture<'_, Result<Vec<DeliveryId>, String>>;

    /// Has deliveries changed by the daemons that own them; a dry run changes nothing. A daemon that does not answer has
    /// changed nothing, and the answer says so. [`SharedChangeRun`] asks for many.
    fn change(
        &self,
        change: &Change,
        ids: Vec<DeliveryId>,
        is_dry_run: bool,
    ) -> BoxFuture<'_, Result<ChangeOutcome, String>>;

    /// Returns the messages kept unread that a filter matches and that have a larger number, oldest first.
    fn quarantined(
        &self,
        filter: UnreadableFilter,
        after: i64,
        limit: u32,
        bodies: Bodies,
    ) -> BoxFuture<'_, Result<Vec<Unreadable>, String>>;

    /// Returns the numbers of all messages kept unread that a filter matches, oldest first.
    fn numbers_quarantined(&self, filter: UnreadableFilter) -> BoxFuture<'_, Result<Vec<i64>, String>>;

    /// Lets messages go that were kept unread; returns the numbers of those that were there.
    fn forget_quarantined(&self, ids: Vec<i64>) -> BoxFuture<'_, Result<Vec<i64>, String>>;

    /// Returns a message with its deliveries; `None` if it has left.
    fn event(&self, number: u64) -> BoxFuture<'_, Result<Option<KeptEvent>, String>>;

    /// Counts the messages with an id that are kept already: appended once more they would be no second events.
    fn keeps(
        &self,
        messages: Vec<(Arc<ReceivedMessage>, Arc<Notification>)>,
    ) -> BoxFuture<'_, Result<u64, String>>;

    /// Returns those of these canaries that have come back: their deliveries are recorded, whichever daemon made them.
    fn returned_canaries(&self, message_ids: Vec<String>) -> BoxFuture<'_, Result<Vec<String>, String>>;

    /// Pauses an action on all daemons, by this operator, or resumes it.
    fn set_paused(&self, action: &str, by: Option<&str>) -> BoxFuture<'_, Result<(), String>>;
}
