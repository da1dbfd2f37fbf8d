//! Looks at the bindings of a listener that has returned its messages to the broker, on a connection of its own: an
//! exchange may be deleted and made again while nothing is read. A queue that is gone ends the looks, so that the listener
//! subscribes again, which makes the queue anew and notes the gap.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use osnl_transport::{
    Backoff, Binding, BindingLook, BindingWatch, BoxFuture, ListenOptions, Subscription, Transport,
    TransportError,
};
use tokio::time::Instant;

use super::looks::KeptBindings;
use crate::listener::Listener;

/// A watch that connects again after each look without an answer.
struct LoneWatch {
    transport: Arc<dyn Transport>,
    options: ListenOptions,
    found: Subscription,
    /// The watch of the open connection.
    open: Option<Box<dyn BindingWatch>>,
    /// The pauses of a listener that connects: a refused login is tried less and less often.
    backoff: Backoff,
    not_before: Instant,
}

impl LoneWatch {
    async fn connect(&mut self) -> Option<Box<dyn BindingWatch>> {
        if Instant::now() < self.not_before {
            return None;
        }
        match self.transport.watch_bindings(&self.options, &self.found)?.await {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::debug!(%error, "the bindings cannot be looked at");
                self.not_before = Instant::now() + self.backoff.after(&error);
                None
            }
        }
    }
}

impl BindingWatch for LoneWatch {
    fn look<'a>(
        &'a mut self,
        bindings: &'a [Binding],
    ) -> BoxFuture<'a, Result<Option<BindingLook>, TransportError>> {
        Box::pin(async move {
            let open = match self.open.take() {
                Some(open) => Some(open),
                None => self.connect().await,
            };
            let Some(mut watch) = open else { return Ok(None) };
            let look = watch.look(bindings).await.ok().flatten();
            if let Some(queue) = look.as_ref().and_then(|look| look.gone.first()) {
                return Err(TransportError::NoQueue { queue: queue.clone() });
            }
            if look.is_some() {
                self.backoff = Backoff::new(self.transport.reconnect());
                self.open = Some(watch);
            }
            Ok(look)
        })
    }
}

