use std::future::Future;
use std::time::Duration;

use osnl_model::{Priority, Target, TransportUrl};
use osnl_testkit::Vhost;
use osnl_transport::{
    Batch, Consumer, Declare, IncomingMessage, ListenOptions, QueueKind, RabbitTransport, Transport,
    TransportError, Window,
};

pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Session {
    pub(crate) consumer: Box<dyn Consumer>,
    pub(crate) window: Window,
    pub(crate) batch: Batch,
}

impl Session {
    pub(crate) async fn open(
        transport: &dyn Transport,
        to: &[(Target, Priority)],
        options: &ListenOptions,
    ) -> Result<Self, TransportError> {
        let consumer = within(transport.listen(to, options)).await?;
        let window = Window::new(consumer.subscription().epoch);
        Ok(Self { consumer, window, batch: Batch::with_limit(usize::from(options.prefetch)) })
    }

    pub(crate) async fn poll(&mut self) -> Result<Vec<IncomingMessage>, TransportError> {
        within(self.consumer.poll(&mut self.batch)).await?;
        self.window.admit(&self.batch);
        Ok(self.batch.drain().collect())
    }

    pub(crate) async fn read(&mut self, count: usize) -> Vec<SeenMessage> {
        let mut seen = Vec::new();
        while seen.len() < count {
            for message in self.poll().await.unwrap() {
                seen.push(SeenMessage::from_message(&message));
                self.window.acknowledge(message).unwrap();
            }
            self.flush().await.unwrap();
        }
        seen
    }

    pub(crate) async fn flush(&mut self) -> Result<(), TransportError> {
        within(self.consumer.flush(&mut self.window)).await
    }

    pub(crate) async fn close(self) {
        within(self.consumer.close()).await;
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenMessage {
    pub(crate) queue: String,
    pub(crate) exchange: String,
    pub(crate) key: String,
    pub(crate) body: String,
}

impl SeenMessage {
    pub(crate) fn from_message(message: &IncomingMessage) -> Self {
        Self {
            queue: message.queue.to_string(),
            exchange: message.exchange.clone(),
            key: message.routing_key.clone(),
            body: String::from_utf8_lossy(&message.body).into_owned(),
        }
    }
}

pub(crate) fn bodies(seen: &[SeenMessage]) -> Vec<&str> {
    seen.iter().map(|seen| seen.body.as_str()).collect()
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it takes too long")
}

pub(crate) fn transport(url: &TransportUrl) -> Result<Box<dyn Transport>, TransportError> {
    Ok(Box::new(RabbitTransport::from_url(url)?))
}

pub(crate) fn rabbit(vhost: &Vhost) -> Box<dyn Transport> {
    transport(&TransportUrl::parse(&vhost.url()).unwrap()).unwrap()
}

pub(crate) fn targets(exchanges: &[&str], priorities: &[Priority]) -> Vec<(Target, Priority)> {
    let of = |x: &&str| Target::new(*x, "notifications");
    exchanges.iter().flat_map(|x| priorities.iter().map(move |p| (of(x), p.clone()))).collect()
}

pub(crate) fn options(
    pool: Option<&str>,
    prefetch: u16,
    declare: Declare,
    queue: QueueKind,
) -> ListenOptions {
    ListenOptions::new(pool, prefetch, declare, queue)
}
