//! An HTTP/1.1 target on loopback that records requests byte for byte and fails on request.
//!
//! The sink uses raw sockets and a thread per connection: an HTTP library would hide the order and case of headers,
//! and would not reset a connection on request. A complete request gets the reply of [`Sink::reply_when`], else the
//! next of [`Sink::script`], else that of [`Sink::reply_with`]. The default is the K2HR3 API's 204.

mod connection;
mod request;

pub use request::SinkRequest;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ports;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Status(u16),
    /// A status with exactly these headers, and a body. A missing `Content-Length` is added if the
    /// status has a body.
    StatusWith {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    Reset,
    CloseWithoutReply,
    Garbage,
    ShortBody,
    ResetInBody,
    Endless,
    Raw(Vec<u8>),
    Forever(Vec<u8>, Vec<u8>),
    Hang,
    /// A 200, then a relay to this `host:port`, as a proxy answers CONNECT.
    Tunnel(String),
    After(Duration, Box<Reply>),
}

type Chooser = Box<dyn Fn(&SinkRequest) -> Option<Reply> + Send>;

#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<SharedSink>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct SharedSink {
    state: Mutex<SinkState>,
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
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

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

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn reply_with(&self, reply: Reply) {
        self.shared.state.lock().unwrap().default = reply;
    }

    pub fn script(&self, replies: Vec<Reply>) {
        self.shared.state.lock().unwrap().script.extend(replies);
    }

    /// Sets a chooser that sees every request first; `None` leaves a request to the script and the default.
    pub fn reply_when(&self, choose: impl Fn(&SinkRequest) -> Option<Reply> + Send + 'static) {
        self.shared.state.lock().unwrap().chooser = Some(Box::new(choose));
    }

    #[must_use]
    pub fn requests(&self) -> Vec<SinkRequest> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    /// Forgets all requests, to save memory; the sink otherwise keeps every request.
    pub fn forget(&self) {
        self.shared.state.lock().unwrap().requests.clear();
    }

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

    pub fn stop(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.stopped = true;
        for (_, stream) in state.open.drain() {
            // A connection that the client has closed already fails here.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.changed.notify_all();
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            // `accept` returns only for a connection, hence a last one.
            let _ = TcpStream::connect(self.address);
            accepting.join().unwrap();
        }
    }

    pub fn restart(&self) {
        self.stop();
        self.accept(ports::listen_again(self.address));
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
    fn record(&self, request: SinkRequest) -> Reply {
        let mut state = self.state.lock().unwrap();
        let chosen = state.chooser.as_ref().and_then(|choose| choose(&request));
        state.requests.push(request);
        let reply = chosen.or_else(|| state.script.pop_front()).unwrap_or_else(|| state.default.clone());
        drop(state);
        self.changed.notify_all();
        reply
    }

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
