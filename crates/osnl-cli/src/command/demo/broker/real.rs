//! Exchanges and publishing on a RabbitMQ. `osnl-transport` does the listening.
//!
//! Every name begins with `osnl-demo-`, the process id and a random number, so no other exchange is touched. A killed
//! demo leaves its three queues and its exchanges behind.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ExchangeKind};
use osnl_model::TransportUrl;
use osnl_transport::{RabbitOptions, RabbitTransport, Transport};

use crate::command::demo::recording::DemoMessage;

const PATIENCE: Duration = Duration::from_secs(10);

pub(in super::super) struct RealBroker {
    url: TransportUrl,
    location: String,
    prefix: String,
    exchanges: Vec<String>,
    channel: Channel,
    connection: Connection,
}

impl RealBroker {
    pub(super) async fn open(url: &TransportUrl, exchanges: &[&str]) -> anyhow::Result<Self> {
        let location = osnl_brokers::transport(url)?.location();
        let publisher = RabbitTransport::new(url.clone(), RabbitOptions::from_query(url)?)?;
        let connected = publisher.connection().await;
        let connection = connected.map_err(|error| anyhow!("cannot connect to the broker at {error}"))?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let prefix = format!("osnl-demo-{}-{:04x}-", std::process::id(), fastrand::u16(..));
        let exchanges: Vec<String> = exchanges.iter().map(|exchange| format!("{prefix}{exchange}")).collect();
        for exchange in &exchanges {
            let options = ExchangeDeclareOptions::default();
            let name = exchange.as_str().into();
            channel.exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default()).await?;
        }
        Ok(Self { url: url.clone(), location, prefix, exchanges, channel, connection })
    }

    pub(super) fn transport(&self) -> anyhow::Result<Box<dyn Transport>> {
        Ok(osnl_brokers::transport(&self.url)?)
    }

    pub(super) fn name(&self, plain: &str) -> String {
        format!("{}{plain}", self.prefix)
    }

    pub(super) fn location(&self) -> String {
        self.location.clone()
    }

    pub(super) async fn publish(&self, message: &DemoMessage) -> anyhow::Result<()> {
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(2)
            .with_priority(0);
        let published = async {
            let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
            let options = BasicPublishOptions::default();
            self.channel
                .basic_publish(exchange, key, options, message.body.as_bytes(), properties)
                .await?
                .await
        };
        let confirmation = tokio::time::timeout(PATIENCE, published).await.context("no answer in time")??;
        if confirmation.is_nack() {
            bail!("it was refused");
        }
        Ok(())
    }

    pub(super) async fn close(self, queues: &[String]) -> anyhow::Result<u64> {
        let deleted = async {
            let mut waiting = 0;
            for queue in queues {
                let name = queue.as_str().into();
                waiting += self.channel.queue_delete(name, QueueDeleteOptions::default()).await?;
            }
            for exchange in &self.exchanges {
                let name = exchange.as_str().into();
                self.channel.exchange_delete(name, ExchangeDeleteOptions::default()).await?;
            }
            // The demo is over, so an error does not matter: the process closes the connection.
            let _ = self.connection.close(200, "the demo is over".into()).await;
            Ok::<u32, lapin::Error>(waiting)
        };
        let waiting = tokio::time::timeout(PATIENCE, deleted).await.context("no answer in time")??;
        Ok(waiting.into())
    }
}
