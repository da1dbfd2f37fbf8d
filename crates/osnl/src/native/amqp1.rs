//! A listener on AMQP 1.0 in words: its addresses, and the limits of the protocol.

use std::time::Duration;

use osnl_brokers::amqp1::{Amqp1Options, Amqp1Transport, LIMITS};
use osnl_config::sections::SectionReader;
use osnl_transport::{Declare, Transport as _};

use super::ListenerConf;
use crate::action::driver::{Probe, silent};

pub(super) fn warn(reader: &mut SectionReader<'_>, pool: Option<&str>, declare: Declare) {
    let remedy = "publish to RabbitMQ or Kafka where an event must not be lost";
    reader.warn("transport_url", &LIMITS.join("; "), remedy);
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
        Err(error) => return Probe::new(section, "broker").failed(error.to_string(), None),
    };
    let probe = Probe::new(section, transport.location());
    let (targets, options) = (listener.targets(), listener.options());
    match tokio::time::timeout(limit, transport.inspect(&targets, &options)).await {
        Err(_) => silent(probe, limit),
        Ok(Err(error)) => {
            let remedy = transport.remedy(&error, &targets, &options);
            probe.failed(error.to_string(), remedy.as_deref())
        }
        Ok(Ok((host, Some(product)))) => probe.fine(format!("{host} answers, product {product}")),
        Ok(Ok((host, None))) => probe.fine(format!("{host} answers, and does not name its product")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::native::{Sources, load_texts};

    #[tokio::test]
    async fn a_refused_login_has_the_remedy_of_the_daemon() {
        let broker = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("amqp://u:p@{}/", broker.local_addr().unwrap());
        // A header without a login, where the client asks for one, is a refusal.
        let refusing = std::thread::spawn(move || {
            let (mut client, _) = broker.accept().unwrap();
            client.write_all(b"AMQP\0\x01\0\0").unwrap();
            let _ = client.read_to_end(&mut Vec::new());
        });
        let text = format!(
            "[listener:l]\ntransport_url = {url}\nexchange = nova\npool =\n[rule:r]\nactions = a\n[action:a]\n\
             driver = dump\n"
        );
        let loaded = load_texts(&[("f".to_owned(), text)], &Sources::default()).unwrap();
        let found = probe(&loaded.conf.listeners[0], Duration::from_secs(10)).await;
        refusing.join().unwrap();
        assert!(found.found.contains("the broker takes no login"), "{found}");
        assert!(found.advice.as_ref().is_some_and(|advice| advice.contains("sasl_mechanisms")), "{found}");
    }
}
