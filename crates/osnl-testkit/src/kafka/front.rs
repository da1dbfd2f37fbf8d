//! TLS, and a login, in front of a mock cluster, which has neither.
//!
//! Requests are passed on one by one: a broker answers those of a connection in their order. The address of the cluster in its
//! answers becomes that of the front. A login (SASL with PLAIN) is answered here.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::tls::serve::{config, config_asking};
use crate::tls::{Authority, Certificate, Protocols};
use crate::{MockKafka, ports};

/// The keys of requests that are looked at.
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;
/// The broker's code for a refused login.
const AUTHENTICATION_FAILED: i16 = 58;
/// That for a mechanism that it does not have.
const UNSUPPORTED_MECHANISM: i16 = 33;

/// See the [module](self). Stops when dropped.
pub struct KafkaFront {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

/// The demands of a front.
#[derive(Clone, Default)]
struct Demands {
    tls: Option<Arc<ServerConfig>>,
    /// The user and the password that are let in.
    login: Option<(String, String)>,
}

impl KafkaFront {
    /// Encrypts, with this certificate.
    #[must_use]
    pub fn tls(kafka: &MockKafka, certificate: &Certificate) -> Self {
        let tls = Some(Arc::new(config(certificate, Protocols::Tls12And13)));
        Self::start(kafka, Demands { tls, login: None })
    }

    /// The same for clients that show a certificate of this authority; others are refused.
    #[must_use]
    pub fn tls_asking(kafka: &MockKafka, certificate: &Certificate, clients: &Authority) -> Self {
        let tls = Some(Arc::new(config_asking(certificate, Protocols::Tls12And13, clients)));
        Self::start(kafka, Demands { tls, login: None })
    }

    /// Asks for a login, without encryption, or with this certificate.
    #[must_use]
    pub fn login(kafka: &MockKafka, certificate: Option<&Certificate>, user: &str, password: &str) -> Self {
        let tls = certificate.map(|certificate| Arc::new(config(certificate, Protocols::Tls12And13)));
        Self::start(kafka, Demands { tls, login: Some((user.to_owned(), password.to_owned())) })
    }

    fn start(kafka: &MockKafka, demands: Demands) -> Self {
        let listener = ports::listen_at(Ipv4Addr::LOCALHOST.into());
        let address = listener.local_addr().unwrap();
        let stopped = Arc::<AtomicBool>::default();
        let (behind, until) = (kafka.address().parse().unwrap(), stopped.clone());
        let accepting = std::thread::spawn(move || accept(&listener, &demands, behind, &until));
        Self { address, stopped, accepting: Some(accepting) }
    }

    /// Returns its `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for KafkaFront {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, demands: &Demands, behind: SocketAddr, stopped: &AtomicBool) {
    while let Ok((stream, _)) = listener.accept() {
        if stopped.load(Ordering::SeqCst) {
            return;
        }
        let (demands, front) = (demands.clone(), listener.local_addr().unwrap());
        std::thread::spawn(move || {
            // The end of either side ends the connection.
            let _ = serve(stream, &demands, (front, behind));
        });
    }
}

fn serve(stream: TcpStream, demands: &Demands, addresses: (SocketAddr, SocketAddr)) -> io::Result<()> {
    match &demands.tls {
        None => pass(stream, demands, addresses),
        Some(tls) => {
            let connection = ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
            pass(StreamOwned::new(connection, stream), demands, addresses)
        }
    }
}

/// Passes requests and answers on.
fn pass(
    mut client: impl Read + Write,
    demands: &Demands,
    (front, behind): (SocketAddr, SocketAddr),
) -> io::Result<()> {
    let mut broker = TcpStream::connect(behind)?;
    let mut is_let_in = demands.login.is_none();
    loop {
        let request = frame(&mut client)?;
        let answer = match key(&request) {
            SASL_HANDSHAKE => handshake(&request),
            SASL_AUTHENTICATE => {
                let (user, password) = demands.login.clone().unwrap_or_default();
                let expected = format!("\0{user}\0{password}");
                is_let_in = request.ends_with(expected.as_bytes());
                authenticated(&request, is_let_in)
            }
            key => {
                if !is_let_in && key != API_VERSIONS {
                    return Ok(());
                }
                broker.write_all(&whole(&request))?;
                let answer = readdressed(frame(&mut broker)?, (front, behind));
                if key == API_VERSIONS { with_sasl(answer) } else { answer }
            }
        };
        client.write_all(&whole(&answer))?;
        client.flush()?;
    }
}

fn frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
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

/// The number that ties an answer to its request.
fn correlation(request: &[u8]) -> &[u8] {
    request.get(4..8).unwrap_or_default()
}

fn handshake(request: &[u8]) -> Vec<u8> {
    let mut answer = correlation(request).to_vec();
    let code = if request.ends_with(b"PLAIN") { 0 } else { UNSUPPORTED_MECHANISM };
    answer.extend(code.to_be_bytes());
    // One mechanism.
    answer.extend([0, 0, 0, 1, 0, 5]);
    answer.extend(b"PLAIN");
    answer
}

fn authenticated(request: &[u8], is_let_in: bool) -> Vec<u8> {
    let mut answer = correlation(request).to_vec();
    if is_let_in {
        answer.extend([0, 0, 0xff, 0xff]);
    } else {
        let words = b"Authentication failed: Invalid username or password";
        answer.extend(AUTHENTICATION_FAILED.to_be_bytes());
        answer.extend(u16::try_from(words.len()).unwrap_or_default().to_be_bytes());
        answer.extend(words);
    }
    answer.extend([0; 4]);
    answer
}

/// Adds the requests of a login to those that the cluster names.
fn with_sasl(answer: Vec<u8>) -> Vec<u8> {
    let (Some([0, 0]), Some(count)) = (answer.get(4..6), answer.get(6..10)) else { return answer };
    let count = u32::from_be_bytes(count.try_into().unwrap_or_default()) + 2;
    let more = [[0, 17, 0, 0, 0, 1], [0, 36, 0, 0, 0, 0]].concat();
    [&answer[..6], &count.to_be_bytes(), &more, &answer[10..]].concat()
}

/// Returns an answer in which the front is in the place of the cluster.
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
