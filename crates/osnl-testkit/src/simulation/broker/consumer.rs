//! The transport of one life of a daemon, and its consumers.

use std::sync::Arc;
use std::time::Duration;

use osnl_model::{Priority, Target};
use osnl_transport::{
    Batch, Binding, BoxFuture, Consumer, IncomingMessage, ListenOptions, MessagePlace, OpenQueue,
    OutgoingMessage, QueueDepths, QueueSeen, Subscription, Tap, TapOptions, Transport, TransportError,
    Window,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Connection, Opened, end, queue_name};
use crate::simulation::who::Who;
use crate::simulation::world::World;

/// The longest time of a settlement on its way to the broker, in milliseconds.
const WAY: u64 = 30;

/// The transport to one queue of the model.
pub(in crate::simulation) struct SimulatedTransport {
    world: World,
    who: Who,
    queue: usize,
}

/// One subscription.
struct SimulatedConsumer {
    world: World,
    who: Who,
    opened: Opened,
    queue: usize,
    name: Arc<str>,
    subscription: Subscription,
}

impl SimulatedTransport {
    pub(in crate::simulation) fn new(world: &World, who: Who, queue: usize) -> Self {
        Self { world: world.clone(), who, queue }
    }

    fn open(&self, options: &ListenOptions) -> Option<Result<SimulatedConsumer, TransportError>> {
        let mut state = self.world.lock();
        if !state.steps(self.who, "a connection") {
            return None;
        }
        if state.broker.is_down() {
            let refused = TransportError::Connect { host: "broker".into(), reason: "refused".into() };
            return Some(Err(refused));
        }
        let name = queue_name(self.queue);
        let seen = state.broker.seen(self.queue);
        let open = OpenQueue {
            waiting: seen.messages,
            other_consumers: seen.consumers,
            durable: Some(true),
            ..OpenQueue::named(&name, Some(state.broker.queue_type))
        };
        let subscription =
            Subscription::new("broker".into(), (Vec::new(), Vec::new()), vec![open], Vec::new());
        state.broker.last_connection += 1;
        let opened = Opened { number: state.broker.last_connection, epoch: subscription.epoch };
        let connection = Connection {
            who: self.who,
            queue: self.queue,
            prefetch: usize::from(options.prefetch),
            last_tag: 0,
            unsettled: Default::default(),
            pushed: Default::default(),
            on_way: Default::default(),
            lost: None,
        };
        state.broker.connections.insert(opened.number, connection);
        state.broker.queues[self.queue].consumers.push(opened.number);
        state.broker.push(self.queue);
        let (who, queue) = (self.who, self.queue);
        state.say(format_args!("{who} subscribes to queue {queue}, which has {} messages", seen.messages));
        let world = self.world.clone();
        Some(Ok(SimulatedConsumer { world, who, opened, queue, name, subscription }))
    }
}

impl Transport for SimulatedTransport {
    fn listen<'a>(
        &'a self,
        _: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async move {
            let pause = self.world.lock().random.u64(..50);
            sleep(Duration::from_millis(pause)).await;
            match self.open(options) {
                Some(opened) => opened.map(|consumer| Box::new(consumer) as Box<dyn Consumer>),
                None => std::future::pending().await,
            }
        })
    }

    fn send<'a>(
        &'a self,
        _: &'a Target,
        _: &'a Priority,
        _: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(std::future::ready(Err(TransportError::OnlyListens { location: self.location() })))
    }

    fn tap<'a>(&'a self, _: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        Box::pin(std::future::ready(Err(TransportError::OnlyListens { location: self.location() })))
    }

    fn tidy<'a>(
        &'a self,
        _: &'a [Binding],
        _: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<QueueSeen>>, TransportError>> {
        let seen = self.world.lock().broker.seen(self.queue);
        Box::pin(std::future::ready(Ok(vec![Some(seen)])))
    }

    fn location(&self) -> String {
        "broker".to_owned()
    }
}

