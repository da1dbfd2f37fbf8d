//! A session with a link for each address: what frames change, and the frames that answer. Nothing waits here.
//!
//! The credit of a link is its share of the prefetch, less the messages in hand. A peer that sends more is refused, so
//! messages without bytes are bounded too. [`BodyFlow`] bounds the bytes: beyond its bound no frame is read.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use osnl_model::BodyHasher;
use tokio::sync::mpsc::UnboundedSender;

use super::codec::{TRUE, Value, frame, list, uint};
use super::wire::end;
use crate::bodies::{BodyBounds, Cut};
use crate::body_flow::BodyFlow;
use crate::error::TransportError;
use crate::message::{Epoch, IncomingMessage, Properties};
use crate::settle::{Settlement, Window};
use crate::topology::Binding;

/// The transfers that the broker may send before the next flow.
pub(super) const WINDOW: u32 = 2048;
/// The bytes that a message may have beside its body.
const AROUND_A_BODY: usize = 64 << 10;
const ACCEPTED: u8 = 0x24;
const RELEASED: u8 = 0x26;

pub(super) struct Session {
    epoch: Epoch,
    links: Vec<Link>,
    /// The prefetch of each link.
    share: u32,
    bounds: BodyBounds,
    pub(super) flow: Arc<BodyFlow>,
    out: UnboundedSender<Vec<u8>>,
    /// The number of the next transfer.
    next: u32,
    /// The transfers since the last flow.
    transfers: u32,
    pub(super) ready: VecDeque<IncomingMessage>,
    pub(super) end: Option<TransportError>,
    pub(super) is_quiet: bool,
    is_closing: bool,
}

struct Link {
    binding: Binding,
    /// The peer's number of the link.
    handle: u64,
    deliveries: u32,
    credit: u32,
    /// The deliveries in hand with their ids, in the order of their tags.
    unsettled: VecDeque<(u64, u32)>,
    last_tag: u64,
    unfinished: Option<Delivery>,
}

#[derive(Default)]
struct Delivery {
    id: u32,
    /// The bytes of the message as far as received, to the end of the head if the body is cut.
    payload: Vec<u8>,
    cut: Option<(BodyHasher, u64)>,
}

impl Session {
    /// A link's numbers are the broker's, of the link and of its deliveries.
    pub(super) fn new(
        epoch: Epoch,
        links: Vec<(Binding, (u64, u32))>,
        (share, bounds): (u32, BodyBounds),
        out: UnboundedSender<Vec<u8>>,
        next: u32,
    ) -> Self {
        let links = links.into_iter().map(|(binding, (handle, deliveries))| Link {
            binding,
            handle,
            deliveries,
            credit: 0,
            unsettled: VecDeque::new(),
            last_tag: 0,
            unfinished: None,
        });
        let flow = Arc::<BodyFlow>::default();
        flow.begin(bounds);
        let mut session = Self {
            epoch,
            links: links.collect(),
            share,
            bounds,
            flow,
            out,
            next,
            transfers: 0,
            ready: VecDeque::new(),
            end: None,
            is_quiet: false,
            is_closing: false,
        };
        session.renew_credit();
        session
    }

    /// Sends a frame. A closed channel has an end already.
    fn send(&self, body: &[u8]) {
        let _ = self.out.send(frame(0, body));
    }

    fn send_flow(&mut self, link: &[&[u8]]) {
        let window = [uint(self.next), uint(WINDOW), uint(0), uint(WINDOW)];
        let session = window.iter().map(Vec::as_slice);
        self.send(&list(0x13, &session.chain(link.iter().copied()).collect::<Vec<_>>()));
        self.transfers = 0;
    }

    /// Renews the credit of each link that has at most half of its credit.
    pub(super) fn renew_credit(&mut self) {
        let links = if self.is_quiet { 0 } else { self.links.len() };
        (0..links).for_each(|at| {
            let link = &mut self.links[at];
            let in_hand = link.unsettled.len() + usize::from(link.unfinished.is_some());
            let possible = self.share.saturating_sub(u32::try_from(in_hand).unwrap_or(u32::MAX));
            if link.credit <= possible / 2 && possible > 0 {
                link.credit = possible;
                self.grant(at, possible);
            }
        });
    }

