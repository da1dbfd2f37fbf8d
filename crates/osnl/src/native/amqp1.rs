//! A listener on AMQP 1.0 in words: its addresses, and the limits of the protocol.

use std::path::PathBuf;

use osnl_brokers::amqp1::{Amqp1Options, Amqp1Transport, LIMITS};
use osnl_config::sections::SectionReader;
use osnl_model::TransportUrl;
use osnl_transport::Declare;

use super::ListenerConf;

pub(super) fn warn(reader: &mut SectionReader<'_>, url: &TransportUrl, pool: Option<&str>, declare: Declare) {
    let remedy = "publish to RabbitMQ or Kafka where an event must not be lost".to_owned();
    let remedy = match (may_be_rabbitmq(url), url.driver()) {
        (false, _) => remedy,
        (true, "amqps") => remedy + "; for RabbitMQ write rabbit://...?ssl=1",
        (true, _) => remedy + "; for RabbitMQ write rabbit://",
    };
    reader.warn("transport_url", &LIMITS.join("; "), &remedy);
    if pool.is_some() && declare != Declare::Nothing {
        reader.warn("pool", "has no effect with AMQP 1.0, which has no pools", "write pool = without a name");
    }
}

/// Whether a URL names a virtual host at a port that is also RabbitMQ's, and no addressing mode of AMQP 1.0.
fn may_be_rabbitmq(url: &TransportUrl) -> bool {
    url.virtual_host() != "/"
        && url.hosts().iter().any(|host| matches!(host.port_or(5672), 5671 | 5672))
        && !url.query().iter().any(|(name, _)| name == "addressing_mode")
}

pub(super) fn explain(listener: &ListenerConf) -> Vec<String> {
    let bindings = listener.options().bindings(&listener.targets());
    let keys =
        bindings.iter().map(|binding| format!("those of {} {}", binding.exchange, binding.routing_key));
    let plain = listener.queues().into_iter().filter(|_| listener.declare == Declare::Nothing);
    let addresses: Vec<String> = keys.chain(plain).collect();
    let prefetch = format!("prefetch   at most {} unacknowledged messages", listener.prefetch);
    let lines = [format!("addresses  {}", addresses.join(", ")), prefetch].into_iter();
    lines.chain(LIMITS.map(|limit| format!("limit      {limit}"))).collect()
}

/// Returns the file of the certificate that the broker sees; none if the options are wrong.
pub(super) fn client_certificate(listener: &ListenerConf) -> Option<PathBuf> {
    let url = &listener.transport_url;
    Amqp1Options::from_query(url).ok()?.client_certificate(url)
}

/// Returns the addresses for a comparison of listeners; none if the options are wrong.
pub(super) fn readable_addresses(listener: &ListenerConf) -> Vec<String> {
    let (url, options) = (&listener.transport_url, listener.options());
    Amqp1Transport::readable_addresses(url, &listener.targets(), &options).unwrap_or_default()
}
