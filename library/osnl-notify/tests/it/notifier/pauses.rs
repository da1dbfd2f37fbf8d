//! A transport whose options ask for pauses that grow, as `rabbit_retry_interval` does.

use std::sync::Arc;
use std::time::Duration;

use osnl_model::{Priority, Target};
use osnl_notify::notifier::{Confirm, Context, Driver};
use osnl_transport::{
    BoxFuture, Consumer, Declare, ListenOptions, MemoryBroker, MemoryTransport, OutgoingMessage, Reconnect,
    RetryPauses, Tap, TapOptions, Transport, TransportError,
};

use super::builder;

struct GrowingPauses(MemoryTransport);

impl Transport for GrowingPauses {
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        self.0.listen(to, options)
    }

    fn send<'a>(
        &'a self,
        to: &'a Target,
        priority: &'a Priority,
        message: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        self.0.send(to, priority, message)
    }

    fn tap<'a>(&'a self, options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        self.0.tap(options)
    }

    fn reconnect(&self) -> Reconnect {
        let seconds = Duration::from_secs;
        let retry = RetryPauses { first: seconds(1), step: seconds(2), longest: seconds(30) };
        Reconnect { delay: None, retry: Some(retry) }
    }

    fn location(&self) -> String {
        self.0.location()
    }
}

/// The first answer after an outage may also be that no queue takes the message.
#[tokio::test(start_paused = true)]
async fn each_outage_begins_with_the_first_pause() {
    for mandatory in [false, true] {
        let broker = MemoryBroker::new();
        let maker =
            builder(Arc::new(broker.transport()), Driver::Messaging).topics(["other"]).build().unwrap();
        maker.info(&Context::new(), "e", &()).await.unwrap();
        let notifier = builder(Arc::new(GrowingPauses(broker.transport())), Driver::Messaging)
            .declare(Declare::Passive)
            .mandatory(mandatory)
            .confirm(Confirm::Background)
            .build()
            .unwrap();
        let seconds = Duration::from_secs_f64;
        for (away, back) in [(seconds(60.0), seconds(30.0)), (seconds(0.5), seconds(1.0))] {
            broker.set_down(true);
            notifier.info(&Context::new(), "e", &()).await.unwrap();
            assert_eq!(notifier.flush(away).await.unwrap_err().waiting, 1);
            broker.set_down(false);
            let waiting = notifier.flush(back).await.map_or_else(|unsent| unsent.waiting, |()| 0);
            assert_eq!(waiting, 0, "mandatory: {mandatory}, after {away:?}");
        }
        assert_eq!(notifier.counters().lost.get(), if mandatory { 2 } else { 0 });
    }
}
