//! A listener on AMQP 1.0 in words: its addresses, and the limits of the protocol.

use std::time::Duration;

use osnl_config::sections::SectionReader;
use osnl_transport::{AMQP1_LIMITS, Amqp1Options, Amqp1Transport, Declare, Transport as _};

use super::ListenerConf;
use crate::action::driver::Probe;
use crate::action::driver::probe::silent;

pub(super) fn warn(reader: &mut SectionReader<'_>, pool: Option<&str>, declare: Declare) {
    let remedy = "publish to RabbitMQ or Kafka where an event must not be lost";
    reader.warn("transport_url", &AMQP1_LIMITS.join("; "), remedy);
    if pool.is_some() && declare != Declare::Nothing {
        reader.warn("pool", "has no effect with AMQP 1.0, which has no pools", "write pool = without a name");
    }
}

pub(super) fn explain(listener: &ListenerConf) -> Vec<String> {
    let bindings = listener.options().bindings(&listener.targets());
    let keys =
        bindings.iter().map(|binding| format!("those of {} {}", binding.exchange, binding.routing_key));
    let plain = listener.queues().into_iter().filter(|_| listener.declare == Declare::Nothing);
    let addresses: Vec<String> = keys.chain(plain).collect();
    let prefetch = format!("prefetch   at most {} unacknowledged messages", listener.prefetch);
    let lines = [format!("addresses  {}", addresses.join(", ")), prefetch].into_iter();
    lines.chain(AMQP1_LIMITS.map(|limit| format!("limit      {limit}"))).collect()
}

/// Returns the addresses for a comparison of listeners; none if the options are wrong.
pub(super) fn readable_addresses(listener: &ListenerConf) -> Vec<String> {
    let (url, options) = (&listener.transport_url, listener.options());
    Amqp1Transport::readable_addresses(url, &listener.targets(), &options).unwrap_or_default()
}

pub(super) async fn probe(listener: &ListenerConf, limit: Duration) -> Probe {
    let (section, url) = (format!("listener:{}", listener.name), &listener.transport_url);
    let options = Amqp1Options::from_query(url).map_err(Into::into);
    let transport = match options.and_then(|options| Amqp1Transport::new(url, options)) {
        Ok(transport) => transport,
        Err(error) => return Probe::of(section, "broker").failed(error.to_string(), None),
    };
    let probe = Probe::of(section, transport.location());
    match tokio::time::timeout(limit, transport.inspect()).await {
        Err(_) => silent(probe, limit),
        Ok(Err(error)) => probe.failed(error.to_string(), error.own_remedy()),
        Ok(Ok((host, Some(product)))) => probe.fine(format!("{host} answers, product {product}")),
        Ok(Ok((host, None))) => probe.fine(format!("{host} answers, and does not name its product")),
    }
}
