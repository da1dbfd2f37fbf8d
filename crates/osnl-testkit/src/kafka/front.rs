//! TLS, a login, and outages in front of a cluster that has none of them.
//!
//! The front passes requests one by one, because a broker answers those of a connection in order. In answers the
//! front replaces the cluster's address by its own. The leader's SyncGroup waits for the SyncGroup of each other member,
//! because librdkafka's mock cluster refuses a later SyncGroup, and the group begins again for 44 s.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::scram::{Hash, ScramLogin};
use crate::tls::serve::{config, config_asking};
use crate::tls::{Authority, Certificate, Protocols};
use crate::wait::reached;
use crate::{KafkaClient, ports};

/// A client of the wrong protocol, such as TLS, sends a longer one.
const LONGEST: u32 = 100 << 20;
const JOIN_GROUP: i16 = 11;
const SYNC_GROUP: i16 = 14;
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;
const AUTHENTICATION_FAILED: i16 = 58;
const UNSUPPORTED_MECHANISM: i16 = 33;

/// The longest wait of a leader for the group's other members.
const SYNCED: Duration = Duration::from_secs(5);
const ASK_VERSIONS: [u8; 10] = [0, 18, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

pub struct KafkaFront {
    address: SocketAddr,
    shared: Arc<SharedFront>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct SharedFront {
    demands: Demands,
    behind: SocketAddr,
    is_stopped: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    /// The number of SyncGroup requests since the last JoinGroup. The leader's is counted after its wait.
    synced: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
pub struct KafkaLogin {
    pub mechanism: &'static str,
    pub user: &'static str,
    pub password: &'static str,
}

#[derive(Default)]
struct Demands {
    tls: Option<Arc<ServerConfig>>,
    login: Option<KafkaLogin>,
}

impl KafkaFront {
    #[must_use]
    pub fn tls(kafka: &KafkaClient, certificate: &Certificate) -> Self {
        let tls = Some(Arc::new(config(certificate, Protocols::Tls12And13)));
        Self::start(kafka.address(), Demands { tls, ..Demands::default() })
    }

    #[must_use]
    pub fn tls_asking(kafka: &KafkaClient, certificate: &Certificate, clients: &Authority) -> Self {
        let tls = Some(Arc::new(config_asking(certificate, Protocols::Tls12And13, clients)));
        Self::start(kafka.address(), Demands { tls, ..Demands::default() })
    }

    #[must_use]
    pub fn login(kafka: &KafkaClient, certificate: Option<&Certificate>, login: KafkaLogin) -> Self {
        let tls = certificate.map(|certificate| Arc::new(config(certificate, Protocols::Tls12And13)));
        Self::start(kafka.address(), Demands { tls, login: Some(login) })
    }

    /// A front that demands nothing.
    pub(super) fn plain(kafka: &str) -> Self {
        Self::start(kafka, Demands::default())
    }

    fn start(kafka: &str, demands: Demands) -> Self {
        let listener = ports::listen_at(Ipv4Addr::LOCALHOST.into());
        let address = listener.local_addr().unwrap();
        let (behind, is_stopped, open) = (kafka.parse().unwrap(), AtomicBool::new(false), Mutex::default());
        let shared =
            Arc::new(SharedFront { demands, behind, is_stopped, open, synced: AtomicUsize::default() });
        let front = Self { address, shared, accepting: Mutex::default() };
        front.accept(listener);
        front
    }

    fn accept(&self, listener: TcpListener) {
        self.shared.is_stopped.store(false, Ordering::SeqCst);
        let shared = self.shared.clone();
        *self.accepting.lock().unwrap() = Some(std::thread::spawn(move || accept(&listener, &shared)));
    }

    /// Refuses connections, and cuts the open ones.
    pub(super) fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            let _ = accepting.join();
        }
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn start_again(&self) {
        self.accept(ports::listen_again(self.address));
    }

    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for KafkaFront {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<SharedFront>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.is_stopped.load(Ordering::SeqCst) {
            return;
        }
        shared.open.lock().unwrap().push(stream.try_clone().unwrap());
        let (shared, front) = (shared.clone(), listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let _ = stream.set_nodelay(true);
            let end = stream.try_clone();
            let _ = serve(stream, &shared, front);
            // The copy of the stream that is kept for an outage leaves the connection open.
            let _ = end.and_then(|end| end.shutdown(Shutdown::Both));
        });
    }
}

fn serve(stream: TcpStream, shared: &SharedFront, front: SocketAddr) -> io::Result<()> {
    match &shared.demands.tls {
        None => pass(stream, shared, front),
        Some(tls) => {
            let connection = ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
            pass(StreamOwned::new(connection, stream), shared, front)
        }
    }
}

fn pass(mut client: impl Read + Write, shared: &SharedFront, front: SocketAddr) -> io::Result<()> {
    let behind = shared.behind;
    let mut broker = TcpStream::connect(behind)?;
    let mut session = shared.demands.login.map(LoginSession::new);
    loop {
        let request = frame(&mut client)?;
        let answer = match (key(&request), &mut session) {
            (SASL_HANDSHAKE, Some(session)) => session.handshake(&request),
            (SASL_AUTHENTICATE, Some(session)) => session.authenticate(&request),
            (key, session) => {
                if session.as_ref().is_some_and(|session| !session.is_let_in) && key != API_VERSIONS {
                    return Ok(());
                }
                if key == SYNC_GROUP
                    && let Some(members) = assignments(&request)
                    && members > 1
                {
                    shared.let_others_sync(members, &mut broker)?;
                }
                broker.write_all(&whole(&request))?;
                match key {
                    JOIN_GROUP => shared.synced.store(0, Ordering::SeqCst),
                    SYNC_GROUP => _ = shared.synced.fetch_add(1, Ordering::SeqCst),
                    _ => {}
                }
                let answer = readdressed(frame(&mut broker)?, (front, behind));
                match key {
                    API_VERSIONS if session.is_some() => with_sasl(answer),
                    _ => answer,
                }
            }
        };
        client.write_all(&whole(&answer))?;
        client.flush()?;
    }
}

impl SharedFront {
    /// Waits until the requests of the other members were read: the mock reads the bytes of all connections before the
    /// answer to a later request.
    fn let_others_sync(&self, members: usize, broker: &mut TcpStream) -> io::Result<()> {
        reached(SYNCED, &mut || self.synced.load(Ordering::SeqCst) + 1 >= members);
        broker.write_all(&whole(&ASK_VERSIONS))?;
        frame(broker).map(drop)
    }
}

/// Returns the number of members in a SyncGroup of version 3 or 4 of the protocol: 0 but for the leader.
fn assignments(request: &[u8]) -> Option<usize> {
    let after_text = |at: usize| {
        let length = i16::from_be_bytes(*request.get(at..)?.first_chunk()?);
        Some(at + 2 + usize::try_from(length).unwrap_or_default())
    };
    let group = after_text(8)?;
    let member = after_text(group)? + 4;
    let count = after_text(after_text(member)?)?;
    usize::try_from(i32::from_be_bytes(*request.get(count..)?.first_chunk()?)).ok()
}

struct LoginSession {
    login: KafkaLogin,
    scram: Option<ScramLogin>,
    is_let_in: bool,
}

impl LoginSession {
    fn new(login: KafkaLogin) -> Self {
        let scram = match login.mechanism {
            "SCRAM-SHA-256" => Some(ScramLogin::new(Hash::Sha256)),
            "SCRAM-SHA-512" => Some(ScramLogin::new(Hash::Sha512)),
            _ => None,
        };
        Self { login, scram, is_let_in: false }
    }

    fn handshake(&self, request: &[u8]) -> Vec<u8> {
        let mechanism = self.login.mechanism;
        let code: i16 = if request.ends_with(mechanism.as_bytes()) { 0 } else { UNSUPPORTED_MECHANISM };
        let mut answer = correlation(request).to_vec();
        answer.extend(code.to_be_bytes());
        answer.extend([0, 0, 0, 1]);
        answer.extend(text(mechanism));
        answer
    }

    fn authenticate(&mut self, request: &[u8]) -> Vec<u8> {
        let KafkaLogin { mechanism, user, password } = self.login;
        let said = said(request).unwrap_or_default();
        let answered = match &mut self.scram {
            Some(scram) => scram.answer(said, user, password),
            None => (said == format!("\0{user}\0{password}").as_bytes()).then(|| (String::new(), true)),
        };
        let mut answer = correlation(request).to_vec();
        if let Some((bytes, is_let_in)) = answered {
            self.is_let_in = is_let_in;
            answer.extend([0, 0, 0xff, 0xff]);
            answer.extend(whole(bytes.as_bytes()));
        } else {
            // Kafka's own error messages for a failed login.
            let words = match mechanism {
                "PLAIN" => "Authentication failed: Invalid username or password".to_owned(),
                _ => format!(
                    "Authentication failed during authentication due to invalid credentials with SASL mechanism {mechanism}"
                ),
            };
            answer.extend(AUTHENTICATION_FAILED.to_be_bytes());
            answer.extend(text(&words));
            answer.extend([0; 4]);
        }
        answer
    }
}

fn said(request: &[u8]) -> Option<&[u8]> {
    let name = usize::from(u16::from_be_bytes(*request.get(8..)?.first_chunk()?));
    request.get(10 + name + 4..)
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap_or_default().to_be_bytes(), text.as_bytes()].concat()
}

