//! The options and probes of sections that name a broker.

mod probe;

use std::path::{Path, PathBuf};

use osnl_config::sections::SectionReader;
use osnl_model::{TransportUrl, catalogue};
use osnl_transport::RabbitOptions;

pub(crate) use self::probe::CREATE_EXCHANGE;
pub use self::probe::{broker, broker_probe, exchange, shards_probe};
#[cfg(feature = "kafka")]
pub use self::probe::{kafka_canary_probe, kafka_probe};
use crate::transport_url;

pub trait BrokerReader {
    fn transport_url(&mut self) -> Option<TransportUrl>;

    fn warn_of_service<'b>(&mut self, exchanges: impl IntoIterator<Item = &'b str>);

    fn warn_of_trust(&mut self, options: &RabbitOptions, remedy: &str);

    fn warn_of_limits(&mut self, url: &TransportUrl);

    fn broker_name(&mut self, option: &str, longest: usize) -> Option<String>;

    fn check_name(&mut self, option: &str, text: &str, longest: usize) -> bool;
}

/// Returns the file of the certificate that a broker sees.
pub(crate) fn client_certificate(url: &TransportUrl, options: &RabbitOptions) -> Option<PathBuf> {
    #[cfg(feature = "kafka")]
    if osnl_brokers::Driver::for_url(url) == osnl_brokers::Driver::Kafka {
        return osnl_brokers::kafka::KafkaOptions::from_query(url).ok()?.client_certificate();
    }
    #[cfg(not(feature = "kafka"))]
    let _ = url;
    options.client_certificate()
}

pub fn exchange_of_service<'b>(
    exchanges: impl IntoIterator<Item = &'b str>,
) -> Option<(String, &'static str)> {
    let (exchange, owner) =
        exchanges.into_iter().find_map(|name| Some((name, catalogue::owner_of_exchange(name)?)))?;
    let problem = format!(
        "exchange {exchange} belongs to {owner}: if osnl creates it first, the broker refuses a service that has \
         amqp_durable_queues or rabbit_quorum_queue otherwise"
    );
    Some((problem, "remove the line: osnl waits until the service has created it"))
}

impl BrokerReader for SectionReader<'_> {
    fn transport_url(&mut self) -> Option<TransportUrl> {
        const OPTION: &str = "transport_url";
        let text = self.required(OPTION, "write rabbit://user:password@host:port/vhost")?;
        match transport_url::check(&text) {
            Ok(url) => {
                if text.contains("***@") {
                    let problem = "the password is ***, as osnl config show hides it";
                    self.warn(OPTION, problem, "write the password, or use --show-secrets");
                }
                let named =
                    |name: &str| url.query().iter().find(|(key, _)| key == name).map(|(_, path)| path);
                let key = named("ssl_key_file").or_else(|| named("ssl_cert_file"));
                if let Some(path) = key {
                    self.warn_of_open(OPTION, Path::new(path), "a private key");
                }
                let written = self.section.entry(OPTION).filter(|entry| entry.file.is_none());
                Some(url.with_folded_dollars(written.is_some_and(|entry| entry.text.contains("$$"))))
            }
            Err(refusal) => self.refused(OPTION, refusal),
        }
    }

    fn warn_of_service<'b>(&mut self, exchanges: impl IntoIterator<Item = &'b str>) {
        if let Some((problem, allowed)) = exchange_of_service(exchanges) {
            self.warn("declare", &problem, allowed);
        }
    }

    fn warn_of_trust(&mut self, options: &RabbitOptions, remedy: &str) {
        if let Some(problem) = options.tls().and_then(|tls| tls.warning()) {
            let option = ["tls", "ssl"].into_iter().find(|option| self.section.entry(option).is_some());
            self.warn(option.unwrap_or("transport_url"), problem, remedy);
        }
    }

    fn warn_of_limits(&mut self, url: &TransportUrl) {
        let limits = osnl_brokers::Driver::for_url(url).limits();
        if limits.is_empty() {
            return;
        }
        let mut remedy = "publish to RabbitMQ or Kafka where an event must not be lost".to_owned();
        if transport_url::may_be_rabbitmq(url) {
            remedy.push_str("; for RabbitMQ write rabbit://");
            remedy.push_str(if url.driver() == "amqps" { "...?ssl=1" } else { "" });
        }
        self.warn("transport_url", &limits.join("; "), &remedy);
    }

    fn broker_name(&mut self, option: &str, longest: usize) -> Option<String> {
        let text = self.text(option)?;
        self.check_name(option, &text, longest).then_some(text)
    }

    fn check_name(&mut self, option: &str, text: &str, longest: usize) -> bool {
        if text.is_empty() {
            self.refuse::<()>(option, "is empty", "write a name");
        } else if text.len() > longest {
            self.refuse::<()>(option, "is too long for the broker", &format!("at most {longest} bytes"));
        } else {
            if text.contains(char::is_control) || text.trim() != text {
                let problem = "the name has spaces around it or line breaks in it, and is used as it is";
                self.warn(option, problem, "write it after the `=`, on one line");
            }
            return true;
        }
        false
    }
}
