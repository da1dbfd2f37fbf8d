use std::collections::VecDeque;

use jiff::Timestamp;
use osnl_model::{Priority, memory_of};
use osnl_transport::TapMessage;

use crate::clean;
use crate::command::tap::event::{TapEvent, UnreadableBody};
use crate::command::tap::resource::ShownForm;

pub(super) const MOST: usize = 5_000;
/// The most bytes of their bodies and texts; bodies of 64 kB and more are rare.
pub(super) const MOST_BYTES: usize = 64 * 1024 * 1024;

/// An event of the list; all texts are cleaned for the terminal.
#[derive(Clone, Debug)]
pub(in crate::command::tap) struct KeptEntry {
    pub(super) message: TapMessage,
    pub(super) received: Timestamp,
    pub(super) time: String,
    pub(super) exchange: String,
    pub(super) priority: Option<Priority>,
    pub(super) event_type: String,
    pub(super) readable: bool,
    pub(super) is_failure: bool,
    pub(super) what: String,
    pub(super) publisher: String,
    pub(super) project: String,
}

impl KeptEntry {
    pub(in crate::command::tap) fn new(
        message: &TapMessage,
        read: &Result<TapEvent, UnreadableBody>,
        received: Timestamp,
    ) -> Self {
        let text = |text: Option<&str>| text.map(|text| clean::text(text).into_owned()).unwrap_or_default();
        let clock = |time: &str| {
            let time = time.split_once('T').map_or(time, |(_, clock)| clock);
            clean::text(&time[..time.floor_char_boundary(12)]).into_owned()
        };
        let mut kept = Self {
            // A copy, since the original body counts among the bytes in hand until its drop.
            message: TapMessage { body: message.body.to_vec().into(), ..message.clone() },
            received,
            time: clock(&format!("{received:.6}")),
            exchange: text(Some(&message.exchange)),
            priority: None,
            event_type: String::new(),
            readable: read.is_ok(),
            is_failure: false,
            what: String::new(),
            publisher: String::new(),
            project: String::new(),
        };
        match read {
            Ok(event) => {
                let n = &event.notification;
                let about = &event.about;
                kept.time = clock(&event.time(received));
                kept.priority.clone_from(&n.priority);
                kept.event_type = text(n.event_type.as_deref().or(Some("(no event type)")));
                kept.publisher = text(n.publisher_id.as_deref());
                kept.project = text(about.project.as_deref());
                let more = about.ids.len().saturating_sub(1);
                let id = about.ids.first().map(String::as_str);
                let mut words = vec![text(about.kind.as_deref()), text(about.name.as_deref()), text(id)];
                if more > 0 {
                    words.push(format!("and {more} more"));
                }
                if let ShownForm::Cadf(Some(outcome)) = &about.form
                    && outcome != "success"
                {
                    words.insert(0, format!("[{}]", clean::text(outcome)));
                    kept.is_failure = outcome == "failure";
                }
                words.retain(|word| !word.is_empty());
                kept.what = words.join(" ");
            }
            Err(why) => {
                kept.event_type = format!("unreadable: {}", clean::text(&why.reason));
                kept.what.clone_from(&why.body.chars().take(200).collect());
            }
        }
        kept
    }

    pub(super) fn has(&self, text: &str) -> bool {
        let columns =
            [&self.event_type, &self.what, &self.exchange, &self.publisher, &self.project, &self.time];
        columns.iter().any(|column| column.to_lowercase().contains(text))
            || self.message.routing_key.to_lowercase().contains(text)
            || self.priority.as_ref().is_some_and(|priority| priority.as_str().contains(text))
    }

    fn bytes(&self) -> usize {
        let TapMessage { body, exchange, routing_key, properties, .. } = &self.message;
        let columns = [
            &self.event_type,
            &self.what,
            &self.exchange,
            &self.publisher,
            &self.project,
            exchange,
            routing_key,
        ];
        let columns = columns.iter().map(|text| text.as_str());
        let texts: usize = columns.chain(self.priority.as_ref().map(Priority::as_str)).map(str::len).sum();
        let headers = properties.headers.iter().map(|(name, value)| name.len() + memory_of(value));
        body.len() + texts + headers.sum::<usize>()
    }
}

#[derive(Debug, Default)]
pub(super) struct EventRing {
    events: VecDeque<KeptEntry>,
    last: u64,
    bytes: usize,
}

impl EventRing {
    pub(super) fn push(&mut self, kept: KeptEntry) -> u64 {
        self.bytes += kept.bytes();
        self.events.push_back(kept);
        self.last += 1;
        while self.events.len() > MOST || self.bytes > MOST_BYTES && self.events.len() > 1 {
            if let Some(gone) = self.events.pop_front() {
                self.bytes -= gone.bytes();
            }
        }
        self.last
    }

    pub(super) fn first(&self) -> u64 {
        self.last + 1 - self.events.len() as u64
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn get(&self, number: u64) -> Option<&KeptEntry> {
        let at = number.checked_sub(self.first())?;
        self.events.get(usize::try_from(at).ok()?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &KeptEntry)> {
        (self.first()..).zip(&self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_number_and_bytes() {
        let message = TapMessage::default();
        let read = crate::command::tap::event::EventFilter::default().read(&message).unwrap();
        let small = KeptEntry::new(&message, &read, Timestamp::UNIX_EPOCH);
        let kept = |bytes: usize| {
            let mut kept = small.clone();
            kept.message.body = vec![b'x'; bytes].into();
            kept
        };
        let mut ring = EventRing::default();
        assert_eq!((ring.first(), ring.last()), (1, 0));
        for number in 1..=MOST as u64 + 3 {
            assert_eq!(ring.push(kept(1)), number);
        }
        assert_eq!((ring.first(), ring.iter().count()), (4, MOST));
        assert!(ring.get(3).is_none() && ring.get(4).is_some());
        let each = kept(1).bytes();
        ring.push(kept(MOST_BYTES - 11 * each + 1));
        assert_eq!((ring.iter().count(), ring.last()), (11, MOST as u64 + 4));
        ring.push(kept(MOST_BYTES + 1));
        assert_eq!(ring.iter().count(), 1, "one is kept whatever its size");
        let texts = "x".repeat(MOST_BYTES / 8);
        let mut long = KeptEntry { what: texts.clone(), event_type: texts.clone(), ..small };
        long.message.properties.headers.insert(texts, serde_json::Value::Null);
        (0..5).for_each(|_| _ = ring.push(long.clone()));
        assert_eq!(ring.iter().count(), 2);
    }

    #[test]
    fn a_long_time_and_a_long_priority_do_not_fill_the_memory() {
        let long = format!("{}\u{e9}{}", "x".repeat(11), "x".repeat(100_000));
        let body = serde_json::json!({"event_type": "e", "timestamp": long, "priority": long, "payload": {}});
        let message = TapMessage { body: body.to_string().into(), ..TapMessage::default() };
        let read = crate::command::tap::event::EventFilter::default().read(&message).unwrap();
        let kept = KeptEntry::new(&message, &read, Timestamp::UNIX_EPOCH);
        assert_eq!(kept.time, "x".repeat(11));
        assert!(kept.bytes() > message.body.len() + 100_000, "{}", kept.bytes());
    }
}
