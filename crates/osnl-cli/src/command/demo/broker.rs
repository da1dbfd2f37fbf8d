//! The broker of the demo: the in-process one, or a real one.

mod real;

use std::sync::Arc;

use anyhow::Context as _;
use osnl_model::TransportUrl;
use osnl_transport::{MemoryBroker, Properties, Transport};

use self::real::RealBroker;
use super::recording::DemoMessage;

/// See the [module](self).
pub(super) enum DemoBroker {
    InProcess(MemoryBroker),
    Real(Box<RealBroker>),
}

impl DemoBroker {
    /// The broker at this URL, with these exchanges; the in-process one without.
    ///
    /// # Errors
    /// The URL cannot be read or asks for an unknown feature; no broker answers there; access is refused.
    pub(super) async fn open(url: Option<&str>, exchanges: &[&str]) -> anyhow::Result<Self> {
        let Some(url) = url else { return Ok(Self::InProcess(MemoryBroker::new())) };
        let url = TransportUrl::parse(url).context("--transport-url")?;
        let broker = RealBroker::open(&url, exchanges).await.context("--transport-url")?;
        Ok(Self::Real(Box::new(broker)))
    }

    /// A transport for a listener.
    ///
    /// # Errors
    /// As [`DemoBroker::open`].
    pub(super) fn transport(&self) -> anyhow::Result<Arc<dyn Transport>> {
        Ok(match self {
            Self::InProcess(broker) => Arc::new(broker.transport()),
            Self::Real(broker) => broker.transport()?.into(),
        })
    }

    /// Names an exchange or a queue: a real broker may already have one of the plain name.
    pub(super) fn name(&self, plain: &str) -> String {
        match self {
            Self::InProcess(_) => plain.to_owned(),
            Self::Real(broker) => broker.name(plain),
        }
    }

    /// Describes it in words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::InProcess(_) => "a stand-in inside this process".to_owned(),
            Self::Real(broker) => broker.location(),
        }
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// The real broker does not take it.
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

    /// Removes what the demo has declared; gives how many messages were still in these queues.
    ///
    /// # Errors
    /// The real broker does not answer any more.
    pub(super) async fn close(self, queues: &[String]) -> anyhow::Result<u64> {
        match self {
            Self::InProcess(broker) => Ok(queues.iter().map(|queue| broker.ready(queue) as u64).sum()),
            Self::Real(broker) => {
                broker.close(queues).await.context("queues or exchanges of the demo were left on the broker")
            }
        }
    }
}
