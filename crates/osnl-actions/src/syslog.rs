//! The action `syslog`: sends each event as a message of RFC 5424 or RFC 3164, to the machine's own
//! log or a collector.
//!
//! | `server` | transport | *delivered* means |
//! | --- | --- | --- |
//! | `/dev/log` | a datagram on a Unix socket | the receiving program has the message in its buffer |
//! | `udp://host:514` | a datagram (RFC 5426) | the message was sent, without confirmation |
//! | `tcp://host:601` | a stream of frames with a leading length (RFC 6587, 3.4.1) | the message is in the connection |
//! | `tls://host:6514` | the same over TLS (RFC 5425) | the same |
//!
//! The crate syslog 7 supports neither TLS nor octet counting.
//!
//! Syslog has no acknowledgement: messages in a breaking connection are lost without notice. A
//! connection that the collector has closed is noticed before the next message, and replaced. A connection is replaced
//! too when the collector's name has moved to other addresses, and each hour while the collector's certificate ends soon:
//! messages use the former one until the next one is open.

mod conf;
mod message;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use osnl_action::{Action, ActionError, Completion, ErrorClass, Event};
use osnl_config::template::Template;
use osnl_core::misfit::Misfit;
use osnl_net::dial::{KeptAddress, Successor, Trial};
use osnl_net::tls::LatestEnd;
use osnl_transport::BoxFuture;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::Mutex;

pub use self::conf::SyslogConf;
use self::message::Header;
use super::event_names;
use super::wire::{ServerAddress, ServerStream, TlsConnection, broken};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SyslogServer {
    Unix(PathBuf),
    Udp(ServerAddress),
    Tcp(ServerAddress),
    Tls(ServerAddress),
}

impl fmt::Display for SyslogServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Udp(place) => write!(f, "udp://{place}"),
            Self::Tcp(place) => write!(f, "tcp://{place}"),
            Self::Tls(place) => write!(f, "tls://{place}"),
        }
    }
}

pub struct Syslog {
    collector: Arc<Collector>,
    header: Header,
    text: Template,
    open: Mutex<Option<OpenSyslog>>,
}

/// The server, the configuration of TLS, and the latest certificate.
struct Collector {
    server: SyslogServer,
    tls: Option<Arc<ClientConfig>>,
    certificate: LatestEnd,
}

/// A connection and its address; `None` for a Unix socket.
type ConnectedSyslog = (SyslogConnection, Option<KeptAddress>);

struct OpenSyslog {
    connection: SyslogConnection,
    address: Option<SocketAddr>,
    successor: Option<Successor<ConnectedSyslog>>,
}

enum SyslogConnection {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Stream(Box<dyn ServerStream>),
}

impl Collector {
    async fn connect(&self) -> Result<ConnectedSyslog, ActionError> {
        let failed = |error| ActionError::new(ErrorClass::Connect, format!("{}: {error}", self.server));
        match (&self.server, &self.tls) {
            (SyslogServer::Unix(path), _) => {
                let socket = UnixDatagram::unbound().map_err(failed)?;
                socket.connect(path).map_err(failed)?;
                Ok((SyslogConnection::Unix(socket), None))
            }
            (SyslogServer::Udp(place), _) => {
                let mut failure = failed(std::io::Error::other("the name has no address"));
                for address in place.addresses().await? {
                    match udp(address).await {
                        Ok(socket) => return Ok((SyslogConnection::Udp(socket), Some(place.kept(address)))),
                        Err(error) => failure = failed(error),
                    }
                }
                Err(failure)
            }
            (SyslogServer::Tcp(place) | SyslogServer::Tls(place), config) => {
                let (stream, trial) = place.connect().await?;
                let mut address = stream.peer_addr().ok().map(|address| place.kept(address));
                let stream: Box<dyn ServerStream> = match config {
                    None => Box::new(stream),
                    Some(config) => {
                        let TlsConnection { stream, certificate_ends } =
                            place.encrypt(stream, config).await?;
                        self.certificate.note(certificate_ends);
                        address = address.map(|kept| kept.with_certificate(certificate_ends));
                        stream
                    }
                };
                trial.passed();
                Ok((SyslogConnection::Stream(stream), address))
            }
        }
    }

    fn watch(self: &Arc<Self>, kept: KeptAddress) -> Successor<ConnectedSyslog> {
        let collector = self.clone();
        Successor::watch(kept, move || {
            let collector = collector.clone();
            async move { collector.connect().await }
        })
    }

