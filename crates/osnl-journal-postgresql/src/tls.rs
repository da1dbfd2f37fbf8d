//! TLS of the connection: the client library's trait over rustls.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fmt, io};

use osnl_tls::{CommonName, any_name, certificates_from, checked, identity, system_certificates, unchecked};
use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;

use crate::url::{ConnectionUrl, ServerCheck};

/// Makes TLS connections for a URL.
#[derive(Clone)]
pub(crate) struct PostgresTls(TlsConnector);

impl fmt::Debug for PostgresTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl PostgresTls {
    /// Reads the certificates that a URL names.
    ///
    /// # Errors
    /// A file, and what is wrong with it.
    pub(crate) fn of(url: &ConnectionUrl) -> Result<Self, String> {
        let provider = Arc::new(default_provider());
        let roots = || match &url.root {
            Some(file) => {
                let found = certificates_from(std::slice::from_ref(file)).map_err(|error| error.to_string());
                Ok::<_, String>((found?, CommonName::Counts))
            }
            None => Ok((system_certificates()?, CommonName::Ignored)),
        };
        let verifier = match url.checked {
            ServerCheck::Nothing => unchecked(),
            ServerCheck::Chain | ServerCheck::ChainAndName => {
                let (roots, common_name) = roots()?;
                let verifier = checked(roots, common_name, &provider)?;
                if url.checked == ServerCheck::Chain { any_name(verifier) } else { verifier }
            }
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &url.identity {
            Some((certificate, key)) => {
                let own = identity(certificate, Some(key)).map_err(|error| error.to_string())?;
                config.with_client_auth_cert(own.chain, own.key).map_err(|error| error.to_string())?
            }
            None => config.with_no_client_auth(),
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

impl MakeTlsConnect<Socket> for PostgresTls {
    type Stream = PostgresStream;
    type TlsConnect = ToHost;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<ToHost> {
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        Ok(ToHost(self.0.clone(), name))
    }
}

/// A handshake with one host.
pub(crate) struct ToHost(TlsConnector, ServerName<'static>);

/// A handshake under way.
pub(crate) struct TlsHandshake(tokio_rustls::Connect<Socket>);

impl TlsConnect<Socket> for ToHost {
    type Stream = PostgresStream;
    type Error = io::Error;
    type Future = TlsHandshake;

    fn connect(self, stream: Socket) -> TlsHandshake {
        TlsHandshake(self.0.connect(self.1, stream))
    }
}

impl Future for TlsHandshake {
    type Output = io::Result<PostgresStream>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<PostgresStream>> {
        Pin::new(&mut self.0).poll(context).map_ok(|stream| PostgresStream(Box::new(stream)))
    }
}

/// An encrypted connection. It binds no channel: SCRAM goes on without, as with every client of an older libpq.
#[derive(Debug)]
pub(crate) struct PostgresStream(Box<client::TlsStream<Socket>>);

impl AsyncRead for PostgresStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for PostgresStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}

impl TlsStream for PostgresStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
