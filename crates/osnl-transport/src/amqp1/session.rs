//! A session with a link for each address: what frames change, and the frames that answer. Nothing waits here.
//!
//! The credit of a link is its share of the prefetch, less the messages in hand. RabbitMQ 3 sends more if a flow crosses
//! messages, so a share beyond the credit is taken. A peer that sends still more is refused, so messages without bytes are
//! bounded too. [`BodyFlow`] bounds the bytes: beyond its bound no frame is read. Credit is
//! renewed when the frames before are written, so a peer that reads nothing is owed little.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use osnl_model::BodyHasher;
use tokio::sync::Notify;

use super::codec::{TRUE, Value, frame, list, uint};
use super::wire::PeerEnd;
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
    /// The frames that are not yet written, and the alarm of the task that writes.
    out: Vec<u8>,
    pub(super) wake: Arc<Notify>,
    owes_flow: bool,
    /// The number of the next transfer.
    next: u32,
    /// The transfers since the last flow.
    transfers: u32,
    /// The number of messages that have begun.
    begun: u64,
    pub(super) ready: VecDeque<IncomingMessage>,
    pub(super) end: Option<TransportError>,
    pub(super) is_quiet: bool,
    is_closing: bool,
    /// Whether nothing is read any more, so that the last frame ends the writing.
    pub(super) is_over: bool,
}

struct Link {
    binding: Binding,
    /// The peer's number of the link.
    handle: u64,
    deliveries: u32,
    /// Less than nothing while the peer has sent too much.
    credit: i64,
    owes_flow: bool,
    /// The deliveries in hand with their ids, in the order of their tags.
    unsettled: VecDeque<(u64, u32)>,
    last_tag: u64,
    unfinished: Option<Delivery>,
}

#[derive(Default)]
struct Delivery {
    id: u32,
    /// The number of the messages that have begun in this session.
    began: u64,
    is_settled: bool,
    /// The bytes of the message as far as received, to the end of the head if the body is cut.
    payload: Vec<u8>,
    /// The number of the received bytes.
    bytes: usize,
    cut: Option<(BodyHasher, usize)>,
}

impl Session {
    /// A link's numbers are the broker's, of the link and of its deliveries.
    pub(super) fn new(
        epoch: Epoch,
        links: Vec<(Binding, (u64, u32))>,
        (share, bounds): (u32, BodyBounds),
        next: u32,
    ) -> Self {
        let links = links.into_iter().map(|(binding, (handle, deliveries))| Link {
            binding,
            handle,
            deliveries,
            credit: 0,
            owes_flow: false,
            unsettled: VecDeque::new(),
            last_tag: 0,
            unfinished: None,
        });
        let flow = Arc::<BodyFlow>::default();
        flow.begin(bounds);
        Self {
            epoch,
            links: links.collect(),
            share,
            bounds,
            flow,
            out: Vec::new(),
            wake: Arc::default(),
            owes_flow: false,
            next,
            transfers: 0,
            begun: 0,
            ready: VecDeque::new(),
            end: None,
            is_quiet: false,
            is_closing: false,
            is_over: false,
        }
    }

    fn send(&mut self, body: &[u8]) {
        self.out.extend(frame(0, body));
        self.wake.notify_one();
    }

    /// Takes the frames to write, with the flows that are due.
    pub(super) fn due(&mut self) -> Vec<u8> {
        if self.is_closing {
            // No frame may follow the close.
            return std::mem::take(&mut self.out);
        }
        for at in 0..self.links.len() {
            let credit = self.renewable(at);
            let (handle, link) = (u32::try_from(at).unwrap_or(u32::MAX), &mut self.links[at]);
            link.credit = credit.unwrap_or(link.credit);
            if std::mem::take(&mut link.owes_flow) || credit.is_some() {
                let credit = if self.is_quiet { 0 } else { link.credit };
                let credit = u32::try_from(credit).unwrap_or_default();
                let of_link = [uint(handle), uint(link.deliveries), uint(credit)];
                self.flow_frame(&of_link);
            }
        }
        if std::mem::take(&mut self.owes_flow) || self.transfers >= WINDOW / 2 {
            self.flow_frame(&[]);
        }
        std::mem::take(&mut self.out)
    }

