use osnl_testkit::conformance::{BrokerRig, SampleMessage, UnsettledMessages};
use osnl_transport::{MemoryBroker, Properties, Transport};

mod memory {
    osnl_testkit::conformance!(super::Memory);
}

mod rabbit {
    osnl_testkit::conformance!(osnl_testkit::conformance::Rabbit);
}

struct Memory(MemoryBroker);

impl BrokerRig for Memory {
    async fn start() -> Self {
        Self(MemoryBroker::new())
    }

    fn transport(&self) -> Box<dyn Transport> {
        Box::new(self.0.transport())
    }

    async fn make_exchange(&mut self, exchange: &str) {
        // Publishing makes the exchange; no queue is bound, so the message is dropped.
        self.0.publish_raw(exchange, "", "".into(), Properties::default());
    }

    async fn publish(&mut self, samples: Vec<SampleMessage>) {
        for sample in samples {
            let properties = Properties {
                content_type: sample.content_type.map(Into::into),
                content_encoding: sample.content_encoding.map(Into::into),
                compression: sample.compression,
            };
            self.0.publish_raw(&sample.exchange, &sample.routing_key, sample.body.into(), properties);
        }
    }

    fn depth(&self, queue: &str) -> UnsettledMessages {
        UnsettledMessages::Ready(self.0.ready(queue) as u64)
    }

    fn close_connections(&self) {
        self.0.disconnect_all();
    }

    fn delete_queue(&self, queue: &str) {
        self.0.delete_queue(queue);
    }
}
