//! A listener on AMQP 1.0 in words: its addresses, and the limits of the protocol.

use std::path::PathBuf;

use osnl_brokers::amqp1::{Amqp1Options, Amqp1Transport, LIMITS};
use osnl_config::sections::SectionReader;
use osnl_model::TransportUrl;
use osnl_transport::Declare;

use super::ListenerConf;
use crate::actions::broker::BrokerReader as _;

pub(super) fn warn(reader: &mut SectionReader<'_>, url: &TransportUrl, pool: Option<&str>, declare: Declare) {
    reader.warn_of_limits(url);
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
