//! Copies the WAL to the file, on its own thread and connection.
//!
//! A passive checkpoint neither waits for the writer nor delays it. A growing WAL is never copied to its end.
//! So above [`TOO_MANY`] pages the writer copies the small rest between two transactions, and the next
//! transaction restarts the WAL.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use osnl_core::ends::EndReports;
use osnl_core::metrics::Counters;
use rusqlite::Connection;

/// The pages in the WAL at which a checkpoint begins (4 MiB).
pub(super) const MANY: u32 = 1024;
/// The pages at which the writer helps (64 MiB).
pub(super) const TOO_MANY: u32 = 16 * 1024;

#[derive(Debug)]
pub(super) struct Checkpointer {
    connection: Arc<Mutex<Option<Connection>>>,
    wake: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(
        ends: &EndReports,
        counters: Arc<Counters>,
        checkpoint: fn(&Connection),
    ) -> std::io::Result<Self> {
        let connection: Arc<Mutex<Option<Connection>>> = Arc::default();
        let (wake, woken) = mpsc::sync_channel(1);
        let theirs = connection.clone();
        let ends = ends.clone();
        let work = move || {
            ends.thread("journal checkpointer", || {
                while woken.recv().is_ok() {
                    if let Some(connection) = &*theirs.lock().unwrap_or_else(PoisonError::into_inner) {
                        let begun = Instant::now();
                        checkpoint(connection);
                        counters.series.checkpoints.observe(begun.elapsed());
                    }
                }
            });
        };
        let thread = std::thread::Builder::new().name("journal-ckpt".to_owned()).spawn(work)?;
        Ok(Self { connection, wake: Some(wake), thread: Some(thread) })
    }

    pub(super) fn ask(&self) {
        if let Some(wake) = &self.wake {
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

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs a passive checkpoint. A failure also fails the next append, which reports it.
pub(super) fn passive(connection: &Connection) {
    let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = done {
        tracing::debug!(%error, "checkpoint");
    }
}
