use std::future::Future;
use std::time::Duration;

use osnl_model::{Priority, Target};
use osnl_transport::{
    Batch, Consumer, Declare, IncomingMessage, ListenOptions, QueueKind, Transport, TransportError, Window,
};

use super::{BrokerRig, SampleMessage, UnsettledMessages};

pub(super) const SOON: Duration = Duration::from_secs(60);
pub(super) const PREFETCH: u16 = 10;
pub(super) const POOL: &str = "p";

pub(super) struct ConsumerSession {
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) window: Window,
    pub(super) batch: Batch,
}

pub(super) fn options(pool: &str, prefetch: u16, declare: Declare) -> ListenOptions {
    ListenOptions::new(Some(pool), prefetch, declare, QueueKind::OSLO)
}

pub(super) fn neutron() -> [(Target, Priority); 1] {
    [(Target::new("neutron", "notifications"), Priority::Info)]
}

impl ConsumerSession {
    pub(super) async fn open(rig: &impl BrokerRig, pool: &str) -> Self {
        Self::open_with(&*rig.transport(), &neutron(), &options(pool, PREFETCH, Declare::Create)).await
    }

    pub(super) async fn open_with(
        transport: &dyn Transport,
        to: &[(Target, Priority)],
        options: &ListenOptions,
    ) -> Self {
        let consumer = within(transport.listen(to, options)).await.unwrap();
        let window = Window::new(consumer.subscription().epoch);
        Self { consumer, window, batch: Batch::with_limit(usize::from(options.prefetch)) }
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

    pub(super) async fn is_silent(&mut self) -> bool {
        let poll = self.consumer.poll(&mut self.batch);
        let _ = tokio::time::timeout(Duration::from_millis(30), poll).await;
        self.batch.is_empty()
    }

    pub(super) fn acknowledge(&mut self, messages: impl IntoIterator<Item = IncomingMessage>) {
        for message in messages {
            self.window.acknowledge(message).unwrap();
        }
    }

    pub(super) async fn flush(&mut self) {
        within(self.consumer.flush(&mut self.window)).await.unwrap();
    }

    pub(super) async fn close(self) {
        within(self.consumer.close()).await;
    }
}

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it takes too long")
}

pub(super) async fn publish(rig: &mut impl BrokerRig, numbers: std::ops::Range<u32>) {
    rig.publish(SampleMessage::numbers(numbers)).await;
}

pub(super) fn number(message: &IncomingMessage) -> u32 {
    std::str::from_utf8(&message.body).unwrap().parse().unwrap()
}

pub(super) fn numbers(messages: &[IncomingMessage]) -> Vec<u32> {
    messages.iter().map(number).collect()
}

/// Waits, because the broker counts a settlement a moment after it was sent.
pub(super) fn depth_becomes(rig: &impl BrokerRig, queue: &str, ready: u64, unacknowledged: u64) {
    let seen = || match rig.depth(queue) {
        UnsettledMessages::Ready(found) => found == ready,
        UnsettledMessages::Apart(found, open) => (found, open) == (ready, unacknowledged),
        UnsettledMessages::Together(found) => found == ready + unacknowledged,
    };
    let what = format!("{ready} ready and {unacknowledged} unacknowledged in {queue}");
    tokio::task::block_in_place(|| crate::wait_until(SOON, &what, seen));
}