    fn flow_frame(&mut self, of_link: &[Vec<u8>]) {
        let window = [uint(self.next), uint(WINDOW), uint(0), uint(WINDOW)];
        let fields: Vec<&[u8]> = window.iter().chain(of_link).map(Vec::as_slice).collect();
        self.out.extend(frame(0, &list(0x13, &fields)));
        self.transfers = 0;
    }

    /// Returns the new credit of a link that has at most half of its credit.
    fn renewable(&self, at: usize) -> Option<i64> {
        let link = &self.links[at];
        let in_hand = link.unsettled.len() + usize::from(link.unfinished.is_some());
        let possible = i64::from(self.share) - i64::try_from(in_hand).unwrap_or(i64::MAX);
        let is_due = possible > 0 && link.credit <= possible / 2;
        (is_due && !self.is_quiet && !self.is_closing).then_some(possible)
    }

    pub(super) fn renew_credit(&self) {
        if (0..self.links.len()).any(|at| self.renewable(at).is_some()) {
            self.wake.notify_one();
        }
    }

    /// Asks for no more messages. Messages on the way still have their credit, and are given back.
    pub(super) fn quiesce(&mut self) {
        self.is_quiet = true;
        self.links.iter_mut().for_each(|link| link.owes_flow = true);
        self.wake.notify_one();
        for message in std::mem::take(&mut self.ready) {
            self.settle(message.channel.into(), &[Settlement::Requeue(message.tag)]);
        }
    }

    /// Asks the broker to close, or answers. The broker's answer comes after all that the broker has sent.
    pub(super) fn close(&mut self) {
        if !std::mem::replace(&mut self.is_closing, true) {
            self.flow.end();
            self.send(&list(0x18, &[]));
        }
    }

