//! The TCP or TLS connection to one host of a broker.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use osnl_model::TransportHost;
use osnl_net::tls::Refusal;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address;
use super::connect::DEFAULT_PORT;
use super::options::TlsOptions;
use super::socket::SilentEnd;
use super::tls;
use crate::TransportError;

pub(crate) enum Carrier {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Carrier {
    /// Connects, and returns with the connection the last valid second of the broker's certificate. `seconds` is the
    /// time until the deadline, for errors.
    pub(crate) async fn connect(
        host: &TransportHost,
        tls: Option<&TlsOptions>,
        (deadline, seconds): (Instant, f64),
    ) -> Result<(Self, Option<i64>), TransportError> {
        let failed = |reason: String| TransportError::Connect { host: address(host), reason };
        let silent = |_| failed(format!("no answer within {seconds} s"));
        let target = (host.hostname.as_str(), host.port_or(DEFAULT_PORT));
        let tcp = timeout_at(deadline, TcpStream::connect(target)).await.map_err(silent)?;
        let tcp = tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)).map_err(|error| match tls {
            // A broker that resets the connection at once has sent no byte either.
            None if error.kind() == io::ErrorKind::ConnectionReset => failed(SilentEnd::Plain.to_string()),
            None | Some(_) => failed(error.to_string()),
        })?;
        let Some(tls) = tls else { return Ok((Self::Plain(tcp), None)) };
        let refused = |refusal| TransportError::no_tls(address(host), refusal);
        let failed = |reason: String| refused(Refusal::new(reason));
        let config = tls::config(tls).map_err(failed)?;
        let name = ServerName::try_from(host.hostname.clone())
            .map_err(|_| failed("no certificate can be for a host of that name".to_owned()))?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        let silent = |_| failed(format!("no end of the handshake within {seconds} s"));
        let stream = timeout_at(deadline, handshake).await.map_err(silent)?.map_err(|error| {
            refused(osnl_net::tls::handshake_refusal(&host.hostname, &error, &tls::REMEDIES))
        })?;
        let certificates = stream.get_ref().1.peer_certificates();
        let ends = certificates.and_then(|chain| osnl_net::tls::ends_at(chain.first()?));
        Ok((Self::Tls(Box::new(stream)), ends))
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Tls(_) => "Tls",
        })
    }
}

impl AsyncRead for Carrier {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => pin!(tcp).poll_read(context, buffer),
            Self::Tls(tls) => pin!(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => pin!(tcp).poll_write(context, bytes),
            Self::Tls(tls) => pin!(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => pin!(tcp).poll_write_vectored(context, slices),
            Self::Tls(tls) => pin!(tls).poll_write_vectored(context, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => pin!(tcp).poll_flush(context),
            Self::Tls(tls) => pin!(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => pin!(tcp).poll_shutdown(context),
            Self::Tls(tls) => pin!(tls).poll_shutdown(context),
        }
    }
}
