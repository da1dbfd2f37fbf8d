//! Probes the broker of a listener on AMQP 1.0.

use std::time::Duration;

use osnl_brokers::amqp1::{Amqp1Options, Amqp1Transport};
use osnl_transport::Transport as _;

use crate::action::driver::{Probe, silent};
use crate::native::ListenerConf;

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
