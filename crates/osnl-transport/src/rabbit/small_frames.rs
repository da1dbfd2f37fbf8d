//! Writes to a broker whose frames are smaller than the client library's smallest, of 8192 bytes: agrees to the broker's
//! size, and divides the bodies of messages.
//!
//! A method or a header cannot be divided. One that is larger than the broker's frame goes out whole, and the broker
//! closes the connection with the reason, as for every client.

use super::frames::{BODY, HEADER};

const METHOD: u8 = 1;
const TUNE_OK: [u8; 4] = [0, 10, 0, 31];
const END: u8 = 0xCE;

/// A connection to a broker whose `frame_max` is below the least of the client library.
pub(super) struct SmallFrames {
    /// The broker's largest frame in bytes.
    most: u32,
    /// The beginning of a frame that the client library has not written to its end.
    begun: Vec<u8>,
    ready: Vec<u8>,
    written: usize,
}

impl SmallFrames {
    pub(super) fn new(most: u32) -> Self {
        Self { most, begun: Vec::new(), ready: Vec::new(), written: 0 }
    }

    /// Takes bytes of whole and begun frames.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(size) = self.begun.get(from + 3..from + HEADER) {
            let size = size.iter().fold(0, |size, byte| (size << 8) | usize::from(*byte));
            let Some(frame) = self.begun.get(from..from + HEADER + size + 1) else { break };
            add(&mut self.ready, frame, self.most);
            from += frame.len();
        }
        self.begun.drain(..from);
    }

    pub(super) fn to_write(&self) -> &[u8] {
        &self.ready[self.written..]
    }

    pub(super) fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written == self.ready.len() {
            self.ready.clear();
            self.written = 0;
        }
    }
}

fn add(out: &mut Vec<u8>, frame: &[u8], most: u32) {
    let payload = &frame[HEADER..frame.len() - 1];
    match frame[0] {
        BODY if frame.len() > most as usize => {
            for piece in payload.chunks(most as usize - HEADER - 1) {
                out.extend_from_slice(&frame[..3]);
                out.extend_from_slice(&u32::try_from(piece.len()).unwrap_or_default().to_be_bytes());
                out.extend_from_slice(piece);
                out.push(END);
            }
        }
        METHOD if payload.starts_with(&TUNE_OK) && payload.len() >= 10 => {
            // The numbers are those of channels, bytes of a frame, and seconds.
            let agreed = HEADER + TUNE_OK.len() + 2;
            out.extend_from_slice(&frame[..agreed]);
            out.extend_from_slice(&most.to_be_bytes());
            out.extend_from_slice(&frame[agreed + 4..]);
        }
        _ => out.extend_from_slice(frame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 7], &size[..], payload, &[END]].concat()
    }

    fn written(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut frames = SmallFrames::new(4096);
        let mut written = Vec::new();
        for came in bytes.chunks(piece) {
            frames.push(came);
            let count = frames.to_write().len().div_ceil(2);
            written.extend_from_slice(&frames.to_write()[..count]);
            frames.wrote(count);
        }
        written.extend_from_slice(frames.to_write());
        written
    }

    #[test]
    fn no_body_is_larger_than_the_broker_reads() {
        let body: Vec<u8> = (0..=255).cycle().take(8184).collect();
        let tune_ok =
            |most: u32| frame(METHOD, &[&TUNE_OK[..], &[7, 255], &most.to_be_bytes(), &[0, 60]].concat());
        let header = frame(2, &[1; 5000]);
        let heartbeat = frame(8, &[]);
        let written_by_library =
            [&tune_ok(8192)[..], &frame(METHOD, b"publish"), &header, &frame(BODY, &body), &heartbeat]
                .concat();
        let (first, second) = body.split_at(4088);
        let (second, third) = second.split_at(4088);
        let expected = [
            &tune_ok(4096)[..],
            &frame(METHOD, b"publish"),
            &header,
            &frame(BODY, first),
            &frame(BODY, second),
            &frame(BODY, third),
            &heartbeat,
        ]
        .concat();
        for piece in [1, 7, 8, 4096, 100_000] {
            assert_eq!(written(&written_by_library, piece), expected, "{piece}");
        }
        let fits = frame(BODY, first);
        assert_eq!(written(&fits, 50), fits);
    }
}
