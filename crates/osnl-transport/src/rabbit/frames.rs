//! Processes the frames between the broker and the client library, however the network splits them.
//!
//! Bodies and heartbeats pass unchanged. A method frame or a content header is passed on once complete, usually in the
//! caller's buffer. Frames that change ([`headers`], [`repeated`], [`tune`]), frames behind these in the same buffer, and incomplete
//! frames use a buffer here. A body that is too large is [cut](super::cut).

use std::collections::BTreeMap;
use std::sync::Arc;

use osnl_model::Scrubber;

use super::cut::CutBody;
use super::login::NothingInCommon;
use super::{headers, repeated, tune};
use crate::body_flow::BodyFlow;

/// The largest frame including its eight octets of header and end, which is RabbitMQ's default.
pub(super) const LARGEST: u32 = 131_072;
/// Octets of a frame before its payload: type, channel, size.
pub(super) const HEADER: usize = 7;
const PROTOCOL_HEADER: usize = 8;

const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;

/// A frame that no broker may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BrokenFrame {
    #[error("the broker sent a frame of {0} bytes; at most {LARGEST} were agreed")]
    TooLarge(u64),
    #[error("the broker sent a frame of type {0}, which AMQP 0-9-1 does not have")]
    UnknownType(u8),
}

/// Looks into the frames of a stream, and changes those that the client library must not see.
#[derive(Debug)]
pub(super) struct Frames {
    /// Whether the client wants heartbeats.
    heartbeat: bool,
    /// The reason why client and broker cannot agree, until it is taken.
    pub(super) insufficient: Option<NothingInCommon>,
    /// The broker's largest frame in bytes, if the client library cannot agree to it.
    pub(super) small: Option<u32>,
    /// The bytes of the current frame that still pass unseen.
    passing: usize,
    /// The beginning of a frame that is looked at once it is complete.
    held: Vec<u8>,
    /// Bytes for the client library that are not in the caller's buffer.
    ready: Vec<u8>,
    /// The bytes of `ready` that the client library has.
    given: usize,
    /// Counts bodies; `None` where none are counted.
    flow: Option<Arc<BodyFlow>>,
    /// The password, which a broker may repeat.
    secrets: Scrubber,
    /// The message that arrives on each channel.
    arriving: BTreeMap<[u8; 2], ArrivingMessage>,
    /// The channel whose message is complete with the current frame.
    completes: Option<[u8; 2]>,
    /// The channel and length of the current frame, if the library must not see it.
    withheld: Option<([u8; 2], usize)>,
}

/// A message on a channel until its last frame.
#[derive(Debug, Default)]
struct ArrivingMessage {
    /// The tag of a `basic.deliver` whose content header has not arrived.
    announced: Option<u64>,
    tag: u64,
    /// The bytes of the body that have not arrived.
    missing: usize,
    cutting: Option<CutBody>,
}

/// The result of a frame for the client library.
enum FrameVerdict {
    AsItIs,
    Anew(Vec<u8>),
    Withheld,
}

pub fn frames_in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<u8>, String> {
    let mut frames = Frames::new(true);
    let mut passed = Vec::new();
    for came in bytes.chunks(piece.max(1)) {
        let mut came = came.to_vec();
        let given = frames.pass(&mut came).map_err(|broken| broken.to_string())?;
        passed.extend_from_slice(&came[..given]);
        let mut room = [0; 4096];
        loop {
            match frames.take(&mut room) {
                0 => break,
                count => passed.extend_from_slice(&room[..count]),
            }
        }
    }
    Ok(passed)
}

/// The next frame, as far as it has arrived.
enum NextFrame {
    Incomplete,
    Unseen(usize),
    Seen { kind: u8, length: usize },
}

impl Frames {
    pub(super) fn new(heartbeat: bool) -> Self {
        Self {
            heartbeat,
            insufficient: None,
            small: None,
            passing: 0,
            held: Vec::new(),
            ready: Vec::new(),
            given: 0,
            flow: None,
            secrets: Scrubber::default(),
            arriving: BTreeMap::new(),
            completes: None,
            withheld: None,
        }
    }

    pub(super) fn counting(self, flow: Arc<BodyFlow>) -> Self {
        Self { flow: Some(flow), ..self }
    }

    pub(super) fn hiding(self, secrets: Scrubber) -> Self {
        Self { secrets, ..self }
    }

