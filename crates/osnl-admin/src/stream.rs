//! Server-sent events: the body of an answer that continues.
//!
//! The stream's memory is that of its reader. The stream ends with its session, with the daemon, and after a while,
//! since no connection lives for ever.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use osnl::live::{LiveEvent, LiveReader};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The interval at which the session is checked, and missed events are reported.
const EACH: Duration = Duration::from_secs(1);
/// After so many intervals without an event a comment is sent, which reveals a disconnected client.
const QUIET: u32 = 15;
/// The stream ends after so many intervals.
const MOST: u32 = 9 * 60;

pub(crate) struct EventStream {
    reader: LiveReader,
    write: fn(&LiveEvent) -> String,
    is_open: Box<dyn Fn() -> bool + Send>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    ticks: Interval,
    passed: u32,
    quiet: u32,
    state: EventStreamState,
}

enum EventStreamState {
    New,
    Open,
    Over,
}

impl EventStream {
    pub(crate) fn new(
        reader: LiveReader,
        write: fn(&LiveEvent) -> String,
        is_open: Box<dyn Fn() -> bool + Send>,
        stop: CancellationToken,
    ) -> Self {
        let mut ticks = interval(EACH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = Box::pin(stop.cancelled_owned());
        Self { reader, write, is_open, stop, ticks, passed: 0, quiet: 0, state: EventStreamState::New }
    }

    fn poll_text(&mut self, context: &mut Context<'_>) -> Poll<Option<String>> {
        match self.state {
            EventStreamState::New => {
                self.state = EventStreamState::Open;
                return Poll::Ready(Some("retry: 2000\n\n".to_owned()));
            }
            EventStreamState::Over => return Poll::Ready(None),
            EventStreamState::Open => {}
        }
        if self.stop.as_mut().poll(context).is_ready() {
            self.state = EventStreamState::Over;
            return Poll::Ready(None);
        }
        // The session is checked first, so that no number of events keeps it open.
        while self.ticks.poll_tick(context).is_ready() {
            self.passed += 1;
            self.quiet += 1;
            if !(self.is_open)() {
                self.state = EventStreamState::Over;
                return Poll::Ready(Some("event: ended\ndata: session\n\n".to_owned()));
            }
            if self.passed > MOST {
                self.state = EventStreamState::Over;
                return Poll::Ready(None);
            }
            let missed = self.reader.take_missed();
            if missed > 0 {
                return Poll::Ready(Some(format!("event: missed\ndata: {missed}\n\n")));
            }
            if self.quiet >= QUIET {
                return Poll::Ready(Some(":\n\n".to_owned()));
            }
        }
        let next = self.reader.poll_next(context);
        next.map(|event| match event {
            Some(event) => Some(self.event(&event)),
            None => {
                self.state = EventStreamState::Over;
                Some("event: ended\ndata: readers\n\n".to_owned())
            }
        })
    }

    /// An event has one line of data: a line end in the data would end the event, or begin another.
    fn event(&self, event: &Arc<LiveEvent>) -> String {
        let data = (self.write)(event).replace(['\n', '\r'], " ");
        format!("id: {}\ndata: {data}\n\n", event.id)
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let polled = this.poll_text(context);
        if polled.is_ready() {
            this.quiet = 0;
        }
        polled.map(|text| text.map(|text| Ok(Frame::data(Bytes::from(text)))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, EventStreamState::Over)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
