mod blocks;
mod bounds;
mod dead;
mod decoded;
mod failing_keys;
mod hands;
mod hostile_filters;
mod lanes;
mod listing;
mod quarantine;
mod restart;
mod upkeep;

use std::time::Duration;

use futures_util::FutureExt as _;
use tempfile::TempDir;

use super::writer::SqliteCommand;
use super::*;
use crate::conformance::{PLACES, StoreRig, append, attempts, claim, entry, names, within};
use crate::query::{Change, Filter, ListPage, Phase};
use crate::{Outcome, Settle};

mod suite {
    conformance!(super::rig);
}

fn rig() -> StoreRig {
    let folder = tempfile::tempdir().unwrap();
    let counters: Arc<Counters> = Arc::default();
    let options = options(&folder).bounded(|bounds| bounds.max_pending = PLACES as u64);
    let journal = Arc::new(SqliteJournal::open(options, counters.clone()).unwrap());
    let queries = Arc::new(SqliteQueries::for_daemon(journal.clone()));
    let retrying = journal.clone();
    let retry = move |id, _: Entry| -> BoxFuture<'static, ()> {
        let journal = retrying.clone();
        let change = Change::Retry { which: hands::one(id), out_of_order: false };
        Box::pin(async move { assert_eq!(journal.change(change).await.unwrap().refused, []) })
    };
    StoreRig { journal, queries, counters, durable: true, retry: Box::new(retry), _keeps: Box::new(folder) }
}

fn options(folder: &TempDir) -> SqliteOptions {
    SqliteOptions::new(folder.path().join("journal.db")).bounded(|bounds| bounds.allow_volatile = true)
}

fn open(folder: &TempDir) -> SqliteJournal {
    open_with(options(folder))
}

fn open_with(options: SqliteOptions) -> SqliteJournal {
    SqliteJournal::open(options, Arc::default()).unwrap()
}

fn reader(folder: &TempDir) -> SqliteReader {
    SqliteReader::open(&options(folder).path).unwrap()
}

async fn keep(journal: &SqliteJournal, id: &str, key: &str) {
    assert_eq!(within(append(journal, entry(id, key, false)).await).await, Settle::Acknowledge);
}

/// Runs SQL in the writer's thread, on its connection, between two transactions.
async fn tamper(journal: &SqliteJournal, sql: &'static str) {
    let (done, told) = oneshot::channel();
    journal.send(SqliteCommand::Do(Box::new(move |connection| {
        connection.execute_batch(sql).unwrap();
        let _ = done.send(());
    })));
    within(told).await.unwrap();
}

async fn wait_for(journal: &SqliteJournal, what: impl FnMut(&JournalState) -> bool) -> JournalState {
    within(journal.state().wait_for(what)).await.unwrap().clone()
}

fn states(reader: &SqliteReader) -> Vec<(String, &'static str)> {
    let rows = reader.list(&Filter::default(), &ListPage::default()).unwrap();
    rows.into_iter().map(|row| (row.message_id.unwrap_or_default(), Phase::word_of(row.state))).collect()
}
