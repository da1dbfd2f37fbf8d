//! A tap on Kafka. See [`crate::Tap`] for its promises.
//!
//! It is no member of a group and commits no offset: it reads partitions by their numbers, from the end. So nothing is taken
//! from any group, and nothing is left behind. The brokers keep what is not read yet, so nothing is dropped for a slow reader;
//! one that is so slow that messages are deleted before they are read is told that.
//!
//! There are no exchanges: the routing keys of the bindings are patterns of topics. Partitions and topics that come later are
//! read from their beginning.

mod groups;
mod worker;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use self::worker::TapWorker;
use super::KafkaTransport;
use super::failure::lost;
use crate::rabbit::{BodyFlow, BodyShare};
use crate::tap::{ExchangeFound, Tap, TapMessage, TapOpening, TapOptions, TopicsSeen};
use crate::{BoxFuture, TransportError};

/// The limits of a tap on Kafka, said when it is open.
const LIMITS: [&str; 2] = [
    "Kafka has no exchanges: all services that publish to a topic are shown together",
    "tap is in no consumer group: it begins with the next messages, takes none from any reader, and commits no offset",
];

pub(super) struct KafkaTap {
    shared: Arc<SharedTap>,
    tapped: TapOpening,
}

/// The state of a tap, and the means to wait for its changes.
struct SharedTap {
    state: Mutex<TapState>,
    /// Wakes the thread.
    wake: Condvar,
    /// Wakes the reader.
    arrived: Notify,
    body_flow: Arc<BodyFlow>,
}

#[derive(Default)]
struct TapState {
    ready: VecDeque<TapMessage>,
    requests: Vec<TapRequest>,
    ended: Option<TransportError>,
    is_closing: bool,
}

/// A question to the thread.
enum TapRequest {
    /// Look whether a pattern has a topic now.
    Look(String, oneshot::Sender<Result<bool, TransportError>>),
    /// Look at topics and groups: these, and those that the brokers list.
    Topics(Vec<String>, oneshot::Sender<Result<TopicsSeen, TransportError>>),
}

impl SharedTap {
    fn lock(&self) -> MutexGuard<'_, TapState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut TapState)) {
        change(&mut self.lock());
        self.wake.notify_all();
    }

    fn end(&self, error: TransportError) {
        self.lock().ended.get_or_insert(error);
        self.arrived.notify_waiters();
    }
}

fn ended() -> TransportError {
    lost("the thread of the Kafka client has ended".to_owned())
}

impl KafkaTap {
    /// Connects, finds the topics, and reads them from their ends.
    pub(super) async fn open(
        transport: &KafkaTransport,
        options: &TapOptions,
    ) -> Result<Self, TransportError> {
        let shared = Arc::new(SharedTap {
            state: Mutex::default(),
            wake: Condvar::new(),
            arrived: Notify::new(),
            body_flow: Arc::default(),
        });
        shared.body_flow.begin(options.bodies);
        let (opened, opening) = oneshot::channel();
        let (settings, of_kafka) = (transport.settings.clone(), transport.options.clone());
        let (of_thread, options) = (shared.clone(), options.clone());
        let begun = std::thread::Builder::new().name("kafka tap".to_owned()).spawn(move || {
            match TapWorker::open((settings, &of_kafka), options, of_thread) {
                Ok((worker, tapped)) => {
                    // A caller that has gone away wants no tap.
                    if opened.send(Ok(tapped)).is_ok() {
                        worker.run();
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        });
        begun.map_err(|error| lost(format!("no thread for the Kafka client: {error}")))?;
        let opened = opening.await.unwrap_or_else(|_| Err(ended()))?;
        let remarks = LIMITS.map(str::to_owned).into_iter().chain(opened.remarks).collect();
        Ok(Self { shared, tapped: TapOpening { remarks, ..opened } })
    }

    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, TransportError>>) -> TapRequest,
    ) -> BoxFuture<'_, Result<T, TransportError>> {
        let (ask, answer) = oneshot::channel();
        self.shared.tell(|state| state.requests.push(request(ask)));
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(ended())) })
    }
}

impl Tap for KafkaTap {
    fn tapped(&self) -> &TapOpening {
        &self.tapped
    }

    fn poll<'a>(
        &'a mut self,
        out: &'a mut Vec<TapMessage>,
        limit: usize,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            loop {
                // Armed before looking, so that what is fetched in between is not missed.
                let arrived = self.shared.arrived.notified();
                {
                    let mut state = self.shared.lock();
                    let room = limit.saturating_sub(out.len()).min(state.ready.len());
                    out.extend(state.ready.drain(..room));
                    if out.is_empty()
                        && let Some(error) = &state.ended
                    {
                        return Err(error.clone());
                    }
                }
                self.shared.wake.notify_all();
                if !out.is_empty() {
                    return Ok(());
                }
                arrived.await;
            }
        })
    }

    fn acknowledge(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        // An offset is committed by readers only.
        Box::pin(std::future::ready(Ok(())))
    }

    fn look_for<'a>(&'a mut self, exchange: &'a str) -> BoxFuture<'a, Result<bool, TransportError>> {
        self.ask(|answer| TapRequest::Look(exchange.to_owned(), answer))
    }

    fn describe<'a>(&'a mut self, _: &'a str) -> BoxFuture<'a, Result<ExchangeFound, TransportError>> {
        Box::pin(std::future::ready(Ok(ExchangeFound::default())))
    }

    fn topics(&mut self, groups: Vec<String>) -> BoxFuture<'_, Result<Option<TopicsSeen>, TransportError>> {
        let asked = self.ask(|answer| TapRequest::Topics(groups, answer));
        Box::pin(async move { asked.await.map(Some) })
    }

    fn dropped(&mut self) -> BoxFuture<'_, Result<Option<u64>, TransportError>> {
        Box::pin(std::future::ready(Ok(Some(0))))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}

impl Drop for KafkaTap {
    fn drop(&mut self) {
        self.shared.tell(|state| state.is_closing = true);
    }
}

/// A body whose last copy gives back its share of the bytes in hand.
struct CountedBody {
    body: Vec<u8>,
    _share: BodyShare,
}

impl AsRef<[u8]> for CountedBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

fn counted(body: &[u8], share: BodyShare) -> Bytes {
    Bytes::from_owner(CountedBody { body: body.to_vec(), _share: share })
}
