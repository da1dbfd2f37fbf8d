//! Reading streams: the position of each, in order, and requeued messages.
//!
//! A stream keeps acknowledged messages, so the reader must store its place. The *position* is the first offset with
//! unfinished work. The position survives lost connections in memory, and restarts in a [`PositionStore`]. The file is
//! written at most once a second and at the end: after `kill -9` the last second is read again, and no message is
//! omitted.
//!
//! Requeued messages are *held* here for a while, then handed out again, oldest first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osnl_transport::{IncomingMessage, ListenOptions, QueueType, Resume, StreamOffset};
use tokio::time::Instant;

use super::positions::PositionStore;

const WRITE_EVERY: Duration = Duration::from_secs(1);
const HOLD: Duration = Duration::from_secs(1);
/// The seconds that the broker's clock may be behind ours.
const CLOCKS: u64 = 5;

pub(super) struct ListenerStreams {
    store: Option<PositionStore>,
    resume: BTreeMap<String, Resume>,
    read: BTreeMap<String, LowWater>,
    write_at: Option<Instant>,
    unwritten: bool,
    held: Vec<IncomingMessage>,
    again_at: Option<Instant>,
}

impl ListenerStreams {
    pub(super) fn new(options: &ListenOptions, store: Option<PositionStore>) -> Option<Self> {
        (options.queue.queue_type == QueueType::Stream).then(|| Self {
            resume: store.as_ref().map(|store| store.read_before().clone()).unwrap_or_default(),
            store,
            read: BTreeMap::new(),
            write_at: None,
            unwritten: false,
            held: Vec::new(),
            again_at: None,
        })
    }

    pub(super) fn options(&self, options: &ListenOptions) -> ListenOptions {
        let mut options = options.clone();
        options.queue.resume = self.positions();
        options
    }

    pub(super) fn opened(
        &mut self,
        options: &ListenOptions,
        queues: &[&str],
        created: impl Fn(&str) -> bool,
    ) {
        self.held.clear();
        self.again_at = None;
        for low_water in self.read.values_mut() {
            low_water.forget_open();
        }
        for queue in queues {
            if created(queue) {
                // The known position belonged to another stream.
                self.read.remove(*queue);
                self.resume.insert((*queue).to_owned(), Resume::At(0));
                self.changed();
            } else if !self.resume.contains_key(*queue)
                && matches!(options.queue.stream_offset, StreamOffset::Next | StreamOffset::Last)
            {
                // Until the first message, a reconnect must not begin later than this connection.
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                self.resume.insert((*queue).to_owned(), Resume::Since(now.saturating_sub(CLOCKS)));
                self.changed();
            }
        }
    }

    /// Marks a message that this process has read. Returns whether all its work is safe.
    pub(super) fn admit(&mut self, message: &mut IncomingMessage) -> bool {
        let Some(offset) = message.stream_offset else { return false };
        let low_water = match self.read.get_mut(&*message.queue) {
            Some(low_water) => low_water,
            None => self.read.entry(message.queue.to_string()).or_default(),
        };
        message.redelivered |= low_water.admit(offset);
        let is_done = low_water.done_before.remove(&offset);
        if is_done {
            self.done(message);
        }
        is_done
    }

    pub(super) fn done(&mut self, message: &IncomingMessage) {
        if let (Some(offset), Some(low_water)) = (message.stream_offset, self.read.get_mut(&*message.queue)) {
            low_water.done(offset);
            self.changed();
        }
    }

    fn changed(&mut self) {
        self.write_at.get_or_insert_with(|| Instant::now() + WRITE_EVERY);
    }

