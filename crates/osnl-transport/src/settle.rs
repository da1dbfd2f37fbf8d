//! The window of unsettled deliveries. Pure bookkeeping: nothing is sent from here.
//!
//! Settling is synchronous. The listener returns a message to the window of its connection, and after each batch the
//! consumer asks for the due [`Settlement`]s:
//!
//! - the finished prefix becomes **one** acknowledgement with `multiple`,
//! - finished messages behind an open message are acknowledged singly, so that a parked message at the front does not
//!   hold back the rest,
//! - a message that must be redelivered is rejected singly, before the prefix that covers it.
//!
//! Each queue has a channel of its own, within which tags only grow. A `multiple` acknowledgement covers one channel,
//! so it cannot cover unseen messages of another queue.

use std::collections::VecDeque;

use crate::message::{Batch, Epoch, IncomingMessage};

/// A settlement that the consumer sends for finished messages; the number is the [tag](crate::MessagePlace::tag) of a
/// message, which RabbitMQ's consumer translates into the broker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Acknowledges this tag and all smaller ones of the channel.
    AcknowledgeThrough(u64),
    Acknowledge(u64),
    /// Rejects this tag, so that the broker redelivers the message to any consumer.
    Requeue(u64),
}

/// The message belongs to a closed connection, so the broker redelivers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message belongs to an earlier connection")]
pub struct Stale;

/// The state of one message in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Open,
    Acknowledged,
    Requeued,
}

/// The unsettled messages of one connection: what may be acknowledged, and together with what.
#[derive(Debug)]
pub struct Window {
    epoch: Epoch,
    /// The unsettled messages of each queue.
    channels: Vec<Channel>,
    /// The finished messages whose settlement has not been sent.
    due: usize,
}

/// The unsettled messages of one queue.
#[derive(Debug, Default)]
struct Channel {
    /// The slots in order of tags. Sent settlements are removed, so the length never exceeds the prefetch, however long
    /// one message stays open.
    slots: VecDeque<(u64, Slot)>,
    /// The finished messages among them.
    due: usize,
}

impl Window {
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, channels: Vec::new(), due: 0 }
    }

    pub fn admit(&mut self, batch: &Batch) {
        for place in batch.iter().map(IncomingMessage::place).filter(|place| place.epoch == self.epoch) {
            let at = usize::from(place.channel);
            if self.channels.len() <= at {
                self.channels.resize_with(at + 1, Channel::default);
            }
            let slots = &mut self.channels[at].slots;
            debug_assert!(
                slots.back().is_none_or(|(last, _)| *last < place.tag),
                "tags of a channel only grow, so that a prefix is a range of tags"
            );
            slots.push_back((place.tag, Slot::Open));
        }
    }

    pub fn acknowledge(&mut self, message: IncomingMessage) -> Result<(), Stale> {
        self.mark(message, Slot::Acknowledged)
    }

    pub fn requeue(&mut self, message: IncomingMessage) -> Result<(), Stale> {
        self.mark(message, Slot::Requeued)
    }

    #[must_use]
    pub fn due(&self) -> usize {
        self.due
    }

    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.channels.iter().map(|channel| channel.slots.len()).sum()
    }

    pub fn settlements(&mut self, channel: u16) -> Vec<Settlement> {
        let Some(channel) = self.channels.get_mut(usize::from(channel)) else { return Vec::new() };
        self.due -= channel.due;
        channel.settlements()
    }

    fn mark(&mut self, message: IncomingMessage, slot: Slot) -> Result<(), Stale> {
        let place = message.place();
        if place.epoch != self.epoch {
            return Err(Stale);
        }
        let channel = self.channels.get_mut(usize::from(place.channel)).ok_or(Stale)?;
        let index = channel.slots.binary_search_by_key(&place.tag, |(tag, _)| *tag).map_err(|_| Stale)?;
        debug_assert_eq!(channel.slots[index].1, Slot::Open, "a message is settled once");
        channel.slots[index].1 = slot;
        channel.due += 1;
        self.due += 1;
        Ok(())
    }
}

impl Channel {
    fn settlements(&mut self) -> Vec<Settlement> {
        let mut out = Vec::new();
        if self.due == 0 {
            return out;
        }
        // Requeues are first: a `multiple` acknowledgement would cover requeued messages.
        out.extend(self.tags(Slot::Requeued).map(Settlement::Requeue));
        self.slots.retain(|(_, slot)| *slot != Slot::Requeued);

        let prefix = self.slots.iter().take_while(|(_, slot)| *slot == Slot::Acknowledged).count();
        out.extend(
            self.slots.drain(..prefix).next_back().map(|(tag, _)| Settlement::AcknowledgeThrough(tag)),
        );

        out.extend(self.tags(Slot::Acknowledged).map(Settlement::Acknowledge));
        self.slots.retain(|(_, slot)| *slot == Slot::Open);
        self.due = 0;
        out
    }

    fn tags(&self, wanted: Slot) -> impl Iterator<Item = u64> + '_ {
        self.slots.iter().filter(move |(_, slot)| *slot == wanted).map(|(tag, _)| *tag)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Settlement::{Acknowledge, AcknowledgeThrough, Requeue};
    use super::*;
    use crate::message::MessagePlace;

    fn message(epoch: Epoch, tag: u64) -> IncomingMessage {
        on_channel(epoch, 0, tag)
    }

    fn on_channel(epoch: Epoch, channel: u16, tag: u64) -> IncomingMessage {
        let place = MessagePlace { epoch, channel, tag };
        IncomingMessage::new(place, "q".into(), bytes::Bytes::new())
    }