    /// Processes received bytes, and returns how many from the beginning the caller may pass on. More may be available
    /// from [`take`](Self::take).
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> Result<usize, BrokenFrame> {
        let mut at = 0;
        let mut stay = None;
        if !self.held.is_empty() {
            stay = Some(0);
            at = self.complete(bytes)?;
        }
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            if self.passing > 0 {
                let count = self.passing.min(rest.len());
                let piece = &rest[..count];
                if self.withheld.is_some() {
                    stay.get_or_insert(at);
                    self.withhold(piece);
                } else if stay.is_some() {
                    self.ready.extend_from_slice(piece);
                }
                self.passing -= count;
                self.passed();
                at += count;
                continue;
            }
            match next(rest)? {
                NextFrame::Incomplete => {
                    stay.get_or_insert(at);
                    self.held.extend_from_slice(rest);
                    break;
                }
                NextFrame::Unseen(length) => {
                    let [kind, a, b] = rest.first_chunk().copied().unwrap_or_default();
                    self.begins(kind, [a, b], length);
                }
                NextFrame::Seen { kind, length } => {
                    let frame = &mut rest[..length];
                    match self.judge(kind, frame) {
                        FrameVerdict::Anew(payload) => {
                            stay.get_or_insert(at);
                            self.push(frame[..3].try_into().unwrap_or_default(), &payload);
                        }
                        FrameVerdict::Withheld => drop(stay.get_or_insert(at)),
                        FrameVerdict::AsItIs if stay.is_some() => self.ready.extend_from_slice(frame),
                        FrameVerdict::AsItIs => {}
                    }
                    at += length;
                }
            }
        }
        Ok(stay.unwrap_or(bytes.len()))
    }

    pub(super) fn lacking(&self) -> Option<usize> {
        let length = size(&self.held).map_or(HEADER, |size| HEADER + size + 1);
        (!self.held.is_empty()).then(|| length - self.held.len())
    }

    /// Returns the number of bytes that may be read without beginning another frame; `None` between two frames.
    pub(super) fn rest(&self) -> Option<usize> {
        let passing = Some(self.passing).filter(|passing| *passing > 0);
        self.lacking().or(passing)
    }

    pub(super) fn take(&mut self, into: &mut [u8]) -> usize {
        let waiting = &self.ready[self.given..];
        let count = waiting.len().min(into.len());
        into[..count].copy_from_slice(&waiting[..count]);
        self.given += count;
        if self.given == self.ready.len() {
            self.given = 0;
            self.ready.clear();
            self.ready.shrink_to(LARGEST as usize);
        }
        count
    }

    fn complete(&mut self, bytes: &[u8]) -> Result<usize, BrokenFrame> {
        let mut used = 0;
        loop {
            match next(&self.held)? {
                NextFrame::Unseen(length) => {
                    let [kind, a, b] = self.held.first_chunk().copied().unwrap_or_default();
                    self.begins(kind, [a, b], length);
                    self.passing -= self.held.len();
                    match self.withheld {
                        Some(_) => self.held.clear(),
                        None => self.ready.append(&mut self.held),
                    }
                    self.passed();
                    return Ok(used);
                }
                NextFrame::Seen { kind, length } => {
                    let mut frame = std::mem::take(&mut self.held);
                    match self.judge(kind, &mut frame[..length]) {
                        FrameVerdict::Anew(payload) => {
                            self.push(frame[..3].try_into().unwrap_or_default(), &payload);
                        }
                        FrameVerdict::Withheld => {}
                        FrameVerdict::AsItIs => self.ready.extend_from_slice(&frame),
                    }
                    frame.clear();
                    self.held = frame;
                    return Ok(used);
                }
                NextFrame::Incomplete => {}
            }
            let more = &bytes[used..];
            let more = &more[..self.lacking().unwrap_or_default().min(more.len())];
            if more.is_empty() {
                return Ok(used);
            }
            self.held.extend_from_slice(more);
            used += more.len();
        }
    }

    fn judge(&mut self, kind: u8, frame: &mut [u8]) -> FrameVerdict {
        let end = frame.len() - 1;
        let channel = [frame[1], frame[2]];
        let payload = &mut frame[HEADER..end];
        if kind == CONTENT_HEADER {
            let anew = headers::content_header(payload);
            return match self.count_header(channel, payload) {
                Some(bytes) => {
                    let header = anew.unwrap_or_else(|| payload.to_vec());
                    self.cut(channel, CutBody::new(header, bytes))
                }
                None => anew.map_or(FrameVerdict::AsItIs, FrameVerdict::Anew),
            };
        }
        if self.flow.is_some()
            && let Some(tag) = announced(payload)
        {
            self.arriving.entry(channel).or_default().announced = Some(tag);
        }
        match tune::limit(payload, self.heartbeat) {
            Ok(None) => {}
            Ok(small) => self.small = small,
            Err(none) => self.insufficient = Some(none),
        }
        let anew = headers::method(payload);
        repeated::hide(payload, &self.secrets);
        anew.map_or(FrameVerdict::AsItIs, FrameVerdict::Anew)
    }

    fn count_header(&mut self, channel: [u8; 2], payload: &[u8]) -> Option<u64> {
        let flow = self.flow.as_ref()?;
        let bytes = u64::from_be_bytes(payload.get(4..12)?.try_into().ok()?);
        // The library must see a header that no method announced, as it then ends the connection.
        let arriving = self.arriving.get_mut(&channel)?;
        arriving.tag = arriving.announced.take()?;
        arriving.cutting = None;
        arriving.missing = usize::try_from(bytes).unwrap_or(usize::MAX);
        if flow.cuts(bytes) {
            return Some(bytes);
        }
        flow.comes(arriving.missing);
        if bytes == 0 {
            flow.is_complete();
        }
        None
    }

    fn cut(&mut self, channel: [u8; 2], cutting: CutBody) -> FrameVerdict {
        self.flow.iter().for_each(|flow| flow.comes(cutting.keeps()));
        self.arriving.entry(channel).or_default().cutting = Some(cutting);
        FrameVerdict::Withheld
    }

    fn begins(&mut self, kind: u8, channel: [u8; 2], length: usize) {
        self.passing = length;
        if kind == BODY
            && let Some(arriving) = self.arriving.get_mut(&channel).filter(|arriving| arriving.missing > 0)
        {
            arriving.missing = arriving.missing.saturating_sub(length - HEADER - 1);
            self.completes = (arriving.missing == 0).then_some(channel);
            self.withheld = arriving.cutting.is_some().then_some((channel, length));
        }
    }

    fn withhold(&mut self, piece: &[u8]) {
        let Some((channel, length)) = self.withheld else { return };
        let before = length - self.passing;
        let from = HEADER.saturating_sub(before).min(piece.len());
        let to = (length - 1 - before).min(piece.len());
        let cutting = self.arriving.get_mut(&channel).and_then(|arriving| arriving.cutting.as_mut());
        if let Some(cutting) = cutting {
            cutting.add(&piece[from.min(to)..to]);
        }
    }

    fn passed(&mut self) {
        if self.passing > 0 {
            return;
        }
        self.withheld = None;
        let (Some(channel), Some(flow)) = (self.completes.take(), self.flow.clone()) else { return };
        let arriving = self.arriving.entry(channel).or_default();
        if let Some(cutting) = arriving.cutting.take() {
            let (header, kept, cut) = cutting.end();
            flow.was_cut(u16::from_be_bytes(channel), arriving.tag, cut);
            let [a, b] = channel;
            self.push([CONTENT_HEADER, a, b], &header);
            kept.chunks(headers::SMALL).for_each(|piece| self.push([BODY, a, b], piece));
        }
        flow.is_complete();
    }

    fn push(&mut self, type_and_channel: [u8; 3], payload: &[u8]) {
        let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.ready.extend_from_slice(&type_and_channel);
        self.ready.extend_from_slice(&size.to_be_bytes());
        self.ready.extend_from_slice(payload);
        self.ready.push(0xCE);
    }
}