    pub(super) fn end_writing(&mut self) {
        self.close();
        self.is_over = true;
        self.wake.notify_one();
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

    /// Takes a frame from the broker. An error is the end.
    pub(super) fn take(&mut self, frame: &[u8]) -> Result<(), TransportError> {
        let mut payload = frame;
        let performative = Value::take(&mut payload).unwrap_or_default();
        match performative.descriptor {
            None if frame.is_empty() => Ok(()),
            Some(0x13) => {
                self.answer_flow(performative);
                Ok(())
            }
            Some(0x15) => Ok(()),
            Some(0x14) if self.is_closing => Ok(()),
            Some(0x14) => self
                .transfer(performative, payload)
                .map_err(|reason| TransportError::Lost { reason: reason.to_owned() }),
            _ => {
                let end = PeerEnd::read(performative);
                let Some(at) = self.links.iter().position(|link| Some(link.handle) == end.handle) else {
                    return Err(end.into());
                };
                self.send(&list(0x16, &[&uint(u32::try_from(at).unwrap_or(u32::MAX)), TRUE]));
                Err(end.of_address(&self.links[at].binding.queue))
            }
        }
    }

    /// Answers a flow that asks for an echo. Several questions before the next write have one answer.
    fn answer_flow(&mut self, flow: Value<'_>) {
        if !flow.field(9).is_true() {
            return;
        }
        let handle = flow.field(4).number();
        match self.links.iter_mut().find(|link| Some(link.handle) == handle) {
            Some(link) => link.owes_flow = true,
            None => self.owes_flow = true,
        }
        self.wake.notify_one();
    }

    fn transfer(&mut self, transfer: Value<'_>, payload: &[u8]) -> Result<(), &'static str> {
        self.next = self.next.wrapping_add(1);
        self.transfers += 1;
        if self.transfers == WINDOW / 2 {
            self.wake.notify_one();
        }
        let begun = self.links.iter().filter_map(|link| link.unfinished.as_ref());
        let held: usize = begun.map(|delivery| delivery.payload.len()).sum();
        if held > self.bounds.in_hand {
            // A small message beside large ones without an end stays whole, and so does the one that began first, which
            // has a bound of its own: messages that cut one another would come again for ever.
            let begun = self.links.iter_mut().filter_map(|link| link.unfinished.as_mut());
            let mut begun: Vec<&mut Delivery> = begun.collect();
            begun.sort_by_key(|delivery| delivery.began);
            let largest = begun.into_iter().skip(1).max_by_key(|delivery| delivery.payload.len());
            largest.into_iter().for_each(Delivery::cut);
        }
        let handle = transfer.field(0).number();
        let at = self.links.iter().position(|link| Some(link.handle) == handle);
        let at = at.ok_or("the peer sent a message on an unknown link")?;
        let link = &mut self.links[at];
        let id = transfer.field(1).number().and_then(|id| u32::try_from(id).ok());
        let mut delivery = match link.unfinished.take() {
            Some(delivery) if id.is_none_or(|id| id == delivery.id) => delivery,
            Some(_) => return Err("the peer began a message within another one of its link"),
            None => {
                let id = id.ok_or("the peer sent a message without an id")?;
                link.credit -= 1;
                if link.credit < -i64::from(self.share) {
                    return Err("the peer sent more messages than its credit");
                }
                link.deliveries = link.deliveries.wrapping_add(1);
                self.begun += 1;
                Delivery { id, began: self.begun, ..Delivery::default() }
            }
        };
        if transfer.field(9).is_true() {
            return Ok(());
        }
        let most = self.bounds.whole + AROUND_A_BODY;
        delivery.is_settled |= transfer.field(4).is_true();
        delivery.add(payload, most);
        if transfer.field(5).is_true() {
            link.unfinished = Some(delivery);
            return Ok(());
        }
        link.last_tag += 1;
        link.unsettled.push_back((link.last_tag, delivery.id));
        // A message that was cut for the sake of others would be refused as too large.
        let comes_again = delivery.cut.is_some() && delivery.bytes <= most && !delivery.is_settled;
        if self.is_quiet || comes_again {
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
        self.bytes += piece.len();
        if self.bytes > most {
            self.cut();
        }
        match &mut self.cut {
            None => self.payload.extend_from_slice(piece),
            Some((digest, _)) => digest.add(piece),
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
        self.cut = Some((digest, start));
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
        let cut = self.cut.map(|(digest, start)| {
            (start, Box::new(Cut { bytes: (self.bytes - start) as u64, digest: digest.finish() }))
        });
        if let Some((start, cut)) = cut {
            return (payload.slice(start..), Some(cut), redelivered, properties);
        }
        let body = match parts {
            1 if is_known && rest.is_empty() && payload.len() - first.len() > AROUND_A_SHARE => {
                Bytes::copy_from_slice(first)
            }
            1 if is_known && rest.is_empty() => payload.slice_ref(first),
            2.. if is_known && rest.is_empty() => joined.into(),
            _ => payload.clone(),
        };
        (body, None, redelivered, properties)
    }
}

/// The most bytes around a body that its allocation may hold besides.
const AROUND_A_SHARE: usize = 4096;

/// Returns the place where the first section of the body begins, after the constructor of long data or a string.
fn body_start(payload: &[u8]) -> usize {
    let mut rest = payload;
    loop {
        let at = payload.len() - rest.len();
        let section = Value::take(&mut rest).and_then(|section| section.descriptor);
        if !matches!(section, Some(0x70..=0x74 | 0x78)) {
            let is_long = matches!(payload[at..], [0, 0x53, 0x75 | 0x77, 0xb0 | 0xb1, _, _, _, _, ..]);
            return at + if is_long { 8 } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp1::codec::{BINARY, FALSE, NULL, STRING, SYMBOL, text};

    /// Returns a session with one link for each of the broker's numbers, and its first flows sent.
    fn session_of(handles: impl IntoIterator<Item = u8>) -> Session {
        let link = |handle: u8| {
            let (queue, exchange) = (format!("address{handle}"), "nova".to_owned());
            (Binding { queue, exchange, routing_key: "n.info".into() }, (handle.into(), 0))
        };
        let bounds = (4, BodyBounds { in_hand: 400_000, whole: 200_000 });
        let mut session = Session::new(Epoch::next(), handles.into_iter().map(link).collect(), bounds, 0);
        session.due();
        session
    }

    fn session() -> Session {
        session_of([7])
    }

    /// Returns the frames that are due, each as its descriptor and the numbers among its fields.
    fn due(session: &mut Session) -> Vec<(u64, Vec<Option<u64>>)> {
        let (bytes, mut frames) = (session.due(), Vec::new());
        let mut rest = &bytes[..];
        while let Some((frame, others)) =
            rest.split_at_checked(u32::from_be_bytes(*rest.first_chunk().unwrap_or(&[0xff; 4])) as usize)
        {
            let performative = Value::take(&mut &frame[8..]).unwrap();
            frames
                .push((performative.descriptor.unwrap(), performative.values().map(Value::number).collect()));
            rest = others;
        }
        frames
    }

    fn credits(session: &mut Session) -> Vec<u64> {
        due(session).into_iter().filter_map(|(_, fields)| fields.get(6).copied().flatten()).collect()
    }

    /// Returns the descriptors of the frames that are due.
    fn kinds(session: &mut Session) -> Vec<u64> {
        due(session).into_iter().map(|(kind, _)| kind).collect()
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
            (8, data(b"b"), Err("connection lost: the peer sent a message on an unknown link".to_owned())),
        ];
        for (handle, payload, expected) in cases {
            let mut session = session();
            let taken = session.take(&transfer(handle, 1, &[], &payload));
            let body = taken.map(|()| session.ready[0].body.to_vec()).map_err(|error| error.to_string());
            assert_eq!(body, expected, "{}", payload[..payload.len().min(40)].escape_ascii());
        }
        for frame in [&[0x00, 0x53][..], &[0x40], &list(0x20, &[]), &list(0x14, &[]), &list(0x18, &[])] {
            assert!(session().take(frame).is_err(), "{frame:x?}");
        }
        // No change of one byte and no missing end makes a panic.
        let message = [&[0x00, 0x53, 0x73][..], &[0xc0, 3, 1, 0xa1, 0], &data(b"b")].concat();
        let valid = transfer(7, 1, &[TRUE, NULL], &message);
        for (at, byte) in (0..valid.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
            let (mut changed, mut session) = (valid.clone(), session());
            changed[at] = byte;
            let _ = (session.take(&valid[..at]), session.take(&changed), session.take(&changed));
        }
    }

    #[test]
    fn a_message_without_end_is_cut_and_memory_bounded() {
        let mut session = session();
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
    fn of_large_messages_side_by_side_each_is_whole_at_last() {
        let mut session = session_of(0..4);
        let body = |letter: u8| [letter; 150_000];
        let part = |letter| [&[0x00, 0x53, 0x75, 0xb0][..], &uint(150_000)[1..], &body(letter)].concat();
        for link in 0..3 {
            session.take(&transfer(link, link.into(), &[TRUE], &part(link)[..140_000])).unwrap();
        }
        session.take(&transfer(3, 3, &[], &data(b"small"))).unwrap();
        due(&mut session);
        let cut = session
            .links
            .iter()
            .position(|link| link.unfinished.as_ref().is_some_and(|delivery| delivery.cut.is_some()));
        for link in 0..3 {
            session.take(&transfer(link, link.into(), &[], &part(link)[140_000..])).unwrap();
        }
        // The one that was cut for the others is given back, and comes again.
        let released = due(&mut session).into_iter().filter(|(kind, _)| *kind == 0x15);
        let cut = u8::try_from(cut.unwrap()).unwrap();
        assert_eq!(released.map(|(_, fields)| fields[1]).collect::<Vec<_>>(), [Some(cut.into())]);
        session.take(&transfer(cut, 4, &[], &part(cut))).unwrap();
        assert!(session.ready.iter().all(|message| message.cut.is_none()));
        let mut bodies: Vec<_> = session.ready.iter().map(|message| message.body.to_vec()).collect();
        bodies.sort();
        assert_eq!(bodies, [body(0).to_vec(), body(1).to_vec(), body(2).to_vec(), b"small".to_vec()]);
    }

    #[test]
    fn a_message_larger_than_all_in_hand_is_whole() {
        let mut session = session();
        session.bounds.in_hand = 50_000;
        let message = data(&[b'x'; 150_000]);
        for piece in message.chunks(40_000) {
            session.take(&transfer(7, 1, &[TRUE], piece)).unwrap();
        }
        session.take(&transfer(7, 1, &[], b"")).unwrap();
        assert_eq!(session.ready.pop_front().unwrap().body.len(), 150_000);
    }

    #[test]
    fn no_frame_follows_the_close() {
        let mut session = session();
        session.quiesce();
        session.close();
        assert_eq!(kinds(&mut session), [0x18]);
    }

    #[test]
    fn the_head_and_the_digest_of_a_cut_body_begin_with_its_first_section() {
        let mut session = session();
        let sections = [data(&[b'a'; 10]), data(&[b'b'; 190_000]), data(&[b'c'; 190_000])].concat();
        for piece in sections.chunks(50_000) {
            session.take(&transfer(7, 1, &[TRUE], piece)).unwrap();
        }
        session.take(&transfer(7, 1, &[], b"")).unwrap();
        let message = session.ready.pop_front().unwrap();
        let cut =
            Cut { bytes: sections.len() as u64 - 8, digest: osnl_model::BodyDigest::of(&sections[8..]) };
        assert_eq!((&message.body[..10], *message.cut.unwrap()), (&[b'a'; 10][..], cut));
    }

    #[test]
    fn properties_are_read_beside_the_body() {
        let mut session = session();
        let names = ["text/x", "latin-1"].map(|name| text(SYMBOL, name));
        let properties = list(0x73, &[NULL, NULL, NULL, NULL, NULL, NULL, &names[0], &names[1]]);
        let entry = [text(STRING, "compression"), text(STRING, "zip")].concat();
        let size = u8::try_from(entry.len() + 1).unwrap();
        let application = [&[0x00, 0x53, 0x74, 0xc1, size, 2][..], &entry].concat();
        let header = list(0x70, &[NULL, NULL, NULL, NULL, &[0x52, 1]]);
        let message = [header, properties, application, data(b"b")].concat();
        session.take(&transfer(7, 1, &[], &message)).unwrap();
        let found = session.ready.pop_front().unwrap();
        let names =
            [&found.properties.content_type, &found.properties.content_encoding].map(|name| name.as_deref());
        assert_eq!(
            (names, found.properties.compression.as_deref()),
            ([Some("text/x"), Some("latin-1")], Some("zip"))
        );
        assert!(found.redelivered && found.body == "b");
    }

    #[test]
    fn credit_is_the_prefetch_less_the_messages_in_hand() {
        let mut session = session();
        for id in 1..=8 {
            session.take(&transfer(7, id, &[], &data(b""))).unwrap();
        }
        let more = session.take(&transfer(7, 9, &[], &data(b""))).unwrap_err().to_string();
        assert!(more.ends_with("the peer sent more messages than its credit"), "{more}");
        session.links[0].unsettled.truncate(4);
        assert!(credits(&mut session).is_empty());
        session.links[0].unsettled.truncate(1);
        assert_eq!(credits(&mut session), [3]);
        // An aborted delivery is no message, and its credit is spent.
        session.take(&transfer(7, 6, &[TRUE], b"x")).unwrap();
        session.take(&transfer(7, 6, &[NULL, NULL, NULL, NULL, TRUE], b"")).unwrap();
        assert_eq!((session.ready.len(), session.links[0].credit), (8, 2));
        session.quiesce();
        assert_eq!(credits(&mut session), [0]);
        session.take(&transfer(7, 7, &[], &data(b""))).unwrap();
        assert!(session.ready.is_empty() && session.links[0].unsettled.is_empty(), "all are given back");
    }

    #[test]
    fn a_part_of_another_message_is_none_of_this_one() {
        let mut session = session();
        session.take(&transfer(7, 1, &[TRUE], &data(b"one")[..6])).unwrap();
        // A further part may leave out the id of its message.
        session
            .take(
                &[list(0x14, &[&[0x52, 7], NULL, NULL, NULL, NULL, TRUE]), data(b"one")[6..7].to_vec()]
                    .concat(),
            )
            .unwrap();
        let error = session.take(&transfer(7, 2, &[], b"two")).unwrap_err().to_string();
        assert!(error.ends_with("the peer began a message within another one of its link"), "{error}");
        assert!(session.ready.is_empty());
    }

    #[test]
    fn a_flow_that_asks_for_an_echo_has_one_and_many_have_no_more() {
        let mut session = session();
        let flow = |handle: &[u8], echo| {
            list(0x13, &[&uint(0), &uint(1), &uint(0), &uint(1), handle, NULL, NULL, NULL, NULL, echo])
        };
        session.take(&flow(&[0x52, 7], FALSE)).unwrap();
        assert!(due(&mut session).is_empty());
        for _ in 0..100 {
            session.take(&flow(&[0x52, 7], TRUE)).unwrap();
            session.take(&flow(NULL, TRUE)).unwrap();
        }
        let flows = due(&mut session);
        assert_eq!(flows.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [0x13, 0x13]);
        assert_eq!((flows[0].1[4..].to_vec(), flows[1].1.len()), (vec![Some(0), Some(0), Some(4)], 4));
    }

    #[test]
    fn an_end_names_its_address_and_is_answered() {
        let reason = |condition: &str, words: &str| {
            list(0x1d, &[&text(SYMBOL, format!("amqp:{condition}")), &text(SYMBOL, words)])
        };
        let detach =
            |handle, condition, words: &str| list(0x16, &[&[0x52, handle], TRUE, &reason(condition, words)]);
        let long = "x".repeat(60_000);
        for (frame, expected, answers) in [
            (detach(8, "not-found", "-"), "queue \"address8\" does not exist", &[0x16, 0x18][..]),
            (detach(7, "resource-deleted", "-"), "consumer of queue \"address7\" cancelled", &[0x16, 0x18]),
            (
                detach(8, "unauthorized-access", "w"),
                "read address \"address8\": the peer detached the link: amqp:unauthorized-access: w",
                &[0x16, 0x18],
            ),
            (
                detach(7, "link:stolen", "w"),
                "connection lost: read address \"address7\": the peer detached the link: amqp:link:stolen: w",
                &[0x16, 0x18],
            ),
            (
                list(0x17, &[&reason("internal-error", &long)]),
                "connection lost: the peer ended the session: amqp:internal-error: x",
                &[0x18],
            ),
            (list(0x18, &[]), "connection lost: the peer closed the connection", &[0x18]),
        ] {
            let mut session = session_of([7, 8]);
            let error = session.take(&frame).unwrap_err().to_string();
            assert!(error.contains(expected) && error.len() < 400, "{error}");
            session.close();
            session.close();
            assert_eq!(kinds(&mut session), answers, "{error}");
        }
    }

    #[test]
    fn a_range_of_settlements_covers_no_other_delivery() {
        let mut session = session();
        for id in [u32::MAX, 0, 2, 3] {
            session.take(&transfer(7, id, &[], &data(b""))).unwrap();
        }
        session.settle(0, &[Settlement::Requeue(3), Settlement::AcknowledgeThrough(4)]);
        let ranges = due(&mut session).into_iter().filter(|(kind, _)| *kind == 0x15);
        let ranges: Vec<_> = ranges.map(|(_, fields)| (fields[1].unwrap(), fields[2].unwrap())).collect();
        assert_eq!(ranges, [(2, 2), (u32::MAX.into(), 0), (3, 3)]);
    }
}
