//! TLS of the connection, and the bounds of the server's messages: the client library's trait over rustls.
//!
//! The library hands over each socket as for TLS from the first byte, so this module requests TLS. A
//! connection without TLS is bounded by [`ServerFrames`] too.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use osnl_net::tls::{
    CommonName, any_name, certificates_from, checked, identity, system_certificates, unchecked,
};
use osnl_transport::BoxFuture;
use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;
use tokio_util::either::Either;

use crate::frames::ServerFrames;
use crate::url::{AuthMethods, ConnectionUrl, SessionSecurity};

/// The bytes that ask a server for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

#[derive(Clone)]
pub(crate) struct PostgresTls {
    url: ConnectionUrl,
    connectors: Vec<(SessionSecurity, TlsConnector)>,
}

impl fmt::Debug for PostgresTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl PostgresTls {
    pub(crate) fn of(url: &ConnectionUrl) -> Result<Self, String> {
        let mut connectors: Vec<(SessionSecurity, TlsConnector)> = Vec::new();
        for security in url.hosts().map(|host| url.security(host)) {
            if security != SessionSecurity::Disable && connectors.iter().all(|(known, _)| *known != security)
            {
                connectors.push((security, connector(url, security)?));
            }
        }
        Ok(Self { url: url.clone(), connectors })
    }
}

fn connector(url: &ConnectionUrl, security: SessionSecurity) -> Result<TlsConnector, String> {
    let provider = Arc::new(default_provider());
    let roots = || match &url.root {
        Some(file) => {
            let found = certificates_from(std::slice::from_ref(file)).map_err(|error| error.to_string());
            Ok::<_, String>((found?, CommonName::Counts))
        }
        None => Ok((system_certificates()?, CommonName::Ignored)),
    };
    let verifier = match security {
        SessionSecurity::Disable | SessionSecurity::Prefer | SessionSecurity::Require => unchecked(),
        SessionSecurity::VerifyCa | SessionSecurity::VerifyFull => {
            let (roots, common_name) = roots()?;
            let verifier = checked(roots, common_name, &provider)?;
            if security == SessionSecurity::VerifyCa { any_name(verifier) } else { verifier }
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
    Ok(TlsConnector::from(Arc::new(config)))
}

impl MakeTlsConnect<Socket> for PostgresTls {
    type Stream = PostgresStream;
    type TlsConnect = ToHost;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<ToHost> {
        let security = self.url.security(domain);
        let connector = self.connectors.iter().find(|(known, _)| *known == security);
        Ok(ToHost {
            connector: connector.map(|(_, connector)| connector.clone()),
            host: domain.to_owned(),
            may_be_clear: matches!(security, SessionSecurity::Disable | SessionSecurity::Prefer),
            methods: self.url.methods(domain),
        })
    }
}

pub(crate) struct ToHost {
    connector: Option<TlsConnector>,
    host: String,
    may_be_clear: bool,
    methods: AuthMethods,
}

impl ToHost {
    async fn secure(self, mut socket: Socket) -> io::Result<PostgresStream> {
        let frames = ServerFrames::new(self.methods);
        if let Some(connector) = self.connector {
            socket.write_all(&SSL_REQUEST).await?;
            let mut answer = [0];
            socket.read_exact(&mut answer).await?;
            if answer == *b"S" {
                let name = ServerName::try_from(self.host).map_err(io::Error::other)?;
                let stream = connector.connect(name, socket).await?;
                return Ok(PostgresStream { stream: Either::Right(Box::new(stream)), frames });
            }
        }
        if self.may_be_clear {
            return Ok(PostgresStream { stream: Either::Left(socket), frames });
        }
        let problem = "server does not support TLS: set ssl = on there, or go without by sslmode=disable";
        Err(io::Error::other(problem))
    }
}

impl TlsConnect<Socket> for ToHost {
    type Stream = PostgresStream;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<PostgresStream>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(self.secure(socket))
    }
}

/// A connection with bounded messages. SCRAM runs without channel binding, as with every client of an older
/// libpq.
#[derive(Debug)]
pub(crate) struct PostgresStream {
    stream: Either<Socket, Box<client::TlsStream<Socket>>>,
    frames: ServerFrames,
}

impl AsyncRead for PostgresStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = self.frames.inspect(&buffer.filled()[before..]);
        if read.is_err() {
            buffer.set_filled(before);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for PostgresStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl TlsStream for PostgresStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