fn next(bytes: &[u8]) -> Result<NextFrame, BrokenFrame> {
    let Some(kind) = bytes.first().copied() else { return Ok(NextFrame::Incomplete) };
    match kind {
        METHOD | CONTENT_HEADER | BODY | HEARTBEAT => {
            let Some(size) = size(bytes) else { return Ok(NextFrame::Incomplete) };
            let length = HEADER + size + 1;
            // The client library waits for the end of a frame for which it has no room.
            if length > LARGEST as usize {
                return Err(BrokenFrame::TooLarge(length as u64));
            }
            Ok(match kind {
                BODY | HEARTBEAT => NextFrame::Unseen(length),
                _ if bytes.len() < length => NextFrame::Incomplete,
                kind => NextFrame::Seen { kind, length },
            })
        }
        b'A' => Ok(NextFrame::Unseen(PROTOCOL_HEADER)),
        unknown => Err(BrokenFrame::UnknownType(unknown)),
    }
}

/// Returns the delivery tag of a method that a content header follows: `basic.deliver`, `basic.get-ok`, `basic.return`
/// (which has none).
fn announced(method: &[u8]) -> Option<u64> {
    let (id, rest) = method.split_first_chunk()?;
    let tag = match id {
        [0, 60, 0, 60] => rest.get(1 + usize::from(*rest.first()?)..)?,
        [0, 60, 0, 71] => rest,
        [0, 60, 0, 50] => return Some(0),
        _ => return None,
    };
    Some(u64::from_be_bytes(*tag.first_chunk()?))
}

fn size(frame: &[u8]) -> Option<usize> {
    let [.., a, b, c, d] = *frame.first_chunk::<HEADER>()?;
    usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()
}

#[cfg(test)]
mod tests;
