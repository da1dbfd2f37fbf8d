use std::future::Future;
use std::time::Duration;

use osnl_model::{Priority, Target};
use osnl_transport::{
    Batch, Consumer, Declare, IncomingMessage, ListenOptions, QueueKind, Transport, TransportError, Window,
};

const SOON: Duration = Duration::from_secs(60);

pub(super) struct Member {
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) window: Window,
    pub(super) batch: Batch,
}

pub(super) fn options(group: &str, prefetch: u16, declare: Declare) -> ListenOptions {
    ListenOptions::new(Some(group), prefetch, declare, QueueKind::OSLO)
}

pub(super) fn neutron() -> [(Target, Priority); 1] {
    [(Target::new("neutron", "notifications"), Priority::Info)]
}

impl Member {
    pub(super) async fn join(transport: &dyn Transport, group: &str, prefetch: u16) -> Self {
        Self::try_join(transport, &options(group, prefetch, Declare::Create)).await.unwrap()
    }

    pub(super) async fn try_join(
        transport: &dyn Transport,
        options: &ListenOptions,
    ) -> Result<Self, TransportError> {
        let consumer = within(transport.listen(&neutron(), options)).await?;
        let window = Window::new(consumer.subscription().epoch);
        Ok(Self { consumer, window, batch: Batch::with_limit(usize::from(options.prefetch)) })
    }

    pub(super) async fn poll(&mut self) -> Result<Vec<IncomingMessage>, TransportError> {
        within(self.consumer.poll(&mut self.batch)).await?;
        self.window.admit(&self.batch);
        Ok(self.batch.drain().collect())
    }

    pub(super) async fn take(&mut self, count: usize) -> Vec<IncomingMessage> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.extend(self.poll().await.unwrap());
        }
        taken
    }

    pub(super) async fn finish(&mut self, messages: impl IntoIterator<Item = IncomingMessage>) {
        for message in messages {
            self.window.acknowledge(message).unwrap();
        }
        within(self.consumer.flush(&mut self.window)).await.unwrap();
    }

    pub(super) async fn leave(self) {
        within(self.consumer.close()).await;
    }
}

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it takes too long")
}

pub(super) fn text(message: &IncomingMessage) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}

pub(super) fn texts(messages: &[IncomingMessage]) -> Vec<String> {
    messages.iter().map(text).collect()
}
