//! A journal in a database that several daemons share: the interface between `osnl run` and a database's
//! crate.
//!
//! | part | is |
//! | --- | --- |
//! | [`SharedDatabase`] | a kind of database: checks URLs, opens journals, migrates tables, reports; a program passes in the kinds that it is built with |
//! | [`SharedOptions`] | `[journal]`, checked |
//! | [`SharedJournal`] | an open journal: a [`Journal`] with [`JournalQueries`], and what daemons tell each other |
//!
//! A daemon opens the journal also while
//! the database is unreachable. The journal is [failed](crate::JournalState::Failed) then, accepts no
//! messages from the brokers, and recovers by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use osnl_core::ends::EndReports;
use osnl_core::event::AskedFor;
use osnl_core::metrics::Counters;
use osnl_model::{Secret, SentLogin};
use osnl_transport::BoxFuture;

pub use crate::query::members::{HeldTarget, OwnShare, RefusedRecord, SharedMember};
use crate::query::{DeliveryListRow, Filter, JournalQueries, KeptEvent};
use crate::sqlite::upkeep::{Observer, VerifyReport};
use crate::{Journal, JournalBounds};

#[derive(Clone, Debug)]
pub struct CheckedConnection {
    pub shown: String,
    pub logins: Vec<SentLogin>,
}

pub trait SharedDatabase: Send + Sync + fmt::Debug {
    fn check(&self, connection: &Secret) -> Result<CheckedConnection, String>;

    /// Opens a journal and blocks for seconds at most. An unreachable database is no error: the journal is
    /// failed until the database answers.
    ///
    /// # Errors
    /// The database answers but cannot be used: the problem and the remedy.
    fn open(
        &self,
        options: &SharedOptions,
        counters: Arc<Counters>,
    ) -> Result<Arc<dyn SharedJournal>, UnusableDatabase>;

    fn inspect(&self, options: &SharedOptions, largest_body: u64) -> BoxFuture<'static, Vec<DatabaseFact>>;

    fn migrate(
        &self,
        options: &SharedOptions,
        is_dry_run: bool,
    ) -> BoxFuture<'static, Result<Migration, String>>;

    fn events(
        &self,
        options: &SharedOptions,
        filter: Filter,
        limit: u32,
        last: bool,
    ) -> BoxFuture<'static, Result<Vec<KeptEvent>, String>>;

    fn asked_for(
        &self,
        options: &SharedOptions,
        events: Vec<Vec<DeliveryListRow>>,
    ) -> BoxFuture<'static, Result<Vec<Vec<AskedFor>>, String>>;

    fn verify(
        &self,
        options: &SharedOptions,
        observer: Observer,
    ) -> BoxFuture<'static, Result<Option<VerifyReport>, String>>;

    fn member_names(&self, options: &SharedOptions) -> BoxFuture<'static, Result<Vec<String>, String>>;

    fn deliveries_of(
        &self,
        options: &SharedOptions,
        message_ids: HashSet<String>,
    ) -> BoxFuture<'static, Result<HashMap<String, Vec<DeliveryListRow>>, String>>;
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnusableDatabase(pub String);

#[derive(Clone, Debug)]
pub struct SharedOptions {
    pub database: &'static dyn SharedDatabase,
    pub connection: Secret,
    /// The file with the connection; the password in it may change while the daemon runs.
    pub connection_file: Option<PathBuf>,
    pub shown: String,
    pub lease: Duration,
    pub bounds: JournalBounds,
    /// The file beside which the archives are written; without it, dead letters and messages beyond the
    /// bounds stay.
    pub archive: Option<PathBuf>,
    pub overflowing: BTreeSet<Arc<str>>,
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
            bounds,
            archive,
            overflowing,
            digests,
        } = self;
        (connection, connection_file, shown, lease)
            == (&other.connection, &other.connection_file, &other.shown, &other.lease)
            && (bounds, archive) == (&other.bounds, &other.archive)
            && (overflowing, digests) == (&other.overflowing, &other.digests)
    }
}

impl Eq for SharedOptions {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    Fine,
    Warning,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFact {
    pub part: &'static str,
    pub kind: FactKind,
    pub found: String,
    pub advice: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    pub from: i32,
    pub to: i32,
    pub sql: String,
}

pub type HeldTargets = Box<dyn Fn() -> Vec<HeldTarget> + Send + Sync>;

pub trait SharedJournal: Journal + JournalQueries {
    fn ends(&self) -> EndReports;

    fn set_overflowing(&self, actions: BTreeSet<Arc<str>>);

    fn set_digests(&self, actions: BTreeSet<Arc<str>>);

    fn set_sections(&self, sections: &BTreeMap<String, String>);

    /// Publishes the targets that this daemon holds to the other daemons, within a second of each change.
    fn report_held(&self, held: HeldTargets);

    /// Notes that the broker assigns a queue, or a consumer group a
    /// [partition](osnl_core::received::MessageNotes::partition), to this daemon from now on: the next append
    /// takes the next epoch.
    fn begin_reading(&self, listener: &str, queue: &str);

    fn returned_canaries(&self, message_ids: Vec<String>) -> BoxFuture<'_, Result<Vec<String>, String>>;
}
