//! Whether the broker blocks publishers, as RabbitMQ does with an alarm of memory or disk.
//!
//! RabbitMQ says so only to a connection that publishes, and reads nothing more from that connection. So the look has a
//! connection of its own, on which it publishes an empty message by the default exchange to a queue that does not exist:
//! the broker drops the message. A user that may not publish there is told of an alarm too, and its refusal is logged by
//! the broker, so a watch does not repeat it.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, Event};
use tokio::time::{sleep, timeout};

use super::RabbitTransport;
use super::failure::{OperationFailure, lost};
use super::inspection::close;
use crate::{AlarmWatch, BoxFuture, TransportError};

/// No queue of this name is made, and no message for it is kept.
const NO_QUEUE: &str = "osnl-looks-for-an-alarm";
/// The longest time from the answer to a message until the broker reports an alarm.
const AFTER: Duration = Duration::from_millis(200);
/// The longest wait for either.
const ANSWER: Duration = Duration::from_secs(3);

/// The notices of a connection.
type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// Knows from a connection's notices whether the broker blocks publishers. The library gives each notice to one reader, so a
/// connection has one of these.
struct Alarms {
    events: Events,
    reason: Option<String>,
    /// Woken by the next notice, also after a look.
    waiter: Waker,
}

/// The beginning or the end of an alarm.
pub(super) enum AlarmChange {
    Raised(String),
    Ended,
}

impl Alarms {
    fn new(connection: &Connection) -> Self {
        Self::with(Box::pin(connection.events_listener()))
    }

    fn with(events: Events) -> Self {
        Self { events, reason: None, waiter: Waker::noop().clone() }
    }

    /// Reads the broker's notices, and returns the reason while publishers are blocked.
    fn hear(&mut self, changed: impl FnMut(&AlarmChange)) -> Option<String> {
        let waiter = self.waiter.clone();
        match self.poll_raised(&mut Context::from_waker(&waiter), changed) {
            Poll::Ready(reason) => Some(reason),
            Poll::Pending => None,
        }
    }

    /// Reads the broker's notices, and is ready while publishers are blocked.
    fn poll_raised(
        &mut self,
        context: &mut Context<'_>,
        mut changed: impl FnMut(&AlarmChange),
    ) -> Poll<String> {
        self.waiter.clone_from(context.waker());
        while let Poll::Ready(Some(event)) = self.events.poll_next_unpin(context) {
            self.take(event, &mut changed);
        }
        self.reason.clone().map_or(Poll::Pending, Poll::Ready)
    }

    fn take(&mut self, event: Event, changed: &mut impl FnMut(&AlarmChange)) {
        let change = match event {
            Event::ConnectionBlocked(reason) => AlarmChange::Raised(reason),
            Event::ConnectionUnblocked => AlarmChange::Ended,
            _ => return,
        };
        changed(&change);
        self.reason = match change {
            AlarmChange::Raised(reason) => Some(reason),
            AlarmChange::Ended => None,
        };
    }

    /// Completes when the broker blocks.
    async fn raised(&mut self) -> String {
        poll_fn(|context| self.poll_raised(context, |_| {})).await
    }
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarms").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// The alarm of a connection that publishes. Any number of users look at it, and at most one waits for it.
#[derive(Debug)]
pub(super) struct LinkAlarm {
    host: String,
    alarms: Mutex<Alarms>,
}

impl LinkAlarm {
    pub(super) fn new(connection: &Connection, host: String) -> Self {
        Self { host, alarms: Mutex::new(Alarms::new(connection)) }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the error of a send while the broker blocks the connection.
    pub(super) fn blocked(&self, changed: impl FnMut(&AlarmChange)) -> Option<TransportError> {
        let reason = self.lock().hear(changed)?;
        Some(self.error(reason))
    }

    /// Completes with that error when the broker blocks the connection.
    pub(super) async fn raised(&self) -> TransportError {
        self.error(poll_fn(|context| self.lock().poll_raised(context, |_| {})).await)
    }

    fn lock(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, reason: String) -> TransportError {
        TransportError::Blocked { host: self.host.clone(), reason }
    }
}

/// A connection that looks for alarms.
#[derive(Debug)]
pub(super) struct AlarmConnection {
    connection: Connection,
    channel: Channel,
    alarms: Alarms,
}

impl RabbitTransport {
    /// Opens a connection that looks for alarms at the first host that answers.
    pub(super) async fn look_for_alarms(&self, limit: Duration) -> Result<AlarmConnection, TransportError> {
        let mut last = TransportError::Connect { host: String::new(), reason: "no host".to_owned() };
        for host in self.connector.url.hosts() {
            match self.reach(host, limit).await.1 {
                Err(error) => last = error,
                Ok((connection, _)) => return AlarmConnection::open(connection).await,
            }
        }
        Err(last)
    }

