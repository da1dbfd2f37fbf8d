//! Makes connections: TCP to the target or a proxy, for https a tunnel through the proxy (CONNECT),
//! then TLS with the target.
//!
//! An own connector reports the step that failed. hyper-util's tunnel does not report the proxy's
//! answer, and its matcher differs from urllib's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::dial::{self, DialError, LOOKED_UP_FOR, Trial};
use crate::http::expiry::LatestEnds;
use crate::tls::Remedies;
use hyper::Uri;
use hyper::http::uri::{Authority, Scheme as UriScheme};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::http::guard::{AddressGuard, Forbidden};
use crate::http::options::HttpOptions;
use crate::http::proxy::{Proxies, Proxy, ProxyError};
use crate::http::tls::{self, HttpTls};
use crate::http::url::Scheme;

pub(crate) const LOGIN_WANTED: &str =
    "the proxy requires a login: write it into http_proxy or https_proxy, as http://USER:PASSWORD@HOST:PORT";
const MAX_TUNNEL_REPLY: usize = 8 * 1024;

/// Connects to targets, directly or by a proxy, with TLS if the URL asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    guard: Option<Arc<AddressGuard>>,
    proxies: Arc<Proxies>,
    pub(crate) tls: HttpTls,
    pub(crate) remedies: Remedies,
    pub(crate) certificates: LatestEnds,
}

/// The reason why there is no connection to a target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Tcp(#[from] DialError),
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("the proxy {proxy} cannot be reached")]
    NoProxy { proxy: String, source: DialError },
    #[error("the proxy {proxy} does not connect to {target}: {reason}")]
    NoTunnel { proxy: String, target: String, reason: String },
    #[error("there is no TLS: {0}")]
    NoTls(Arc<str>),
    #[error("{0:?} is not a name that a certificate can have")]
    Name(String),
    #[error("{error}")]
    Tls { host: String, error: io::Error },
}

impl Connector {
    pub(crate) fn new(options: &HttpOptions, tls: HttpTls) -> Self {
        let guard = options.guard.clone().map(Arc::new);
        let (proxies, certificates) = (Arc::new(options.proxies.clone()), LatestEnds::default());
        Self { guard, proxies, tls, remedies: options.remedies, certificates }
    }

    pub(crate) fn proxy(&self, scheme: Scheme, authority: &str) -> Result<Option<Proxy>, ProxyError> {
        self.proxies.toward(scheme, authority)
    }

    pub(crate) async fn connect(self, target: Uri) -> Result<HttpStream, ConnectError> {
        let scheme = if target.scheme() == Some(&UriScheme::HTTPS) { Scheme::Https } else { Scheme::Http };
        let authority = target.authority().map(Authority::as_str).unwrap_or_default();
        let proxy = self.proxy(scheme, authority)?;
        let host = target.host().unwrap_or_default();
        // A proxy may reach other networks, and its lookups are invisible, so only hosts of allow_hosts may be called
        // through it.
        if let (Some(guard), Some(_)) = (&self.guard, &proxy)
            && !guard.allows(host, bare(host).parse::<IpAddr>().ok())
        {
            return Err(Forbidden::ByProxy { host: host.to_owned() }.into());
        }
        let (mut tcp, trial) = match &proxy {
            Some(proxy) => dialled(proxy.uri(), scheme, Ok).await.map_err(|error| match error {
                ConnectError::Tcp(source) => ConnectError::NoProxy { proxy: proxy.to_string(), source },
                error => error,
            })?,
            None => dialled(&target, scheme, |found| allowed(self.guard.as_deref(), host, found)).await?,
        };
        let address = tcp.peer_addr().ok();
        let config = match (scheme, self.tls) {
            (Scheme::Http, _) => {
                trial.passed();
                return Ok(HttpStream::new(tcp, proxy.is_some(), address));
            }
            (Scheme::Https, HttpTls::Without(reason)) => return Err(ConnectError::NoTls(reason)),
            (Scheme::Https, HttpTls::With(config, _)) => config,
        };
        if let Some(proxy) = &proxy {
            tunnel(&mut tcp, proxy, &target).await?;
        }
        let name = tls::server_name(host).ok_or_else(|| ConnectError::Name(host.to_owned()))?;
        let said = name.to_str().into_owned();
        let connecting = TlsConnector::from(config).connect(name, tcp);
        let stream = connecting.await.map_err(|error| ConnectError::Tls { host: said, error })?;
        let certificates = stream.get_ref().1.peer_certificates();
        let ends = certificates.and_then(|chain| crate::tls::ends_at(chain.first()?));
        self.certificates.note(authority, ends);
        trial.passed();
        Ok(HttpStream { certificate_ends: ends, ..HttpStream::new(stream, false, address) })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<HttpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<HttpStream>, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = self.clone().connect(target);
        Box::pin(async { connecting.await.map(TokioIo::new) })
    }
}

fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

async fn dialled(
    to: &Uri,
    scheme: Scheme,
    keep: impl FnOnce(Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden>,
) -> Result<(TcpStream, Trial), ConnectError> {
    let port = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let host = to.host().unwrap_or_default();
    let found = dial::look_up(bare(host), to.port_u16().unwrap_or(port)).await?;
    Ok(dial::first_of(keep(found)?, dial::PATIENCE).await?)
}

/// Returns the addresses that the guard permits. Only these are used, so a name that resolves differently later leads
/// nowhere else.
fn allowed(
    guard: Option<&AddressGuard>,
    host: &str,
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Forbidden> {
    let Some(guard) = guard else { return Ok(found) };
    let mut kept = Vec::with_capacity(found.len());
    let mut refused = None;
    for address in found {
        match guard.judge(host, address.ip()) {
            Ok(()) => kept.push(address),
            Err(forbidden) => refused = Some(forbidden),
        }
    }
    match refused {
        Some(forbidden) if kept.is_empty() => Err(forbidden),
        Some(_) | None => Ok(kept),
    }
}

async fn tunnel(tcp: &mut TcpStream, proxy: &Proxy, target: &Uri) -> Result<(), ConnectError> {
    let host = target.host().unwrap_or_default();
    let target = format!("{host}:{}", target.port_u16().unwrap_or(443));
    let refused =
        |reason: String| ConnectError::NoTunnel { proxy: proxy.to_string(), target: target.clone(), reason };
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(login) = proxy.authorization() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(login.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    tcp.write_all(&request).await.map_err(|error| refused(error.to_string()))?;

    // Byte by byte, because the bytes after the empty line belong to TLS. The cost arises once per
    // connection.
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n\r\n") {
        match tcp.read_u8().await {
            Ok(byte) if reply.len() < MAX_TUNNEL_REPLY => reply.push(byte),
            Ok(_) => return Err(refused("its answer to CONNECT has no end".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(refused("it closed the connection instead of answering CONNECT".to_owned()));
            }
            Err(error) => return Err(refused(error.to_string())),
        }
    }
    match status(&reply) {
        Some((200..300, _)) => Ok(()),
        Some((407, _)) => Err(refused(LOGIN_WANTED.to_owned())),
        Some((code, words)) => {
            let words: String = proxy.secrets().scrub(&words).chars().take(120).collect();
            Err(refused(format!("it answers {code} {words}").trim_end().to_owned()))
        }
        None => Err(refused("what it answers is not HTTP".to_owned())),
    }
}

fn status(reply: &[u8]) -> Option<(u16, String)> {
    let line = String::from_utf8_lossy(reply.split(|byte| *byte == b'\r').next()?).into_owned();
    let rest = line.strip_prefix("HTTP/1.")?.split_once(' ')?.1;
    let (code, words) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((code.parse().ok()?, words.chars().filter(|c| !c.is_control()).collect()))
}

/// A connection to a target or a proxy, which notes its traffic.
pub(crate) struct HttpStream {
    io: Box<dyn Io>,
    traffic: Traffic,
    to_proxy: bool,
    pub(crate) certificate_ends: Option<i64>,
}

/// A stream of bytes, with TLS or without.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Notes whether a server has sent anything, to judge its address afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    address: Option<SocketAddr>,
    begun: Instant,
    read: Arc<[AtomicBool; 2]>,
}

impl Traffic {
    fn new(address: Option<SocketAddr>) -> Self {
        Self { address, begun: Instant::now(), read: Arc::default() }
    }

    /// Judges the address after a request over the connection: it fails if its server has never sent a byte. A
    /// connection that no request used, which a pool may make in advance, shows nothing.
    pub(crate) fn judge(&self) {
        if !self.read[0].load(Ordering::Acquire) {
            drop(self.address.map(Trial::from_address));
        }
    }

    pub(crate) fn ended_unanswered(&self) -> bool {
        let [ever, since] = &*self.read;
        ever.load(Ordering::Acquire) && !since.load(Ordering::Acquire)
    }

    /// Whether the name may have other addresses after this idle time, so that the connection is not used again.
    pub(crate) fn is_old_after(&self, idle: Duration) -> bool {
        self.begun.elapsed() + idle > LOOKED_UP_FOR
    }

    fn read(&self) {
        self.read.iter().for_each(|read| read.store(true, Ordering::Release));
    }

    fn written(&self) {
        self.read[1].store(false, Ordering::Release);
    }
}

/// Returns the time for which an idle connection is kept. The client asks for its age at the end of a request, and not
/// before the next one, so both halves together are [`LOOKED_UP_FOR`].
pub(crate) fn idle_time(wanted: Duration) -> Duration {
    wanted.min(LOOKED_UP_FOR / 2)
}

impl AsyncRead for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.traffic.read();
        }
        polled
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.traffic.written();
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.traffic.written();
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}

