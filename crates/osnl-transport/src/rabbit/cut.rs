//! Cuts a body that is too large: keeps its beginning, its size and its digest, read from the passing frames.
//!
//! The client library would assemble the body before it could be refused. So the content header is held back and the
//! body frames are dropped. At the end follow a header with the size of the beginning, and the beginning. A record
//! beside the stream, by channel and delivery tag, marks the cut, since a publisher could forge any mark in a message.

use osnl_model::BodyHasher;

use crate::bodies::{BodyBounds, Cut};

const BEFORE_SIZE: usize = 4;

/// A body that is being cut while it passes.
#[derive(Debug)]
pub(super) struct CutBody {
    header: Vec<u8>,
    bytes: u64,
    kept: Vec<u8>,
    digest: BodyHasher,
}

impl CutBody {
    pub(super) fn new(header: Vec<u8>, bytes: u64) -> Self {
        Self { header, bytes, kept: Vec::new(), digest: BodyHasher::default() }
    }

    pub(super) fn keeps(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX).min(BodyBounds::HEAD)
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        self.digest.add(piece);
        let room = BodyBounds::HEAD - self.kept.len();
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    pub(super) fn end(self) -> (Vec<u8>, Vec<u8>, Cut) {
        let Self { mut header, bytes, kept, digest } = self;
        if let Some(size) = header.get_mut(BEFORE_SIZE..BEFORE_SIZE + 8) {
            size.copy_from_slice(&(kept.len() as u64).to_be_bytes());
        }
        (header, kept, Cut { bytes, digest: digest.finish() })
    }
}
