//! The options of oslo.messaging's AMQP 1.0 driver that a reader needs, from the query of the transport URL, and the
//! addresses of bindings.
//!
//! A new option has a row in `docs/amqp1.md`.

use std::path::PathBuf;

use osnl_config::{Options as _, options, words};
use osnl_model::{SentLogin, TransportUrl};
use osnl_transport::parts::{file, in_clear};
use osnl_transport::{Binding, DriverOptions, DriverSection, OptionError, TlsOptions, TlsVersions, Trust};

options! {
    /// Names and defaults are from oslo.messaging 14.9.3 (`oslo_messaging/_drivers/amqp1_driver/opts.py`), the last
    /// release with the driver. An empty text is none.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Amqp1Section {
        addressing_mode: AddressingMode = "dynamic" => "Is the form of addresses: legacy, routable, or dynamic, which is legacy for a qpidd and for a broker that does not name itself.";
        pseudo_vhost: bool = "true" => "Decides whether the virtual host is part of the address, or named when the connection opens.";
        sasl_mechanisms: String = "" => "Are the mechanisms of the login that may be used: PLAIN, EXTERNAL, ANONYMOUS. Without the option, a user means PLAIN, and a certificate EXTERNAL.";
        ssl: bool = "false" => "Decides whether the connection is encrypted, as amqps:// does.";
        ssl_ca_file: String = "" => "Is the file of the trusted authorities; without it the system's are trusted.";
        ssl_cert_file: String = "" => "Is the certificate to present to the broker.";
        ssl_key_file: String = "" => "Is the key of ssl_cert_file.";
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressingMode {
    Dynamic,
    Routable,
    Legacy,
}

words!(AddressingMode: "dynamic" => Self::Dynamic, "routable" => Self::Routable, "legacy" => Self::Legacy);

impl Default for Amqp1Section {
    fn default() -> Self {
        Self::defaults().expect("a test reads every default")
    }
}

pub type Amqp1Options = DriverOptions<Amqp1Section>;

const ROUTABLE: &str = "openstack.org/om/notify/anycast";
const NO_MECHANISM: &str = "none of the mechanisms is possible: PLAIN needs a user in the URL, EXTERNAL needs amqps:// and ssl_cert_file, and \
     osnl knows no others but ANONYMOUS";

impl DriverSection for Amqp1Section {
    const SECTION: &'static str = "oslo_messaging_amqp";
    const SCHEMES: &'static [&'static str] = &["amqp", "amqps"];

    fn check(&self) -> Result<(), OptionError> {
        if self.ssl_key_file.is_empty() || !self.ssl_cert_file.is_empty() {
            return Ok(());
        }
        let (names, reason) = ("ssl_key_file without ssl_cert_file", "a key needs its certificate");
        Err(OptionError::Together { names, reason })
    }
}

impl Amqp1Section {
    pub(super) fn tls(&self, url: &TransportUrl) -> Option<TlsOptions> {
        (url.driver() == "amqps" || self.ssl).then(|| TlsOptions {
            trust: Trust::Ca { file: file(Some(&self.ssl_ca_file)), name: true },
            certificate: file(Some(&self.ssl_cert_file)),
            key: file(Some(&self.ssl_key_file)),
            versions: TlsVersions::Any,
        })
    }

