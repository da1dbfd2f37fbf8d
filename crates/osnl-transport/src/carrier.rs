//! A connection to a host below any protocol: name and TCP, then TLS.

use std::sync::Arc;
use std::time::Duration;

use osnl_model::TransportHost;
use osnl_net::dial::{self, DialError, Trial};
use osnl_net::tls::Refusal;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::error::TransportError;
use crate::hosts::{DEFAULT_PORT, address};
use crate::tls::{self, TlsOptions};

/// The longest time for the opening and for the end of a connection.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// A stream in both directions, with or without TLS.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// An open connection, on which nothing of the broker's protocol has passed.
pub struct Carrier {
    pub stream: Box<dyn Duplex>,
    pub has_tls: bool,
    /// The last valid second of the broker's certificate.
    pub certificate_ends: Option<i64>,
}

/// The broker ended the connection before it sent a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SilentEnd {
    #[error("the broker ended the connection and gave no reason; if its port is one of TLS, set ssl = true")]
    Plain,
    #[error("the broker ended the connection right after the handshake")]
    Tls,
}

/// Connects by TCP, and by TLS if there are options for TLS. `seconds` is the time until the deadline, for errors. The
/// trial of the broker's address passes once the broker has spoken its protocol.
pub async fn carrier(
    host: &TransportHost,
    tls: Option<&TlsOptions>,
    (deadline, seconds): (Instant, f64),
) -> Result<(Carrier, Trial), TransportError> {
    let failed = |reason: String| TransportError::Connect { host: address(host), reason };
    let silent = |_| failed(format!("its name is not resolved within {seconds} s"));
    let unreached = |error: DialError| match tls {
        // A broker that resets the connection at once has sent no byte either.
        None if error.is_reset() => failed(SilentEnd::Plain.to_string()),
        None | Some(_) => failed(error.to_string()),
    };
    let found = timeout_at(deadline, dial::look_up(&host.hostname, host.port_or(DEFAULT_PORT)));
    let found = found.await.map_err(silent)?.map_err(unreached)?;
    let (tcp, trial) =
        dial::first_of(found, deadline.duration_since(Instant::now())).await.map_err(unreached)?;
    let Some(tls) = tls else {
        return Ok((Carrier { stream: Box::new(tcp), has_tls: false, certificate_ends: None }, trial));
    };
    let refused = |refusal| TransportError::no_tls(address(host), refusal);
    let failed = |reason: String| refused(Refusal::new(reason));
    let config = tls::config(tls).map_err(failed)?;
    let name = ServerName::try_from(host.hostname.clone())
        .map_err(|_| failed("no certificate can be for a host of that name".to_owned()))?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let silent = |_| failed(format!("no end of the handshake within {seconds} s"));
    let stream = timeout_at(deadline, handshake)
        .await
        .map_err(silent)?
        .map_err(|error| refused(osnl_net::tls::handshake_refusal(&host.hostname, &error, &tls::REMEDIES)))?;
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate_ends = certificates.and_then(|chain| osnl_net::tls::ends_at(chain.first()?));
    Ok((Carrier { stream: Box::new(stream), has_tls: true, certificate_ends }, trial))
}