impl HttpStream {
    fn new(io: impl Io + 'static, to_proxy: bool, address: Option<SocketAddr>) -> Self {
        let (io, traffic) = (Box::new(io), Traffic::new(address));
        Self { io, traffic, to_proxy, certificate_ends: None }
    }
}

impl Connection for HttpStream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.to_proxy).extra(self.traffic.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_addresses_those_that_are_allowed_are_connected_to() {
        let check = |guard: &AddressGuard, found: &[&str], expected: Option<&[&str]>| {
            let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
            let kept = allowed(Some(guard), "rebound.example", parse(found)).ok();
            assert_eq!(kept, expected.map(parse), "{found:?}");
        };
        let usual = AddressGuard::default();
        check(&usual, &["10.0.0.1:80", "1.1.1.1:80", "[::1]:80"], Some(&["1.1.1.1:80"]));
        check(&usual, &["10.0.0.1:80", "[::1]:80"], None);
        check(&usual, &[], Some(&[]));
        let own = AddressGuard { hosts: vec!["127.0.0.2".parse().unwrap()], private: false };
        check(&own, &["127.0.0.1:80", "127.0.0.2:80"], Some(&["127.0.0.2:80"]));
        check(&own, &["127.0.0.1:80", "127.0.0.3:80", "[::1]:80"], None);
    }

    #[test]
    fn no_kept_connection_is_older_than_a_minute_at_its_next_request() {
        let check = |age: u64, idle: u64, is_old: bool| {
            let idle = idle_time(Duration::from_secs(idle));
            let begun = Instant::now().checked_sub(Duration::from_secs(age)).unwrap();
            let traffic = Traffic { begun, ..Traffic::new(None) };
            assert_eq!(traffic.is_old_after(idle), is_old, "{age} s, idle {idle:?}");
        };
        check(50, 4, false);
        check(57, 4, true);
        check(20, 600, false);
        check(31, 600, true);
        check(61, 0, true);
    }

    #[tokio::test]
    async fn a_name_that_is_rebound_leads_nowhere_else() {
        let outside = osnl_testkit::Sink::start_at("127.0.0.2".parse().unwrap());
        let guard = AddressGuard { hosts: vec!["127.0.0.2".parse().unwrap()], private: false };
        for (found, is_reached) in [
            (&["127.0.0.2"][..], true),
            (&["127.0.0.1"], false),
            (&["127.0.0.1", "127.0.0.2"], true),
            (&["127.0.0.1", "127.0.0.3", "::1"], false),
            (&["127.0.0.2"], true),
        ] {
            let addresses =
                found.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), outside.port())).collect();
            let peer = match allowed(Some(&guard), "rebound.example", addresses) {
                Ok(kept) => dial::first_of(kept, dial::PATIENCE).await.ok(),
                Err(_) => None,
            };
            let peer = peer.map(|(stream, _)| stream.peer_addr().unwrap().ip().to_string());
            assert_eq!(peer, is_reached.then(|| "127.0.0.2".to_owned()), "{found:?}");
        }
    }
}
