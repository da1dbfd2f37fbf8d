use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use osnl_model::TransportUrl;
use osnl_transport::{RabbitTransport, Transport};

use super::{BrokerRig, SampleMessage, UnsettledMessages};
use crate::{Broker, Vhost};

/// A virtual host of the shared node.
pub struct Rabbit(pub Vhost);

impl Rabbit {
    async fn channel(&self) -> (Connection, Channel) {
        let url = self.0.url().replace("rabbit:", "amqp:");
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        (connection, channel)
    }
}

impl BrokerRig for Rabbit {
    async fn start() -> Self {
        Self(tokio::task::block_in_place(|| Broker::shared().vhost("conformance")))
    }

    fn transport(&self) -> Box<dyn Transport> {
        Box::new(RabbitTransport::from_url(&TransportUrl::parse(&self.0.url()).unwrap()).unwrap())
    }

    async fn make_exchange(&mut self, exchange: &str) {
        let (connection, channel) = self.channel().await;
        let (kind, options) = (ExchangeKind::Topic, ExchangeDeclareOptions::default());
        channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await.unwrap();
        connection.close(200, "done".into()).await.unwrap();
    }

    async fn publish(&mut self, samples: Vec<SampleMessage>) {
        let (connection, channel) = self.channel().await;
        for sample in samples {
            let mut properties = BasicProperties::default();
            if let Some(text) = sample.content_type {
                properties = properties.with_content_type(text.into());
            }
            if let Some(text) = sample.content_encoding {
                properties = properties.with_content_encoding(text.into());
            }
            if let Some(text) = sample.compression {
                let mut headers = FieldTable::default();
                headers.insert("compression".into(), AMQPValue::LongString(text.into()));
                properties = properties.with_headers(headers);
            }
            let (exchange, key) = (sample.exchange.as_str().into(), sample.routing_key.as_str().into());
            let options = BasicPublishOptions::default();
            channel.basic_publish(exchange, key, options, &sample.body, properties).await.unwrap();
        }
        channel.wait_for_confirms().await.unwrap();
        connection.close(200, "done".into()).await.unwrap();
    }

    fn depth(&self, queue: &str) -> UnsettledMessages {
        let (ready, unacknowledged) = self.0.queue_depth(queue).unwrap();
        UnsettledMessages::Apart(ready, unacknowledged)
    }

    fn close_connections(&self) {
        self.0.close_all_connections("conformance");
    }

    fn delete_queue(&self, queue: &str) {
        self.0.delete_queue(queue);
    }
}