impl Listener {
    /// Keeps the queue bound and oversees it until the caller reads again. Returns only if the queue is gone.
    pub(in crate::listener) async fn keep_bound_unread(&self, found: &Subscription, kept: &mut KeptBindings) {
        let mut found = found.clone();
        // The count is as old as the subscription, and no message of it waits for certain.
        found.open.iter_mut().for_each(|queue| queue.waiting = 0);
        let watch = LoneWatch {
            transport: self.transport.clone(),
            options: self.config.options.clone(),
            found: found.clone(),
            open: None,
            backoff: Backoff::new(self.transport.reconnect()),
            not_before: Instant::now(),
        };
        let is_watched = self.transport.watch_bindings(&self.config.options, &found).is_some();
        if !is_watched {
            self.gauges.forget_gaps();
        }
        let watch = is_watched.then(|| Box::new(watch) as Box<dyn BindingWatch>);
        let oversight = async {
            self.oversee(&found).await;
            pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            _ = self.keep_bound(&found, kept, watch) => {}
            never = oversight => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use osnl_model::{Priority, Target};
    use osnl_testkit::ListenOnly;
    use osnl_transport::{Declare, MemoryBroker, QueueKind};
    use tokio::sync::watch;
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::listener::holding::HoldingEndpoint;
    use crate::listener::{
        BindingGaps, GIVE_BACK_AFTER, GapBook, GapCause, Gauges, ListenerConfig, ListenerState, UnboundLooks,
        subscription,
    };
    use osnl_core::metrics::Counters;
    use osnl_core::shutdown::Shutdown;

    fn publish(broker: &MemoryBroker, n: usize) -> usize {
        let body = format!("{{\"event_type\": \"x\", \"message_id\": \"{n}\"}}");
        broker.publish(&Target::new("neutron", "notifications"), &Priority::Info, body)
    }

    /// A listener that has returned three messages to the broker.
    struct UnreadRig {
        state: watch::Receiver<ListenerState>,
        gauges: Arc<Gauges>,
        book: Arc<GapBook>,
        shutdown: Shutdown,
        running: JoinHandle<Result<(), TransportError>>,
    }

    impl UnreadRig {
        async fn start(broker: &MemoryBroker) -> Self {
            assert_eq!(publish(broker, 0), 0, "the service makes its exchange");
            let options = ListenOptions::new(Some("p"), 4, Declare::Passive, QueueKind::OSLO);
            let to = vec![(Target::new("neutron", "notifications"), Priority::Info)];
            let config = ListenerConfig::new("l".into(), to, options);
            let endpoint = Arc::new(HoldingEndpoint { places: Some(1), ..HoldingEndpoint::default() });
            let (book, counters) = (Arc::new(GapBook::default()), Arc::new(Counters::default()));
            let listener = Listener::new(config, Arc::new(broker.transport()), endpoint, counters);
            let listener = listener.with_gaps(book.clone());
            let (state, gauges, shutdown) = (listener.state(), listener.gauges(), Shutdown::new());
            let running = TaskTracker::new().spawn(listener.run(shutdown.clone()));
            sleep(Duration::from_millis(1)).await;
            assert_eq!((1..4).map(|n| publish(broker, n)).sum::<usize>(), 3);
            sleep(GIVE_BACK_AFTER + Duration::from_secs(10)).await;
            assert_eq!((broker.ready("p"), state.borrow().name()), (3, "blocked"));
            Self { state, gauges, book, shutdown, running }
        }

        fn gaps(&self) -> Vec<(GapCause, bool)> {
            self.book.open_gaps().iter().map(|gap| (gap.cause, gap.is_certain)).collect()
        }

        async fn end(self) {
            self.shutdown.drain.cancel();
            self.running.await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_that_goes_and_comes_back_while_nothing_is_read_is_bound_and_a_gap() {
        let broker = MemoryBroker::new();
        let rig = UnreadRig::start(&broker).await;
        let missing = || rig.gauges.gaps().missing.into_iter().collect::<Vec<_>>();
        broker.delete_exchange("neutron");
        sleep(Duration::from_secs(6)).await;
        assert_eq!(missing(), ["neutron"]);
        // The looks outlast a restart of the broker.
        broker.set_down(true);
        sleep(Duration::from_secs(20)).await;
        broker.set_down(false);
        assert_eq!(publish(&broker, 4), 0);
        sleep(Duration::from_secs(6)).await;
        assert_eq!((missing(), publish(&broker, 5), broker.ready("p")), (Vec::new(), 1, 4));
        let state = rig.state.borrow().name();
        assert_eq!((rig.gaps(), state), (vec![(GapCause::ExchangeMissing, true)], "blocked"));
        rig.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_deleted_while_nothing_is_read_is_made_again_and_a_gap() {
        let broker = MemoryBroker::new();
        let rig = UnreadRig::start(&broker).await;
        for n in [4, 6] {
            broker.delete_queue("p");
            assert_eq!(publish(&broker, n), 0);
            sleep(Duration::from_secs(6)).await;
            assert_eq!((publish(&broker, n + 1), broker.ready("p")), (1, 1));
            assert_eq!(rig.gaps(), [(GapCause::QueueRecreated, true)]);
            sleep(GIVE_BACK_AFTER + Duration::from_secs(10)).await;
            assert_eq!((broker.ready("p"), rig.state.borrow().name()), (1, "blocked"));
        }
        rig.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_look_no_exchange_is_missing() {
        let options = ListenOptions::new(Some("p"), 4, Declare::Passive, QueueKind::OSLO);
        let config = ListenerConfig::new("l".into(), Vec::new(), options);
        let (endpoint, counters) = (Arc::new(HoldingEndpoint::default()), Arc::new(Counters::default()));
        let transport = Arc::new(ListenOnly::new(|_, _| Box::pin(pending())));
        let listener = Listener::new(config, transport, endpoint, counters);
        let found = subscription("p").await;
        let mut kept = listener.kept_bindings(&found);
        let unbound = [("nova".to_owned(), UnboundLooks::default())].into();
        let seen = BindingGaps { missing: ["nova".to_owned()].into(), unbound, ..BindingGaps::default() };
        listener.gauges.set_gaps(seen.clone());
        let looks = listener.keep_bound_unread(&found, &mut kept);
        assert!(timeout(Duration::from_secs(9), looks).await.is_err());
        assert_eq!(listener.gauges.gaps(), BindingGaps { missing: BTreeSet::new(), ..seen });
    }
}