    /// Returns the first mechanism that is possible, and permitted by the options.
    pub(super) fn mechanism(&self, url: &TransportUrl, has_user: bool) -> Result<&'static str, OptionError> {
        let has_certificate = self.tls(url).is_some_and(|tls| tls.certificate.is_some());
        let mechanisms = self.sasl_mechanisms.to_ascii_uppercase();
        let named: Vec<&str> = mechanisms.split([' ', ',']).filter(|name| !name.is_empty()).collect();
        let is_anonymous = !has_user || !named.is_empty();
        [("PLAIN", has_user), ("EXTERNAL", has_certificate), ("ANONYMOUS", is_anonymous)]
            .into_iter()
            .find(|(name, is_possible)| *is_possible && (named.is_empty() || named.contains(name)))
            .map(|(name, _)| name)
            .ok_or(OptionError::Together { names: "sasl_mechanisms", reason: NO_MECHANISM })
    }

    /// Returns the logins that go to a broker in clear.
    #[must_use]
    pub fn logins(&self, url: &TransportUrl) -> Vec<SentLogin> {
        if self.tls(url).is_some() { Vec::new() } else { in_clear(url, "write amqps://") }
    }

    /// Returns the file of the certificate that the broker sees.
    #[must_use]
    pub fn client_certificate(&self, url: &TransportUrl) -> Option<PathBuf> {
        self.tls(url)?.certificate
    }

    /// Returns the virtual host that is named when the connection opens.
    pub(super) fn virtual_host<'a>(&self, url: &'a TransportUrl) -> Option<&'a str> {
        virtual_host(url).filter(|_| !self.pseudo_vhost)
    }

    pub(super) fn is_dynamic(&self) -> bool {
        self.addressing_mode == AddressingMode::Dynamic
    }

    /// Returns the address to which oslo.messaging publishes the messages that the binding has on RabbitMQ.
    pub(super) fn address(&self, url: &TransportUrl, product: Option<&str>, binding: &Binding) -> String {
        let is_legacy = match self.addressing_mode {
            AddressingMode::Dynamic => product.is_none_or(|product| product == "qpid-cpp"),
            AddressingMode::Legacy => true,
            AddressingMode::Routable => false,
        };
        let virtual_host = virtual_host(url).filter(|_| self.pseudo_vhost).unwrap_or_default();
        let (exchange, key) = (binding.exchange.as_str(), binding.routing_key.as_str());
        let (prefix, separator) = if is_legacy { ("unicast", ".") } else { (ROUTABLE, "/") };
        let parts = [prefix, virtual_host, exchange, key].into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(separator)
    }
}

fn virtual_host(url: &TransportUrl) -> Option<&str> {
    Some(url.virtual_host()).filter(|name| !matches!(*name, "" | "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> (TransportUrl, Amqp1Options) {
        let url = TransportUrl::parse(url).unwrap();
        let options = Amqp1Options::from_query(&url).unwrap();
        (url, options)
    }

    /// The addresses were recorded from oslo.messaging 14.9.3.
    #[test]
    fn addresses_are_those_of_oslo_messaging() {
        let routable = "openstack.org/om/notify/anycast/nova/notifications.info";
        let (queue, exchange) = (String::new(), "nova".to_owned());
        let binding = Binding { queue, exchange, routing_key: "notifications.info".to_owned() };
        for (url, product, expected) in [
            ("amqp://h", None, "unicast.nova.notifications.info"),
            ("amqp://h/", Some("qpid-cpp"), "unicast.nova.notifications.info"),
            ("amqp://h/v", None, "unicast.v.nova.notifications.info"),
            ("amqp://h/", Some("qpid-dispatch-router"), routable),
            ("amqp://h/v", Some("other"), "openstack.org/om/notify/anycast/v/nova/notifications.info"),
            ("amqp://h/v?pseudo_vhost=false", Some("other"), routable),
            ("amqp://h?addressing_mode=routable", None, routable),
            ("amqp://h?addressing_mode=legacy", Some("other"), "unicast.nova.notifications.info"),
        ] {
            let (parsed, options) = options(url);
            assert_eq!(options.address(&parsed, product, &binding), expected, "{url} {product:?}");
        }
    }

    #[test]
    fn a_certificate_is_presented_with_tls_alone() {
        for (url, expected) in [
            ("amqps://h?ssl_cert_file=/c", Some("/c")),
            ("amqp://h?ssl_cert_file=/c", None),
            ("amqps://h", None),
        ] {
            let (parsed, options) = options(url);
            assert_eq!(options.client_certificate(&parsed), expected.map(PathBuf::from), "{url}");
        }
    }

    #[test]
    fn the_login_is_the_first_that_is_possible() {
        for (url, expected) in [
            ("amqp://h", Some("ANONYMOUS")),
            ("amqp://u:p@h", Some("PLAIN")),
            ("amqp://u:p@h?sasl_mechanisms=ANONYMOUS", Some("ANONYMOUS")),
            ("amqp://h?sasl_mechanisms=PLAIN", None),
            ("amqps://h?ssl_cert_file=c", Some("EXTERNAL")),
            ("amqps://u:p@h?ssl_cert_file=c", Some("PLAIN")),
            ("amqps://u:p@h?ssl_cert_file=c&sasl_mechanisms=external", Some("EXTERNAL")),
            ("amqp://h?ssl_cert_file=c&sasl_mechanisms=EXTERNAL", None),
            ("amqp://u:p@h?sasl_mechanisms=SCRAM-SHA-1", None),
        ] {
            let (parsed, options) = options(url);
            let has_user = parsed.hosts()[0].username.is_some();
            assert_eq!(options.mechanism(&parsed, has_user).ok(), expected, "{url}");
        }
    }
}
