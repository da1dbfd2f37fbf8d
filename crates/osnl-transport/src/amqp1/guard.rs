//! The stream between the broker and the client library.
//!
//! The stream hands over whole frames, after the [walker](super::walker) has passed their values. The client library
//! joins the transfers of a delivery and decodes the whole at the end, so the payload is walked across transfers, with
//! a state for each link. The stream refuses frames after which the client library could join other bytes: a resumed
//! transfer, an unknown field, and a session or link that begins within a delivery.
//!
//! The stream also keeps the facts that the client library hides: the product of the peer, the reason of the end, and
//! the bytes of each delivery. While too many bytes of bodies are in hand, the stream stops reading, and feeds empty
//! frames to the client library, which would take the pause for a silent broker.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::walker::{Walker, described, number, text, values};
use crate::error::TransportError;
use crate::rabbit::{BodyFlow, BodyShare};

/// The longest frame that the broker may send.
pub(super) const LONGEST_FRAME: u32 = 65_536;
/// The time without a byte from the broker after which the client library ends the connection.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
const HEADER: &[u8] = b"AMQP";
const EMPTY_FRAME: [u8; 8] = [0, 0, 0, 8, 2, 0, 0, 0];
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
    pub(super) body_flow: Arc<BodyFlow>,
    pub(super) changed: Notify,
    facts: Mutex<Facts>,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) product: Option<String>,
    pub(super) end: Option<TransportError>,
    /// The payload bytes of complete deliveries that are not taken yet, by delivery id.
    pub(super) untaken: BTreeMap<u32, usize>,
}

impl Observed {
    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reason(&self) -> Option<String> {
        match self.facts().end.as_ref()? {
            TransportError::Lost { reason } => Some(reason.clone()),
            error => Some(error.to_string()),
        }
    }

    /// Takes the share of a complete delivery in the bytes in hand. The share of the library's buffers ends.
    pub(super) fn share(&self, delivery: u32) -> BodyShare {
        let bytes = self.facts().untaken.remove(&delivery).unwrap_or_default();
        drop(self.body_flow.share(bytes));
        self.body_flow.share(bytes)
    }

    /// Notes the first reason of the end.
    pub(super) fn end(&self, reason: impl Into<String>) {
        self.facts().end.get_or_insert_with(|| TransportError::Lost { reason: reason.into() });
        self.changed.notify_one();
    }
}

#[derive(Debug)]
pub(super) struct GuardedStream<S> {
    stream: S,
    observed: Arc<Observed>,
    /// The frame that is being received or handed over.
    frame: Vec<u8>,
    /// The bytes of the frame that are handed over; `None` while the frame is incomplete.
    given: Option<usize>,
    deliveries: BTreeMap<(u16, u64), Delivery>,
    /// Whether the peer has sent a header of AMQP 1.0.
    is_amqp: bool,
    beat: Interval,
}

/// A delivery whose last transfer is missing.
#[derive(Debug)]
struct Delivery {
    id: u32,
    bytes: usize,
    walker: Walker,
}

