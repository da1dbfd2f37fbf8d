//! Facts about resources that earlier messages told, for actions that have to know it: those of oss_watcher.
//!
//! # Where the meaning is computed
//!
//! In the transaction that keeps the message, by the member that appends it; not at its admission. The meaning decides in which
//! lane the deliveries are, and so in which partition: before it is known, no owner could admit them. A message changes what is
//! known of several resources (a port's of its instance, its floating IPs, and their addresses), and those are in different
//! partitions: no one owner has seen all of it. A message that only tells something, and has no delivery, has no owner at all.
//!
//! # Versions
//!
//! All that is known has one version, in the row of `osnl_seen_version`. A transaction reads the version, then the rows that
//! its messages need, has the meaning computed, and writes the version on condition that it is still the one that it has read.
//! If it is not, another member has written rows meanwhile: they are read, and the meaning is computed, once more. So the
//! transactions have an order, and each has seen what those before it wrote: the result is that of one process that gets the
//! messages in this order. A version for each row would not do: of two transactions that each read what the other one writes,
//! both would be kept, and neither order has that result. Rows that were looked for and are not there would need versions too.
//!
//! Nothing relies on the lock that PostgreSQL has on the row until the commit: where there is none, the second commit is
//! refused, as both write the row, and is repeated as a whole.
//!
//! # Order
//!
//! Deliveries of a lane are in the order of their numbers, and numbers of two queues say nothing about the order in which the
//! two are kept. A receiver has to hear of an address in the order of the meanings. So the version has the number of the latest
//! message with a meaning too; a transaction whose messages have a smaller one is not committed, and its reader draws larger
//! ones.
//!
//! # Bounds
//!
//! As in the process: [`RESOURCES`] are remembered, and the meanings of the last [`MESSAGES`]; those leave that were not touched
//! for longest. The version is their clock.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use osnl_core::recall::{
    ReadRows, Recall, RecallReport, RecalledMeaning, Recollection, RowChange, message_of_row,
};

use crate::command::{NewEntry, PostgresCommand};
use crate::group::{clean, stored_name};
use crate::reader::QueueReader;
use crate::transaction::{CommitFailure, Transaction};
use crate::window::ROUNDS;

/// Rows about instances, ports, floating IPs, and addresses.
const RESOURCES: i64 = 100_000;
/// Rows about messages.
const MESSAGES: i64 = 4096;
/// Readings for one computation. Rows name other rows, a few times; in a long group those of one message may depend on those of
/// another one.
const READINGS: usize = 1000;

const VERSION: &str = "SELECT version, arrival, resources, messages FROM osnl_seen_version WHERE id = 0";
const ROWS: &str = "SELECT name, told FROM osnl_seen WHERE name = ANY($1)";
const WRITE: &str = "UPDATE osnl_seen_version SET version = version + 1, arrival = $2, resources = $3, messages = $4 \
     WHERE id = 0 AND version = $1";
const KEEP: &str = "INSERT INTO osnl_seen (name, is_message, touched, told) \
     SELECT name, is_message, $4::bigint, told FROM unnest($1::bytea[], $2::boolean[], $3::text[]) AS n (name, is_message, told) \
     ON CONFLICT (name) DO UPDATE SET touched = excluded.touched, told = excluded.told";
const DROP: &str = "DELETE FROM osnl_seen WHERE name = ANY($1)";
const FORGET: &str = "DELETE FROM osnl_seen WHERE name IN \
     (SELECT name FROM osnl_seen WHERE is_message = $1 ORDER BY touched, name LIMIT $2)";
const HAPPENED: &str = "UPDATE osnl_arrival a SET happened = n.happened \
     FROM unnest($1::bigint[], $2::text[]) AS n (id, happened) WHERE a.id = n.id";

