use std::collections::VecDeque;

use super::consumer::lost;
use super::{BrokerState, MemoryBroker, key_matches};
use crate::message::Epoch;
use crate::tap::{Tap, TapBinding, TapBound, TapMessage, TapOpening, TapOptions, TopicsSeen, exchanges};
use crate::{BoxFuture, TransportError};

/// The queue of a tap.
#[derive(Debug)]
pub(super) struct TapQueue {
    bound: Vec<TapBinding>,
    ready: VecDeque<TapMessage>,
    bytes: u64,
    dropped: u64,
    max_messages: usize,
    max_bytes: u64,
}

impl TapQueue {
    pub(super) fn wants(&self, exchange: &str, routing_key: &str) -> bool {
        let wanted = |b: &TapBinding| b.exchange == exchange && key_matches(&b.routing_key, routing_key);
        self.bound.iter().any(wanted)
    }

    pub(super) fn push(&mut self, message: TapMessage) {
        self.bytes += message.body.len() as u64;
        self.ready.push_back(message);
        while self.ready.len() > self.max_messages || self.bytes > self.max_bytes {
            let Some(oldest) = self.ready.pop_front() else { break };
            self.bytes -= oldest.body.len() as u64;
            self.dropped += 1;
        }
    }
}

/// A tap of a [`MemoryBroker`].
pub(super) struct MemoryTap {
    broker: MemoryBroker,
    epoch: Epoch,
    options: TapOptions,
    tapped: TapOpening,
}

impl MemoryTap {
    pub(super) fn open(broker: &MemoryBroker, options: &TapOptions) -> Result<Self, TransportError> {
        let mut state = broker.lock();
        if state.down {
            return Err(TransportError::Connect {
                host: "memory".into(),
                reason: "the broker is down".into(),
            });
        }
        let names = exchanges(&options.bindings).into_iter().map(str::to_owned);
        let (bound, missing): (Vec<String>, Vec<String>) =
            names.partition(|name| state.exchanges.contains(name));
        let epoch = Epoch::next();
        let queue = TapQueue {
            bound: bindings_to(options, &bound),
            ready: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            max_messages: usize::try_from(options.max_messages).unwrap_or(usize::MAX),
            max_bytes: options.max_bytes,
        };
        state.taps.insert(epoch, queue);
        drop(state);
        let tapped = TapOpening {
            host: "memory".into(),
            virtual_host: "/".into(),
            queue: "tap".into(),
            bound,
            missing,
            counts_dropped: true,
            ..TapOpening::default()
        };
        Ok(Self { broker: broker.clone(), epoch, options: options.clone(), tapped })
    }

    fn with_queue<T>(
        &self,
        act: impl FnOnce(&mut BrokerState, Epoch) -> Option<T>,
    ) -> Result<T, TransportError> {
        act(&mut self.broker.lock(), self.epoch).ok_or_else(lost)
    }
}

fn bindings_to(options: &TapOptions, exchanges: &[String]) -> Vec<TapBinding> {
    options.bindings.iter().filter(|binding| exchanges.contains(&binding.exchange)).cloned().collect()
}

impl Tap for MemoryTap {
    fn tapped(&self) -> &TapOpening {
        &self.tapped
    }

    fn poll<'a>(
        &'a mut self,
        out: &'a mut Vec<TapMessage>,
        limit: usize,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let broker = self.broker.clone();
            loop {
                // Registered before the look, so that no message published in between is missed.
                let changed = broker.shared.changed.notified();
                self.with_queue(|state, epoch| {
                    let queue = state.taps.get_mut(&epoch)?;
                    let room = limit.saturating_sub(out.len()).min(queue.ready.len());
                    out.extend(queue.ready.drain(..room));
                    queue.bytes = queue.ready.iter().map(|message| message.body.len() as u64).sum();
                    Some(())
                })?;
                if !out.is_empty() {
                    return Ok(());
                }
                changed.await;
            }
        })
    }

    fn acknowledge(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn find<'a>(&'a mut self, exchange: &'a str) -> BoxFuture<'a, Result<TapBound, TransportError>> {
        Box::pin(async move {
            let bindings = bindings_to(&self.options, &[exchange.to_owned()]);
            self.with_queue(|state, epoch| {
                let there = state.exchanges.contains(exchange);
                let queue = state.taps.get_mut(&epoch)?;
                if there && !queue.bound.iter().any(|binding| binding.exchange == exchange) {
                    queue.bound.extend(bindings);
                }
                Some(TapBound { is_bound: there, refusal: None })
            })
        })
    }

    fn topics(&mut self, _: Vec<String>) -> BoxFuture<'_, Result<Option<TopicsSeen>, TransportError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn dropped(&mut self) -> BoxFuture<'_, Result<Option<u64>, TransportError>> {
        let dropped = self
            .with_queue(|state, epoch| Some(Some(std::mem::take(&mut state.taps.get_mut(&epoch)?.dropped))));
        Box::pin(std::future::ready(dropped))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}

impl Drop for MemoryTap {
    fn drop(&mut self) {
        self.broker.lock().taps.remove(&self.epoch);
    }
}