impl<S> GuardedStream<S> {
    pub(super) fn new(stream: S, observed: Arc<Observed>) -> Self {
        let mut beat = interval(SILENCE / 3);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            stream,
            observed,
            frame: Vec::new(),
            given: None,
            deliveries: BTreeMap::new(),
            is_amqp: false,
            beat,
        }
    }

    /// Returns the length of the frame as far as it is known. A protocol header has the length of the shortest frame.
    fn length(&self) -> Result<usize, String> {
        let Some(size) = self.frame.first_chunk::<4>() else { return Ok(EMPTY_FRAME.len()) };
        match u32::from_be_bytes(*size) {
            _ if size == HEADER => Ok(EMPTY_FRAME.len()),
            size @ 8..=LONGEST_FRAME => Ok(size as usize),
            _ if !self.is_amqp => Err(format!(
                "what answers does not speak AMQP; it begins with \"{}\"",
                self.frame.escape_ascii()
            )),
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
        let body = &self.frame[8..];
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
                Err("the peer sent a payload outside of a transfer".to_owned())
            }
            (1, Some(0x40..=0x44)) | (0, Some(0x13 | 0x15)) => Ok(()),
            (0, Some(0x10)) => {
                let properties = values(field(9));
                let mut pairs = properties.chunks_exact(2);
                let product = pairs.find(|pair| text(pair[0]).as_deref() == Some("product"));
                self.observed.facts().product = product.and_then(|pair| text(pair[1]));
                Ok(())
            }
            (0, Some(0x11 | 0x12)) if self.deliveries.is_empty() => Ok(()),
            (0, Some(0x11 | 0x12)) => Err("the peer began a session or a link within a delivery".to_owned()),
            (0, Some(0x14)) => {
                let is_resumed = boolean(field(8))? || !matches!(field(7), [] | [0x40]);
                if is_resumed || fields.len() > FIELDS_OF_A_TRANSFER {
                    return Err("the peer resumed a delivery, which osnl never asks for".to_owned());
                }
                let transfer = Transfer {
                    link: (channel, number(field(0)).unwrap_or_default()),
                    id: number(field(1)).and_then(|id| u32::try_from(id).ok()),
                    has_more: boolean(field(5))?,
                    is_aborted: boolean(field(9))?,
                };
                let payload = self.frame.len() - payload.len()..self.frame.len();
                self.transfer(&transfer, payload)
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
                self.observed.end(words.join(": "));
                Ok(())
            }
            _ => Err(NO_PERFORMATIVE.to_owned()),
        }
    }

    fn transfer(&mut self, transfer: &Transfer, payload: std::ops::Range<usize>) -> Result<(), String> {
        let (flow, link) = (&self.observed.body_flow, transfer.link);
        let mut delivery = match (self.deliveries.remove(&link), transfer.id) {
            (Some(delivery), _) => delivery,
            (None, Some(id)) => Delivery { id, bytes: 0, walker: Walker::default() },
            (None, None) => return Err("the peer sent a transfer without a delivery".to_owned()),
        };
        // Counted twice until the delivery is taken: in the library's buffers, and in the copy that decoding makes.
        flow.comes(2 * payload.len());
        delivery.bytes += payload.len();
        if transfer.is_aborted {
            flow.is_complete();
            drop(flow.share(2 * delivery.bytes));
            return Ok(());
        }
        let mut rest = &self.frame[payload];
        while !rest.is_empty() {
            rest = &rest[delivery.walker.value(rest)?..];
        }
        if transfer.has_more {
            self.deliveries.insert(link, delivery);
        } else if delivery.walker.is_between() {
            flow.is_complete();
            flow.is_complete();
            self.observed.facts().untaken.insert(delivery.id, delivery.bytes);
        } else {
            return Err("the peer sent a message that ends within a value".to_owned());
        }
        Ok(())
    }
}

struct Transfer {
    link: (u16, u64),
    id: Option<u32>,
    has_more: bool,
    is_aborted: bool,
}

/// Reads a boolean as the client library does. Another reading could keep the bytes of an aborted delivery.
fn boolean(value: &[u8]) -> Result<bool, &'static str> {
    match value {
        [] | [0x40 | 0x42] | [0x56, 0] => Ok(false),
        [0x41] | [0x56, 1] => Ok(true),
        _ => Err("the peer sent another value for a boolean"),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let refused = |stream: &Self, reason: String| {
            stream.observed.end(reason.clone());
            Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)))
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
            if stream.frame.is_empty() && stream.observed.body_flow.poll_room(context).is_pending() {
                ready!(stream.beat.poll_tick(context));
                stream.frame.extend(EMPTY_FRAME);
                stream.given = Some(0);
                continue;
            }
            let length = match stream.length() {
                Ok(length) => length,
                Err(reason) => return refused(stream, reason),
            };
            let had = stream.frame.len();
            if had < length {
                stream.frame.resize(length, 0);
                let mut buffer = ReadBuf::new(&mut stream.frame[had..]);
                let polled = pin!(&mut stream.stream).poll_read(context, &mut buffer);
                let read = buffer.filled().len();
                stream.frame.truncate(had + read);
                match polled {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) if read > 0 => {}
                    Poll::Ready(Ok(())) => {
                        stream.observed.end("the peer ended the connection");
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Ready(Err(error)) => {
                        stream.observed.end(error.to_string());
                        return Poll::Ready(Err(error));
                    }
                }
                continue;
            }
            if let Err(reason) = stream.check() {
                return refused(stream, reason);
            }
            stream.given = Some(0);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        pin!(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S> Drop for GuardedStream<S> {
    fn drop(&mut self) {
        self.observed.end(ENDED_BY_LIBRARY);
    }
}