/// The version of what is known, as a transaction has read it.
#[derive(Clone, Copy, Debug)]
struct SeenVersion {
    version: i64,
    /// The number of the latest message with a meaning.
    arrival: i64,
    resources: i64,
    messages: i64,
}

impl SeenVersion {
    /// Counts rows in and out; returns the numbers of rows about resources and about messages that are too many.
    fn count(&mut self, rows: &ReadRows, changes: &[RowChange]) -> (i64, i64) {
        for RowChange { name, row } in changes {
            let was_there = rows.get(name).is_some_and(Option::is_some);
            let by = i64::from(row.is_some()) - i64::from(was_there);
            *(if message_of_row(name).is_some() { &mut self.messages } else { &mut self.resources }) += by;
        }
        let beyond = ((self.resources - RESOURCES).max(0), (self.messages - MESSAGES).max(0));
        self.resources -= beyond.0;
        self.messages -= beyond.1;
        beyond
    }
}

/// The messages and facts of a group that have a meaning, by their places in it.
#[derive(Default)]
pub(crate) struct GroupReports<'a> {
    recall: Option<&'a Arc<dyn Recall>>,
    places: Vec<usize>,
    reports: Vec<RecallReport<'a>>,
    numbers: Vec<(i64, &'a QueueReader)>,
}

