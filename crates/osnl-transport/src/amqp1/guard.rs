//! The reader between the broker and the client library.
//!
//! The reader hands over whole frames, after the [walker](super::walker) has passed their values. The client library
//! joins the transfers of a delivery and decodes the whole at the end, so the payload is walked across transfers, with
//! a state for each link. The reader refuses frames after which the client library could join other bytes: a resumed
//! transfer, an unknown field, and a session or link that begins within a delivery.
//!
//! The reader also keeps two facts that the client library hides: the product of the peer, and the reason of the end.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::walker::{Walker, described, number, text, values};
use crate::error::TransportError;

/// The longest frame that the broker may send.
pub(super) const LONGEST_FRAME: u32 = 65_536;
const HEADER: &[u8] = b"AMQP";
/// The length of a protocol header, and of the shortest frame.
const SHORTEST: usize = 8;
const FIELDS_OF_A_TRANSFER: usize = 11;
const NO_PERFORMATIVE: &str = "the peer sent a frame without a known performative";
const ANOTHER_VERSION: &str =
    "the peer speaks another AMQP than 1.0; for RabbitMQ write rabbit://, which is AMQP 0-9-1";
const ENDED_BY_LIBRARY: &str =
    "the client library ended the connection, as it does after 60 s without a frame";

/// The connection below, by TCP or TLS.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Duplex for T {}

#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) changed: Notify,
    facts: Mutex<Facts>,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) product: Option<String>,
    pub(super) end: Option<TransportError>,
}

impl Observed {
    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the first reason of the end, and returns this reason.
    pub(super) fn end(&self, error: TransportError) -> TransportError {
        let first = self.facts().end.get_or_insert(error).clone();
        self.changed.notify_one();
        first
    }

    pub(super) fn lost(&self, reason: impl Display) -> TransportError {
        self.end(TransportError::Lost { reason: reason.to_string() })
    }
}

#[derive(Debug)]
pub(super) struct GuardedReader<S> {
    stream: S,
    observed: Arc<Observed>,
    /// The frame that is being received or handed over.
    frame: Vec<u8>,
    /// The bytes of the frame that are handed over; `None` while the frame is incomplete.
    given: Option<usize>,
    /// The deliveries whose last transfer is missing, by channel and handle.
    unfinished: BTreeMap<(u16, u64), Walker>,
    /// Whether the peer has sent a header of AMQP 1.0.
    is_amqp: bool,
}

impl<S> GuardedReader<S> {
    pub(super) fn new(stream: S, observed: Arc<Observed>) -> Self {
        Self { stream, observed, frame: Vec::new(), given: None, unfinished: BTreeMap::new(), is_amqp: false }
    }

    /// Returns the length of the frame, or of its beginning while the length is unknown.
    fn length(&self) -> Result<usize, String> {
        let Some(size) = self.frame.first_chunk::<4>() else { return Ok(SHORTEST) };
        match u32::from_be_bytes(*size) {
            _ if size == HEADER => Ok(SHORTEST),
            size @ 8..=LONGEST_FRAME => Ok(size as usize),
            _ if !self.is_amqp => {
                let found = self.frame.escape_ascii();
                Err(format!("what answers does not speak AMQP; it begins with \"{found}\""))
            }
            size => {
                Err(format!("the peer sent a frame of {size} bytes; at most {LONGEST_FRAME} are allowed"))
            }
        }
    }

