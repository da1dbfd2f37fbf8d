mod real;

use std::sync::Arc;

use anyhow::Context as _;
use osnl_model::TransportUrl;
use osnl_transport::{MemoryBroker, Properties, Transport};

use self::real::RealBroker;
use super::recording::DemoMessage;

pub(super) enum DemoBroker {
    InProcess(MemoryBroker),
    Real(Box<RealBroker>),
}

impl DemoBroker {
    pub(super) async fn open(url: Option<&str>, exchanges: &[&str]) -> anyhow::Result<Self> {
        let Some(url) = url else { return Ok(Self::InProcess(MemoryBroker::new())) };
        let url = TransportUrl::parse(url).context("--transport-url")?;
        let broker = RealBroker::open(&url, exchanges).await.context("--transport-url")?;
        Ok(Self::Real(Box::new(broker)))
    }

    pub(super) fn transport(&self) -> anyhow::Result<Arc<dyn Transport>> {
        Ok(match self {
            Self::InProcess(broker) => Arc::new(broker.transport()),
            Self::Real(broker) => broker.transport()?.into(),
        })
    }

    /// Returns the name of an exchange or a queue. A real broker needs a prefix, since it may
    /// already have the plain name.
    pub(super) fn name(&self, plain: &str) -> String {
        match self {
            Self::InProcess(_) => plain.to_owned(),
            Self::Real(broker) => broker.name(plain),
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::InProcess(_) => "a stand-in inside this process".to_owned(),
            Self::Real(broker) => broker.location(),
        }
    }

    pub(super) async fn publish(&self, message: &DemoMessage) -> anyhow::Result<()> {
        match self {
            Self::InProcess(broker) => {
                let properties = Properties {
                    content_type: Some("application/json".into()),
                    content_encoding: Some("utf-8".into()),
                    compression: None,
                };
                let body = message.body.clone().into();
                broker.publish_raw(&message.exchange, &message.routing_key, body, properties);
                Ok(())
            }
            Self::Real(broker) => broker.publish(message).await.context("the broker took no message"),
        }
    }

    pub(super) async fn close(self, queues: &[String]) -> anyhow::Result<u64> {
        match self {
            Self::InProcess(broker) => Ok(queues.iter().map(|queue| broker.ready(queue) as u64).sum()),
            Self::Real(broker) => {
                broker.close(queues).await.context("queues or exchanges of the demo were left on the broker")
            }
        }
    }
}
