//! A session with a link for each address: what frames change, and the frames that answer. Nothing waits here.
//!
//! The credit of a link is its share of the prefetch, less the messages in hand. RabbitMQ 3 sends more if a flow crosses
//! messages, so a share beyond the credit is taken. A peer that sends still more is refused, so messages without bytes are
//! bounded too. [`BodyFlow`] bounds the bytes: beyond its bound no frame is read. Credit is
//! renewed when the frames before are written, so a peer that reads nothing is owed little.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use osnl_model::{BodyHasher, Scrubber};
use osnl_transport::parts::BodyFlow;
use osnl_transport::{
    Binding, BodyBounds, Cut, Epoch, IncomingMessage, MessagePlace, Properties, Settlement, TransportError,
    Window,
};
use tokio::sync::Notify;

use super::codec::{TRUE, Value, frame, list, uint};
use super::wire::PeerEnd;

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
    pub(super) is_closing: bool,
    /// Whether nothing is read any more, so that the last frame ends the writing.
    pub(super) is_over: bool,
    /// The login's password, which the peer may repeat.
    pub(super) secrets: Scrubber,
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
            secrets: Scrubber::default(),
        }
    }

    /// Adds a frame, unless osnl closes: no frame may follow the close.
    fn send(&mut self, body: &[u8]) {
        if self.is_closing {
            return;
        }
        self.out.extend(frame(0, body));
        self.wake.notify_one();
    }

    /// Takes the frames to write, with the flows that are due.
    pub(super) fn due(&mut self) -> Vec<u8> {
        if self.is_closing {
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
            let MessagePlace { channel, tag, .. } = message.place();
            self.settle(channel.into(), &[Settlement::Requeue(tag)]);
        }
    }

    /// Asks the broker to close, or answers. The broker's answer comes after all that the broker has sent.
    pub(super) fn close(&mut self) {
        self.flow.end();
        self.send(&list(0x18, &[]));
        self.is_closing = true;
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
                let end = PeerEnd::read(performative).hiding(&self.secrets);
                let Some(at) = self.links.iter().position(|link| Some(link.handle) == end.handle) else {
                    return Err(end.into());
                };
                self.send(&list(0x16, &[&uint(u32::try_from(at).unwrap_or(u32::MAX)), TRUE]));
                Err(end.for_address(&self.links[at].binding.queue))
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
        let channel = u16::try_from(at).unwrap_or(u16::MAX);
        let place = MessagePlace { epoch: self.epoch, channel, tag: link.last_tag };
        let binding = &link.binding;
        let mut message = IncomingMessage::new(place, binding.queue.as_str().into(), body)
            .with_share(self.flow.share(bytes));
        message.cut = cut;
        message.exchange.clone_from(&binding.exchange);
        message.routing_key.clone_from(&binding.routing_key);
        message.redelivered = redelivered;
        message.properties = properties;
        self.ready.push_back(message);
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

/// Returns the place where the first section of the body begins, after the constructor of data or a string.
fn body_start(payload: &[u8]) -> usize {
    let mut rest = payload;
    loop {
        let at = payload.len() - rest.len();
        let section = Value::take(&mut rest).and_then(|section| section.descriptor);
        if !matches!(section, Some(0x70..=0x74 | 0x78)) {
            return at
                + match payload[at..] {
                    [0, 0x53, 0x75 | 0x77, 0xb0 | 0xb1, _, _, _, _, ..] => 8,
                    [0, 0x53, 0x75 | 0x77, 0xa0 | 0xa1, _, ..] => 5,
                    _ => 0,
                };
        }
    }
}

#[cfg(test)]
mod tests;
