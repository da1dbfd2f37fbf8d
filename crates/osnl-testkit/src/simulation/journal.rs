//! The disk of a story: the writers of SQLite journals, which commit when nothing else in the thread runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use osnl_config::Bytes;
use osnl_core::metrics::Counters;
use osnl_journal::Journal;
use osnl_journal::memory::{MemoryJournal, MemoryLimits};
use osnl_journal::sqlite::{DrivenWriter, SqliteJournal, SqliteOptions};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::story::Settings;
use super::who::Who;
use super::world::World;

/// All files and writers of a story. Clones are the same disk.
#[derive(Clone)]
pub(super) struct Disk {
    folder: Arc<TempDir>,
    writers: Arc<Mutex<Vec<Writer>>>,
    /// Tells that a commit has a time.
    delayed: Arc<Notify>,
}

/// The journal of one life.
pub(super) struct OpenJournal {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) operated: OperatedJournal,
}

/// The journal of one life, as an operator changes it.
#[derive(Clone)]
pub(super) enum OperatedJournal {
    Memory(Arc<MemoryJournal>),
    Sqlite(Arc<SqliteJournal>),
}

/// The writer of one life.
struct Writer {
    world: World,
    who: Who,
    driven: DrivenWriter,
    slowest: Duration,
    /// The end of the commit under way.
    due: Option<Instant>,
}

impl Disk {
    pub(super) fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { folder: Arc::new(folder.unwrap()), writers: Arc::default(), delayed: Arc::default() }
    }

    /// Opens the journal of a new life.
    pub(super) fn open(
        &self,
        world: &World,
        who: Who,
        settings: &Settings,
        counters: &Arc<Counters>,
    ) -> OpenJournal {
        if !settings.sqlite {
            let usual = MemoryLimits::for_prefetch(settings.prefetch);
            let limits = MemoryLimits { unsettled: settings.stay, ..usual };
            let memory = Arc::new(MemoryJournal::new(limits, counters.clone()));
            return OpenJournal { journal: memory.clone(), operated: OperatedJournal::Memory(memory) };
        }
        let path = self.folder.path().join(format!("{}.db", who.daemon));
        let options = SqliteOptions::new(path).bounded(|bounds| {
            bounds.allow_volatile = true;
            // Not a share of the free space, which differs from machine to machine.
            bounds.max_size = Some(Bytes(1 << 30));
        });
        let (journal, driven) = SqliteJournal::open_driven(options, counters.clone()).unwrap();
        let writer = Writer { world: world.clone(), who, driven, slowest: settings.disk, due: None };
        self.writers.lock().unwrap().push(writer);
        let journal = Arc::new(journal);
        OpenJournal { journal: journal.clone(), operated: OperatedJournal::Sqlite(journal) }
    }

    /// Loses what a life has not committed.
    pub(super) fn close(&self, who: Who) {
        self.writers.lock().unwrap().retain(|writer| writer.who != who);
    }

    /// Commits what is due. The thread has nothing else to do.
    pub(super) fn turn(&self) {
        let mut is_delayed = false;
        for writer in &mut *self.writers.lock().unwrap() {
            writer.turn();
            is_delayed |= writer.due.is_some();
        }
        if is_delayed {
            self.delayed.notify_one();
        }
    }

    /// Wakes the thread when a commit is due; never ends.
    pub(super) async fn wake(&self) {
        loop {
            self.delayed.notified().await;
            let due = self.writers.lock().unwrap().iter().filter_map(|writer| writer.due).min();
            if let Some(due) = due {
                sleep_until(due).await;
            }
        }
    }
}

impl Writer {
    fn turn(&mut self) {
        if self.due.is_some_and(|due| Instant::now() < due) || !self.driven.gather() {
            return;
        }
        let millis = u64::try_from(self.slowest.as_millis()).unwrap_or(0);
        let mut state = self.world.lock();
        if self.due.take().is_none() && millis > 0 {
            let pause = state.random.u64(1..=millis);
            self.due = Some(Instant::now() + Duration::from_millis(pause));
            return;
        }
        if !state.steps(self.who, "a commit") {
            return;
        }
        drop(state);
        self.driven.commit();
        let _ = self.world.lock().steps(self.who, "the answer of a commit");
    }
}
