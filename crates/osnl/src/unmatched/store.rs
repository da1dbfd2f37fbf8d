//! The thread that writes the ring to its file.
//!
//! Files are replaced here without a sync, unlike in `osnl-journal/src/files.rs`: counts that are written each second
//! wait for no disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{BODIES, UnmatchedState, file, line};
use crate::ends::EndReports;
use crate::state_dir;

const EACH: Duration = Duration::from_secs(1);

/// The handle of the writing thread, whose drop writes everything and ends the thread.
pub(super) struct UnmatchedStore {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl UnmatchedStore {
    pub(super) fn start(shared: Arc<UnmatchedState>, journal: &Path, ends: &EndReports) -> Option<Self> {
        let mut writer = UnmatchedWriter {
            shared,
            journal: journal.to_owned(),
            seen: 0,
            full: Full::default(),
            counts: String::new(),
            said: false,
        };
        Self::run(ends, move || writer.write())
    }

    fn run(ends: &EndReports, mut write: impl FnMut() + Send + 'static) -> Option<Self> {
        let (stop, stopped) = mpsc::channel();
        let ends = ends.clone();
        let run = move || {
            ends.thread("the writer of unmatched messages", || {
                while stopped.recv_timeout(EACH) == Err(RecvTimeoutError::Timeout) {
                    write();
                }
                write();
            });
        };
        match std::thread::Builder::new().name("unmatched".to_owned()).spawn(run) {
            Ok(thread) => Some(Self { stop: Some(stop), thread: Some(thread) }),
            Err(error) => {
                tracing::warn!(
                    error = error.to_string(),
                    "unmatched messages are kept in memory only: no thread for their file"
                );
                None
            }
        }
    }
}

impl Drop for UnmatchedStore {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread has reported its own panic.
            let _ = thread.join();
        }
    }
}

struct UnmatchedWriter {
    shared: Arc<UnmatchedState>,
    journal: PathBuf,
    seen: u64,
    full: Full,
    counts: String,
    said: bool,
}

#[derive(Default)]
struct Full {
    /// `None` before the process's first line.
    lines: Option<u64>,
    bytes: u64,
}

impl UnmatchedWriter {
    fn write(&mut self) {
        match self.append().and_then(|()| self.replace_counts()) {
            Ok(()) => self.said = false,
            Err(error) => {
                if !std::mem::replace(&mut self.said, true) {
                    let file = file::current(&self.journal);
                    tracing::warn!(
                        path = %file.display(),
                        error = error.to_string(),
                        "the file cannot be written: unmatched messages are kept in memory only, and osnl explain cannot see \
                         them"
                    );
                }
            }
        }
    }

    fn append(&mut self) -> io::Result<()> {
        let (noted, new) = self.shared.since(self.seen);
        if new.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for unmatched in &new {
            text.push_str(&line::write(unmatched));
            text.push('\n');
        }
        let current = file::current(&self.journal);
        let lines = match self.full.lines {
            Some(lines) => lines,
            None => self.measure(&current)?,
        };
        let bytes = self.full.bytes + text.len() as u64;
        if lines >= u64::from(self.shared.keep.heads) || (lines > 0 && bytes > BODIES as u64) {
            fs::rename(&current, file::former(&self.journal))?;
            self.full = Full { lines: Some(0), bytes: 0 };
        }
        open(&current)?.write_all(text.as_bytes())?;
        self.full.lines = Some(self.full.lines.unwrap_or(0) + new.len() as u64);
        self.full.bytes += text.len() as u64;
        self.seen = noted;
        Ok(())
    }

    fn measure(&mut self, current: &Path) -> io::Result<u64> {
        let found = match fs::read(current) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        if found.last().is_some_and(|last| *last != b'\n') {
            open(current)?.write_all(b"\n")?;
        }
        let lines = found.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.full = Full { lines: Some(lines), bytes: found.len() as u64 };
        Ok(lines)
    }

    fn replace_counts(&mut self) -> io::Result<()> {
        let counts = self.shared.counts();
        if counts == self.counts {
            return Ok(());
        }
        // Unlike `files::replace` this waits for no disk, since nothing depends on the file.
        let (path, new) = (file::rules(&self.journal), file::beside(&self.journal, ".rules.new"));
        let mut file = state_dir::private().write(true).create(true).truncate(true).open(&new)?;
        file.write_all(counts.as_bytes())?;
        fs::rename(new, path)?;
        self.counts = counts;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    state_dir::private().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_panics_is_reported() {
        let ends = EndReports::default();
        drop(UnmatchedStore::run(&ends, || panic!("an odd line")));
        let end = ends.reported().unwrap().to_string();
        assert_eq!(end, "the writer of unmatched messages ended unexpectedly: an odd line");
    }
}