    fn check(&mut self) -> Result<(), String> {
        if let Some(version) = self.frame.strip_prefix(HEADER) {
            self.is_amqp = matches!(version, [0 | 3, 1, 0, 0]);
            return if self.is_amqp { Ok(()) } else { Err(ANOTHER_VERSION.to_owned()) };
        }
        let (kind, channel) = (self.frame[5], u16::from_be_bytes([self.frame[6], self.frame[7]]));
        let body = &self.frame[SHORTEST..];
        if self.frame[4] != 2 {
            return Err("the peer sent a frame with an extended header".to_owned());
        }
        if body.is_empty() {
            return Ok(());
        }
        let mut walker = Walker::default();
        let (performative, payload) = body.split_at(walker.value(body)?);
        let (code, list) = described(performative).ok_or(NO_PERFORMATIVE)?;
        if !walker.is_between() || !matches!(list.first(), Some(0x45 | 0xc0 | 0xd0)) {
            return Err(NO_PERFORMATIVE.to_owned());
        }
        let fields = values(list);
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        match (kind, number(code)) {
            (_, Some(code)) if code != 0x14 && !payload.is_empty() => {
                return Err("the peer sent a payload outside of a transfer".to_owned());
            }
            (1, Some(0x40..=0x44)) | (0, Some(0x13 | 0x15)) => {}
            (0, Some(0x10)) => {
                let properties = values(field(9));
                let mut pairs = properties.chunks_exact(2);
                let product = pairs.find(|pair| text(pair[0]).as_deref() == Some("product"));
                self.observed.facts().product = product.and_then(|pair| text(pair[1]));
            }
            (0, Some(0x11 | 0x12)) if self.unfinished.is_empty() => {}
            (0, Some(0x11 | 0x12)) => {
                return Err("the peer began a session or a link within a delivery".to_owned());
            }
            (0, Some(0x14)) => {
                let is_resumed = boolean(field(8))? || !matches!(field(7), [] | [0x40]);
                if is_resumed || fields.len() > FIELDS_OF_A_TRANSFER {
                    return Err("the peer resumed a delivery, which osnl never asks for".to_owned());
                }
                let link = (channel, number(field(0)).unwrap_or_default());
                let mut walker = self.unfinished.remove(&link).unwrap_or_default();
                let mut rest = payload;
                while !rest.is_empty() {
                    rest = &rest[walker.value(rest)?..];
                }
                match (boolean(field(9))?, boolean(field(5))?) {
                    (true, _) => {}
                    (false, true) => drop(self.unfinished.insert(link, walker)),
                    (false, false) if walker.is_between() => {}
                    (false, false) => {
                        return Err("the peer sent a message that ends within a value".to_owned());
                    }
                }
            }
            (0, Some(code @ 0x16..=0x18)) => {
                let (ended, at) = match code {
                    0x16 => ("detached the link", 2),
                    0x17 => ("ended the session", 0),
                    _ => ("closed the connection", 0),
                };
                let error = values(described(field(at)).unwrap_or_default().1);
                let mut words = vec![format!("the peer {ended}")];
                words.extend(error.iter().take(2).filter_map(|value| text(value)));
                self.observed.lost(words.join(": "));
            }
            _ => return Err(NO_PERFORMATIVE.to_owned()),
        }
        Ok(())
    }
}