impl<'a> GroupReports<'a> {
    /// Those of messages that are new, and of facts that deliveries of this member have found.
    pub(crate) fn of(
        entries: &[(usize, &'a NewEntry)],
        batch: &'a [PostgresCommand],
        is_own: impl Fn(&PostgresCommand) -> bool,
    ) -> Self {
        let mut all = Self::default();
        let with =
            |(n, new): &(usize, &'a NewEntry)| Some((*n, *new, new.entry.received.noted.recaller.as_ref()?));
        let mut recalled: Vec<_> = entries.iter().filter_map(with).collect();
        // The order of their lanes, and that of each queue.
        recalled.sort_by_key(|(_, new, _)| new.id);
        for (n, new, recaller) in recalled {
            let payload = new.entry.received.payload_text();
            all.add(&recaller.0, n, RecallReport::Message(&new.entry.notification, payload));
            all.numbers.push((new.id, &new.reader));
        }
        for (n, command) in batch.iter().enumerate().filter(|(_, command)| is_own(command)) {
            let PostgresCommand::Enriched(_, _, learnt, _) = command else { continue };
            let Some((recaller, facts)) = &learnt.recalled else { continue };
            all.add(&recaller.0, n, RecallReport::Facts(facts));
        }
        all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.recall.is_none()
    }

    fn add(&mut self, recall: &'a Arc<dyn Recall>, place: usize, report: RecallReport<'a>) {
        self.recall = Some(recall);
        self.places.push(place);
        self.reports.push(report);
    }

    /// Returns the readers whose messages have no larger number than this one.
    fn behind(&self, latest: i64) -> BTreeSet<QueueReader> {
        let behind = self.numbers.iter().filter(|(number, _)| *number <= latest);
        behind.map(|(_, reader)| (*reader).clone()).collect()
    }
}

impl Transaction<'_> {
    /// Has the meaning of messages computed, and writes what is known from then on; returns the meanings by the places of the
    /// messages.
    pub(crate) async fn recall(
        &mut self,
        all: &GroupReports<'_>,
    ) -> Result<BTreeMap<usize, RecalledMeaning>, CommitFailure> {
        let Some(recall) = all.recall else { return Ok(BTreeMap::new()) };
        for _ in 0..ROUNDS {
            let mut seen = self.seen_version().await?;
            let behind = all.behind(seen.arrival);
            if !behind.is_empty() {
                return Err(CommitFailure::Behind(behind.into_iter().collect()));
            }
            let (rows, recalled) = self.computed(&**recall, &all.reports).await?;
            let beyond = seen.count(&rows, &recalled.changes);
            let latest = all.numbers.iter().map(|(number, _)| *number).max();
            seen.arrival = latest.unwrap_or(seen.arrival);
            if !self.write_seen_version(seen).await? {
                continue;
            }
            self.write_seen(seen.version + 1, recalled.changes, beyond).await?;
            return Ok(all.places.iter().copied().zip(recalled.meanings).collect());
        }
        Err(CommitFailure::Conflict("other members write what oss_watcher knows".to_owned()))
    }

    /// Computes the meaning, and reads the rows for it: each time all that are named.
    async fn computed(
        &mut self,
        recall: &dyn Recall,
        reports: &[RecallReport<'_>],
    ) -> Result<(ReadRows, Recollection), CommitFailure> {
        let mut rows = ReadRows::new();
        for _ in 0..READINGS {
            match recall.recall(reports, &rows) {
                Ok(recalled) => return Ok((rows, recalled)),
                Err(unread) => {
                    let stored: Vec<Cow<'_, str>> = unread.iter().map(|name| stored_name(name)).collect();
                    let names: Vec<&[u8]> = stored.iter().map(|name| name.as_bytes()).collect();
                    let mut found: HashMap<Vec<u8>, String> = HashMap::new();
                    for row in self.query(ROWS, &[&names]).await? {
                        found.insert(row.try_get(0)?, row.try_get(1)?);
                    }
                    rows.extend(
                        unread.iter().zip(&names).map(|(name, stored)| (name.clone(), found.remove(*stored))),
                    );
                }
            }
        }
        Err(CommitFailure::Failed(format!("the meaning of messages needs more than {READINGS} readings")))
    }

    async fn seen_version(&mut self) -> Result<SeenVersion, CommitFailure> {
        let rows = self.query(VERSION, &[]).await?;
        let row =
            rows.first().ok_or_else(|| CommitFailure::Failed("osnl_seen_version has no row".to_owned()))?;
        let (version, arrival) = (row.try_get(0)?, row.try_get(1)?);
        Ok(SeenVersion { version, arrival, resources: row.try_get(2)?, messages: row.try_get(3)? })
    }

    /// Writes the version after one that was read; returns whether what was read is still so.
    async fn write_seen_version(&mut self, seen: SeenVersion) -> Result<bool, CommitFailure> {
        let SeenVersion { version, arrival, resources, messages } = seen;
        Ok(self.execute(WRITE, &[&version, &arrival, &resources, &messages]).await? == 1)
    }

    async fn write_seen(
        &mut self,
        version: i64,
        changes: Vec<RowChange>,
        (resources, messages): (i64, i64),
    ) -> Result<(), CommitFailure> {
        let (mut names, mut are_messages, mut rows, mut gone) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for RowChange { name, row } in changes {
            let is_message = message_of_row(&name).is_some();
            match row {
                Some(row) => {
                    names.push(stored_name(&name).as_bytes().to_vec());
                    are_messages.push(is_message);
                    rows.push(clean(&row));
                }
                None => gone.push(stored_name(&name).as_bytes().to_vec()),
            }
        }
        if !names.is_empty() {
            self.execute(KEEP, &[&names, &are_messages, &rows, &version]).await?;
        }
        if !gone.is_empty() {
            self.execute(DROP, &[&gone]).await?;
        }
        for (is_message, beyond) in [(false, resources), (true, messages)] {
            if beyond > 0 {
                self.execute(FORGET, &[&is_message, &beyond]).await?;
            }
        }
        Ok(())
    }

    /// Keeps meanings with their messages.
    pub(crate) async fn keep_meanings(&mut self, meanings: &[(i64, &str)]) -> Result<(), CommitFailure> {
        if meanings.is_empty() {
            return Ok(());
        }
        let (ids, happened): (Vec<i64>, Vec<String>) =
            meanings.iter().map(|(id, happened)| (*id, clean(happened))).unzip();
        self.execute(HAPPENED, &[&ids, &happened]).await?;
        Ok(())
    }
}
