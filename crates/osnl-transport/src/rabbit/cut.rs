//! A body that is too large to be kept: its beginning, its size and its digest, taken from the frames as they pass.
//!
//! The client library would assemble it before anything could refuse it. So its content header is held back, its body
//! frames go no further than here, and at the end the header follows with the size of the beginning, and the beginning.
//! That it was cut is said beside the stream, by channel and delivery tag: no publisher can write that into a message.

use osnl_model::BodyHasher;

use crate::bodies::{BodyBounds, Cut};

/// Octets of a content header before the size of the body, which has eight: class and weight.
const BEFORE_SIZE: usize = 4;

/// A body that is not handed over as it comes.
#[derive(Debug)]
pub(super) struct CutBody {
    /// The payload of the content header.
    header: Vec<u8>,
    bytes: u64,
    kept: Vec<u8>,
    digest: BodyHasher,
}

impl CutBody {
    pub(super) fn new(header: Vec<u8>, bytes: u64) -> Self {
        Self { header, bytes, kept: Vec::new(), digest: BodyHasher::default() }
    }

    /// Bytes that are kept in the end.
    pub(super) fn keeps(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX).min(BodyBounds::HEAD)
    }

    /// Takes the next piece of the body.
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.digest.add(piece);
        let room = BodyBounds::HEAD - self.kept.len();
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// The payload of the content header, the beginning of the body, and what is known of all of it.
    pub(super) fn end(self) -> (Vec<u8>, Vec<u8>, Cut) {
        let Self { mut header, bytes, kept, digest } = self;
        if let Some(size) = header.get_mut(BEFORE_SIZE..BEFORE_SIZE + 8) {
            size.copy_from_slice(&(kept.len() as u64).to_be_bytes());
        }
        (header, kept, Cut { bytes, digest: digest.finish() })
    }
}