    fn grant(&mut self, at: usize, credit: u32) {
        let handle = u32::try_from(at).unwrap_or(u32::MAX);
        let deliveries = self.links[at].deliveries;
        self.send_flow(&[&uint(handle), &uint(deliveries), &uint(credit)]);
    }

    /// Asks for no more messages. Messages on the way still have their credit, and are given back.
    pub(super) fn quiesce(&mut self) {
        self.is_quiet = true;
        (0..self.links.len()).for_each(|at| self.grant(at, 0));
        for message in std::mem::take(&mut self.ready) {
            self.settle(message.channel.into(), &[Settlement::Requeue(message.tag)]);
        }
    }

    /// Asks the broker to close. The answer comes after all that the broker has sent, which is not kept.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
        self.flow.end();
        self.send(&list(0x18, &[]));
    }

    /// Sends the settlements that the window has gathered.
    pub(super) fn flush(&mut self, window: &mut Window) {
        for channel in 0..self.links.len() {
            self.settle(channel, &window.settlements(u16::try_from(channel).unwrap_or(u16::MAX)));
        }
    }

    fn settle(&mut self, channel: usize, settlements: &[Settlement]) {
        for settlement in settlements {
            let (tags, outcome) = match *settlement {
                Settlement::AcknowledgeThrough(last) => (0..=last, ACCEPTED),
                Settlement::Acknowledge(tag) => (tag..=tag, ACCEPTED),
                Settlement::Requeue(tag) => (tag..=tag, RELEASED),
            };
            let unsettled = &mut self.links[channel].unsettled;
            let from = unsettled.partition_point(|(tag, _)| tag < tags.start());
            let until = unsettled.partition_point(|(tag, _)| tag <= tags.end());
            let ids: Vec<u32> = unsettled.drain(from..until).map(|(_, id)| id).collect();
            // A range must not cover the deliveries of another link.
            for run in ids.chunk_by(|id, next| id.wrapping_add(1) == *next) {
                let (first, last) = (uint(run[0]), uint(run[run.len() - 1]));
                self.send(&list(0x15, &[TRUE, &first, &last, TRUE, &list(outcome, &[])]));
            }
        }
    }

    /// Takes a frame from the broker. An error is the reason of the end.
    pub(super) fn take(&mut self, frame: &[u8]) -> Result<(), String> {
        let mut payload = frame;
        let performative = Value::take(&mut payload).unwrap_or_default();
        match performative.descriptor {
            None if frame.is_empty() => Ok(()),
            Some(0x13 | 0x15) => Ok(()),
            Some(0x14) if self.is_closing => Ok(()),
            Some(0x14) => self.transfer(performative, payload),
            _ => Err(end(performative)),
        }
    }

    fn transfer(&mut self, transfer: Value<'_>, payload: &[u8]) -> Result<(), String> {
        self.next = self.next.wrapping_add(1);
        self.transfers += 1;
        if self.transfers >= WINDOW / 2 {
            self.send_flow(&[]);
        }
        let begun = self.links.iter().filter_map(|link| link.unfinished.as_ref());
        let held: usize = begun.map(|delivery| delivery.payload.len()).sum();
        if held > self.bounds.in_hand {
            // A small message beside large ones without an end stays whole.
            let begun = self.links.iter_mut().filter_map(|link| link.unfinished.as_mut());
            begun.max_by_key(|delivery| delivery.payload.len()).into_iter().for_each(Delivery::cut);
        }
        let handle = transfer.field(0).number();
        let Some(at) = self.links.iter().position(|link| Some(link.handle) == handle) else {
            return Err("the peer sent a message on an unknown link".to_owned());
        };
        let link = &mut self.links[at];
        let mut delivery = match link.unfinished.take() {
            Some(delivery) => delivery,
            None => {
                let id = transfer.field(1).number().and_then(|id| u32::try_from(id).ok());
                let id = id.ok_or("the peer sent a message without an id")?;
                link.credit =
                    link.credit.checked_sub(1).ok_or("the peer sent more messages than its credit")?;
                link.deliveries = link.deliveries.wrapping_add(1);
                Delivery { id, ..Delivery::default() }
            }
        };
        if transfer.field(9).is_true() {
            return Ok(());
        }
        delivery.add(payload, self.bounds.whole + AROUND_A_BODY);
        if transfer.field(5).is_true() {
            link.unfinished = Some(delivery);
            return Ok(());
        }
        link.last_tag += 1;
        link.unsettled.push_back((link.last_tag, delivery.id));
        if self.is_quiet {
            let tag = link.last_tag;
            self.settle(at, &[Settlement::Requeue(tag)]);
            return Ok(());
        }
        let bytes = delivery.payload.len();
        self.flow.comes(bytes);
        self.flow.is_complete();
        let (body, cut, redelivered, properties) = delivery.read();
        self.ready.push_back(IncomingMessage {
            epoch: self.epoch,
            channel: u16::try_from(at).unwrap_or(u16::MAX),
            tag: link.last_tag,
            _in_hand: Some(self.flow.share(bytes)),
            body,
            cut,
            queue: link.binding.queue.as_str().into(),
            exchange: link.binding.exchange.clone(),
            routing_key: link.binding.routing_key.clone(),
            redelivered,
            stream_offset: None,
            partition: None,
            properties,
            marks: None,
        });
        Ok(())
    }
}

