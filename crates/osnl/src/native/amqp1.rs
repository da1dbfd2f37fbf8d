//! A listener on AMQP 1.0 in words: what it reads, and what this broker cannot do.

use std::time::Duration;

use osnl_config::sections::SectionReader;
use osnl_transport::{Amqp1Options, Amqp1Transport, Declare};

use super::ListenerConf;
use crate::action::driver::Probe;
use crate::action::driver::probe::silent;

pub(super) fn warn(reader: &mut SectionReader<'_>, pool: Option<&str>, declare: Declare) {
    let limits = Amqp1Transport::LIMITS.map(|limit| limit.trim_start_matches("AMQP 1.0: ")).join("; ");
    reader.warn("transport_url", &limits, "publish to RabbitMQ or Kafka where an event must not be lost");
    if pool.is_some() && declare != Declare::Nothing {
        reader.warn("pool", "has no effect with AMQP 1.0, which has no pools", "write pool = without a name");
    }
}

pub(super) fn explain(listener: &ListenerConf) -> Vec<String> {
    let mut lines = vec![match listener.declare {
        Declare::Nothing => format!("address    {}", listener.queues().join(", ")),
        Declare::Create | Declare::Passive => {
            let priorities: Vec<&str> =
                listener.priorities.iter().map(|priority| priority.as_str()).collect();
            let topics = listener.topics.iter().map(|topic| format!("{topic}.{{{}}}", priorities.join(",")));
            let (exchanges, topics) = (listener.exchanges.join(","), topics.collect::<Vec<_>>().join(", "));
            format!("addresses  of {{{exchanges}}} with {topics}, in the form that suits the broker")
        }
    }];
    lines.push(format!("prefetch   at most {} unacknowledged messages", listener.prefetch));
    let limits = Amqp1Transport::LIMITS.iter();
    lines.extend(limits.map(|limit| format!("limit      {}", limit.trim_start_matches("AMQP 1.0: "))));
    lines
}

pub(super) async fn probe(section: &str, listener: &ListenerConf, limit: Duration) -> Probe {
    let url = &listener.transport_url;
    let options = Amqp1Options::from_query(url).map_err(Into::into);
    let transport = match options.and_then(|options| Amqp1Transport::new(url, options)) {
        Ok(transport) => transport,
        Err(error) => return Probe::of(section, "broker".to_owned()).failed(error.to_string(), None),
    };
    let probe = Probe::of(section, osnl_transport::Transport::location(&transport));
    match tokio::time::timeout(limit, transport.look()).await {
        Err(_) => silent(probe, limit),
        Ok(Err(error)) => probe.failed(error.to_string(), error.own_remedy()),
        Ok(Ok((host, Some(product)))) => probe.fine(format!("{host} answers, product {product}")),
        Ok(Ok((host, None))) => probe.fine(format!("{host} answers, and does not name its product")),
    }
}
