//! TCP and TLS for drivers that do not use HTTP, with failures that name the step.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use osnl_action::driver::TlsConf;
use osnl_action::{ActionError, ErrorClass};
use osnl_net::dial::{self, KeptAddress, Trial};
use osnl_net::tls::{CommonName, FileError, Remedies};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) trait ServerStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ServerStream for T {}

pub(crate) struct TlsConnection {
    pub(crate) stream: Box<dyn ServerStream>,
    pub(crate) certificate_ends: Option<i64>,
}

const REMEDIES: Remedies = Remedies {
    trust: "name the CA's certificate in ca_file",
    renewed: "ca_file",
    plain: "is this the port without TLS?",
    identity: "this action has none to show",
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl ServerAddress {
    pub(crate) fn parse(text: &str, port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (
                    host,
                    behind.strip_prefix(':').map_or(behind.is_empty().then_some(port), |p| p.parse().ok())?,
                )
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, port.parse().ok()?),
                None => (text, port),
            },
        };
        let fine = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        (!host.is_empty() && host.chars().all(fine) && port > 0).then(|| Self { host: host.to_owned(), port })
    }

    pub(crate) async fn addresses(&self) -> Result<Vec<SocketAddr>, ActionError> {
        dial::look_up(&self.host, self.port).await.map_err(|error| self.unreached(&error))
    }

    pub(crate) async fn connect(&self) -> Result<(TcpStream, Trial), ActionError> {
        let connected = dial::first_of(self.addresses().await?, dial::PATIENCE).await;
        connected.map_err(|error| self.unreached(&error))
    }

    pub(crate) fn kept(&self, address: SocketAddr) -> KeptAddress {
        KeptAddress::new(&self.host, self.port, address, Instant::now())
    }

    pub(crate) fn unreached(&self, error: &dyn fmt::Display) -> ActionError {
        ActionError::new(ErrorClass::Connect, format!("{self}: {error}"))
    }

    pub(crate) async fn encrypt(
        &self,
        stream: TcpStream,
        config: &Arc<ClientConfig>,
    ) -> Result<TlsConnection, ActionError> {
        let failed = |reason: String| ActionError::new(ErrorClass::Tls, reason);
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|_| failed(format!("no certificate can be for {}", self.host)))?;
        match TlsConnector::from(config.clone()).connect(name, stream).await {
            Ok(stream) => {
                let certificates = stream.get_ref().1.peer_certificates();
                let ends = certificates.and_then(|chain| osnl_net::tls::ends_at(chain.first()?));
                Ok(TlsConnection { stream: Box::new(stream), certificate_ends: ends })
            }
            Err(error) => {
                Err(failed(osnl_net::tls::handshake_refusal(&self.host, &error, &REMEDIES).to_string()))
            }
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

pub(crate) fn client_config(tls: &TlsConf) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match (&tls.ca_file, tls.verify) {
        (_, false) => osnl_net::tls::unchecked(),
        (None, true) => {
            osnl_net::tls::checked(osnl_net::tls::system_certificates()?, CommonName::Ignored, &provider)?
        }
        (Some(path), true) => {
            let certificates = osnl_net::tls::certificates_from(std::slice::from_ref(path));
            let certificates = certificates.map_err(|FileError { path, reason }| {
                let path = path.display();
                format!(
                    "ca_file: {path}: {reason}; name a PEM file of CA certificates that this user can read"
                )
            })?;
            osnl_net::tls::checked(certificates, CommonName::Counts, &provider)?
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

pub(crate) fn broken(place: &dyn fmt::Display, error: &io::Error) -> ActionError {
    ActionError::new(ErrorClass::Reset, format!("{place}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let check = |text: &str, expected: Option<&str>| {
            let place = ServerAddress::parse(text, 25).map(|place| place.to_string());
            assert_eq!(place.as_deref(), expected, "{text}");
        };
        check("mail", Some("mail:25"));
        check("mail.example.com:587", Some("mail.example.com:587"));
        check("10.0.0.1", Some("10.0.0.1:25"));
        check("[2001:db8::1]:601", Some("[2001:db8::1]:601"));
        check("[::1]", Some("[::1]:25"));
        for wrong in
            ["", ":25", "2001:db8::1", "[::1", "[::1]x", "[mail]:25", "mail:0", "mail:x", "a b", "u@h"]
        {
            check(wrong, None);
        }
    }
}
