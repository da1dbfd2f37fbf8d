//! The readings of a dead letter queue by this program, one at a time.

use osnl_transport::{QueueReader, TransportError};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::LONGEST_PAUSE;
use crate::journal::dead_letters::LetterCopies;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReaderKind {
    Daemon,
    Command,
}

/// A reading, during which the program begins no other.
///
/// Commands take at most half of the time, unless a reading takes more than ten seconds: lists of a full queue, one
/// after the other, would keep the daemon from it.
pub(super) struct Reading {
    reader: Box<dyn QueueReader>,
    copies: LetterCopies,
    turn: ReadingTurn,
}

impl Reading {
    pub(super) fn new(reader: Box<dyn QueueReader>, mut copies: LetterCopies, turn: ReadingTurn) -> Self {
        copies.arrange(reader.messages());
        Self { reader, copies, turn }
    }

    /// Returns the letters of the messages.
    pub(super) fn copies(&self) -> &LetterCopies {
        &self.copies
    }

    pub(super) async fn end(self) -> Result<(), TransportError> {
        // The turn ends after the messages are back.
        let Self { reader, copies: _, turn } = self;
        let closed = reader.close().await;
        drop(turn);
        closed
    }
}

/// The turn of a reading, which sets the time of the next command also if the reading fails or nobody waits for it.
pub(super) struct ReadingTurn {
    next_command: OwnedMutexGuard<Instant>,
    kind: ReaderKind,
    /// The begin of the reading; `None` while another program reads.
    begun: Option<Instant>,
}

impl ReadingTurn {
    pub(super) fn new(next_command: OwnedMutexGuard<Instant>, kind: ReaderKind) -> Self {
        Self { next_command, kind, begun: None }
    }

    pub(super) fn begins(&mut self, at: Instant) {
        self.begun = Some(at);
    }
}

impl Drop for ReadingTurn {
    fn drop(&mut self) {
        if let (ReaderKind::Command, Some(begun)) = (self.kind, self.begun) {
            *self.next_command = Instant::now() + begun.elapsed().min(LONGEST_PAUSE);
        }
    }
}

impl std::ops::Deref for Reading {
    type Target = dyn QueueReader;

    fn deref(&self) -> &Self::Target {
        &*self.reader
    }
}

impl std::ops::DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.reader
    }
}