impl Delivery {
    /// Adds the payload of a transfer. Once there are more than `most` bytes, only the head of the body is kept.
    fn add(&mut self, piece: &[u8], most: usize) {
        if self.payload.len() + piece.len() > most {
            self.cut();
        }
        match &mut self.cut {
            None => self.payload.extend_from_slice(piece),
            Some((digest, bytes)) => {
                digest.add(piece);
                *bytes += piece.len() as u64;
            }
        }
    }

    /// Keeps only the head of the body from now on; the head of all, if there is much before the body.
    fn cut(&mut self) {
        if self.cut.is_some() {
            return;
        }
        let (start, mut digest) = (body_start(&self.payload), BodyHasher::default());
        let start = if start > AROUND_A_BODY { 0 } else { start };
        digest.add(&self.payload[start..]);
        self.cut = Some((digest, (self.payload.len() - start) as u64));
        self.payload.truncate(start + BodyBounds::HEAD);
        self.payload.shrink_to_fit();
    }

    /// Reads the sections of the message. A message that cannot be read is its own body, which the listener treats like
    /// any other that is not a notification.
    fn read(mut self) -> (Bytes, Option<Box<Cut>>, bool, Properties) {
        // A body keeps the whole allocation, which would be counted nowhere.
        self.payload.shrink_to_fit();
        let payload = Bytes::from(self.payload);
        let (mut rest, mut redelivered, mut properties) = (&payload[..], false, Properties::default());
        let (mut parts, mut first, mut joined, mut is_known) = (0, &payload[..0], Vec::new(), true);
        while let Some(section) = Value::take(&mut rest) {
            match (section.descriptor, section.bytes()) {
                (Some(0x70), _) => redelivered = section.field(4).number().is_some_and(|count| count > 0),
                (Some(0x73), _) => {
                    properties.content_type = section.field(6).bytes().map(Properties::text).map(Into::into);
                    properties.content_encoding =
                        section.field(7).bytes().map(Properties::text).map(Into::into);
                }
                (Some(0x74), _) => {
                    properties.compression = section.entry("compression").bytes().map(Properties::text)
                }
                (Some(0x71 | 0x72 | 0x78), _) => {}
                // The body is a string from oslo.messaging, and data in one or more sections from other publishers.
                (Some(0x75 | 0x77), Some(part)) => {
                    parts += 1;
                    match parts {
                        1 => first = part,
                        2 => joined = [first, part].concat(),
                        _ => joined.extend_from_slice(part),
                    }
                }
                _ => is_known = false,
            }
        }
        let cut = self.cut.map(|(digest, bytes)| Box::new(Cut { bytes, digest: digest.finish() }));
        let body = match parts {
            _ if cut.is_some() => payload.slice(body_start(&payload)..),
            1 if is_known && rest.is_empty() && payload.len() - first.len() > AROUND_A_SHARE => {
                Bytes::copy_from_slice(first)
            }
            1 if is_known && rest.is_empty() => payload.slice_ref(first),
            2.. if is_known && rest.is_empty() => joined.into(),
            _ => payload.clone(),
        };
        (body, cut, redelivered, properties)
    }
}

/// The most bytes around a body that its allocation may hold besides.
const AROUND_A_SHARE: usize = 4096;

