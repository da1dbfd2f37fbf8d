use tokio::sync::oneshot;

use super::{JournalWriter, SqliteCommand};

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

    /// Gathers the next group, and returns whether there is something to commit.
    pub fn gather(&mut self) -> bool {
        let Some(writer) = &mut self.writer else { return false };
        if self.group.is_empty() {
            self.group = writer.gather(&mut self.closed, false);
        }
        !self.group.is_empty() || writer.closing
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
