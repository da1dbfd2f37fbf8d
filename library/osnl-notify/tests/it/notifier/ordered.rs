//! A transport that orders messages by their resource and whose readers know one framing, as Kafka's.

use std::sync::{Arc, Mutex};

use osnl_model::{Framing, Priority, Target};
use osnl_notify::notifier::{Context, Driver};
use osnl_transport::{
    BoxFuture, Consumer, Features, ListenOptions, MemoryBroker, MemoryTransport, OutgoingMessage, Tap,
    TapOptions, Transport, TransportError,
};
use serde_json::{Value, json};

use super::{LONG, builder};

struct Ordered {
    inner: MemoryTransport,
    sent: Arc<Mutex<Vec<OutgoingMessage>>>,
}

impl Transport for Ordered {
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        self.inner.listen(to, options)
    }

    fn send<'a>(
        &'a self,
        _: &'a Target,
        _: &'a Priority,
        message: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        self.sent.lock().unwrap().push(message);
        Box::pin(std::future::ready(Ok(())))
    }

    fn tap<'a>(&'a self, options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        self.inner.tap(options)
    }

    fn features(&self) -> Features {
        Features { framing: Some(Framing::Kafka), keys: true, ..self.inner.features() }
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

#[tokio::test]
async fn both_drivers_send_the_one_framing_with_the_resource_as_the_key() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let transport = Ordered { inner: MemoryBroker::new().transport(), sent: sent.clone() };
    let notifier =
        builder(Arc::new(transport), Driver::Messaging).driver(Driver::MessagingV2).build().unwrap();
    let context: Context = [("user_id", "u")].into_iter().collect();
    notifier.info(&context, "port.delete.end", &json!({"port": {"id": "7B2F"}})).await.unwrap();
    notifier.close(LONG).await.unwrap();
    let sent = sent.lock().unwrap();
    assert_eq!(sent.len(), 2, "one for each driver");
    for message in &*sent {
        assert_eq!(message.key.as_deref(), Some("7b2f"));
        let outer: Value = serde_json::from_slice(&message.body).unwrap();
        let inner: Value = serde_json::from_str(outer["oslo.message"].as_str().unwrap()).unwrap();
        assert_eq!(inner["_context"], json!({"user_id": "u"}));
    }
}
