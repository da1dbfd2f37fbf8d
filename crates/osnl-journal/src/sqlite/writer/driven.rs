use std::time::Duration;

use tokio::sync::oneshot;

use super::{END_WAIT, JournalWriter, SqliteCommand};

/// The writer of a journal whose caller commits, so that a simulation decides when. Dropping it loses what is not
/// committed, as a kill does.
pub struct DrivenWriter {
    /// `None` after the close.
    writer: Option<JournalWriter>,
    /// The group of the next transaction.
    group: Vec<SqliteCommand>,
    /// Callers that wait for the close.
    closed: Vec<oneshot::Sender<()>>,
}

impl DrivenWriter {
    pub(in crate::sqlite) fn new(writer: JournalWriter) -> Self {
        Self { writer: Some(writer), group: Vec::new(), closed: Vec::new() }
    }

    /// Adds new commands to the next group, and returns the time for which it may wait for the next message; `None` if
    /// there is nothing to commit.
    pub fn gather(&mut self) -> Option<Duration> {
        let writer = self.writer.as_mut()?;
        for command in self.group.drain(..).rev() {
            writer.backlog.push_front(command);
        }
        self.group = writer.gather(&mut self.closed, false);
        let may_wait = writer.backlog.is_empty() && writer.may_wait(&self.group);
        let wait = if may_wait { END_WAIT } else { Duration::ZERO };
        (!self.group.is_empty() || writer.closing).then_some(wait)
    }

    /// Commits the group as one transaction, and answers its callers.
    pub fn commit(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        if writer.carry_out(std::mem::take(&mut self.group)) {
            self.writer = Some(writer);
        } else {
            writer.end(std::mem::take(&mut self.closed));
        }
    }
}