    /// Returns why the broker blocks publishers; `None` if it does not, or does not answer.
    pub async fn blocks_publishers(&self, limit: Duration) -> Option<String> {
        let (watch, found) = timeout(limit, async {
            let mut watch = self.look_for_alarms(limit).await.ok()?;
            let found = watch.look().await.ok().flatten();
            Some((watch, found))
        })
        .await
        .ok()??;
        // A broker that blocks publishers reads no farewell.
        if found.is_none() {
            close(&watch.connection).await;
        }
        found
    }
}

impl AlarmConnection {
    async fn open(connection: Connection) -> Result<Self, TransportError> {
        let alarms = Alarms::new(&connection);
        let channel = connection.create_channel().await.map_err(|error| lost(&error))?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default()).await;
        confirms
            .map_err(|error| OperationFailure { what: "ask for publisher confirms".to_owned(), error })?;
        Ok(Self { connection, channel, alarms })
    }

    async fn published(&mut self) -> Result<Option<String>, TransportError> {
        if let Some(reason) = self.alarms.hear(|_| {}) {
            let is_open = self.connection.status().connected();
            return if is_open { Ok(Some(reason)) } else { Err(gone()) };
        }
        let published = async {
            let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
            let publishing =
                self.channel.basic_publish("".into(), NO_QUEUE.into(), options, &[], properties).await;
            let answered = match publishing {
                Ok(confirm) => confirm.await.map(drop),
                Err(error) => Err(error),
            };
            sleep(AFTER).await;
            answered
        };
        tokio::select! {
            biased;
            reason = self.alarms.raised() => Ok(Some(reason)),
            answered = timeout(ANSWER, published) => match answered {
                Ok(answered) => answered.map(|()| None).map_err(|error| {
                    OperationFailure { what: "look for an alarm".to_owned(), error }.into()
                }),
                Err(_) => Err(gone()),
            },
        }
    }
}

impl AlarmWatch for AlarmConnection {
    fn look(&mut self) -> BoxFuture<'_, Result<Option<String>, TransportError>> {
        Box::pin(self.published())
    }
}

fn gone() -> TransportError {
    TransportError::Lost { reason: "the broker does not answer".to_owned() }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::Instant;

    use super::*;

    fn alarm(events: impl Stream<Item = Event> + Send + 'static) -> LinkAlarm {
        LinkAlarm { host: "mq1".to_owned(), alarms: Mutex::new(Alarms::with(Box::pin(events))) }
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_is_known_when_the_broker_says_it_and_until_it_ends() {
        let raised = || Event::ConnectionBlocked("low on memory".to_owned());
        let later = stream::once(sleep(Duration::from_millis(1500))).map(move |()| raised());
        let (alarm_of_later, begun) = (alarm(later), Instant::now());
        let look = async {
            sleep(Duration::from_millis(500)).await;
            assert!(alarm_of_later.blocked(|_| {}).is_none());
        };
        let (error, ()) = tokio::join!(alarm_of_later.raised(), look);
        assert!(begun.elapsed() < Duration::from_millis(1600), "{:?}", begun.elapsed());
        assert!(error.to_string().contains("low on memory"), "{error}");
        assert!(alarm_of_later.blocked(|_| {}).is_some());
        let ended = alarm(stream::iter([raised(), Event::ConnectionUnblocked]));
        assert!(ended.blocked(|_| {}).is_none());
    }
}
