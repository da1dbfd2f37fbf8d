//! AMQP 1.0: a scripted peer for bytes that no broker sends, and, by `cargo xtask test --amqp1`, a stand-in for a broker.

mod scripted;
#[cfg(feature = "amqp1-tests")]
mod standin;

use std::time::Duration;

use osnl_model::{Priority, Target, TransportUrl};
use osnl_transport::{
    Batch, Consumer, Declare, IncomingMessage, ListenOptions, QueueKind, Transport, TransportError, Window,
    transport,
};

const SOON: Duration = Duration::from_secs(30);

fn transport_of(url: &str) -> Box<dyn Transport> {
    transport(&TransportUrl::parse(url).unwrap()).unwrap()
}

fn options(pool: Option<&str>, declare: Declare) -> ListenOptions {
    let (pool, consumer_tag) = (pool.map(str::to_owned), String::new());
    ListenOptions {
        bodies: Default::default(),
        consumer_tag,
        pool,
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
    async fn open(url: &str, options: &ListenOptions) -> Result<Self, TransportError> {
        let to = [(Target::new("neutron", "notifications"), Priority::Info)];
        let consumer = transport_of(url).listen(&to, options).await?;
        let window = Window::new(consumer.subscription().epoch);
        Ok(Self { consumer, window })
    }

    async fn poll(&mut self) -> Result<Vec<IncomingMessage>, TransportError> {
        let mut batch = Batch::with_limit(10);
        tokio::time::timeout(SOON, self.consumer.poll(&mut batch)).await.expect("a message, or an end")?;
        self.window.admit(&batch);
        Ok(batch.drain().collect())
    }
}
