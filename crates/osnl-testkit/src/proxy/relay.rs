use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::frames::PartialFrame;
use super::{NetworkFault, SharedProxy};

#[derive(Debug)]
pub(super) struct RelayPair {
    client: TcpStream,
    server: TcpStream,
    cut: AtomicBool,
    /// Bytes that the server may still send; all ones is no limit.
    left: AtomicU64,
}

impl RelayPair {
    pub(super) fn allow(&self, fault: NetworkFault) {
        let left = match fault {
            NetworkFault::CutAfter(bytes) => bytes,
            NetworkFault::None
            | NetworkFault::Stall
            | NetworkFault::Delay(_)
            | NetworkFault::Refuse
            | NetworkFault::NoDeliveries => u64::MAX,
        };
        self.left.store(left, Ordering::SeqCst);
    }

    pub(super) fn cut(&self) -> bool {
        if self.cut.swap(true, Ordering::SeqCst) {
            return false;
        }
        for stream in [&self.client, &self.server] {
            // Without lingering, a close sends RST; a shutdown wakes the reading thread, which then drops the socket.
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Both);
        }
        true
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }
}

pub(super) fn start(shared: &Arc<SharedProxy>, client: TcpStream, server: TcpStream) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let pair =
        Arc::new(RelayPair { client, server, cut: AtomicBool::new(false), left: AtomicU64::new(u64::MAX) });
    {
        let mut state = shared.state.lock().unwrap();
        pair.allow(state.fault);
        state.accepted += 1;
        state.open.push(pair.clone());
    }
    for from_server in [false, true] {
        let (shared, pair) = (shared.clone(), pair.clone());
        std::thread::spawn(move || {
            copy(&shared, &pair, from_server);
            pause(&shared, &pair);
            let to = if from_server { &pair.client } else { &pair.server };
            let _ = to.shutdown(Shutdown::Write);
            if from_server {
                let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.open.retain(|other| !Arc::ptr_eq(other, &pair));
            }
        });
    }
}

fn copy(shared: &SharedProxy, pair: &RelayPair, from_server: bool) {
    let (mut from, mut to) =
        if from_server { (&pair.server, &pair.client) } else { (&pair.client, &pair.server) };
    let mut buffer = vec![0; 64 * 1024];
    let withholds = |shared: &SharedProxy| shared.state.lock().unwrap().fault == NetworkFault::NoDeliveries;
    let mut frames = (from_server && withholds(shared)).then(PartialFrame::default);
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        pause(shared, pair);
        if let Some(frames) = &mut frames {
            let passed = frames.pass(&buffer[..n], withholds(shared));
            if pair.is_cut() || to.write_all(&passed).is_err() {
                return;
            }
            continue;
        }
        let allowed = if from_server { pass(pair, n) } else { n };
        if pair.is_cut() || to.write_all(&buffer[..allowed]).is_err() {
            return;
        }
        if allowed < n {
            if pair.cut() {
                shared.state.lock().unwrap().cuts += 1;
            }
            return;
        }
    }
}

fn pass(pair: &RelayPair, n: usize) -> usize {
    let before = pair.left.load(Ordering::SeqCst);
    if before == u64::MAX {
        return n;
    }
    let n = u64::try_from(n).unwrap();
    pair.left.store(before.saturating_sub(n), Ordering::SeqCst);
    usize::try_from(n.min(before)).unwrap()
}

fn pause(shared: &SharedProxy, pair: &RelayPair) {
    let mut state = shared.state.lock().unwrap();
    if let NetworkFault::Delay(delay) = state.fault {
        drop(state);
        std::thread::park_timeout(delay);
        return;
    }
    while state.fault == NetworkFault::Stall && !state.stopped && !pair.is_cut() {
        state = shared.changed.wait(state).unwrap();
    }
}
