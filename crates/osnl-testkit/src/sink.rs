//! An HTTP/1.1 target on loopback that records requests byte for byte and fails as told.
//!
//! Raw sockets, a thread per connection: an HTTP library would hide the order and case of headers, and would
//! not reset a connection on request. Which reply a request gets is decided once the whole request is there:
//! first [`Sink::reply_when`], then the queue of [`Sink::script`], then [`Sink::reply_with`], which is at first
//! what the K2HR3 API says to a successful removal: 204 without a body.

mod connection;
mod request;

pub use request::SinkRequest;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{ports, wait};

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A status without a body, with the headers that the K2HR3 API sends.
    Status(u16),
    /// A status with exactly these headers, then `Content-Length` unless it is among them or the status has
    /// no body, then the body.
    StatusWith {
        /// The status code.
        status: u16,
        /// Names and values, in this order.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// The connection is reset (RST).
    Reset,
    /// The connection is closed (FIN) without a byte.
    CloseWithoutReply,
    /// Bytes that are not HTTP, then the connection is closed.
    Garbage,
    /// A 200 whose body is shorter than its `Content-Length`, then the connection is closed.
    ShortBody,
    /// A 200 and a part of its body, then the connection is reset (RST).
    ResetInBody,
    /// A 200 whose body has no end; until the client closes.
    Endless,
    /// Exactly these bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// The first of these, and then the second without end; until the client closes.
    Forever(Vec<u8>, Vec<u8>),
    /// Nothing; the connection stays open until the client or [`Sink::stop`] closes it.
    Hang,
    /// A 200, then bytes are passed between the client and this `host:port`: what a proxy does on CONNECT.
    Tunnel(String),
    /// Another reply, after a pause.
    After(Duration, Box<Reply>),
}

type Chooser = Box<dyn Fn(&SinkRequest) -> Option<Reply> + Send>;

/// The target. Stops when dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<SharedSink>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

/// The state that connections and the owner share.
struct SharedSink {
    state: Mutex<SinkState>,
    /// Rings with every recorded request and when the sink stops.
    changed: Condvar,
}

struct SinkState {
    stopped: bool,
    connections: usize,
    open: HashMap<usize, TcpStream>,
    requests: Vec<SinkRequest>,
    chooser: Option<Chooser>,
    script: VecDeque<Reply>,
    default: Reply,
}

impl Sink {
    /// Listens on a free port of 127.0.0.1.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// Listens on a free port of another address of this machine, such as `::1`.
    ///
    /// # Panics
    /// When the machine has no such address.
    #[must_use]
    pub fn start_at(address: IpAddr) -> Self {
        let listener = ports::listen_at(address);
        let address = listener.local_addr().unwrap();
        let state = SinkState {
            stopped: true,
            connections: 0,
            open: HashMap::new(),
            requests: Vec::new(),
            chooser: None,
            script: VecDeque::new(),
            default: Reply::Status(204),
        };
        let shared = Arc::new(SharedSink { state: Mutex::new(state), changed: Condvar::new() });
        let sink = Self { address, shared, accepting: Mutex::new(None) };
        sink.accept(listener);
        sink
    }

    /// `http://127.0.0.1:PORT`, or `http://[::1]:PORT`, and the path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The port; it stays the same over [`Sink::stop`] and [`Sink::restart`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on, what a request gets that nothing else decides about.
    pub fn reply_with(&self, reply: Reply) {
        self.shared.state.lock().unwrap().default = reply;
    }

    /// Sets the answers to the next requests, one each, after those of earlier calls.
    pub fn script(&self, replies: Vec<Reply>) {
        self.shared.state.lock().unwrap().script.extend(replies);
    }

    /// From now on, asked first about every request; `None` leaves it to the script and the default.
    pub fn reply_when(&self, choose: impl Fn(&SinkRequest) -> Option<Reply> + Send + 'static) {
        self.shared.state.lock().unwrap().chooser = Some(Box::new(choose));
    }

    /// All requests so far, in the order in which they were complete.
    #[must_use]
    pub fn requests(&self) -> Vec<SinkRequest> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    /// Forgets the requests so far, which otherwise are kept for as long as the sink.
    pub fn forget(&self) {
        self.shared.state.lock().unwrap().requests.clear();
    }

    /// Waits until there are at least `n` requests and gives all of them.
    ///
    /// # Panics
    /// When there are fewer by `deadline` from now.
    #[track_caller]
    pub fn wait_for(&self, n: usize, deadline: Duration) -> Vec<SinkRequest> {
        let state = self.shared.state.lock().unwrap();
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, deadline, |state| state.requests.len() < n)
            .unwrap();
        let seen = state.requests.clone();
        drop(state);
        assert!(seen.len() >= n, "waited {deadline:?} for {n} requests, got {}: {seen:#?}", seen.len());
        seen
    }

    /// Closes the listening port and all connections; connecting is refused from here on.
    pub fn stop(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.stopped = true;
        for (_, stream) in state.open.drain() {
            // Fails on a connection that the client has closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.changed.notify_all();
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            // `accept` returns only for a connection: this is its last one.
            let _ = TcpStream::connect(self.address);
            accepting.join().unwrap();
        }
    }

    /// Listens again on the same port after [`Sink::stop`]; what was recorded and scripted stays.
    ///
    /// # Panics
    /// When another process has taken the port.
    pub fn restart(&self) {
        self.stop();
        let mut listener = None;
        wait::wait_until(Duration::from_secs(10), "the sink's port to be free again", || {
            listener = TcpListener::bind(self.address).ok();
            listener.is_some()
        });
        self.accept(listener.unwrap());
    }

    fn accept(&self, listener: TcpListener) {
        self.shared.state.lock().unwrap().stopped = false;
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let mut state = shared.state.lock().unwrap();
                if state.stopped {
                    return;
                }
                let Ok(twin) = stream.try_clone() else { continue };
                state.connections += 1;
                let number = state.connections;
                state.open.insert(number, twin);
                drop(state);
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    connection::serve(stream, number, &shared);
                    shared.state.lock().unwrap().open.remove(&number);
                });
            }
        });
        *self.accepting.lock().unwrap() = Some(thread);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop();
    }
}

impl SharedSink {
    /// Records a request and decides what it gets.
    fn record(&self, request: SinkRequest) -> Reply {
        let mut state = self.state.lock().unwrap();
        let chosen = state.chooser.as_ref().and_then(|choose| choose(&request));
        state.requests.push(request);
        let reply = chosen.or_else(|| state.script.pop_front()).unwrap_or_else(|| state.default.clone());
        drop(state);
        self.changed.notify_all();
        reply
    }

    /// Passes the time, or less when the sink stops.
    fn pause(&self, time: Duration) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_timeout_while(state, time, |state| !state.stopped).unwrap());
    }
}

impl fmt::Debug for SharedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSink").finish_non_exhaustive()
    }
}
