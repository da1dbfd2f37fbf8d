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
    /// Tells that a writer has a new stage, or may have more to commit.
    changed: Arc<Notify>,
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
    stage: Stage,
}

/// The stage of the next commit, with its end.
#[derive(Clone, Copy)]
enum Stage {
    Idle,
    /// Successes wait for the commit of the next message. A kill repeats their effects.
    Waits(Instant),
    Commits(Instant),
}

impl Disk {
    pub(super) fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { folder: Arc::new(folder.unwrap()), writers: Arc::default(), changed: Arc::default() }
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
        let writer = Writer { world: world.clone(), who, driven, slowest: settings.disk, stage: Stage::Idle };
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
        let mut looks_again = false;
        for writer in &mut *self.writers.lock().unwrap() {
            looks_again |= writer.turn();
        }
        if looks_again {
            self.changed.notify_one();
        }
    }

    /// Wakes the thread when a stage ends; never ends.
    pub(super) async fn wake(&self) {
        loop {
            let now = Instant::now();
            let end = |writer: &Writer| writer.stage.end().filter(|end| *end > now);
            let next = self.writers.lock().unwrap().iter().filter_map(end).min();
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            }
        }
    }
}

impl Stage {
    fn end(self) -> Option<Instant> {
        match self {
            Self::Idle => None,
            Self::Waits(end) | Self::Commits(end) => Some(end),
        }
    }
}

impl Writer {
    /// Returns whether the thread must look again: at a new stage, or at what a commit has left.
    fn turn(&mut self) -> bool {
        let now = Instant::now();
        if let Stage::Commits(end) = self.stage {
            return now >= end && self.commit();
        }
        let Some(wait) = self.driven.gather() else {
            self.stage = Stage::Idle;
            return false;
        };
        let before = self.stage.end();
        let end = before.unwrap_or(now + wait);
        if !wait.is_zero() && now < end {
            self.stage = Stage::Waits(end);
            return before.is_none();
        }
        let millis = u64::try_from(self.slowest.as_millis()).unwrap_or(0);
        if millis > 0 {
            let pause = self.world.lock().random.u64(1..=millis);
            self.stage = Stage::Commits(now + Duration::from_millis(pause));
            return true;
        }
        self.commit()
    }

    fn commit(&mut self) -> bool {
        self.stage = Stage::Idle;
        if !self.world.lock().steps(self.who, "a commit") {
            return false;
        }
        self.driven.commit();
        let _ = self.world.lock().steps(self.who, "the answer of a commit");
        true
    }
}
