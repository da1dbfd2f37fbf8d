use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use osnl::native::{self, ListenerConf};
use osnl_brokers::transport;
use osnl_model::{Budget, Compression, TransportUrl, no_such};
use osnl_transport::parts::DEFAULT_EXCHANGE;
use osnl_transport::{Declare, RabbitOptions, Transport};

use super::args::SendArgs;
use crate::command::{sources, url};
use crate::exit::Exit;

pub(super) struct Destination {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) exchange: String,
    pub(super) topics: Vec<String>,
    pub(super) compression: Option<Compression>,
    pub(super) budget: Budget,
}

pub(super) type SendRefusal = (Exit, anyhow::Error);

pub(super) fn find(args: &SendArgs) -> Result<Destination, SendRefusal> {
    let (transport, options, exchange, topics, budget) = match &args.transport_url {
        Some(url) => {
            let url = from_flag(url.expose()).map_err(|error| (Exit::Usage, error))?;
            let options = RabbitOptions::from_query(&url).context("--transport-url");
            let options = options.map_err(|error| (Exit::Usage, error))?;
            let transport = transport(&url);
            (transport, options, "openstack".to_owned(), vec!["notifications".to_owned()], Budget::DEFAULT)
        }
        None => {
            let listener = from_configuration(args)?;
            let exchange = one_exchange(args, &listener)?;
            (listener.transport(), listener.rabbit, exchange, listener.topics, listener.budget)
        }
    };
    let compression = options.compression();
    let transport = transport.map_err(|error| (Exit::Usage, error.into()))?;
    // A transport with its own framing compresses messages itself, so kombu's compression would be
    // useless.
    let compression = compression.filter(|_| transport.features().framing.is_none());
    let budget = args.max_body.map_or(budget, Budget::for_body);
    Ok(Destination { transport: transport.into(), exchange, topics, compression, budget })
}

fn from_flag(text: &str) -> anyhow::Result<TransportUrl> {
    url::read(text.trim()).context("--transport-url")
}

fn from_configuration(args: &SendArgs) -> Result<ListenerConf, SendRefusal> {
    let loaded = native::load(&sources::from_args(&args.sources)).map_err(|errors| {
        let hint = if args.sources.config_file.is_empty() && args.sources.config_dir.is_empty() {
            "\nthe broker is named by --transport-url, or by a configuration with --config-file"
        } else {
            ""
        };
        (Exit::Config, anyhow!("{errors}{hint}"))
    })?;
    let mut listeners = loaded.conf.listeners;
    let names = listeners.iter().map(|listener| &*listener.name).collect::<Vec<_>>().join(", ");
    match &args.listener {
        Some(name) => listeners
            .into_iter()
            .find(|listener| *listener.name == **name)
            .ok_or_else(|| (Exit::Failed, anyhow!(no_such("listener", name, names.split(", "))))),
        None => match (listeners.pop(), listeners.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err((
                Exit::Usage,
                anyhow!("there are several listeners; choose one with --listener: {names}"),
            )),
        },
    }
}

/// Returns the listener's only exchange. With several, or none, the operator must give
/// `--exchange`.
fn one_exchange(args: &SendArgs, listener: &ListenerConf) -> Result<String, SendRefusal> {
    match (&args.exchange, &listener.exchanges[..]) {
        (Some(named), _) => Ok(named.clone()),
        (None, [only]) => Ok(only.clone()),
        // Kafka has no exchanges.
        (None, []) if listener.declare != Declare::Nothing => Ok(DEFAULT_EXCHANGE.to_owned()),
        (None, several) => {
            let there = if several.is_empty() { "no exchange".to_owned() } else { several.join(", ") };
            let name = &listener.name;
            Err((
                Exit::Usage,
                anyhow!("[listener:{name}] has several exchanges, {there}; choose one with --exchange"),
            ))
        }
    }
}
