//! Copies the WAL to the file, on its own thread and connection.
//!
//! A passive checkpoint neither waits for the writer nor delays it. A growing WAL is never copied to its end.
//! So above [`TOO_MANY`] pages the writer copies the small rest between two transactions, and the next
//! transaction restarts the WAL.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use osnl_core::ends::EndReports;
use osnl_core::epoch;
use rusqlite::Connection;
use tokio::time::Instant;

use super::SqliteState;

/// The pages in the WAL at which a checkpoint begins (4 MiB).
pub(super) const MANY: u32 = 1024;
/// The pages at which the writer helps (64 MiB).
pub(super) const TOO_MANY: u32 = 16 * 1024;

/// The thread that copies the WAL to the file, so that no append waits for that.
#[derive(Debug)]
pub(super) struct Checkpointer {
    connection: Arc<Mutex<Option<Connection>>>,
    wake: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(
        ends: &EndReports,
        checkpoint: impl Fn(&Connection) + Send + 'static,
    ) -> std::io::Result<Self> {
        let connection: Arc<Mutex<Option<Connection>>> = Arc::default();
        let (wake, woken) = mpsc::sync_channel(1);
        let theirs = connection.clone();
        let ends = ends.clone();
        let work = move || {
            ends.thread("journal checkpointer", || {
                while woken.recv().is_ok() {
                    if let Some(connection) = &*theirs.lock().unwrap_or_else(PoisonError::into_inner) {
                        checkpoint(connection);
                    }
                }
            });
        };
        let thread = std::thread::Builder::new().name("journal-ckpt".to_owned()).spawn(work)?;
        Ok(Self { connection, wake: Some(wake), thread: Some(thread) })
    }

    pub(super) fn ask(&self) {
        if let Some(wake) = &self.wake
            && !epoch::is_simulated()
        {
            let _ = wake.try_send(());
        }
    }

    /// Sets the connection; returns when no checkpoint is at work.
    pub(super) fn set(&self, connection: Option<Connection>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    pub(super) fn wait(&self) {
        drop(self.connection.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Since when a reader has kept checkpoints from copying the whole WAL, which grows meanwhile.
#[derive(Debug, Default)]
pub(super) struct WalHold(Mutex<Option<Instant>>);

impl WalHold {
    fn copied(&self, is_whole: bool) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *since = if is_whole { None } else { Some(since.unwrap_or_else(Instant::now)) };
    }

    pub(super) fn lasts(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl SqliteState {
    /// Runs a passive checkpoint, unless the files are not what osnl left: pages that are copied beyond the end of a
    /// shortened file would hide the loss. A cut after the look shows in the holes of the file, once the whole WAL is copied.
    /// A failure also fails the next append, which reports it.
    pub(super) fn checkpoint(&self, connection: &Connection, file: &Path) {
        if !matches!(self.left.look(file), Ok(None)) {
            return;
        }
        let begun = Instant::now();
        match checkpoint(connection) {
            Ok(is_whole) => {
                self.wal.copied(is_whole);
                if is_whole {
                    self.left.look_for_holes();
                }
            }
            Err(error) => tracing::debug!(%error, "checkpoint"),
        }
        let _ = self.left.look(file);
        self.counters.series.checkpoints.observe(begun.elapsed());
    }
}

/// Copies what no reader needs; returns whether that was the whole WAL.
fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (is_busy, pages, copied): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(!is_busy && copied >= pages)
    })
}

/// Returns the pages that the WAL must have: none or a few after another program's `wal_checkpoint(TRUNCATE)`.
pub(super) fn pages(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_system_clock_neither_hides_nor_ages_a_reader_of_the_wal() {
        let (minute, noon) =
            (Duration::from_secs(60), SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        for after in [noon - 60 * minute, noon + 60 * minute] {
            epoch::simulated::set(Some(noon));
            let hold = WalHold::default();
            hold.copied(false);
            epoch::simulated::set(Some(after));
            tokio::time::advance(minute).await;
            hold.copied(false);
            assert_eq!(hold.lasts(), Some(minute));
            hold.copied(true);
            assert_eq!(hold.lasts(), None);
        }
        epoch::simulated::set(None);
    }
}