    pub(super) fn hold(&mut self, message: IncomingMessage) {
        self.held.push(message);
        self.again_at.get_or_insert_with(|| Instant::now() + HOLD);
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_due(&self) -> bool {
        self.again_at.is_some_and(|at| at <= Instant::now())
    }

    pub(super) fn again(&mut self, at_most: usize) -> Vec<IncomingMessage> {
        self.held.sort_by(|a, b| (&a.queue, a.stream_offset).cmp(&(&b.queue, b.stream_offset)));
        let mut again: Vec<_> = self.held.drain(..at_most.min(self.held.len())).collect();
        again.iter_mut().for_each(|message| message.redelivered = true);
        if self.held.is_empty() {
            self.again_at = None;
        }
        again
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        let again = self.again_at.filter(|at| *at > Instant::now());
        self.write_at.into_iter().chain(again).min()
    }

    fn positions(&self) -> BTreeMap<String, Resume> {
        let mut positions = self.resume.clone();
        for (queue, low_water) in &self.read {
            positions.extend(low_water.position().map(|offset| (queue.clone(), Resume::At(offset))));
        }
        positions
    }

    /// Writes due changes. A failure is logged once and retried.
    pub(super) async fn write(&mut self, listener: &str, now: bool) {
        let Some(at) = self.write_at.filter(|at| now || *at <= Instant::now()) else { return };
        self.write_at = None;
        let positions = self.positions();
        let Some(store) = self.store.clone() else { return };
        let path = store.path().display().to_string();
        let written = tokio::task::spawn_blocking(move || store.write(&positions)).await;
        match written.map_err(std::io::Error::other).flatten() {
            Ok(()) if self.unwritten => {
                self.unwritten = false;
                tracing::info!(listener.name = listener, path, "the position of the stream is written again");
            }
            Ok(()) => {}
            Err(error) => {
                self.write_at = Some(at + WRITE_EVERY).max(Some(Instant::now() + WRITE_EVERY));
                if !self.unwritten {
                    self.unwritten = true;
                    tracing::warn!(
                        listener.name = listener,
                        path,
                        error = error.to_string(),
                        "the position of the stream cannot be written: a restart reads later messages again"
                    );
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct LowWater {
    /// Offsets handed out in order, and whether their work is done.
    open: VecDeque<(u64, bool)>,
    end: Option<u64>,
    left_at: Option<u64>,
    done_before: BTreeSet<u64>,
}

impl LowWater {
    fn admit(&mut self, offset: u64) -> bool {
        self.left_at = None;
        self.open.push_back((offset, false));
        let before = self.end.is_some_and(|end| offset < end);
        self.end = self.end.max(Some(offset + 1));
        before
    }

    fn done(&mut self, offset: u64) {
        if let Ok(at) = self.open.binary_search_by_key(&offset, |(offset, _)| *offset) {
            self.open[at].1 = true;
        }
        while self.open.len() > 1 && self.open.front().is_some_and(|(_, done)| *done) {
            self.open.pop_front();
        }
    }

    fn position(&self) -> Option<u64> {
        match self.open.front() {
            Some((offset, true)) => Some(offset + 1),
            Some((offset, false)) => Some(*offset),
            None => self.left_at,
        }
    }

    /// Forgets open messages after a lost connection, which redelivers everything from the position on.
    fn forget_open(&mut self) {
        self.left_at = self.position();
        let done = self.open.drain(..).filter(|(_, done)| *done).map(|(offset, _)| offset);
        self.done_before.extend(done.filter(|offset| Some(*offset) >= self.left_at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_moves_in_order_only() {
        // `+5` hands out offset 5, `*5` one handed out before, `-5` is done, `!` loses the connection, `~5` expects 5
        // to be done, `=5` expects the position, `=?` none.
        let check = |script: &str| {
            let mut low_water = LowWater::default();
            for word in script.split_whitespace() {
                let (verb, number) = word.split_at(1);
                let number: Option<u64> = number.parse().ok();
                match verb {
                    "+" => assert!(!low_water.admit(number.unwrap()), "{script}: {word}"),
                    "*" => assert!(low_water.admit(number.unwrap()), "{script}: {word}"),
                    "-" => low_water.done(number.unwrap()),
                    "!" => low_water.forget_open(),
                    "~" => assert!(low_water.done_before.contains(&number.unwrap()), "{script}: {word}"),
                    _ => assert_eq!(low_water.position(), number, "{script}: {word}"),
                }
            }
        };
        check("=? +7 =7 -7 =8");
        check("+7 +8 +9 -8 -9 =7 -7 =10");
        check("+7 -7 +9 =8 -9 =10");
        check("+1 +2 -1 =2 ! =2 *2 =2 -2 =3 +3 =3");
        check("+1 +2 +3 -1 -3 ! ~3 =2 ! =2 *2 *3 -2 =3 -3 =4");
        check("+1 -1 ! =2 +2 -2 =3");
        check("! =?");
    }
}