/// Reads a boolean as the client library does. Another reading could keep the bytes of an aborted delivery.
fn boolean(value: &[u8]) -> Result<bool, &'static str> {
    match value {
        [] | [0x40 | 0x42] | [0x56, 0] => Ok(false),
        [0x41] | [0x56, 1] => Ok(true),
        _ => Err("the peer sent another value for a boolean"),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedReader<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let refused = |observed: &Observed, reason: String| {
            Err(io::Error::new(io::ErrorKind::InvalidData, observed.lost(reason)))
        };
        loop {
            if let Some(given) = &mut stream.given {
                let taken = out.remaining().min(stream.frame.len() - *given);
                out.put_slice(&stream.frame[*given..*given + taken]);
                *given += taken;
                if *given == stream.frame.len() {
                    stream.given = None;
                    stream.frame.clear();
                }
                return Poll::Ready(Ok(()));
            }
            let length = match stream.length() {
                Ok(length) => length,
                Err(reason) => return Poll::Ready(refused(&stream.observed, reason)),
            };
            let had = stream.frame.len();
            if had == length {
                match stream.check() {
                    Ok(()) => stream.given = Some(0),
                    Err(reason) => return Poll::Ready(refused(&stream.observed, reason)),
                }
                continue;
            }
            stream.frame.resize(length, 0);
            let mut buffer = ReadBuf::new(&mut stream.frame[had..]);
            let polled = pin!(&mut stream.stream).poll_read(context, &mut buffer);
            let read = buffer.filled().len();
            stream.frame.truncate(had + read);
            if let Err(error) = ready!(polled) {
                stream.observed.lost(&error);
                return Poll::Ready(Err(error));
            }
            if read == 0 {
                stream.observed.lost("the peer ended the connection");
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S> Drop for GuardedReader<S> {
    fn drop(&mut self) {
        self.observed.lost(ENDED_BY_LIBRARY);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    const AMQP: &[u8] = b"AMQP\0\x01\0\0";
    /// A handle, the id and the tag of a delivery, false, true, and null.
    const FIELDS: [&[u8]; 6] = [&[0x43], &[0x52, 1], &[0xa0, 1, 1], &[0x42], &[0x41], &[0x40]];

    fn list(fields: &[&[u8]]) -> Vec<u8> {
        let bytes = fields.concat();
        let size = u32::try_from(bytes.len() + 4).unwrap().to_be_bytes();
        [&[0xd0][..], &size, &u32::try_from(fields.len()).unwrap().to_be_bytes(), &bytes].concat()
    }

    fn frame(code: u8, fields: &[&[u8]], payload: &[u8]) -> Vec<u8> {
        let body = [&[0x00, 0x53, code][..], &list(fields), payload].concat();
        [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], &[2, 0, 0, 0], &body].concat()
    }

    /// Returns a message in transfers of the length. Its annotations have a value with so many levels of lists.
    fn message(levels: usize, length: usize) -> Vec<u8> {
        let nested = (0..levels).fold(vec![0x40], |inner, _| list(&[&inner]));
        let mut annotations = list(&[&[0xa3, 1, b'x'], &nested]);
        annotations[0] = 0xd1;
        let message = [&[0x00, 0x53, 0x72][..], &annotations, &[0x00, 0x53, 0x77, 0xa1, 1, b'm']].concat();
        let (last, [handle, id, tag, no, yes, null]) = (message.len().div_ceil(length) - 1, FIELDS);
        let has_more = |at: usize| if at < last { yes } else { no };
        let transfer =
            |(at, piece): (usize, &[u8])| frame(0x14, &[handle, id, tag, null, no, has_more(at)], piece);
        message.chunks(length).enumerate().flat_map(transfer).collect()
    }

    /// Returns the bytes for the client library, and the reason of the end.
    async fn read(sent: &[u8]) -> (Vec<u8>, String) {
        let (observed, mut passed) = (Arc::<Observed>::default(), Vec::new());
        let mut stream = GuardedReader::new(sent, Arc::clone(&observed));
        let _ = stream.read_to_end(&mut passed).await;
        (passed, observed.lost("").to_string())
    }

    #[tokio::test]
    async fn deep_values_end_the_connection_before_the_library_reads_a_whole_message() {
        for length in [usize::MAX, 1000, 7] {
            let (fine, deep) = ([AMQP, &message(3, length.min(20))].concat(), message(1000, length));
            let (passed, end) = read(&[&fine[..], &deep].concat()).await;
            assert!(passed.starts_with(&fine) && passed.len() < fine.len() + deep.len(), "{length}");
            assert!(end.contains("the peer sent values nested deeper than 16"), "{length}: {end}");
        }
    }

    /// After each of these frames, the client library could join other bytes than the guard has walked.
    #[tokio::test]
    async fn frames_that_could_hide_a_value_are_refused() {
        let [handle, id, tag, no, yes, null] = FIELDS;
        let transfer = |fields: &[&[u8]]| frame(0x14, fields, &[0x00, 0x53, 0x72, 0xd1]);
        let resumed = "resumed a delivery";
        let attached = frame(0x12, &[b"\xa1\x01n", handle, no], &[]);
        let cases = [
            (transfer(&[handle, id, tag, null, no, no]), "ends within a value"),
            (transfer(&[handle, id, tag, null, no, yes, null, null, yes]), resumed),
            (transfer(&[handle, id, tag, null, no, yes, null, &[0x00, 0x53, 0x23, 0x45]]), resumed),
            (transfer(&[&[handle, id, tag, null, no, yes][..], &[null; 6]].concat()), resumed),
            (transfer(&[handle, id, tag, null, no, yes, null, null, no, &[0x56, 2]]), "value for a boolean"),
            ([transfer(&[handle, id, tag, null, no, yes]), attached].concat(), "a link within a delivery"),
            (frame(0x13, &[], b"\x40"), "a payload outside of a transfer"),
            (frame(0x20, &[], &[]), "without a known performative"),
            (vec![0, 1, 17, 112, 2, 0, 0, 0], "a frame of 70000 bytes; at most 65536 are allowed"),
            (b"AMQP\0\0\x09\x01".to_vec(), "the peer speaks another AMQP than 1.0"),
        ];
        for (sent, expected) in cases {
            let (_, end) = read(&[AMQP, &sent].concat()).await;
            assert!(end.contains(expected), "{expected}: {end}");
        }
        let (_, end) = read(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert!(end.contains("does not speak AMQP; it begins with \"HTTP/1.1\""), "{end}");
    }
}