    async fn send(self: &Arc<Self>, open: &mut Option<OpenSyslog>, message: &str) -> Result<(), ActionError> {
        if let Some(using) = open
            && let Some(opened) = using.successor.as_mut().and_then(Successor::take)
        {
            using.follow_if_open(opened, self);
        }
        if open.as_mut().is_some_and(|using| is_closed(&mut using.connection)) {
            *open = None;
        }
        // A cancelled attempt may leave a partial frame, so the connection is dropped with it.
        let mut using = match open.take() {
            Some(open) => open,
            None => OpenSyslog::new(self.connect().await?, self),
        };
        let sent = match &mut using.connection {
            SyslogConnection::Unix(socket) => socket.send(message.as_bytes()).await.map(drop),
            SyslogConnection::Udp(socket) => socket.send(message.as_bytes()).await.map(drop),
            SyslogConnection::Stream(stream) => {
                let frame = format!("{} {message}", message.len());
                match stream.write_all(frame.as_bytes()).await {
                    Ok(()) => stream.flush().await,
                    Err(error) => Err(error),
                }
            }
        };
        match sent {
            Ok(()) => {
                *open = Some(using);
                Ok(())
            }
            Err(error) if error.raw_os_error() == Some(TOO_LONG) => {
                *open = Some(using);
                let (server, bytes) = (&self.server, message.len());
                let reason = format!("{server}: {bytes} bytes are too many; lower max_size");
                Err(ActionError::new(ErrorClass::Content, reason))
            }
            Err(error) => {
                // The next connection begins with another address.
                drop(using.address.map(Trial::from_address));
                Err(match using.connection {
                    SyslogConnection::Unix(_) | SyslogConnection::Udp(_) => {
                        ActionError::new(ErrorClass::Connect, format!("{}: {error}", self.server))
                    }
                    SyslogConnection::Stream(_) => broken(&self.server, &error),
                })
            }
        }
    }
}

impl OpenSyslog {
    /// Uses a connection, and watches it.
    fn new((connection, kept): ConnectedSyslog, collector: &Arc<Collector>) -> Self {
        let address = kept.as_ref().map(KeptAddress::address);
        Self { connection, address, successor: kept.map(|kept| collector.watch(kept)) }
    }

    /// Uses a connection that is open. This one stays, and is watched again, if the next has ended before it was used.
    fn follow_if_open(
        &mut self,
        (mut next, former): (ConnectedSyslog, KeptAddress),
        collector: &Arc<Collector>,
    ) {
        match is_closed(&mut next.0) {
            true => self.successor = Some(collector.watch(former)),
            false => *self = Self::new(next, collector),
        }
    }
}

impl Syslog {
    fn message(&self, event: &Event) -> Result<String, ActionError> {
        let text = self.text.render(&event_names::for_event(event));
        let text = text.map_err(|error| ActionError::template(Misfit::in_option("message", error)))?;
        Ok(self.header.message(&event.notification, event.received.origin.received, &text))
    }

    async fn send(&self, events: &[Event]) -> Vec<Result<Completion, ActionError>> {
        let messages: Vec<_> = events.iter().map(|event| self.message(event)).collect();
        let mut open = self.open.lock().await;
        let mut verdicts: Vec<Result<Completion, ActionError>> = Vec::with_capacity(events.len());
        let mut failed: Option<ActionError> = None;
        for message in messages {
            let sent = match (&failed, message) {
                (_, Err(unusable)) => Err(unusable),
                (Some(failed), Ok(_)) => Err(failed.clone()),
                (None, Ok(message)) => self.collector.send(&mut open, &message).await.inspect_err(|error| {
                    failed = (!error.class.is_final()).then(|| error.clone());
                }),
            };
            verdicts.push(sent.map(|()| Completion::Delivered(format!("sent to {}", self.collector.server))));
        }
        verdicts
    }
}

async fn udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let own = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(address).await?;
    Ok(socket)
}

const TOO_LONG: i32 = rustix::io::Errno::MSGSIZE.raw_os_error();

/// Whether a stream has ended: a collector sends nothing, so anything readable is the end.
fn is_closed(connection: &mut SyslogConnection) -> bool {
    let SyslogConnection::Stream(stream) = connection else { return false };
    let mut byte = [0; 1];
    let read = stream.read(&mut byte);
    futures_util::FutureExt::now_or_never(read).is_some()
}

impl Action for Syslog {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(self.send(events))
    }

    fn target(&self) -> String {
        self.collector.server.to_string()
    }

    fn certificate_ends(&self) -> Option<i64> {
        self.collector.certificate.get()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use osnl_net::dial::LOOKED_UP_FOR;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn messages_take_the_former_connection_until_the_next_one_is_open() {
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (former, ended, next) = (listen().await, listen().await, listen().await);
        let collector = |at: SocketAddr| {
            let server = SyslogServer::Tcp(ServerAddress { host: at.ip().to_string(), port: at.port() });
            Arc::new(Collector { server, tls: None, certificate: LatestEnd::default() })
        };
        let connect = async |to: &TcpListener| {
            let (connection, _) = collector(to.local_addr().unwrap()).connect().await.unwrap();
            (connection, to.accept().await.unwrap().0)
        };
        let (connection, mut former) = connect(&former).await;
        let (mut closed, _) = connect(&ended).await;
        while !is_closed(&mut closed) {
            tokio::task::yield_now().await;
        }
        // The next look is due, and the look before it missed the address.
        let since = Instant::now().checked_sub(LOOKED_UP_FOR).unwrap();
        let mut kept = KeptAddress::new("127.0.0.1", 1, "127.0.0.9:1".parse().unwrap(), since);
        kept.look(since).await;
        let address = next.local_addr().unwrap();
        let collector = collector(address);
        let mut using = OpenSyslog::new((connection, None), &collector);
        using.follow_if_open(((closed, None), kept), &collector);
        let mut open = Some(using);
        collector.send(&mut open, "one").await.unwrap();
        let mut frame = [0; 5];
        former.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame, b"3 one");

        let mut next = next.accept().await.unwrap().0;
        while open.as_ref().and_then(|open| open.address) != Some(address) {
            collector.send(&mut open, "two").await.unwrap();
            tokio::task::yield_now().await;
        }
        next.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame, b"3 two");
    }
}