/// Returns the place where the body begins in an unfinished message, if its body has one section.
fn body_start(payload: &[u8]) -> usize {
    let mut rest = payload;
    while Value::take(&mut rest).is_some() {}
    let constructor = match rest {
        [0, 0x53, 0x75 | 0x77, 0xb0 | 0xb1, _, _, _, _, ..] => 8,
        _ => 0,
    };
    payload.len() - rest.len() + constructor
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::amqp1::codec::{BINARY, NULL, text};

    fn session() -> (Session, UnboundedReceiver<Vec<u8>>) {
        let (out, sent) = unbounded_channel();
        let binding = Binding { queue: "a".into(), exchange: "nova".into(), routing_key: "n.info".into() };
        let bounds = (4, BodyBounds { in_hand: 400_000, whole: 200_000 });
        (Session::new(Epoch::next(), vec![(binding, (7, 0))], bounds, out, 0), sent)
    }

    /// Returns a transfer on a link with an id, with further fields from the fifth.
    fn transfer(handle: u8, id: u32, fields: &[&[u8]], payload: &[u8]) -> Vec<u8> {
        let (handle, id) = ([0x52, handle], uint(id));
        let fields = [&[&handle[..], &id, NULL, NULL, NULL][..], fields].concat();
        [list(0x14, &fields), payload.to_vec()].concat()
    }

    fn data(body: &[u8]) -> Vec<u8> {
        [&[0x00, 0x53, 0x75][..], &text(BINARY, body)].concat()
    }

    #[test]
    fn hostile_bytes_of_a_message_are_its_body_and_others_end_the_connection() {
        let nested = [[0x00, 0x53, 0x72].repeat(20_000), vec![0x40]].concat();
        let zeros = [0x00, 0x53, 0x72, 0xf0, 0, 0, 0, 5, 0x80, 0, 0, 0, 0x40].to_vec();
        let beyond = [0x00, 0x53, 0x77, 0xb1, 0xff, 0xff, 0xff, 0xff, b'x'].to_vec();
        let map = [0x00, 0x53, 0x77, 0xc1, 1, 0].to_vec();
        let cases = [
            (7, [nested, data(b"b")].concat(), Ok("b".into())),
            (7, [zeros, data(b"b")].concat(), Ok("b".into())),
            (7, [data(b"one"), data(b"two"), data(b"three")].concat(), Ok("onetwothree".into())),
            (7, beyond.clone(), Ok(beyond)),
            (7, map.clone(), Ok(map)),
            (7, b"x".to_vec(), Ok(b"x".to_vec())),
            (7, Vec::new(), Ok(Vec::new())),
            (8, data(b"b"), Err("the peer sent a message on an unknown link".to_owned())),
        ];
        for (handle, payload, expected) in cases {
            let (mut session, _sent) = session();
            let taken = session.take(&transfer(handle, 1, &[], &payload));
            let body = taken.map(|()| session.ready[0].body.to_vec());
            assert_eq!(body, expected, "{}", payload[..payload.len().min(40)].escape_ascii());
        }
        for frame in [&[0x00, 0x53][..], &[0x40], &list(0x20, &[]), &list(0x14, &[]), &list(0x18, &[])] {
            assert!(session().0.take(frame).is_err(), "{frame:x?}");
        }
        // No change of one byte and no missing end makes a panic.
        let message = [&[0x00, 0x53, 0x73][..], &[0xc0, 3, 1, 0xa1, 0], &data(b"b")].concat();
        let valid = transfer(7, 1, &[TRUE, NULL], &message);
        for (at, byte) in (0..valid.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
            let (mut changed, mut session) = (valid.clone(), session().0);
            changed[at] = byte;
            let _ = (session.take(&valid[..at]), session.take(&changed), session.take(&changed));
        }
    }

    #[test]
    fn a_message_without_end_is_cut_and_memory_bounded() {
        let (mut session, _sent) = session();
        let piece = [b'x'; 50_000];
        let begin = [0x00, 0x53, 0x75, 0xb0, 0xff, 0, 0, 0];
        session.take(&transfer(7, 1, &[TRUE], &begin)).unwrap();
        for _ in 0..1000 {
            session.take(&transfer(7, 1, &[TRUE], &piece)).unwrap();
        }
        let held = session.links[0].unfinished.as_ref().unwrap().payload.capacity();
        assert!(held < 1_000_000, "{held}");
        session.take(&transfer(7, 1, &[], b"yz")).unwrap();
        let message = session.ready.pop_front().unwrap();
        assert_eq!(message.body, [b'x'; BodyBounds::HEAD][..]);
        let whole = [&[b'x'; 50_000].repeat(1000)[..], b"yz"].concat();
        let digest = osnl_model::BodyDigest::of(&whole);
        assert_eq!(*message.cut.unwrap(), Cut { bytes: 50_000_002, digest });
    }

    #[test]
    fn a_small_message_beside_large_ones_without_an_end_stays_whole() {
        let binding = Binding { queue: "a".into(), exchange: "nova".into(), routing_key: "n.info".into() };
        let links = (0..4).map(|handle| (binding.clone(), (handle, 0))).collect();
        let bounds = (8, BodyBounds { in_hand: 400_000, whole: 200_000 });
        let mut session = Session::new(Epoch::next(), links, bounds, unbounded_channel().0, 0);
        let begin = [&[0x00, 0x53, 0x75, 0xb0, 0, 3, 0, 0][..], &[b'x'; 150_000]].concat();
        for id in 0..3 {
            session.take(&transfer(id, id.into(), &[TRUE], &begin)).unwrap();
        }
        session.take(&transfer(3, 3, &[], &data(b"small"))).unwrap();
        let small = session.ready.pop_front().unwrap();
        assert_eq!((&small.body[..], small.cut), (&b"small"[..], None));
        let cut =
            session.links.iter().filter_map(|link| link.unfinished.as_ref()).filter(|of| of.cut.is_some());
        assert_eq!(cut.map(|of| of.payload.len()).collect::<Vec<_>>(), [8 + BodyBounds::HEAD]);
    }

    #[test]
    fn credit_is_the_prefetch_less_the_messages_in_hand() {
        let (mut session, mut sent) = session();
        let mut credits = || {
            let frames = std::iter::from_fn(|| sent.try_recv().ok());
            let credit = |frame: Vec<u8>| Value::take(&mut &frame[8..]).unwrap().field(6).number();
            frames.filter_map(credit).collect::<Vec<_>>()
        };
        assert_eq!(credits(), [4]);
        for id in 1..=4 {
            session.take(&transfer(7, id, &[], &data(b""))).unwrap();
        }
        let more = session.take(&transfer(7, 5, &[], &data(b"")));
        assert_eq!(more, Err("the peer sent more messages than its credit".to_owned()));
        session.renew_credit();
        assert!(credits().is_empty());
        session.links[0].unsettled.truncate(1);
        session.renew_credit();
        assert_eq!(credits(), [3]);
        // An aborted delivery is no message, and its credit is spent.
        session.take(&transfer(7, 6, &[TRUE], b"x")).unwrap();
        session.take(&transfer(7, 6, &[NULL, NULL, NULL, NULL, TRUE], b"")).unwrap();
        assert_eq!((session.ready.len(), session.links[0].credit), (4, 2));
        session.quiesce();
        session.renew_credit();
        assert_eq!(credits(), [0]);
        session.take(&transfer(7, 7, &[], &data(b""))).unwrap();
        assert!(session.ready.is_empty() && session.links[0].unsettled.is_empty(), "all are given back");
    }

    #[test]
    fn a_range_of_settlements_covers_no_other_delivery() {
        let (mut session, mut sent) = session();
        sent.try_recv().unwrap();
        for id in [u32::MAX, 0, 2, 3] {
            session.take(&transfer(7, id, &[], &data(b""))).unwrap();
        }
        session.settle(0, &[Settlement::Requeue(3), Settlement::AcknowledgeThrough(4)]);
        let dispositions = std::iter::from_fn(|| sent.try_recv().ok()).map(|frame| {
            let disposition = Value::take(&mut &frame[8..]).unwrap();
            let number = |at| disposition.field(at).number().unwrap();
            (number(1), number(2), disposition.field(4).descriptor.unwrap())
        });
        let end = u64::from(u32::MAX);
        assert_eq!(dispositions.collect::<Vec<_>>(), [(2, 2, 0x26), (end, 0, 0x24), (3, 3, 0x24)]);
    }
}