fn frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length as usize];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn whole(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap_or_default().to_be_bytes();
    [&length, frame].concat()
}

fn key(request: &[u8]) -> i16 {
    request.first_chunk::<2>().map_or(-1, |key| i16::from_be_bytes(*key))
}

fn correlation(request: &[u8]) -> &[u8] {
    request.get(4..8).unwrap_or_default()
}

fn with_sasl(answer: Vec<u8>) -> Vec<u8> {
    let (Some([0, 0]), Some(count)) = (answer.get(4..6), answer.get(6..10)) else { return answer };
    let count = u32::from_be_bytes(count.try_into().unwrap_or_default()) + 2;
    let more = [[0, 17, 0, 0, 0, 1], [0, 36, 0, 0, 0, 0]].concat();
    [&answer[..6], &count.to_be_bytes(), &more, &answer[10..]].concat()
}

fn readdressed(mut answer: Vec<u8>, (front, behind): (SocketAddr, SocketAddr)) -> Vec<u8> {
    let written = |address: SocketAddr| {
        [address.ip().to_string().as_bytes(), &u32::from(address.port()).to_be_bytes()].concat()
    };
    let (from, to) = (written(behind), written(front));
    let mut at = 0;
    while let Some(found) = answer[at..].windows(from.len()).position(|window| window == from) {
        answer[at + found..at + found + to.len()].copy_from_slice(&to);
        at += found + to.len();
    }
    answer
}
