//! A disk that does not answer. No error occurs then: the writer's thread waits in the kernel and can publish
//! nothing. A separate thread checks each second whether the writer has waited for too long, and publishes the state
//! of a failure: intake stops and no attempt begins until the disk answers.
//!
//! The process is not ended. A process that waits for its disk cannot be killed, and another would wait for
//! the same disk.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use osnl_core::epoch;

use super::SqliteState;
use crate::JournalState;

const PATIENCE: Duration = Duration::from_secs(10);
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The transaction under way, watched from another thread.
#[derive(Debug, Default)]
pub(super) struct DiskWait(Mutex<Option<BatchStart>>);

/// The start of a transaction, and whether its delay is published.
#[derive(Clone, Copy, Debug)]
struct BatchStart {
    at: Instant,
    is_late: bool,
}

impl DiskWait {
    pub(super) fn begins(&self) {
        // A disk of a simulated world is as slow as its story says.
        let begins = !epoch::is_simulated();
        *self.lock() = begins.then(|| BatchStart { at: Instant::now(), is_late: false });
    }

    pub(super) fn ends(&self) -> bool {
        self.lock().take().is_some_and(|begun| begun.is_late)
    }

    /// Publishes a late batch once. The lock is held meanwhile, so that the writer's end of the batch
    /// follows.
    fn check(&self, now: Instant, publish: impl FnOnce(Duration)) {
        let mut begun = self.lock();
        if let Some(begun) = &mut *begun
            && !begun.is_late
            && now.saturating_duration_since(begun.at) >= PATIENCE
        {
            begun.is_late = true;
            publish(now - begun.at);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BatchStart>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that publishes a disk without an answer.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(file: &Path, shared: &Arc<SqliteState>) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (file, shared) = (file.display().to_string(), shared.clone());
        let watch = move || {
            shared.ends.thread("journal watch", || {
                while stopped.recv_timeout(CHECK_INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                    shared
                        .disk_wait
                        .check(Instant::now(), |waited| shared.disk_does_not_answer(&file, waited));
                }
            });
        };
        let thread = std::thread::Builder::new().name("journal-watch".to_owned()).spawn(watch)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl SqliteState {
    fn disk_does_not_answer(&self, file: &str, waited: Duration) {
        let reason = format!(
            "the journal {file} cannot be written: its disk has not answered for {} s; look at the disk and the \
             kernel's log",
            waited.as_secs()
        );
        self.gate.set_open(false);
        self.state.send_replace(JournalState::Failed { reason, since: SystemTime::now() - waited });
        tracing::error!(
            journal.file = file,
            seconds = waited.as_secs(),
            "the journal's disk does not answer: nothing is read from the broker, which keeps the messages, and no \
             attempt begins until it does",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_late_once_and_its_end_says_so() {
        let wait = DiskWait::default();
        let check = |after: Duration| {
            let mut waited = None;
            wait.check(Instant::now() + after, |found| waited = Some(found));
            waited
        };
        assert_eq!(check(PATIENCE), None, "no batch has begun");
        wait.begins();
        assert_eq!(check(PATIENCE / 2), None);
        assert!(!wait.ends());
        wait.begins();
        assert!(check(PATIENCE).is_some_and(|waited| waited >= PATIENCE));
        assert_eq!(check(PATIENCE), None, "said already");
        assert!(wait.ends());
        assert!(!wait.ends());
    }
}