    fn window_of(epoch: Epoch, tags: u64) -> Window {
        let mut window = Window::new(epoch);
        let mut batch = Batch::with_limit(64);
        (1..=tags).for_each(|tag| batch.push(message(epoch, tag)));
        window.admit(&batch);
        window
    }

    fn check(script: &str, expected: &[&[Settlement]]) {
        let epoch = Epoch::next();
        let mut window = window_of(epoch, 4);
        let mut seen = Vec::new();
        for word in script.split_whitespace() {
            let (verb, tag) = word.split_at(1);
            match verb {
                "a" => window.acknowledge(message(epoch, tag.parse().unwrap())).unwrap(),
                "r" => window.requeue(message(epoch, tag.parse().unwrap())).unwrap(),
                _ => seen.push(window.settlements(0)),
            }
        }
        assert_eq!(seen, expected, "{script}");
    }

    #[test]
    fn coalesces_the_prefix_and_acknowledges_islands() {
        check("|", &[&[]]);
        check("a1 a2 a3 |", &[&[AcknowledgeThrough(3)]]);
        check("a3 a2 a1 | |", &[&[AcknowledgeThrough(3)], &[]]);
        check("a2 a3 |", &[&[Acknowledge(2), Acknowledge(3)]]);
        check("a2 a3 | a1 |", &[&[Acknowledge(2), Acknowledge(3)], &[AcknowledgeThrough(1)]]);
        check("a1 a3 | a2 a4 |", &[&[AcknowledgeThrough(1), Acknowledge(3)], &[AcknowledgeThrough(4)]]);
        check("a1 r2 a3 |", &[&[Requeue(2), AcknowledgeThrough(3)]]);
        check("r1 |", &[&[Requeue(1)]]);
        check("a1 r2 | a3 |", &[&[Requeue(2), AcknowledgeThrough(1)], &[AcknowledgeThrough(3)]]);
        check("a2 r3 | a1 |", &[&[Requeue(3), Acknowledge(2)], &[AcknowledgeThrough(1)]]);
    }

    #[test]
    fn a_tag_of_another_connection_is_not_settled() {
        let mut window = window_of(Epoch::next(), 4);
        assert_eq!(window.acknowledge(message(Epoch::next(), 1)), Err(Stale));
        assert_eq!(window.settlements(0), []);
    }

    #[test]
    fn a_prefix_is_that_of_its_own_channel() {
        let epoch = Epoch::next();
        let mut window = Window::new(epoch);
        let mut batch = Batch::with_limit(8);
        for (channel, tag) in [(0, 1), (2, 1), (0, 2), (2, 2)] {
            batch.push(on_channel(epoch, channel, tag));
        }
        window.admit(&batch);
        window.acknowledge(on_channel(epoch, 0, 2)).unwrap();
        window.acknowledge(on_channel(epoch, 2, 1)).unwrap();
        window.acknowledge(on_channel(epoch, 2, 2)).unwrap();
        assert_eq!((window.due(), window.unsettled()), (3, 4));
        assert_eq!(window.settlements(0), [Acknowledge(2)]);
        assert_eq!(window.settlements(1), []);
        assert_eq!(window.settlements(2), [AcknowledgeThrough(2)]);
        assert_eq!((window.due(), window.unsettled()), (0, 1));
        assert_eq!(window.acknowledge(on_channel(epoch, 1, 1)), Err(Stale));
        assert_eq!(window.acknowledge(on_channel(epoch, 7, 1)), Err(Stale));
    }

    proptest! {
        /// A broker that applies the settlements ends with each message settled once, as it was marked.
        #[test]
        fn every_message_is_settled_once_and_as_marked(
            order in Just((1..=40u64).collect::<Vec<_>>()).prop_shuffle(),
            requeued in proptest::collection::hash_set(1..=40u64, 0..10),
            flush_every in 1..7usize,
        ) {
            let epoch = Epoch::next();
            let mut window = window_of(epoch, 40);
            let mut unsettled: std::collections::BTreeSet<u64> = (1..=40).collect();
            let mut acknowledged = std::collections::HashSet::new();
            let mut given_back = std::collections::HashSet::new();
            for (n, tag) in order.iter().enumerate() {
                if requeued.contains(tag) {
                    window.requeue(message(epoch, *tag)).unwrap();
                } else {
                    window.acknowledge(message(epoch, *tag)).unwrap();
                }
                if n % flush_every != 0 && n + 1 != order.len() {
                    continue;
                }
                for settlement in window.settlements(0) {
                    match settlement {
                        AcknowledgeThrough(last) => {
                            prop_assert!(unsettled.contains(&last));
                            let covered: Vec<_> = unsettled.range(..=last).copied().collect();
                            for tag in covered {
                                unsettled.remove(&tag);
                                acknowledged.insert(tag);
                            }
                        }
                        Acknowledge(tag) => {
                            prop_assert!(unsettled.remove(&tag));
                            acknowledged.insert(tag);
                        }
                        Requeue(tag) => {
                            prop_assert!(unsettled.remove(&tag));
                            given_back.insert(tag);
                        }
                    }
                }
                prop_assert!(acknowledged.iter().all(|tag| order[..=n].contains(tag)), "acknowledged too early");
            }
            prop_assert!(unsettled.is_empty());
            prop_assert_eq!(window.unsettled(), 0);
            prop_assert_eq!(given_back, requeued);
        }
    }
}