impl SimulatedConsumer {
    /// Takes what was handed over, as much as fits; `None` if there is nothing.
    fn take(&self, out: &mut Batch) -> Option<Result<(), TransportError>> {
        let mut state = self.world.lock();
        state.advance(self.opened.number, false);
        let connection = state.broker.connections.get(&self.opened.number)?;
        if let Some(lost) = &connection.lost {
            return Some(Err(lost.clone()));
        }
        if out.room() == 0 || connection.arrived() == 0 {
            return None;
        }
        if !state.steps(self.who, "a message") {
            return None;
        }
        while out.room() > 0
            && let Some(connection) = state.broker.connections.get_mut(&self.opened.number)
            && connection.arrived() > 0
            && let Some((_, tag)) = connection.pushed.pop_front()
        {
            let message = connection.unsettled[&tag].0.clone();
            let place = MessagePlace { epoch: self.opened.epoch, channel: 0, tag };
            let body = state.oracle.body(message.event);
            let mut incoming = IncomingMessage::new(place, self.name.clone(), body.into());
            incoming.redelivered = message.redelivered;
            out.push(incoming);
            let (who, event) = (self.who, message.event);
            let again = if message.redelivered { " again" } else { "" };
            state.say(format_args!("event {event}: {who} receives it{again}"));
            let outage = state.target.down;
            state.oracle.received(who, event, outage);
        }
        Some(Ok(()))
    }

    /// Waits for the next change of the connection.
    async fn change(&self) {
        let next = self.world.lock().broker.next_at(self.opened.number);
        let changed = self.world.changed.notified();
        match next {
            Some(at) => tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(at.max(Instant::now() + Duration::from_millis(1))) => {}
            },
            None => changed.await,
        }
    }

    fn send(&self, window: &mut Window) -> Result<(), TransportError> {
        let mut state = self.world.lock();
        state.advance(self.opened.number, false);
        if !state.broker.is_open(self.opened.number) {
            return Err(end("closed"));
        }
        // A broker that reads nothing lets the socket fill: sometimes nothing can be written.
        if state.broker.is_deaf() && state.random.bool() {
            return Ok(());
        }
        for settlement in window.settlements(0) {
            if !state.steps(self.who, "an acknowledgement") {
                return Ok(());
            }
            let way = Duration::from_millis(state.random.u64(..WAY));
            if let Some(connection) = state.broker.connections.get_mut(&self.opened.number) {
                let last = connection.on_way.back().map_or_else(Instant::now, |(at, _)| *at);
                connection.on_way.push_back((last.max(Instant::now() + way), settlement));
            }
        }
        Ok(())
    }
}

impl Consumer for SimulatedConsumer {
    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn poll<'a>(&'a mut self, out: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            loop {
                if let Some(taken) = self.take(out) {
                    return taken;
                }
                self.change().await;
            }
        })
    }

    fn ended(&mut self) -> BoxFuture<'_, TransportError> {
        Box::pin(async move {
            loop {
                if let Some(Err(lost)) = self.take(&mut Batch::with_limit(0)) {
                    return lost;
                }
                self.change().await;
            }
        })
    }

    fn untaken(&self) -> usize {
        let state = self.world.lock();
        state.broker.connections.get(&self.opened.number).map_or(0, Connection::arrived)
    }

    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>> {
        let sent = self.send(window);
        Box::pin(std::future::ready(sent))
    }

    fn waiting(&self) -> BoxFuture<'static, Result<QueueDepths, TransportError>> {
        let seen = self.world.lock().broker.seen(self.queue);
        Box::pin(std::future::ready(Ok(vec![(self.name.clone(), seen)])))
    }

    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        self.world.lock().broker.cancel(self.opened.number);
        self.world.changed.notify_waiters();
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            sleep(Duration::from_millis(WAY)).await;
            let mut state = self.world.lock();
            if state.is_alive(self.who) {
                state.advance(self.opened.number, true);
            }
        })
    }
}

impl Drop for SimulatedConsumer {
    fn drop(&mut self) {
        let mut state = self.world.lock();
        state.broker.close(self.opened.number, None);
        state.broker.connections.remove(&self.opened.number);
        drop(state);
        self.world.changed.notify_waiters();
    }
}
