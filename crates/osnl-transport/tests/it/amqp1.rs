//! AMQP 1.0: a scripted peer for bytes that no broker sends, and, by `cargo xtask test --amqp1`, a stand-in for a broker.

mod scripted;
#[cfg(feature = "amqp1-tests")]
mod standin;

use osnl_model::{Priority, Target, TransportUrl};
use osnl_transport::{
    Batch, Consumer, Declare, IncomingMessage, ListenOptions, QueueKind, Transport, TransportError, Window,
    transport,
};

const SOON: std::time::Duration = std::time::Duration::from_secs(30);

fn connected(url: &str) -> Box<dyn Transport> {
    transport(&TransportUrl::parse(url).unwrap()).unwrap()
}

fn options(pool: Option<&str>, declare: Declare) -> ListenOptions {
    ListenOptions {
        bodies: Default::default(),
        consumer_tag: String::new(),
        pool: pool.map(str::to_owned),
        prefetch: 10,
        declare,
        queue: QueueKind::OSLO,
    }
}

struct Reader {
    consumer: Box<dyn Consumer>,
    window: Window,
}

impl Reader {
    async fn open(transport: &dyn Transport, options: &ListenOptions) -> Result<Self, TransportError> {
        let to = [(Target::new("neutron", "notifications"), Priority::Info)];
        let consumer = transport.listen(&to, options).await?;
        let window = Window::new(consumer.subscription().epoch);
        Ok(Self { consumer, window })
    }

    async fn poll(&mut self) -> Result<Vec<IncomingMessage>, TransportError> {
        let mut batch = Batch::with_limit(10);
        let polled = tokio::time::timeout(SOON, self.consumer.poll(&mut batch)).await;
        polled.expect("something arrives, or the connection ends")?;
        self.window.admit(&batch);
        Ok(batch.drain().collect())
    }
}
